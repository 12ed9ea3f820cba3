/**
 * Ladder and transports together: one connection, whoever uses it. What it
 * brings goes to an intake, what it thinks of itself to `onStatus`.
 *
 * Liveness: the ladder always has a request or a timer under way, and `stop`
 * makes all of them impossible before it closes anything.
 * @module
 */

import { randomId } from "../lib/id.js";
import { Ladder } from "./ladder.js";
import { STREAM } from "./states.js";
import { ask, openStream } from "./transports.js";

/** @typedef {import("./transports.js").Batch} Batch */
/** @typedef {import("./ladder.js").Status} Status */
/** @typedef {import("./ladder.js").Command} Command */
/** @typedef {import("./states.js").Rung} Rung */

/**
 * One open request. `pos` is where its own reading stands, `set` numbers the
 * topics it was asked for.
 * @typedef {{ id: number, abort: AbortController, pos: string | null, set: number, topics: readonly string[], live: boolean }} Source `live`: it will bring what comes
 */

/**
 * Where what is read goes.
 * @typedef {object} Sink
 * @property {string | null} cursor where the next request begins
 * @property {(batch: Batch, from: Source) => Promise<number>} take how many of its events were new
 * @property {(from: Source, cursor: string | null) => void} hello a stream has begun
 * @property {() => void} forget the server would not read the cursor
 * @property {(from: Source) => void} [asked] a request goes out, or was answered without news
 */

/**
 * @typedef {object} EngineOptions
 * @property {import("./transports.js").Net} net
 * @property {import("./timing.js").Timing} timing
 * @property {string} base
 * @property {() => number} [random]
 * @property {Rung | null} [forced]
 * @property {import("./ladder.js").Verdict | null} [memory]
 * @property {boolean} [hidden]
 * @property {() => string} client
 * @property {() => readonly string[]} topics asked for each request
 * @property {Sink} sink
 * @property {(timeoutMs: number) => boolean} [probe] asks the server for a sign of life; false: it cannot
 * @property {(status: Status, before: Status) => void} onStatus when something of it that is shown has changed
 * @property {(verdict: import("./ladder.js").Verdict | null) => void} onRemember
 * @property {(hello: any) => void} [onHello]
 */

/** The first poll and every so many after it ask without If-None-Match, so that a lying 304 cannot last. */
const FULL_POLL_EVERY = 10;
/** First and longest pause before a stream for more topics is tried again, in ms. */
const GROW_AGAIN = 1000;
const GROW_SELDOM = 30000;

