/**
 * The one connection of all tabs of a browser: an engine whose topics are those
 * of all of them, and what it brings for each. A hub judges nothing of what
 * passes through: each tab has its own cover and looks itself for what it lacks.
 *
 * A batch names the set of topics that its request was made for. Sets grow with
 * their numbers for as long as a tab lives, so a tab takes what comes for its
 * own set and any later one.
 * @module
 */

import { randomId } from "../../lib/id.js";
import { covers, parseCursor, sameEpoch } from "../cursor.js";
import { createEngine } from "../engine.js";
import { withTiming } from "../timing.js";
import { createWatch, holdLock, hubLock } from "./watch.js";

/** @typedef {import("../transports.js").Batch} Batch */

/**
 * @typedef {object} Tab
 * @property {(message: any) => void} post
 * @property {() => void} forgotten
 * @property {string} client
 * @property {readonly string[]} topics
 * @property {number} set first set that has its topics
 * @property {boolean} hidden
 * @property {number} others people who are not this tab
 * @property {string} login
 * @property {number} heardAt
 */

/** A sign of life for the tabs, in ms. */
export const PULSE = 3000;
/**
 * A tab that is silent for so long, in ms, is sent nothing more until it speaks again: it is frozen, and what it is
 * sent would pile up; or dead, where nothing tells. Hidden tabs speak once a minute.
 */
const SILENT = 200000;
/** Heads that tabs learn from their beats are of use now and then; in ms. */
const HEAD_EVERY = 5000;
/** Topics that the server takes in one request; tabs beyond that are sent away. */
export const MAX_TOPICS = 64;
/** One browser has one network: that it is back is told by each tab, and taken at most so often, in ms. */
const ONLINE_EVERY = 1000;
/** What tabs may tell the ladder. */
const TELLS = new Set(["online", "offline", "activity", "heard", "failed"]);

/**
 * @param {object} options
 * @param {import("../transports.js").Net} options.net
 * @param {import("./connect.js").Locks | null} options.locks
 * @param {boolean} [options.alone] in a worker, whose death nobody else notices
 * @param {(message: any) => void} [options.toAll] one message for all tabs; absent: one for each
 * @param {() => number} [options.random]
 * @param {string} [options.base]
 */
