/**
 * The ladder: which way news comes to this page, decided from what the network
 * proves. A pure state machine: inputs and the time go in, commands come out; it
 * opens nothing, reads no clock and sets no timer (`due()` says when it wants to
 * be asked again). The rules are the ladder table of the live protocol.
 *
 * Safety: a lower rung is entered only when the server has been reached another
 * way meanwhile, so a restart or a dead network never demotes.
 * Liveness: in every state except OFF either a request is under way, with a
 * time-out, or a timer is set.
 * @module
 */

import { covers } from "./cursor.js";
import { OutcomeLog } from "./learn.js";
import { CHECKING, CONNECTING, HOLD, OFF, OFFLINE, POLL, SENTENCES, STREAM, verdictSentence } from "./states.js";
import { TIMING } from "./timing.js";

/** @typedef {import("./states.js").Mode} Mode */
/** @typedef {import("./states.js").Rung} Rung */
/** @typedef {import("./states.js").VerdictKind} VerdictKind */
/** @typedef {import("./timing.js").Timing} Timing */

/**
 * What is remembered between pages.
 * @typedef {{ rung: "hold"|"poll", kind: VerdictKind, at: number, waitMs?: number, ageMs?: number, post?: boolean, why?: string }} Verdict
 */

/**
 * One stream, from its request to its end.
 * @typedef {object} Try
 * @property {number} id
 * @property {"first"|"retry"|"recycle"|"shadow"} kind
 * @property {boolean} pad
 * @property {number} openedAt
 * @property {number | null} helloAt
 * @property {number} helloRead number of the read that brought `hello`
 * @property {number | null} probeAt
 * @property {number} frameAt when its last batch, probe or hello came
 * @property {number} heartbeatMs
 * @property {number} maxAgeMs 0: not told
 */

/** @typedef {{ mode?: string | null, wait?: number, interval_ms?: number, why?: string } | null | undefined} Advice */
/** @typedef {"network"|"timeout"|"status"|"type"|"nonce"} FailKind */

/**
 * @typedef {(
 *   { type: "start" } | { type: "stop" } | { type: "timer" } |
 *   { type: "hello", id: number, nonceOk: boolean, read: number, heartbeatMs: number, maxAgeMs: number } |
 *   { type: "probe", id: number, read: number } |
 *   { type: "batch", id: number, empty: boolean } |
 *   { type: "bytes", id: number } |
 *   { type: "bye", id: number, why: string, afterMs: number } |
 *   { type: "end", id: number } |
 *   { type: "stream-fail", id: number, kind: FailKind, status?: number, retryAfterMs?: number } |
 *   { type: "stream-advice", id: number, advice: Advice } |
 *   { type: "hold-ok" | "poll-ok", id: number, fresh: number, more: boolean, advice?: Advice } |
 *   { type: "hold-fail" | "poll-fail", id: number, kind: FailKind, status?: number, retryAfterMs?: number } |
 *   { type: "beat", ok: boolean, head?: string | null } |
 *   { type: "applied", cursor: string | null, events: number } |
 *   { type: "gap", again: boolean } |
 *   { type: "online" } | { type: "offline" } | { type: "visible" } | { type: "hidden" } | { type: "activity" } |
 *   { type: "heard" } | { type: "failed" } | { type: "company", others: number } |
 *   { type: "choice", forced: Rung | null }
 * )} Input
 */

/**
 * @typedef {(
 *   { do: "stream", id: number, pad: boolean, shadow: boolean } |
 *   { do: "hold", id: number, waitMs: number, timeoutMs: number, post: boolean } |
 *   { do: "poll", id: number, timeoutMs: number, post: boolean } |
 *   { do: "close", id: number } |
 *   { do: "beat", timeoutMs: number } |
 *   { do: "forget-cursor" } |
 *   { do: "remember", verdict: Verdict | null }
 * )} Command
 */

/**
 * @typedef {object} Status
 * @property {"connecting"|"live"|"refreshing"|"offline"|"off"} state
 * @property {Rung} rung
 * @property {string} reason plain words
 * @property {number} intervalMs of polling; 0 on other rungs
 * @property {number} since when this state began; offline: when something was last heard
 * @property {number} lastHeard 0: nothing yet
 * @property {Rung | null} forced the person's own choice
 */

const CHOSEN = "You chose this.";
const PORTAL = "The network answers with a page of its own. It may want you to sign in.";

