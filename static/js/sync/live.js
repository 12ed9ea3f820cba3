/**
 * The live connection of one tab: composes ladder, transports, cover, beats and
 * people behind one small interface.
 *
 * Safety: events reach the handlers in log order, each once, whatever mix of
 * streams, held requests, polls and piggybacked batches brought them; after a
 * `reset` nothing is delivered until every reset handler is done.
 * Liveness: the ladder always has a request or a timer under way, and `stop`
 * makes all of them impossible before it closes anything.
 * @module
 */

import { randomId } from "../lib/id.js";
import { createBeat } from "./beat.js";
import { realClock } from "./clock.js";
import { APPLY, Cover, SEEN, covers, sameEpoch } from "./cursor.js";
import { Ladder } from "./ladder.js";
import { readChoice, readTiming, readVerdict, writeChoice, writeVerdict } from "./memory.js";
import { createPeople } from "./people.js";
import { withTiming } from "./timing.js";
import { ask, openStream } from "./transports.js";

/** @typedef {import("./transports.js").Batch} Batch */
/** @typedef {import("./transports.js").LiveEvent} LiveEvent */
/** @typedef {import("./ladder.js").Status} Status */
/** @typedef {import("./states.js").Rung} Rung */
/** @typedef {import("./beat.js").Here} Here */

/**
 * One open request. `pos` is where its own reading stands: its next batch begins there.
 * @typedef {{ id: number, abort: AbortController, pos: string | null }} Source
 */

/**
 * @typedef {object} LiveOptions
 * @property {readonly string[]} topics
 * @property {string | null} [cursor] taken before the page's data; absent: begin at the head
 * @property {string} [client] id of this tab
 * @property {Rung | null} [forced] absent: the address, then the tab's memory
 * @property {typeof fetch} [fetch]
 * @property {import("./clock.js").Clock} [clock]
 * @property {Partial<import("./timing.js").Timing>} [timing]
 * @property {() => number} [random]
 * @property {string} [base]
 * @property {any} [env] a window, or null for none
 */

/** The first poll and every so many after it ask without If-None-Match, so that a lying 304 cannot last. */
const FULL_POLL_EVERY = 10;
/** So many batches out of step within this time: begin one stream alone. */
const GAPS = 3;
const GAP_WINDOW = 5000;

/** @param {any} env @param {"localStorage" | "sessionStorage"} name @returns {Storage | null} */
function storage(env, name) {
  try {
    return env?.[name] ?? null;
  } catch {
    return null;
  }
}

