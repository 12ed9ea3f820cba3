/**
 * The ladder: which way news comes to this page, decided from what the network
 * proves. A pure state machine: inputs and the time go in, commands come out; it
 * opens nothing, reads no clock and sets no timer (`due()` says when it wants to
 * be asked again). The rules are the ladder table of the live protocol.
 *
 * Safety: a lower rung is entered only when the server has been reached another
 * way meanwhile, so a restart or a dead network never demotes.
 * Nobody is judged by a clock that stood still: see `ladder/stalls.js`.
 * Liveness: in every state except OFF either a request is under way, with a
 * time-out, or a timer is set.
 * @module
 */

import { take } from "./ladder/around.js";
import { describe } from "./ladder/describe.js";
import { begin, choose } from "./ladder/rungs.js";
import { noticeStall } from "./ladder/stalls.js";
import { OutcomeLog } from "./learn.js";
import { OFF } from "./states.js";
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
 * @property {boolean} sure no events may have pushed `hello` and `probe` out, or it has brought the last event of several
 * @property {number} frameAt when its last batch, probe or hello came
 * @property {number} newsAt when its last batch with events came; 0: none yet
 * @property {number} transit quickest way of a frame from the server so far, ms, whatever the clocks say
 * @property {import("./ladder/lag.js").Pace} pace
 * @property {number | null} lateAt when the first of the frames came that were late in a row
 * @property {number} heartbeatMs
 * @property {number} maxAgeMs 0: not told
 * @property {boolean} excused its `hello` was given more time, once
 */

/** @typedef {{ mode?: string | null, wait?: number, interval_ms?: number, why?: string } | null | undefined} Advice */
/** @typedef {"network"|"timeout"|"status"|"type"|"nonce"} FailKind */

/**
 * @typedef {(
 *   { type: "start" } | { type: "stop" } | { type: "timer" } |
 *   { type: "hello", id: number, nonceOk: boolean, read: number, heartbeatMs: number, maxAgeMs: number, t?: number } |
 *   { type: "probe", id: number, read: number, t?: number } |
 *   { type: "batch", id: number, empty: boolean, t?: number } |
 *   { type: "bytes", id: number } |
 *   { type: "bye", id: number, why: string, afterMs: number } |
 *   { type: "end", id: number } |
 *   { type: "stream-fail", id: number, kind: FailKind, status?: number, retryAfterMs?: number } |
 *   { type: "stream-advice", id: number, advice: Advice } |
 *   { type: "hold-ok" | "poll-ok", id: number, fresh: number, more: boolean, advice?: Advice } |
 *   { type: "hold-fail" | "poll-fail", id: number, kind: FailKind, status?: number, retryAfterMs?: number } |
 *   { type: "beat", ok: boolean, head?: string | null } |
 *   { type: "applied", cursor: string | null, events: number } |
 *   { type: "gap", again: boolean } | { type: "topics" } |
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
    /** @type {{ id: number, at: number, waitMs: number, cursor: string | null } | null} */
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
    /** When an answer last came that had been so long on its way that the network may have been away. */
    this.slowAt = -1;
    this.rungOk = false;
    /** When a held request was last answered. */
    this.holdOkAt = -1;
    this.portal = false;
    /** The server answered, and the answer was no. */
    this.refused = false;
    /** @type {Verdict | null} why a lower rung is in use */
    this.verdict = null;
    /** A hello deadline has passed and the running poll decides what that means. */
    this.judging = false;
    /** Another request failed; a beat says whether the network is gone. */
    this.doubting = false;
    this.doubtAt = 0;
    /** When the stream in use last brought anything. */
    this.bytesAt = 0;
    /** When this page was last found to have stood still; and to have slept. */
    this.stalledAt = -Infinity;
    this.sleptAt = -Infinity;
    /** When deadlines were last put off for that. */
    this.excusedAt = -Infinity;
    /** How often a try was made again at once, since it may have been this page that was slow. */
    this.chances = 0;
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
    noticeStall(this);
    if (input.type === "start") {
      if (!this.started) {
        this.started = true;
        this.activeAt = now;
        begin(this);
      }
    } else if (input.type === "choice") {
      choose(this, input.forced);
    } else if (input.type === "hidden" || input.type === "company" || input.type === "activity") {
      take(this, input);
    } else if (input.type === "visible" && !this.started) {
      // A page is shown before it comes out of the back/forward cache.
      this.hidden = false;
    } else if (this.started) {
      take(this, input);
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

  /** What the page says about itself; true at any moment. @param {number} now @returns {Status} */
  status(now) {
    this.now = Math.max(this.now, now);
    const { state, rung, reason, intervalMs } = describe(this);
    if (state !== this.shown.state) this.shown = { state, at: now };
    const since = state === "offline" ? this.silentSince ?? this.shown.at : this.shown.at;
    return { state, rung, reason, intervalMs, since, lastHeard: this.lastHeard, forced: this.forced };
  }
}