export class Ladder {
  /**
   * @param {{ timing?: Timing, random?: () => number, forced?: Rung | null, memory?: Verdict | null, hidden?: boolean, cursor?: string | null }} [options]
   */
  constructor(options = {}) {
    this.timing = options.timing ?? TIMING;
    this.random = options.random ?? Math.random;
    /** @type {Rung | null} */
    this.forced = options.forced ?? null;
    /** @type {Verdict | null} */
    this.memory = options.memory ?? null;
    this.hidden = options.hidden ?? false;
    this.cursor = options.cursor ?? null;

    /** @type {Mode} */
    this.mode = OFF;
    this.started = false;
    this.now = 0;
    /** @type {Command[]} */
    this.out = [];
    this.ids = 0;
    /** @type {Map<string, number>} name -> when */
    this.timers = new Map();
    /** @type {Map<number, Try>} every open stream */
    this.tries = new Map();
    /** @type {Try | null} the stream in use, also in `tries` */
    this.main = null;
    /** @type {{ id: number, at: number, waitMs: number } | null} */
    this.held = null;
    /** @type {{ id: number, at: number } | null} */
    this.polling = null;
    this.log = new OutcomeLog(this.timing);

    this.company = false;
    this.activeAt = 0;
    this.adviceMs = 0;
    this.post = false;
    this.nonceMisses = 0;
    this.usePad = false;
    this.resume = /** @type {"stream"|"hold"|"poll"} */ ("stream");
    this.failures = 0;
    this.notBefore = 0;
    this.lastHeard = 0;
    /** @type {number | null} since when nothing is heard from the server */
    this.silentSince = null;
    this.modeAt = 0;
    this.pollOkAt = -1;
    this.rungOk = false;
    this.portal = false;
    /** @type {Verdict | null} why a lower rung is in use */
    this.verdict = null;
    /** A hello deadline has passed and the running poll decides what that means. */
    this.judging = false;
    /** @type {"lumped" | "late" | null} how the plain try failed its proof */
    this.failedHow = null;
    /** @type {string | null} a head that the stream has yet to reach */
    this.aheadTarget = null;
    this.verifying = false;
    this.holdFirst = true;
    /** @type {number | null} a wait that the network allows */
    this.learnedWait = null;
    /** @type {number | null} age of the held request whose failure a poll is explaining */
    this.holdFailedAge = null;
    this.instants = 0;
    this.shadowDelay = this.timing.shadowFirst;
    this.shadowPad = false;
    this.shown = { state: /** @type {Status["state"]} */ ("off"), at: 0 };
  }

  /**
   * Takes one input at a time `now` (ms, never going back) and says what to do.
   * @param {Input} input
   * @param {number} now
   * @returns {Command[]} in order
   */
  input(input, now) {
    this.now = now;
    this.out = [];
    if (input.type === "start") {
      if (!this.started) {
        this.started = true;
        this.activeAt = now;
        this.begin();
      }
    } else if (input.type === "choice") {
      this.choose(input.forced);
    } else if (input.type === "hidden" || input.type === "company" || input.type === "activity") {
      this.take(input);
    } else if (this.started) {
      this.take(input);
    }
    const out = this.out;
    this.out = [];
    return out;
  }

  /** When `timer` is wanted; null: never. @returns {number | null} */
  due() {
    let first = null;
    for (const at of this.timers.values()) if (first === null || at < first) first = at;
    return first;
  }

  /** @param {Input} input */
  take(input) {
    switch (input.type) {
      case "stop":
        this.started = false;
        this.closeAll();
        this.timers.clear();
        this.enter(OFF);
        break;
      case "timer":
        this.takeTimers();
        break;
      case "hello":
        this.takeHello(input);
        break;
      case "probe":
        this.takeProbe(input);
        break;
      case "batch":
        this.takeBatch(input);
        break;
      case "bytes":
        this.takeBytes(input.id);
        break;
      case "bye":
        this.takeBye(input);
        break;
      case "end": {
        const ended = this.tries.get(input.id);
        if (ended) this.streamEnded(ended, false);
        break;
      }
      case "stream-fail":
        this.streamFailed(input);
        break;
      case "stream-advice":
        this.streamAdvised(input.id, input.advice);
        break;
      case "poll-ok":
        this.pollOk(input);
        break;
      case "poll-fail":
        this.pollFailed(input);
        break;
      case "hold-ok":
        this.holdOk(input);
        break;
      case "hold-fail":
        this.holdFailed(input);
        break;
      case "beat":
        this.takeBeat(input.ok, input.head ?? null);
        break;
      case "applied":
        this.cursor = input.cursor;
        if (input.events > 0) this.active();
        if (this.aheadTarget && covers(this.cursor, this.aheadTarget)) this.clearAhead();
        break;
      case "gap":
        if (input.again && this.mode === STREAM) this.realign();
        else this.pollNow();
        break;
      case "online":
        this.takeOnline();
        break;
      case "offline":
        if (this.mode === STREAM) this.check();
        else if (this.mode === HOLD || this.mode === POLL) this.pollNow();
        break;
      case "hidden":
        this.hidden = true;
        if (this.started && this.mode === POLL && !this.polling) this.schedulePoll();
        break;
      case "visible":
        this.takeVisible();
        break;
      case "activity":
        this.active();
        break;
      case "heard":
        this.heard();
        if (this.mode === OFFLINE) this.retryNow();
        break;
      case "failed":
        if (this.mode === STREAM) this.check();
        else if (this.mode === HOLD || this.mode === POLL) this.pollNow();
        break;
      case "company": {
        const company = input.others > 0;
        if (company === this.company) break;
        this.company = company;
        // Somebody came: the pause that was fine alone is too long now.
        if (this.started && this.mode === POLL && !this.polling) this.shortenPoll();
        break;
      }
      default:
        break;
    }
  }

  // ---- beginning, choosing, entering -------------------------------------

  /** Enters the rung that choice or memory name, or tries a stream. */
  begin() {
    if (this.forced === "off") return this.enter(OFF);
    if (this.forced === "hold") return this.enterHold();
    if (this.forced === "poll") return this.enterPoll();
    const known = this.memory;
    this.memory = null;
    if (!this.forced && known && this.now - known.at < this.timing.memory && this.now >= known.at) {
      this.verdict = known;
      this.post = known.post ?? false;
      this.learnedWait = known.waitMs ?? null;
      if (known.rung === "hold") this.enterHold();
      else this.enterPoll();
      return this.scheduleShadow();
    }
    this.connect();
  }

