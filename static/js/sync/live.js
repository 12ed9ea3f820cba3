/**
 * The live connection as a tab has it: what enters it, who is here, and where
 * its news comes from, behind one small interface.
 *
 * News comes from the connection that all tabs of this browser share, where
 * they can share one, else from one of the tab's own: see `share/link.js`.
 * Safety: events reach the handlers in log order, each once, whatever mix of
 * streams, held requests, polls, other tabs and piggybacked batches brought
 * them: see `intake.js`. Liveness: the upstream in use always has a request or a
 * timer under way.
 * @module
 */

import { randomId } from "../lib/id.js";
import { createBeat } from "./beat.js";
import { realClock } from "./clock.js";
import { createEngine } from "./engine.js";
import { createGaps } from "./gaps.js";
import { createIntake } from "./intake.js";
import { listenToTab } from "./lifecycle.js";
import { readChoice, readTiming, readVerdict, storage, writeChoice, writeVerdict } from "./memory.js";
import { createPeople } from "./people.js";
import { sharedBy } from "./share/connect.js";
import { createLink } from "./share/link.js";
import { withTiming } from "./timing.js";

/** @typedef {import("./transports.js").Batch} Batch */
/** @typedef {import("./ladder.js").Status} Status */
/** @typedef {import("./ladder.js").Input} Input */
/** @typedef {import("./states.js").Rung} Rung */
/** @typedef {import("./beat.js").Here} Here */

/** A tab that could not share tries again when it is looked at, so long after, in ms; each time twice as long, at most ... */
const SHARE_AGAIN = 60000;
const SHARE_SELDOM = 3600000;

/**
 * Where news comes from: the tab's own engine, or a link to the shared one.
 * @typedef {object} Upstream
 * @property {Status} status as of now
 * @property {Status} shown as it was last told
 * @property {string | null} via client id of the connection, when it is not the tab's own
 * @property {() => void} start
 * @property {() => void} stop
 * @property {(input: Input) => void} tell
 * @property {() => void} gap something is missing
 * @property {() => void} verify look at once whether anything was missed
 * @property {(was: string) => void} renamed the tab has another client id
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
 * @property {import("./share/connect.js").Sharing | null} [sharing] absent: what the browser offers; null: a connection of its own
 */