/** @param {EngineOptions} options */
export function createEngine(options) {
  const { net, timing, base, sink } = options;
  const { clock } = net;
  const ladder = new Ladder({
    timing,
    random: options.random,
    forced: options.forced,
    memory: options.memory,
    hidden: options.hidden,
    cursor: sink.cursor,
  });

  /** @type {Map<number, Source>} */
  const sources = new Map();
  let running = false;
  /** @type {any} */
  let timer = null;
  let polls = 0;
  /** Counts how often the topics have grown. */
  let set = 0;
  let growAt = 0;
  let growPause = GROW_AGAIN;
  /** @type {any} */
  let growTimer = null;
  /** @type {Status} */
  let shown = ladder.status(clock.now());
  let feeding = false;
  /** @type {import("./ladder.js").Input[]} */
  const feed = [];

  /**
   * Feeds the ladder and does what it says. Inputs that arise while commands
   * run wait their turn.
   * @param {import("./ladder.js").Input} input
   */
  function tell(input) {
    feed.push(input);
    if (feeding) return;
    feeding = true;
    for (let next = feed.shift(); next; next = feed.shift()) {
      for (const command of ladder.input(next, clock.now())) run(command);
      if (feed.length === 0 && wantsMore()) feed.push({ type: "topics" });
    }
    feeding = false;
    if (timer !== null) clock.clearTimeout(timer);
    timer = null;
    const due = running ? ladder.due() : null;
    if (due !== null) timer = clock.setTimeout(() => tell({ type: "timer" }), Math.max(0, due - clock.now()));
    showStatus();
  }

  /** Whether a stream runs that lacks topics, and none is being opened: true at most once in a while. */
  function wantsMore() {
    if (!running || ladder.mode !== STREAM || !ladder.main || ladder.tries.size > 1) return false;
    if ((sources.get(ladder.main.id)?.set ?? set) >= set) {
      growPause = GROW_AGAIN;
      return false;
    }
    const now = clock.now();
    if (now < growAt) {
      if (growTimer === null) growTimer = clock.setTimeout(() => ((growTimer = null), tell({ type: "timer" })), growAt - now);
      return false;
    }
    growAt = now + growPause;
    growPause = Math.min(2 * growPause, GROW_SELDOM);
    return true;
  }

  /**
   * Whether what this request brings will go on coming: it is a stream, or none was opened for fewer topics that is, or
   * may come, into use.
   * @param {Source} from
   */
  function lasts(from) {
    if (from.live && ladder.tries.has(from.id)) return true;
    return ![...ladder.tries.keys()].some((id) => (sources.get(id)?.set ?? from.set) < from.set);
  }

  function showStatus() {
    const now = ladder.status(clock.now());
    const before = shown;
    shown = now;
    const same = before.state === now.state && before.rung === now.rung && before.reason === now.reason &&
      before.intervalMs === now.intervalMs && before.forced === now.forced;
    if (!same) options.onStatus(now, before);
  }

  /** @param {Command} command */
  function run(command) {
    switch (command.do) {
      case "stream":
        return void stream(command);
      case "hold":
        return void read(command, "hold", command.waitMs);
      case "poll":
        polls += 1;
        return void read(command, "poll");
      case "close":
        sources.get(command.id)?.abort.abort();
        sources.delete(command.id);
        return;
      case "beat":
        if (!options.probe?.(command.timeoutMs)) void reach(command.timeoutMs);
        return;
      case "forget-cursor":
        return sink.forget();
      case "remember":
        return options.onRemember(command.verdict);
    }
  }

  /** @param {number} id @returns {Source} */
  function source(id) {
    const made = { id, abort: new AbortController(), pos: sink.cursor, set, topics: [...options.topics()], live: false };
    sources.set(id, made);
    return made;
  }

  /** @param {Extract<Command, { do: "stream" }>} command */
  async function stream(command) {
    const from = source(command.id);
    const nonce = randomId();
    const query = {
      base, mode: /** @type {const} */ ("stream"), cursor: from.pos, topics: from.topics, client: options.client(), nonce,
      pad: command.pad, shadow: command.shadow,
    };
    const id = command.id;
    let spoke = false;
    await openStream(net, query, from.abort.signal, {
      bytes: () => {
        if (spoke) tell({ type: "bytes", id });
      },
      frame: (frame, read) => {
        /** @type {any} */
        let data = null;
        try {
          data = JSON.parse(frame.data);
        } catch {
          return;
        }
        switch (frame.event) {
          case "hello":
            spoke = data.nonce === nonce;
            tell({ type: "hello", id, read, nonceOk: spoke, heartbeatMs: Number(data.heartbeat ?? 15) * 1000, maxAgeMs: Number(data.max_age ?? 0) * 1000, t: data.t });
            tell({ type: "bytes", id });
            if (spoke) {
              from.live = true;
              sink.hello(from, typeof data.cursor === "string" ? data.cursor : frame.id);
              options.onHello?.(data);
            }
            break;
          case "probe":
            tell({ type: "probe", id, read, t: data.t });
            break;
          case "batch":
            if (!spoke || typeof data.to !== "string" || !Array.isArray(data.events)) break;
            tell({ type: "batch", id, empty: data.events.length === 0, t: data.t });
            void sink.take(data, from);
            break;
          case "reset":
            if (!spoke || typeof data.to !== "string") break;
            void sink.take({ from: null, to: data.to, events: [], reset: true }, from);
            break;
          case "bye":
            tell({ type: "bye", id, why: String(data.why ?? ""), afterMs: Number(data.after_ms ?? 0) || 0 });
            break;
          default:
            break;
        }
      },
      end: () => {
        sources.delete(id);
        tell({ type: "end", id });
      },
      fail: (failure) => {
        sources.delete(id);
        tell({ type: "stream-fail", id, ...failure });
      },
      advice: (batch) => {
        sources.delete(id);
        tell({ type: "stream-advice", id, advice: batch?.advice });
      },
    });
  }

  /** @param {Extract<Command, { do: "hold" | "poll" }>} command @param {"hold" | "poll"} mode @param {number} [waitMs] */
  async function read(command, mode, waitMs) {
    const from = source(command.id);
    const query = { base, mode, cursor: from.pos, topics: from.topics, client: options.client(), nonce: randomId(), waitMs };
    const etag = mode === "poll" && polls % FULL_POLL_EVERY !== 1;
    const signal = from.abort.signal;
    if (mode === "hold") {
      from.live = true;
      sink.asked?.(from);
    }
    const answer = await ask(net, query, { timeoutMs: command.timeoutMs, post: command.post, etag, signal });
    if (signal.aborted) return;
    if (!answer.ok) {
      sources.delete(command.id);
      tell({ type: `${mode}-fail`, id: command.id, ...answer.failure });
      return;
    }
    const batch = answer.batch;
    let fresh = 0;
    if (batch) fresh = await sink.take(batch, from);
    else sink.asked?.(from);
    if (signal.aborted) return;
    sources.delete(command.id);
    tell({ type: `${mode}-ok`, id: command.id, fresh, more: batch?.more ?? false, advice: batch?.advice });
  }

  /** Any answer will do. @param {number} timeoutMs */
  async function reach(timeoutMs) {
    const query = { base, mode: /** @type {const} */ ("poll"), cursor: sink.cursor, topics: options.topics(), client: options.client(), nonce: randomId() };
    const answer = await ask(net, query, { timeoutMs, post: false, etag: false, signal: new AbortController().signal });
    if (running) tell({ type: "beat", ok: answer.ok, head: null });
  }

  return {
    tell,
    /** @returns {Status} */
    get status() {
      return ladder.status(clock.now());
    },
    /** The status as it was last told. @returns {Status} */
    get shown() {
      return shown;
    },
    get running() {
      return running;
    },
    /** The server says no to these topics, which is not the network's doing. */
    get refused() {
      return ladder.refused;
    },
    /** Topics that the stream in use has brought from its beginning; null: there is none. @returns {readonly string[] | null} */
    get streamed() {
      return ladder.main ? sources.get(ladder.main.id)?.topics ?? null : null;
    },
    lasts,
    /** Whether a request is open that brings this set's topics as they come. @param {number} wanted */
    carries(wanted) {
      return [...sources.values()].some((source) => source.live && source.set >= wanted && lasts(source));
    },
    start() {
      if (running) return;
      running = true;
      tell({ type: "start" });
    },
    stop() {
      if (!running) return;
      running = false;
      clock.clearTimeout(growTimer);
      growTimer = null;
      tell({ type: "stop" });
      for (const open of sources.values()) open.abort.abort();
      sources.clear();
    },
    /** There are more topics than before. @returns {number} the number of the set that has them all */
    grow() {
      set += 1;
      growAt = 0;
      growPause = GROW_AGAIN;
      if (running) tell({ type: "topics" });
      return set;
    },
  };
}

/** @typedef {ReturnType<typeof createEngine>} Engine */