  /** @param {Rung | null} forced */
  choose(forced) {
    this.forced = forced;
    this.memory = null;
    this.verdict = null;
    if (!this.started) return;
    this.closeAll();
    this.timers.clear();
    this.log.clear();
    this.post = false;
    this.nonceMisses = 0;
    this.adviceMs = 0;
    this.learnedWait = null;
    this.failures = 0;
    this.shadowDelay = this.timing.shadowFirst;
    if (forced === null) this.out.push({ do: "remember", verdict: null });
    this.begin();
  }

  /** @param {Mode} mode */
  enter(mode) {
    if (mode !== this.mode) this.modeAt = this.now;
    this.mode = mode;
  }

  /** Opens a stream and, in a while, polls beside it. */
  connect() {
    this.enter(CONNECTING);
    this.timers.delete("reopen");
    this.failedHow = null;
    this.judging = false;
    this.open("first", this.usePad);
    if (this.forced !== "stream") this.timers.set("hedge", this.now + this.timing.hedge);
  }

  enterHold() {
    this.enter(HOLD);
    this.rungOk = false;
    this.holdFirst = true;
    this.instants = 0;
    this.sendHold();
  }

  enterPoll() {
    this.enter(POLL);
    this.rungOk = false;
    this.pollNow();
  }

  /**
   * Goes down to a rung. Only called with proof that the server is reachable.
   * @param {"hold" | "poll"} rung
   * @param {VerdictKind} kind
   * @param {{ ageMs?: number, waitMs?: number, why?: string }} [detail]
   */
  lower(rung, kind, detail = {}) {
    if (this.forced) return this.stayForced();
    this.closeStreams();
    this.closeHold();
    for (const name of ["hedge", "reopen", "watchdog", "recycle", "stable", "ahead", "check", "hold"]) this.timers.delete(name);
    this.log.clear();
    this.judging = false;
    this.verdict = { rung, kind, at: this.now, ...detail, ...(this.post ? { post: true } : {}) };
    this.learnedWait = detail.waitMs ?? null;
    // What the server asks for is its load of the moment, not a property of the network.
    if (kind !== "cap" && kind !== "advice") this.out.push({ do: "remember", verdict: this.verdict });
    this.shadowPad = kind === "mute" || kind === "lumped" || kind === "late";
    if (rung === "hold") this.enterHold();
    else this.enterPoll();
    this.rungOk = this.lastHeard === this.now;
    this.scheduleShadow();
  }

  /** A rung that a person chose is kept, whatever the proof says. */
  stayForced() {
    if (this.forced === "stream") {
      this.closeStreams();
      this.enter(CONNECTING);
      this.timers.set("reopen", this.backoff());
    } else if (this.forced === "hold") {
      this.learnedWait = Math.max(this.timing.holdMin / 2, this.learnedWait ?? this.timing.holdMin);
      this.enter(HOLD);
      this.timers.set("hold", this.now + 1000);
    } else {
      this.enter(POLL);
      this.schedulePoll();
    }
  }

  /** Nothing reaches the server: wait, then try again the way we came. */
  goOffline() {
    if (this.mode !== OFFLINE) {
      this.resume = this.mode === HOLD ? "hold" : this.mode === POLL ? "poll" : "stream";
    }
    this.closeAll();
    for (const name of [...this.timers.keys()]) this.timers.delete(name);
    this.judging = false;
    this.clearAhead();
    if (this.silentSince === null) this.silentSince = this.lastHeard || this.now;
    this.enter(OFFLINE);
    this.timers.set("reopen", this.backoff());
  }

  /** Tries again at once, except before the time that the server named. */
  retryNow() {
    this.failures = 0;
    this.timers.set("reopen", Math.max(this.now, this.notBefore));
    this.takeTimers();
  }

  /** When to try again after a fault, counting the fault. @returns {number} */
  backoff() {
    const most = Math.min(this.timing.backoffMax, this.timing.backoffBase * 2 ** Math.min(this.failures, 16));
    this.failures += 1;
    this.timers.delete("stable");
    return Math.max(this.now + this.random() * most, this.notBefore);
  }

  heard() {
    this.lastHeard = this.now;
    this.silentSince = null;
    this.portal = false;
  }

  active() {
    const wasIdle = this.now - this.activeAt >= this.timing.idleAfter;
    this.activeAt = this.now;
    if (wasIdle && this.started && this.mode === POLL && !this.polling) this.shortenPoll();
  }

  // ---- streams -----------------------------------------------------------

  /** @param {Try["kind"]} kind @param {boolean} pad @returns {Try} */
  open(kind, pad) {
    const id = (this.ids += 1);
    /** @type {Try} */
    const stream = {
      id, kind, pad, openedAt: this.now, helloAt: null, helloRead: -1, probeAt: null,
      frameAt: this.now, heartbeatMs: 15000, maxAgeMs: 0,
    };
    this.tries.set(id, stream);
    this.timers.set(`hello:${id}`, this.now + (kind === "retry" ? this.timing.retryHello : this.timing.hello));
    this.out.push({ do: "stream", id, pad, shadow: kind === "shadow" });
    return stream;
  }

  /** @param {Try} stream */
  close(stream) {
    this.forgetTry(stream);
    this.out.push({ do: "close", id: stream.id });
  }