export function createHub(options) {
  const { net } = options;
  const { clock } = net;
  const base = options.base ?? "/_live";
  const id = randomId();
  /** @type {Set<Tab>} */
  const tabs = new Set();
  /** @type {import("../engine.js").Engine | null} */
  let engine = null;
  /** How far anything has been read. @type {string | null} */
  let position = null;
  let headAt = -Infinity;
  let onlineAt = -Infinity;
  let wasHidden = false;
  /** @type {any} */
  let timer = null;

  const watch = createWatch(options.locks, bury);
  const lock = holdLock(options.alone ? options.locks : null, hubLock(id));
  let locked = false;
  void lock.held.then((held) => {
    locked = held;
    if (held) tellAll();
  });

  /** A tab is gone and could not say goodbye itself. @param {string} client */
  function bury(client) {
    for (const tab of [...tabs]) if (tab.client === client) remove(tab);
    const init = { method: "POST", body: JSON.stringify({ client }), headers: { "Content-Type": "application/json" }, keepalive: true };
    net.fetch(`${base}/leave`, init).catch(() => {});
  }

  /** @type {import("../engine.js").Sink} */
  const sink = {
    get cursor() {
      return position;
    },
    async take(batch, from) {
      if (from.abort.signal.aborted) return 0;
      const asked = from.pos;
      from.pos = batch.to;
      let fresh = 0;
      if (batch.reset) {
        const stale = position !== null && asked !== position && sameEpoch(position, batch.to);
        if (!stale) position = batch.to;
      } else {
        // Only a reset leads into another epoch; this is an answer of a process that is gone.
        if (position !== null && !sameEpoch(position, batch.to)) return 0;
        // Whether a stream holds back is judged by what it was asked for.
        const streamed = engine?.streamed;
        const [, known = "-1"] = position?.split(".") ?? [];
        for (const { topic, seq } of batch.events) {
          const behind = seq !== undefined && seq <= Number(known);
          if (!behind && (!streamed || streamed.includes(topic))) fresh += 1;
        }
        if (!covers(position, batch.to)) position = batch.to;
      }
      toAll({ t: "batch", set: from.set, lasting: lasting(from), asked, batch: { from: batch.from, to: batch.to, events: batch.events, reset: batch.reset ?? false } });
      engine?.tell({ type: "applied", cursor: position, events: fresh });
      return fresh;
    },
    hello(from, cursor) {
      from.pos ??= cursor;
      position ??= cursor;
      toAll({ t: "carried", set: from.set, lasting: true, from: from.pos });
    },
    asked: (from) => toAll({ t: "carried", set: from.set, lasting: lasting(from), from: from.pos }),
    forget: () => void (position = null),
  };

  /** Whether more will come this way: a poll beside a stream that lacks topics brings them this once. @param {import("../engine.js").Source} from */
  function lasting(from) {
    return engine?.lasts(from) ?? true;
  }

  /** @param {any} message */
  function toAll(message) {
    if (options.toAll) return options.toAll(message);
    for (const tab of tabs) tab.post(message.t === "batch" ? { ...message, batch: forTab(message.batch, tab) } : message);
  }

  /** @param {Batch} batch @param {Tab} tab @returns {Batch} */
  function forTab(batch, tab) {
    return { ...batch, events: batch.events.filter((event) => tab.topics.includes(event?.topic)) };
  }

  /** @returns {string[]} of all tabs */
  function union() {
    return [...new Set([...tabs].flatMap((tab) => tab.topics))];
  }

  function state() {
    return { t: "status", status: engine?.status, refused: engine?.refused ?? false, tabs: tabs.size, known: watch.known(), locked };
  }

  function tellAll() {
    if (engine && tabs.size > 0) toAll(state());
  }

  /** What the tabs are together. */
  function sum() {
    if (!engine || tabs.size === 0) return;
    const all = [...tabs];
    engine.tell({ type: "company", others: Math.max(...all.map((tab) => tab.others)) });
    const hidden = all.every((tab) => tab.hidden);
    if (hidden !== wasHidden) engine.tell({ type: hidden ? "hidden" : "visible" });
    wasHidden = hidden;
  }

  /** @param {Tab} tab */
  function remove(tab) {
    if (!tabs.delete(tab)) return;
    tab.forgotten();
    if (tabs.size === 0) {
      engine?.stop();
      clock.clearTimeout(timer);
      timer = null;
      return;
    }
    sum();
    tellAll();
    // Perhaps it was for this one that the server said no.
    if (engine?.refused) engine.tell({ type: "online" });
  }

  function pulse() {
    const now = clock.now();
    for (const tab of [...tabs]) {
      if (now - tab.heardAt <= SILENT) continue;
      // Said before anything that is no longer for it: where all hear all, it would take that for its own.
      tab.post({ t: "unknown" });
      remove(tab);
    }
    if (tabs.size > 0) toAll({ t: "pulse", heard: engine?.status.lastHeard ?? 0 });
    timer = tabs.size > 0 ? clock.setTimeout(pulse, PULSE) : null;
  }

  /** @param {Tab} tab @param {any} message */
  function join(tab, message) {
    const topics = message.topics.map(String);
    if (new Set([...union(), ...topics]).size > MAX_TOPICS && !tabs.has(tab)) return tab.post({ t: "full" });
    const renewed = message.login !== tab.login;
    if (tab.client && tab.client !== message.client) watch.end(tab.client);
    tabs.delete(tab);
    // Whoever else has these topics has had them since their set.
    const others = [...tabs];
    /** @type {(string | undefined)[]} */
    const had = topics.map((/** @type {string} */ topic) => others.find((other) => other.topics.includes(topic))?.set);
    Object.assign(tab, { client: message.client, topics, hidden: message.hidden, others: message.others, login: message.login });
    tabs.add(tab);
    if (!engine) begin(message);
    if (!engine?.running) position = parseCursor(message.cursor) ? message.cursor : null;
    const running = engine?.running ?? false;
    // Another login is another reader: what was opened before was opened for the earlier one.
    tab.set = running && !renewed && had.every((set) => set !== undefined) ? Math.max(...had.map(Number)) : engine?.grow() ?? 0;
    if (message.lock) watch.begin(message.client);
    for (const client of message.known ?? []) watch.begin(client);
    sum();
    engine?.start();
    tab.post({ ...state(), t: "welcome", hub: id, set: tab.set });
    if (running && engine?.carries(tab.set)) tab.post({ t: "carried", set: tab.set, lasting: true, from: position });
    tellAll();
    timer ??= clock.setTimeout(pulse, PULSE);
  }

  /** @param {any} message the first tab's */
  function begin(message) {
    engine = createEngine({
      net, base, sink,
      timing: withTiming(message.overrides),
      random: options.random,
      memory: message.memory,
      hidden: message.hidden,
      client: () => id,
      topics: union,
      onStatus: tellAll,
      onRemember: (verdict) => toAll({ t: "remember", verdict }),
    });
    wasHidden = message.hidden;
  }

  return {
    id,
    /**
     * A tab has a way here.
     * @param {(message: any) => void} post
     * @param {() => void} [forgotten] it has gone
     */
    connect(post, forgotten = () => {}) {
      /** @type {Tab} */
      const tab = { post, forgotten, client: "", topics: [], set: 0, hidden: false, others: 0, login: "", heardAt: clock.now() };
      return {
        /** @param {any} message */
        message(message) {
          tab.heardAt = clock.now();
          if (message.t === "join") return join(tab, message);
          if (!tabs.has(tab)) {
            if (message.t !== "leave") post({ t: "unknown" });
            return;
          }
          if (message.t === "leave") {
            watch.end(tab.client);
            remove(tab);
          } else if (message.t === "state") {
            Object.assign(tab, { hidden: message.hidden, others: message.others });
            sum();
          } else if (message.t === "ping") post({ t: "pulse", heard: engine?.status.lastHeard ?? 0 });
          else if (message.t === "tell") take(message.input);
        },
        /** Its end of the way is closed. */
        gone() {
          if (!tabs.has(tab)) return;
          watch.end(tab.client);
          bury(tab.client);
        },
      };
    },
    /** Somebody else has the connection now. */
    stop() {
      watch.stop();
      lock.release();
      // What becomes of this engine is nobody's business any more.
      tabs.clear();
      engine?.stop();
      clock.clearTimeout(timer);
    },
  };

  /** @param {import("../ladder.js").Input} input from a tab */
  function take(input) {
    if (!engine) return;
    if (input.type === "online") {
      const now = clock.now();
      if (now - onlineAt < ONLINE_EVERY) return;
      onlineAt = now;
    }
    if (TELLS.has(input.type)) engine.tell(input);
    else if (input.type === "choice") engine.tell({ type: "choice", forced: null });
    else if (input.type === "beat") {
      const now = clock.now();
      const news = input.ok && now - headAt < HEAD_EVERY ? null : input.head;
      if (news) headAt = now;
      engine.tell({ type: "beat", ok: input.ok, head: news });
    }
  }
}

/** @typedef {ReturnType<typeof createHub>} Hub */