/** @param {LiveOptions} options */
export function createLive(options) {
  const env = options.env === undefined ? (typeof window === "undefined" ? null : window) : options.env;
  const local = storage(env, "localStorage");
  const session = storage(env, "sessionStorage");
  const clock = options.clock ?? realClock;
  /** @type {typeof fetch} */
  const request = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
  const net = { fetch: request, clock };
  const overrides = { .../** @type {any} */ (readTiming(session) ?? {}), ...options.timing };
  const timing = withTiming(overrides);
  const base = options.base ?? "/_live";
  let client = options.client ?? randomId();
  const topics = [...options.topics];
  const sharing = options.sharing === undefined ? sharedBy(env, clock) : options.sharing;

  /** @type {Map<string, Set<(value: any) => any>>} */
  const handlers = new Map();
  let running = false;
  let sharedNow = false;
  /** Since when this tab is on its own though it would share. @type {number | null} */
  let aloneAt = null;
  let shareAgain = SHARE_AGAIN;
  /** News came when this tab was put to rest. */
  let restedWell = false;
  /** @type {(() => void) | null} */
  let detach = null;

  const intake = createIntake({
    cursor: options.cursor ?? null,
    onEvent(event) {
      if (event.topic.startsWith("here:")) people.take(event);
      emit("event", event);
    },
    onCrowd: (topic) => void emit("crowd", { topic }),
    async onReset(cursor) {
      beats.relist();
      await Promise.all(emit("reset", { cursor }).map((result) => Promise.resolve(result).catch((error) => console.error("halley: a reset handler failed", error))));
    },
    onApplied: (cursor, events) => up.tell({ type: "applied", cursor, events }),
    onGap: () => up.gap(),
  });

  const people = createPeople(() => client, (change) => {
    emit("here", change);
    up.tell({ type: "company", others: people.others() });
  });

  const beats = createBeat({
    base,
    client,
    // The login has changed under this tab, and ids are bound to one.
    onTaken: () => {
      const was = client;
      client = randomId();
      up.renamed(was);
      return client;
    },
    fetch: request,
    clock,
    timing,
    state: () => ({ cursor: intake.cursor, rung: up.shown.rung === "off" ? "poll" : up.shown.rung, intervalMs: leaseMs(), via: up.via }),
    beacon: env?.navigator?.sendBeacon ? (url, body) => env.navigator.sendBeacon(url, body) : undefined,
    onBeat: (ok, answer, here) => {
      up.tell({ type: "beat", ok, head: answer?.head ?? null });
      if (answer?.you) emit("you", answer.you);
      if (answer?.here && here) {
        // In line behind the events, or an older `left` would be undone by it.
        void intake.inLine(async () => people.replace(`here:${here.page}`, answer.here));
      }
    },
  });

  /** @param {Status} now @param {Status} before */
  function onStatus(now, before) {
    if (before.rung !== now.rung || before.intervalMs !== now.intervalMs) beats.touch();
    emit("status", now);
  }

  /** @param {Rung | null} forced @returns {Upstream} */
  function ownConnection(forced) {
    const engine = createEngine({
      net, timing, base, forced,
      random: options.random,
      memory: readVerdict(local),
      hidden: isHidden(),
      client: () => client,
      topics: () => topics,
      sink: intake,
      probe: (timeoutMs) => beats.probe(timeoutMs),
      onStatus,
      onRemember: (verdict) => writeVerdict(local, verdict),
      onHello: (hello) => emit("hello", hello),
    });
    const gaps = createGaps(clock);
    return {
      get status() {
        return engine.status;
      },
      get shown() {
        return engine.shown;
      },
      via: null,
      start: engine.start,
      stop: engine.stop,
      tell: engine.tell,
      gap: () => engine.tell({ type: "gap", again: gaps.again() }),
      verify: () => engine.tell({ type: "online" }),
      renamed: () => {},
    };
  }

  /** @param {import("./share/connect.js").Sharing} shared @returns {Upstream} */
  function sharedConnection(shared) {
    return createLink({
      net, timing, overrides, base, intake, topics,
      sharing: shared,
      client: () => client,
      memory: () => readVerdict(local),
      hidden: isHidden(),
      onStatus,
      onRemember: (verdict) => writeVerdict(local, verdict),
      onVia: () => beats.moved(),
      // Nobody can be shared with: for now this tab is on its own.
      onAlone() {
        sharedNow = false;
        aloneAt = clock.now();
        change(ownConnection(null));
      },
    });
  }

  /** A choice is this tab's alone; without one it shares. @param {Rung | null} forced @returns {Upstream} */
  function connection(forced) {
    sharedNow = sharing !== null && forced === null;
    return sharing && sharedNow ? sharedConnection(sharing) : ownConnection(forced);
  }

  /** @type {Upstream} */
  let up = connection(options.forced !== undefined ? options.forced : readChoice(session, env?.location?.search ?? ""));

  /** Goes over to another upstream; the cursor joins the two. @param {Upstream} next */
  function change(next) {
    const before = up.shown;
    up.stop();
    up = next;
    up.tell({ type: "company", others: people.others() });
    if (running) up.start();
    onStatus(up.status, before);
  }

  /** What kept this tab from sharing may have passed: a script that did not load, a hub that hung, a login that was gone. */
  function maybeShare() {
    if (aloneAt === null || clock.now() - aloneAt < shareAgain) return;
    // Topics that the server gives this tab no news of are none for the connection of all.
    if (running ? !isWell() : !restedWell) return;
    aloneAt = null;
    shareAgain = Math.min(2 * shareAgain, SHARE_SELDOM);
    change(connection(null));
  }

  function isWell() {
    return up.shown.state === "live" || up.shown.state === "refreshing";
  }

  function isHidden() {
    return env?.document?.visibilityState === "hidden";
  }

  /** How long the server may wait for the next sign of life on this rung. @returns {number} ms */
  function leaseMs() {
    const { rung, intervalMs } = up.shown;
    if (rung === "hold") return timing.hold;
    // Polls of the shared connection do not renew this tab's lease; its own beats do.
    return Math.max(intervalMs || timing.pollAlone, up.via ? timing.beat : 0);
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

  function wake() {
    if (running) return;
    running = true;
    beats.setHidden(isHidden());
    beats.start();
    up.start();
  }

  function rest() {
    if (!running) return;
    running = false;
    restedWell = isWell();
    beats.stop();
    up.stop();
  }

  return {
    get client() {
      return client;
    },
    topics: /** @type {readonly string[]} */ (topics),
    timing,
    get cursor() {
      return intake.cursor;
    },
    /** @returns {Status} */
    get status() {
      return up.status;
    },

    start() {
      detach ??= listenToTab(env, clock, {
        tell: (input) => up.tell(input),
        hidden(now) {
          beats.setHidden(now);
          if (!now && running) maybeShare();
          up.tell({ type: now ? "hidden" : "visible" });
        },
        // A page on its way into the back/forward cache must not hold a connection.
        away() {
          beats.leave();
          rest();
        },
        back() {
          if (!running) maybeShare();
          wake();
        },
        // It stood still while others went on: who is here, and the text, may be old.
        stoodStill() {
          beats.relist();
          up.verify();
        },
      });
      wake();
    },

    stop() {
      detach?.();
      detach = null;
      if (running) beats.leave();
      rest();
    },

    /**
     * Names: `event`, `reset`, `status`, `here`, `hello`, `you`, and `crowd` before
     * very many events of one topic that come at once.
     * @param {"event"|"reset"|"status"|"here"|"hello"|"you"|"crowd"} name
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
      up.tell({ type: "online" });
    },

    /**
     * What a POST carries so that its answer brings the news along; null on a
     * stream, which brings it anyway, and while a delivery is waiting.
     * @returns {{ cursor: string, topics: string } | null}
     */
    piggyback() {
      const { rung } = up.shown;
      if (!running || !intake.cursor || intake.queued > 0 || (rung !== "poll" && rung !== "hold")) return null;
      return { cursor: intake.cursor, topics: topics.join(",") };
    },

    /** Takes a batch that came with the answer to a POST. @param {Batch} batch @returns {Promise<void>} */
    async applyBatch(batch) {
      if (!batch || typeof batch.to !== "string" || !Array.isArray(batch.events)) return;
      await intake.take(batch, null);
    },

    /** Some other request reached the server. */
    heard() {
      up.tell({ type: "heard" });
    },

    /** Some other request did not reach the server. */
    failed() {
      up.tell({ type: "failed" });
    },

    /** The person chooses a rung for this tab; null: automatically. @param {Rung | null} forced */
    choose(forced) {
      writeChoice(session, forced);
      aloneAt = null;
      if (sharing && sharedNow !== (forced === null)) change(connection(forced));
      else up.tell({ type: "choice", forced });
    },
  };
}

/** @typedef {ReturnType<typeof createLive>} Live */