  /** @param {Try} stream */
  forgetTry(stream) {
    this.tries.delete(stream.id);
    for (const name of ["hello", "probe", "suspect", "beat"]) this.timers.delete(`${name}:${stream.id}`);
    if (this.main === stream) {
      this.main = null;
      this.timers.delete("watchdog");
    }
  }

  closeStreams() {
    for (const stream of [...this.tries.values()]) this.close(stream);
  }

  closeHold() {
    if (this.held) this.out.push({ do: "close", id: this.held.id });
    this.held = null;
    this.holdFailedAge = null;
  }

  closeAll() {
    this.closeStreams();
    this.closeHold();
    if (this.polling) this.out.push({ do: "close", id: this.polling.id });
    this.polling = null;
    this.verifying = false;
  }

  /** Streams other than `but` that may still become the one in use. @param {Try} [but] */
  candidates(but) {
    return [...this.tries.values()].filter((stream) => stream !== but && stream.kind !== "shadow");
  }

  /** @param {Extract<Input, { type: "hello" }>} input */
  takeHello(input) {
    const stream = this.tries.get(input.id);
    if (!stream || stream.helloAt !== null) return;
    if (!input.nonceOk) return this.cached(stream);
    this.heard();
    stream.helloAt = this.now;
    stream.helloRead = input.read;
    stream.frameAt = this.now;
    stream.heartbeatMs = input.heartbeatMs || 15000;
    stream.maxAgeMs = input.maxAgeMs;
    this.timers.delete(`hello:${stream.id}`);
    this.timers.set(`probe:${stream.id}`, this.now + this.timing.probeMax + 1);
    this.judging = false;
    if (!stream.pad && stream.kind !== "shadow") this.timers.set(`suspect:${stream.id}`, this.now + this.timing.suspect);
    if (stream.kind === "recycle") {
      if (this.main && this.main !== stream) this.close(this.main);
      this.main = stream;
      stream.kind = "first";
      this.watch();
    }
  }

  /** @param {Extract<Input, { type: "probe" }>} input */
  takeProbe(input) {
    const stream = this.tries.get(input.id);
    if (!stream || stream.helloAt === null || stream.probeAt !== null) return;
    const after = this.now - stream.helloAt;
    this.timers.delete(`probe:${stream.id}`);
    this.timers.delete(`suspect:${stream.id}`);
    if (input.read === stream.helloRead || after < this.timing.probeMin) return this.failProof(stream, "lumped");
    if (after > this.timing.probeMax) return this.failProof(stream, "late");
    stream.probeAt = this.now;
    stream.frameAt = this.now;
    if (stream.kind === "shadow") this.awaitHeartbeat(stream);
    else this.prove(stream);
  }

  /** @param {Try} stream */
  awaitHeartbeat(stream) {
    this.timers.set(`beat:${stream.id}`, this.now + stream.heartbeatMs + this.timing.heartbeatSlack);
  }

  /** @param {Extract<Input, { type: "batch" }>} input */
  takeBatch(input) {
    const stream = this.tries.get(input.id);
    if (!stream) return;
    if (stream.kind === "shadow" && stream.probeAt !== null) {
      // Older than one heartbeat, and than the age at which streams were cut before.
      const needed = Math.max(stream.heartbeatMs * 0.9, (this.verdict?.kind === "cut" ? this.verdict.ageMs ?? 0 : 0) * 1.2);
      const onTime = this.now - stream.frameAt <= stream.heartbeatMs + this.timing.heartbeatSlack;
      if (onTime && this.now - stream.openedAt >= needed) return this.prove(stream);
      this.awaitHeartbeat(stream);
    }
    stream.frameAt = this.now;
  }

  /** @param {number} id */
  takeBytes(id) {
    const stream = this.tries.get(id);
    if (!stream || stream !== this.main) return;
    this.heard();
    if (this.mode === CHECKING) {
      this.timers.delete("check");
      this.enter(STREAM);
    }
    this.watch();
  }

  watch() {
    this.timers.set("watchdog", this.now + this.timing.watchdog);
  }

  /** A stream has proven itself: it is the one in use. @param {Try} stream */
  prove(stream) {
    for (const other of [...this.tries.values()]) if (other !== stream) this.close(other);
    this.closeHold();
    this.timers.delete(`beat:${stream.id}`);
    for (const name of ["hedge", "reopen", "poll", "hold", "shadow", "next", "check"]) this.timers.delete(name);
    const again = this.mode === STREAM;
    stream.kind = "first";
    this.main = stream;
    this.usePad = stream.pad;
    this.judging = false;
    this.nonceMisses = 0;
    this.enter(STREAM);
    if (!again) this.timers.set("stable", this.now + this.timing.stable);
    this.watch();
    this.planRecycle(stream);
    if (this.verdict) this.out.push({ do: "remember", verdict: null });
    this.verdict = null;
  }

  /** Replaces a stream before its end, be that the server's or the network's. @param {Try} stream */
  planRecycle(stream) {
    let age = Infinity;
    if (stream.maxAgeMs >= 30000) age = stream.maxAgeMs - 5000 - this.random() * 10000;
    if (this.log.learnedAge !== null) age = Math.min(age, this.log.learnedAge * 0.8);
    if (age < Infinity) this.timers.set("recycle", Math.max(this.now + 1000, stream.openedAt + age));
    else this.timers.delete("recycle");
  }