/** @param {LiveOptions} options */
export function createLive(options) {
  const env = options.env === undefined ? (typeof window === "undefined" ? null : window) : options.env;
  const local = storage(env, "localStorage");
  const session = storage(env, "sessionStorage");
  const clock = options.clock ?? realClock;
  /** @type {typeof fetch} */
  const request = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
  const net = { fetch: request, clock };
  const timing = withTiming({ .../** @type {any} */ (readTiming(session) ?? {}), ...options.timing });
  const base = options.base ?? "/_live";
  let client = options.client ?? randomId();
  const topics = [...options.topics];
  const cover = new Cover(options.cursor ?? null);
  const ladder = new Ladder({
    timing,
    random: options.random,
    forced: options.forced !== undefined ? options.forced : readChoice(session, env?.location?.search ?? ""),
    memory: readVerdict(local),
    hidden: env?.document?.visibilityState === "hidden",
    cursor: cover.cursor,
  });

  /** @type {Map<string, Set<(value: any) => any>>} */
  const handlers = new Map();
  /** @type {Map<number, Source>} */
  const sources = new Map();
  let running = false;
  /** @type {any} */
  let timer = null;
  let polls = 0;
  let lostCursor = false;
  /** @type {number[]} */
  let gaps = [];
  /** @type {Status} */
  let shown = ladder.status(clock.now());
  /** Deliveries, strictly one after the other. @type {Promise<void>} */
  let line = Promise.resolve();
  let queued = 0;
  let feeding = false;
  /** @type {import("./ladder.js").Input[]} */
  const feed = [];
  /** @type {(() => void)[]} */
  let detach = [];

  const people = createPeople(() => client, (change) => {
    emit("here", change);
    tell({ type: "company", others: people.others() });
  });

  const beats = createBeat({
    base,
    client,
    // The login has changed under this tab, and ids are bound to one.
    onTaken: () => (client = randomId()),
    fetch: request,
    clock,
    timing,
    state: () => ({ cursor: cover.cursor, rung: shown.rung === "off" ? "poll" : shown.rung, intervalMs: leaseMs() }),
    beacon: env?.navigator?.sendBeacon ? (url, body) => env.navigator.sendBeacon(url, body) : undefined,
    onBeat: (ok, answer, here) => {
      tell({ type: "beat", ok, head: answer?.head ?? null });
      if (answer?.you) emit("you", answer.you);
      if (answer?.here && here) {
        // In line behind the events, or an older `left` would be undone by it.
        inLine(async () => people.replace(`here:${here.page}`, answer.here));
      }
    },
  });

  /** How long the server may wait for the next sign of life on this rung. @returns {number} ms */
  function leaseMs() {
    if (shown.rung === "hold") return timing.hold;
    return shown.intervalMs || timing.pollAlone;
  }

  /** @param {string} name @param {any} value @returns {any[]} what the handlers returned */
  function emit(name, value) {
    const results = [];
    for (const handler of [...(handlers.get(name) ?? [])]) {
      try {
        results.push(handler(value));
      } catch (error) {
        console.error(`halley: a handler of ${name} failed`, error);
      }
    }
    return results;
  }

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
    }
    feeding = false;
    if (timer !== null) clock.clearTimeout(timer);
    timer = null;
    const due = running ? ladder.due() : null;
    if (due !== null) timer = clock.setTimeout(() => tell({ type: "timer" }), Math.max(0, due - clock.now()));
    showStatus();
  }

  function showStatus() {
    const now = ladder.status(clock.now());
    const before = shown;
    shown = now;
    const same = before.state === now.state && before.rung === now.rung && before.reason === now.reason &&
      before.intervalMs === now.intervalMs && before.forced === now.forced;
    if (same) return;
    if (before.rung !== now.rung || before.intervalMs !== now.intervalMs) beats.touch();
    emit("status", now);
  }

  /** @param {import("./ladder.js").Command} command */
  function run(command) {
    switch (command.do) {
      case "stream":
        return void stream(command);
      case "hold":
        return void held(command);
      case "poll":
        return void poll(command);
      case "close":
        sources.get(command.id)?.abort.abort();
        sources.delete(command.id);
        return;
      case "beat":
        // Without a page there is no presence to beat for: any answer will do.
        if (!beats.probe(command.timeoutMs)) void reach(command.timeoutMs);
        return;
      case "forget-cursor":
        // The server would not read our cursor: begin at its head, as after a reset.
        lostCursor = true;
        cover.jump(null);
        return;
      case "remember":
        return writeVerdict(local, command.verdict);
    }
  }

  /** @param {number} id @returns {Source} */
  function source(id) {
    const made = { id, abort: new AbortController(), pos: cover.cursor };
    sources.set(id, made);
    return made;
  }

  /** @param {Extract<import("./ladder.js").Command, { do: "stream" }>} command */
  async function stream(command) {
    const from = source(command.id);
    const nonce = randomId();
    const query = { base, mode: /** @type {const} */ ("stream"), cursor: from.pos, topics, client, nonce, pad: command.pad, shadow: command.shadow };
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
              hello(from, typeof data.cursor === "string" ? data.cursor : frame.id);
              emit("hello", data);
            }
            break;
          case "probe":
            tell({ type: "probe", id, read, t: data.t });
            break;
          case "batch":
            if (!spoke || typeof data.to !== "string" || !Array.isArray(data.events)) break;
            tell({ type: "batch", id, empty: data.events.length === 0, t: data.t });
            inLine(() => deliver(data, from));
            break;
          case "reset":
            if (!spoke || typeof data.to !== "string") break;
            inLine(() => deliver({ from: null, to: data.to, events: [], reset: true }, from));
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

  /** A stream that was opened without a cursor begins where hello says. @param {Source} from @param {string | null} cursor */
  function hello(from, cursor) {
    if (from.pos !== null || cursor === null) return;
    from.pos = cursor;
    inLine(async () => {
      if (cover.cursor === null) await begin(cursor);
    });
  }

  /** @param {Extract<import("./ladder.js").Command, { do: "hold" | "poll" }>} command @param {"hold" | "poll"} mode @param {number} [waitMs] */
  async function read(command, mode, waitMs) {
    const from = source(command.id);
    const query = { base, mode, cursor: from.pos, topics, client, nonce: randomId(), waitMs };
    const etag = mode === "poll" && polls % FULL_POLL_EVERY !== 1;
    const signal = from.abort.signal;
    const answer = await ask(net, query, { timeoutMs: command.timeoutMs, post: command.post, etag, signal });
    if (signal.aborted) return;
    if (!answer.ok) {
      sources.delete(command.id);
      tell({ type: `${mode}-fail`, id: command.id, ...answer.failure });
      return;
    }
    const batch = answer.batch;
    let fresh = 0;
    if (batch) await inLine(async () => void (fresh = await deliver(batch, from)));
    if (signal.aborted) return;
    sources.delete(command.id);
    tell({ type: `${mode}-ok`, id: command.id, fresh, more: batch?.more ?? false, advice: batch?.advice });
  }

  /** @param {Extract<import("./ladder.js").Command, { do: "hold" }>} command */
  function held(command) {
    return read(command, "hold", command.waitMs);
  }

  /** @param {Extract<import("./ladder.js").Command, { do: "poll" }>} command */
  function poll(command) {
    polls += 1;
    return read(command, "poll");
  }

  /** @param {number} timeoutMs */
  async function reach(timeoutMs) {
    const query = { base, mode: /** @type {const} */ ("poll"), cursor: cover.cursor, topics, client, nonce: randomId() };
    const answer = await ask(net, query, { timeoutMs, post: false, etag: false, signal: new AbortController().signal });
    if (running) tell({ type: "beat", ok: answer.ok, head: null });
  }

  /**
   * @param {() => Promise<any>} work
   * @returns {Promise<void>} when it is done
   */
  function inLine(work) {
    queued += 1;
    line = line.then(work).catch((error) => console.error("halley: a delivery failed", error)).finally(() => {
      queued -= 1;
    });
    return line;
  }

  /**
   * Begins anew at `cursor`; events wait until everyone has caught up with it.
   * @param {string} cursor
   */
  async function begin(cursor) {
    const lost = lostCursor || cover.cursor !== null;
    lostCursor = false;
    cover.jump(cursor);
    tell({ type: "applied", cursor, events: 0 });
    if (!lost) return;
    beats.relist();
    await Promise.all(emit("reset", { cursor }).map((result) => Promise.resolve(result).catch((error) => console.error("halley: a reset handler failed", error))));
  }

  /**
   * @param {Batch} batch
   * @param {Source | null} from null: it came with the answer to a POST
   * @returns {Promise<number>} how many events were new
   */
  async function deliver(batch, from) {
    if (from?.abort.signal.aborted) return 0;
    const asked = from ? from.pos : batch.from;
    if (from) from.pos = batch.to;
    if (batch.reset) {
      // An answer to a position that we have left behind since resets nothing.
      const stale = cover.cursor !== null && asked !== cover.cursor && sameEpoch(cover.cursor, batch.to);
      if (!stale) await begin(batch.to);
      else if (!covers(cover.cursor, batch.to)) outOfStep();
      return 0;
    }
    if (cover.cursor === null) await begin(batch.from ?? batch.to);
    const verdict = cover.judge(batch);
    if (verdict === SEEN) return 0;
    if (verdict !== APPLY) {
      outOfStep();
      return 0;
    }
    cover.advance(batch);
    tell({ type: "applied", cursor: cover.cursor, events: batch.events.length });
    for (const event of batch.events) {
      if (typeof event?.topic !== "string") continue;
      if (event.topic.startsWith("here:")) people.take(event);
      emit("event", event);
    }
    return batch.events.length;
  }

  function outOfStep() {
    const now = clock.now();
    gaps = gaps.filter((at) => now - at < GAP_WINDOW);
    gaps.push(now);
    const again = gaps.length >= GAPS;
    if (again) gaps = [];
    tell({ type: "gap", again });
  }

  /** @param {any} target @param {string} name @param {(event: any) => void} fn */
  function listen(target, name, fn) {
    if (!target?.addEventListener) return;
    target.addEventListener(name, fn, { passive: true });
    detach.push(() => target.removeEventListener(name, fn));
  }

  let touchedAt = 0;
  function touched() {
    const now = clock.now();
    if (now - touchedAt < 1000) return;
    touchedAt = now;
    tell({ type: "activity" });
  }

  function attach() {
    const doc = env?.document;
    listen(env, "online", () => tell({ type: "online" }));
    listen(env, "offline", () => tell({ type: "offline" }));
    listen(doc, "visibilitychange", () => {
      const hidden = doc.visibilityState === "hidden";
      beats.setHidden(hidden);
      tell({ type: hidden ? "hidden" : "visible" });
    });
    for (const name of ["pointerdown", "keydown", "wheel", "touchstart"]) listen(env, name, touched);
    // A page on its way into the back/forward cache must not hold a connection.
    listen(env, "pagehide", () => {
      beats.leave();
      rest();
    });
    listen(env, "pageshow", (event) => {
      if (event.persisted) wake();
    });
  }

  function wake() {
    if (running) return;
    running = true;
    beats.setHidden(env?.document?.visibilityState === "hidden");
    beats.start();
    tell({ type: "start" });
  }

  function rest() {
    if (!running) return;
    running = false;
    beats.stop();
    tell({ type: "stop" });
    for (const open of sources.values()) open.abort.abort();
    sources.clear();
  }

  return {
    get client() {
      return client;
    },
    topics: /** @type {readonly string[]} */ (topics),
    timing,
    get cursor() {
      return cover.cursor;
    },
    /** @returns {Status} */
    get status() {
      return ladder.status(clock.now());
    },

    start() {
      if (detach.length === 0) attach();
      wake();
    },

    stop() {
      for (const off of detach) off();
      detach = [];
      if (running) beats.leave();
      rest();
    },

    /**
     * Names: `event`, `reset`, `status`, `here`, `hello`, `you`.
     * @param {"event"|"reset"|"status"|"here"|"hello"|"you"} name
     * @param {(value: any) => any} handler reset handlers may return a promise; events wait for it
     * @returns {() => void} off
     */
    on(name, handler) {
      const set = handlers.get(name) ?? new Set();
      handlers.set(name, set);
      set.add(handler);
      return () => void set.delete(handler);
    },

    /** Where this person is. @param {Here} here */
    beat(here) {
      beats.set(here);
    },

    /** Says who is here at once, and asks who we are: the name may have changed. */
    greet() {
      beats.relist();
    },

    /** The person does not want to wait for the next try. */
    retry() {
      tell({ type: "online" });
    },

    /**
     * What a POST carries so that its answer brings the news along; null on a
     * stream, which brings it anyway, and while a delivery is waiting.
     * @returns {{ cursor: string, topics: string } | null}
     */
    piggyback() {
      const rung = shown.rung;
      if (!running || !cover.cursor || queued > 0 || (rung !== "poll" && rung !== "hold")) return null;
      return { cursor: cover.cursor, topics: topics.join(",") };
    },

    /** Takes a batch that came with the answer to a POST. @param {Batch} batch @returns {Promise<void>} */
    applyBatch(batch) {
      if (!batch || typeof batch.to !== "string" || !Array.isArray(batch.events)) return Promise.resolve();
      return inLine(() => deliver(batch, null));
    },

    /** Some other request reached the server. */
    heard() {
      tell({ type: "heard" });
    },

    /** Some other request did not reach the server. */
    failed() {
      tell({ type: "failed" });
    },

    /** The person chooses a rung for this tab; null: automatically. @param {Rung | null} forced */
    choose(forced) {
      writeChoice(session, forced);
      tell({ type: "choice", forced });
    },
  };
}

/** @typedef {ReturnType<typeof createLive>} Live */