  /**
   * hello and probe did not come as they were sent.
   * @param {Try} stream
   * @param {"lumped" | "late"} how
   */
  failProof(stream, how) {
    const { kind, pad } = stream;
    this.close(stream);
    if (kind === "shadow") return this.shadowFailed();
    if (this.forced === "stream") {
      this.usePad = !pad;
      return this.stayForced();
    }
    if (pad) {
      if (this.candidates().length === 0) this.lower("hold", this.failedHow ?? how);
      return;
    }
    this.failedHow = how;
    this.enter(CONNECTING);
    if (!this.candidates().some((other) => other.pad)) this.open("retry", true);
    this.timers.set("hedge", this.now);
    this.takeTimers();
  }

  /** @param {Extract<Input, { type: "bye" }>} input */
  takeBye(input) {
    const stream = this.tries.get(input.id);
    if (!stream) return;
    if (stream.kind === "shadow") {
      this.close(stream);
      return this.shadowFailed();
    }
    const other = this.candidates(stream).length > 0;
    const wait = this.random() * Math.max(0, input.afterMs);
    if (input.why === "recycle" && this.mode === STREAM && stream === this.main) {
      // The old one stays until the new one says hello, or the server ends it.
      this.timers.delete("recycle");
      if (!other) this.timers.set("next", this.now + wait);
      stream.maxAgeMs = -1;
      return;
    }
    this.close(stream);
    if (other) return;
    this.enter(CONNECTING);
    this.timers.set("reopen", Math.max(this.now + wait, this.notBefore));
  }

  /**
   * @param {Try} stream
   * @param {boolean} blocked it never was a stream: refused, or another kind of answer
   */
  streamEnded(stream, blocked) {
    const wasMain = stream === this.main;
    const saidBye = stream.maxAgeMs === -1;
    this.forgetTry(stream);
    if (stream.kind === "shadow") return this.shadowFailed();
    const others = this.candidates();
    if (saidBye) {
      // `next` or the stream already being opened takes over.
      if (!this.timers.has("next") && others.length === 0) this.connect();
      return;
    }
    this.log.cut(this.now, this.now - stream.openedAt, stream.helloAt === null || blocked);
    if (stream.kind === "recycle" && this.main) {
      this.timers.set("recycle", this.now + 5000);
      return;
    }
    if (others.length > 0 && !wasMain) return;
    for (const name of ["watchdog", "recycle", "next", "check"]) this.timers.delete(name);
    this.clearAhead();
    if (others.length > 0) return this.enter(CONNECTING);
    this.enter(CONNECTING);
    this.timers.set("reopen", this.backoff());
    if (this.forced !== "stream") {
      this.timers.set("hedge", this.now);
      this.takeTimers();
    } else if (stream.helloAt === null) {
      this.silentSince ??= this.lastHeard || this.now;
    }
  }

  /** @param {Extract<Input, { type: "stream-fail" }>} input */
  streamFailed(input) {
    const stream = this.tries.get(input.id);
    if (!stream) return;
    if (input.kind === "nonce") return this.cached(stream);
    if (input.retryAfterMs) this.notBefore = this.now + input.retryAfterMs;
    if (input.status === 400) this.out.push({ do: "forget-cursor" });
    if (input.kind === "type" && this.forced === "stream") this.portal = true;
    this.streamEnded(stream, input.kind === "status" || input.kind === "type");
  }

  /** @param {number} id @param {Advice} advice */
  streamAdvised(id, advice) {
    const stream = this.tries.get(id);
    if (!stream) return;
    this.heard();
    this.forgetTry(stream);
    if (stream.kind === "shadow") return this.shadowFailed();
    // A padded or replacing stream that is refused leaves the one that runs alone.
    if (this.candidates().length > 0) return;
    if (this.forced === "stream") return this.stayForced();
    this.takeAdvice(advice);
    this.lower(advice?.mode === "hold" ? "hold" : "poll", "cap", { why: advice?.why });
  }

  /** @param {Advice} advice */
  takeAdvice(advice) {
    if (typeof advice?.interval_ms === "number") this.adviceMs = Math.max(0, advice.interval_ms);
  }

  /** A cache answered: a new path first, then polling by POST. @param {Try | null} stream */
  cached(stream) {
    if (stream) this.close(stream);
    if (stream?.kind === "shadow") return this.shadowFailed();
    this.nonceMisses += 1;
    if (this.nonceMisses < 2) {
      if (this.mode === HOLD) return this.sendHold();
      if (this.mode === POLL) return this.pollNow();
      if (this.candidates(stream ?? undefined).length === 0) this.connect();
      return;
    }
    this.post = true;
    if (this.forced) {
      if (this.mode === HOLD) return this.sendHold();
      if (this.mode === POLL) return this.schedulePoll();
    }
    this.lower("poll", "cached");
  }

  /** The running stream is silent: is it mute, or is the network gone? */
  check() {
    this.enter(CHECKING);
    this.timers.delete("watchdog");
    this.timers.set("check", this.now + this.timing.beatTimeout + 500);
    this.out.push({ do: "beat", timeoutMs: this.timing.beatTimeout });
  }

  /** The server is there and the stream is silent. */
  mute() {
    this.heard();
    this.clearAhead();
    if (this.forced !== "stream" && this.log.mute(this.now) >= 2) return this.lower("hold", "mute");
    this.closeStreams();
    for (const name of ["recycle", "next", "check", "stable"]) this.timers.delete(name);
    this.connect();
  }

  /** @param {boolean} ok @param {string | null} head */
  takeBeat(ok, head) {
    if (this.mode === CHECKING) {
      this.timers.delete("check");
      if (ok) this.mute();
      else this.goOffline();
      return;
    }
    if (!ok) return;
    this.heard();
    if (this.mode === OFFLINE) return this.retryNow();
    if (this.mode === STREAM && head && !this.aheadTarget && !covers(this.cursor, head)) {
      this.aheadTarget = head;
      this.timers.set("ahead", this.now + this.timing.ahead);
    }
  }

  clearAhead() {
    this.aheadTarget = null;
    this.verifying = false;
    this.timers.delete("ahead");
  }

  /** Stream and polls are out of step: begin one stream from our own cursor, alone. */
  realign() {
    this.closeStreams();
    const stream = this.open("first", this.usePad);
    this.main = stream;
    this.watch();
  }

  // ---- polls and held requests -------------------------------------------

  pollNow() {
    this.timers.delete("poll");
    if (this.polling) return;
    const id = (this.ids += 1);
    this.polling = { id, at: this.now };
    this.out.push({ do: "poll", id, timeoutMs: this.timing.pollTimeout, post: this.post });
  }

  /** The pause between polls, without its variation. @returns {number} ms */
  interval() {
    let pause = this.company ? this.timing.pollCompany : this.timing.pollAlone;
    if (this.now - this.activeAt >= this.timing.idleAfter) pause = this.timing.pollIdle;
    if (this.hidden) pause = this.timing.pollHidden;
    return Math.max(pause, this.adviceMs);
  }

  schedulePoll() {
    const vary = 1 + (this.random() * 2 - 1) * this.timing.pollJitter;
    this.timers.set("poll", Math.max(this.now + this.interval() * vary, this.notBefore));
  }

  shortenPoll() {
    const before = this.timers.get("poll") ?? Infinity;
    this.schedulePoll();
    if ((this.timers.get("poll") ?? Infinity) > before) this.timers.set("poll", before);
  }

  /** @param {Extract<Input, { type: "poll-ok" | "hold-ok" }>} input */
  pollOk(input) {
    if (this.polling?.id !== input.id) return;
    this.polling = null;
    this.pollOkAt = this.now;
    this.heard();
    this.takeAdvice(input.advice);
    switch (this.mode) {
      case CONNECTING:
        if (this.judging) return this.lower("hold", this.failedHow ?? "mute");
        if (this.log.cuts(this.now).length >= this.timing.cutCount) return this.lowerForCuts();
        if (input.more) return this.pollNow();
        this.timers.set("hedge", this.now + this.timing.hedgeEvery);
        break;
      case STREAM:
        if (this.verifying && input.fresh > 0) return this.mute();
        this.clearAhead();
        if (input.more) this.pollNow();
        break;
      case HOLD:
        this.rungOk = true;
        this.steady();
        if (this.holdFailedAge !== null) return this.learnHold(this.holdFailedAge);
        if (!this.held && !this.timers.has("hold")) this.sendHold();
        break;
      case POLL:
        this.rungOk = true;
        this.steady();
        if (input.more) return this.pollNow();
        this.schedulePoll();
        break;
      case OFFLINE:
        this.timers.delete("reopen");
        if (this.resume === "stream") return this.connect();
        if (this.resume === "hold") this.enterHold();
        else {
          this.enter(POLL);
          this.schedulePoll();
        }
        this.rungOk = true;
        this.scheduleShadow();
        break;
      default:
        break;
    }
  }

  /** Counts the stable time of a lower rung. */
  steady() {
    if (this.failures > 0 && !this.timers.has("stable")) this.timers.set("stable", this.now + this.timing.stable);
  }

  /** @param {Extract<Input, { type: "poll-fail" | "hold-fail" }>} input */
  pollFailed(input) {
    if (this.polling?.id !== input.id) return;
    this.polling = null;
    if (input.retryAfterMs) this.notBefore = this.now + input.retryAfterMs;
    if (input.status === 400) this.out.push({ do: "forget-cursor" });
    if (input.kind === "nonce" && !this.post) {
      // Answered, but not by the server: no proof of anything else.
      if (this.mode !== CONNECTING) return this.cached(null);
    }
    if (input.kind === "type") this.portal = true;
    switch (this.mode) {
      case CONNECTING:
        this.log.takeBackCut();
        if (this.judging || this.candidates().length === 0) return this.goOffline();
        this.timers.set("hedge", this.now + this.timing.hedgeEvery);
        break;
      case STREAM:
        if (this.verifying) {
          this.clearAhead();
          this.check();
        }
        break;
      case HOLD:
      case POLL:
        // Asked to come later is an answer.
        if (input.status === 429) {
          this.heard();
          return this.mode === POLL ? this.schedulePoll() : this.holdSoon();
        }
        this.goOffline();
        break;
      case OFFLINE:
        this.timers.set("reopen", this.backoff());
        break;
      default:
        break;
    }
  }

  lowerForCuts() {
    const cuts = this.log.cuts(this.now);
    const lived = cuts.filter((cut) => !cut.blocked);
    if (lived.length === 0) return this.lower("hold", "blocked");
    const ageMs = Math.min(...lived.map((cut) => cut.ageMs));
    const waitMs = Math.floor(ageMs * 0.8);
    if (waitMs < this.timing.holdMin) this.lower("poll", "cut", { ageMs });
    else this.lower("hold", "cut", { ageMs, waitMs: Math.min(waitMs, this.timing.hold) });
  }

  sendHold() {
    this.timers.delete("hold");
    if (this.held || this.mode !== HOLD) return;
    const first = this.holdFirst ? this.timing.holdFirst : this.timing.hold;
    const waitMs = Math.min(first, this.learnedWait ?? this.timing.hold);
    const id = (this.ids += 1);
    this.held = { id, at: this.now, waitMs };
    this.out.push({ do: "hold", id, waitMs, timeoutMs: waitMs + this.timing.holdSlack, post: this.post });
  }

  holdSoon() {
    this.timers.set("hold", Math.max(this.now + 1000, this.notBefore));
  }

  /** @param {Extract<Input, { type: "poll-ok" | "hold-ok" }>} input */
  holdOk(input) {
    if (this.held?.id !== input.id) return;
    const { at, waitMs } = this.held;
    this.held = null;
    this.heard();
    this.rungOk = true;
    this.holdFirst = false;
    this.steady();
    if (this.mode !== HOLD) return;
    this.takeAdvice(input.advice);
    if (input.advice?.mode === "poll") return this.lower("poll", "advice", { why: input.advice.why });
    const instant = input.fresh === 0 && !input.more && waitMs > this.timing.holdInstant && this.now - at < this.timing.holdInstant;
    this.instants = instant ? this.instants + 1 : 0;
    if (this.instants >= 3) return this.lower("poll", "short", { ageMs: this.now - at });
    if (instant) this.holdSoon();
    else this.sendHold();
  }

  /** @param {Extract<Input, { type: "poll-fail" | "hold-fail" }>} input */
  holdFailed(input) {
    if (this.held?.id !== input.id) return;
    const age = this.now - this.held.at;
    this.held = null;
    if (this.mode !== HOLD) return;
    if (input.retryAfterMs) this.notBefore = this.now + input.retryAfterMs;
    if (input.kind === "nonce") return this.cached(null);
    if (input.status === 429) {
      this.heard();
      return this.holdSoon();
    }
    if (input.status === 400) this.out.push({ do: "forget-cursor" });
    this.holdFailedAge = age;
    this.pollNow();
  }

  /** A held request failed at this age while the server is reachable. @param {number} age */
  learnHold(age) {
    this.holdFailedAge = null;
    this.holdFirst = false;
    const similar = this.log.holdFailure(this.now, age);
    if (similar === null) return this.holdSoon();
    const waitMs = Math.floor(similar * 0.8);
    if (waitMs < this.timing.holdMin) return this.lower("poll", "short", { ageMs: similar });
    this.learnedWait = waitMs;
    if (this.verdict && !this.forced) {
      this.verdict = { ...this.verdict, waitMs };
      this.out.push({ do: "remember", verdict: this.verdict });
    }
    this.sendHold();
  }

  // ---- back up -----------------------------------------------------------

  scheduleShadow() {
    if (this.forced || (this.mode !== HOLD && this.mode !== POLL)) return;
    const vary = 1 + (this.random() * 2 - 1) * this.timing.shadowJitter;
    this.timers.set("shadow", this.now + this.shadowDelay * vary);
  }

  shadowFailed() {
    this.shadowDelay = Math.min(this.shadowDelay * 2, this.timing.shadowMax);
    this.shadowPad = !this.shadowPad;
    this.scheduleShadow();
  }

  openShadow() {
    if (this.forced || (this.mode !== HOLD && this.mode !== POLL)) return;
    if ([...this.tries.values()].some((stream) => stream.kind === "shadow")) return;
    // Nobody looks, and timers of hidden tabs are too coarse for a proof.
    if (this.hidden) return this.scheduleShadow();
    this.open("shadow", this.shadowPad);
  }

  // ---- the world around --------------------------------------------------

  takeOnline() {
    switch (this.mode) {
      case OFFLINE:
        return this.retryNow();
      case STREAM:
        // Another network, perhaps: the old connection may be dead without knowing it.
        if (this.candidates(this.main ?? undefined).length === 0) this.open("recycle", this.usePad);
        return;
      case CHECKING:
        return;
      case HOLD:
        this.closeHold();
        this.sendHold();
        this.shadowDelay = this.timing.shadowFirst;
        return this.openShadow();
      case POLL:
        this.pollNow();
        this.shadowDelay = this.timing.shadowFirst;
        return this.openShadow();
      default:
        return;
    }
  }

  takeVisible() {
    this.hidden = false;
    this.active();
    if (this.mode === OFFLINE) return this.retryNow();
    if (this.mode === POLL) return this.pollNow();
    this.takeTimers();
  }

  // ---- timers ------------------------------------------------------------

  takeTimers() {
    for (let guard = 0; guard < 64; guard += 1) {
      const next = [...this.timers].filter(([, at]) => at <= this.now).sort((a, b) => a[1] - b[1])[0];
      if (!next) return;
      this.timers.delete(next[0]);
      this.fire(next[0]);
    }
  }

  /** @param {string} name */
  fire(name) {
    const [what, id] = name.split(":");
    const stream = id ? this.tries.get(Number(id)) : undefined;
    switch (what) {
      case "hello":
        if (stream) this.helloMissing(stream);
        break;
      case "probe":
        if (stream) this.failProof(stream, "late");
        break;
      case "suspect":
        if (stream && stream.probeAt === null && this.forced !== "stream" && this.candidates(stream).length === 0) {
          this.failedHow = "late";
          this.open("retry", true);
          if (this.mode === CONNECTING) this.pollNow();
        }
        break;
      case "beat":
        if (stream) {
          this.close(stream);
          this.shadowFailed();
        }
        break;
      case "hedge":
        if (this.mode === CONNECTING) this.pollNow();
        break;
      case "reopen":
        if (this.mode === CONNECTING) {
          // The streams of before are gone; polls go on as they were.
          this.judging = false;
          this.failedHow = null;
          this.open("first", this.usePad);
          if (this.forced !== "stream" && !this.polling && !this.timers.has("hedge")) {
            this.timers.set("hedge", this.now + this.timing.hedge);
          }
        } else if (this.mode === OFFLINE) {
          if (this.resume === "stream") this.connect();
          else this.pollNow();
        }
        break;
      case "watchdog":
        if (this.mode === STREAM) this.check();
        break;
      case "check":
        if (this.mode === CHECKING) this.goOffline();
        break;
      case "ahead":
        if (this.mode === STREAM && this.aheadTarget) {
          this.verifying = true;
          this.pollNow();
        }
        break;
      case "recycle":
      case "next":
        if (this.mode === STREAM && this.candidates(this.main ?? undefined).length === 0) this.open("recycle", this.usePad);
        break;
      case "stable":
        this.failures = 0;
        if (this.mode === STREAM) this.shadowDelay = this.timing.shadowFirst;
        break;
      case "poll":
        this.pollNow();
        break;
      case "hold":
        this.sendHold();
        break;
      case "shadow":
        this.openShadow();
        break;
      default:
        break;
    }
  }

  /** @param {Try} stream */
  helloMissing(stream) {
    if (stream.kind === "shadow") {
      this.close(stream);
      return this.shadowFailed();
    }
    if (stream.kind === "recycle" && this.main) {
      this.close(stream);
      if (this.main.maxAgeMs !== -1) this.timers.set("recycle", this.now + 10000);
      else this.timers.set("next", this.now + 1000);
      return;
    }
    if (this.forced === "stream") {
      if (this.silentSince === null) this.silentSince = this.lastHeard || this.now;
      return this.stayForced();
    }
    if (stream.kind === "retry") {
      this.close(stream);
      if (this.candidates().length > 0) return;
    }
    if (this.mode === STREAM) {
      // A replacement that never spoke, and the old stream is gone.
      this.enter(CONNECTING);
      for (const name of ["watchdog", "recycle", "next"]) this.timers.delete(name);
    }
    if (this.pollOkAt >= stream.openedAt) return this.lower("hold", this.failedHow ?? "mute");
    this.judging = true;
    this.pollNow();
  }

  // ---- what is said ------------------------------------------------------

  /** What the page says about itself; true at any moment. @param {number} now @returns {Status} */
  status(now) {
    this.now = Math.max(this.now, now);
    const { state, rung, reason, intervalMs } = this.describe();
    if (state !== this.shown.state) this.shown = { state, at: now };
    const since = state === "offline" ? this.silentSince ?? this.shown.at : this.shown.at;
    return { state, rung, reason, intervalMs, since, lastHeard: this.lastHeard, forced: this.forced };
  }

  /** @returns {Pick<Status, "state" | "rung" | "reason" | "intervalMs">} */
  describe() {
    const why = this.forced ? CHOSEN : this.verdict ? verdictSentence(this.verdict.kind, this.verdict) : "";
    /** @param {string} sentence */
    const say = (sentence) => (why ? `${sentence} ${why}` : sentence);
    if (this.mode === OFF) return { state: "off", rung: "off", reason: say(SENTENCES.off), intervalMs: 0 };
    if (this.silentSince !== null) {
      const wanted = this.forced ?? (this.verdict ? this.verdict.rung : "stream");
      if (this.portal) return { state: "offline", rung: wanted, reason: PORTAL, intervalMs: 0 };
      // One lost connection is not yet "offline": the next try is less than a second away.
      if (this.failures <= 1) return { state: "connecting", rung: wanted, reason: "The connection was lost. Trying again.", intervalMs: 0 };
      return { state: "offline", rung: wanted, reason: SENTENCES.offline, intervalMs: 0 };
    }
    switch (this.mode) {
      case STREAM:
        return { state: "live", rung: "stream", reason: say(SENTENCES.stream), intervalMs: 0 };
      case HOLD:
        return { state: this.rungOk ? "live" : "connecting", rung: "hold", reason: say(SENTENCES.hold), intervalMs: 0 };
      case POLL:
        return { state: this.rungOk ? "refreshing" : "connecting", rung: "poll", reason: say(SENTENCES.poll), intervalMs: this.interval() };
      case CONNECTING:
        if (this.pollOkAt >= this.modeAt) {
          return { state: "refreshing", rung: "poll", reason: "A stream is being tested; the page polls meanwhile.", intervalMs: this.timing.hedgeEvery };
        }
        return { state: "connecting", rung: "stream", reason: say(SENTENCES.connecting), intervalMs: 0 };
      default:
        return { state: "connecting", rung: "stream", reason: SENTENCES[this.mode], intervalMs: 0 };
    }
  }
}
