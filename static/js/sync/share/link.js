/**
 * A tab's link to the connection that all tabs of this browser share.
 *
 * The hub passes on what comes; whether that is all, the tab judges itself by
 * its own cover, and what it lacks it asks for itself. Liveness therefore never
 * depends on another tab: one that is not carried polls, one whose hub is silent
 * looks for another, and in the end connects by itself.
 * @module
 */

import { randomId } from "../../lib/id.js";
import { covers } from "../cursor.js";
import { SENTENCES } from "../states.js";
import { createFiller } from "./filler.js";
import { holdLock, tabLock, watchHub } from "./watch.js";

/** @typedef {import("../ladder.js").Status} Status */
/** @typedef {import("../ladder.js").Input} Input */

/** A hub that says nothing for so long (it speaks every 3 s) is gone, in ms. */
const SILENCE = 8000;
/** Between two looks at that, in ms; one that is later than this again says that this tab stood still. */
const LOOK = 2000;
/** No welcome by then: try the next way, in ms. Polls bring the news meanwhile, and a busy computer starts a worker slowly. */
const PATIENCE = 10000;
/** Not carried for so long after joining: ask, and again, in ms; then ever more seldom, down to what the poll rung does. */
const UNCARRIED = 1000;
/** News that is known to exist and is missing for so long is said, in ms. */
const BEHIND = 1000;
/** So many hubs in a row that fell silent: this tab connects by itself. */
const SILENCES = 3;
/** The hub hears from each tab so often, in ms. */
const PING = 20000;

const BETWEEN = "This tab asks for news itself until it is connected.";

/**
 * @typedef {object} LinkOptions
 * @property {import("../transports.js").Net} net
 * @property {import("../timing.js").Timing} timing
 * @property {any} overrides of the timing, for the hub
 * @property {string} base
 * @property {import("../intake.js").Intake} intake
 * @property {readonly string[]} topics
 * @property {import("./connect.js").Sharing} sharing
 * @property {() => string} client
 * @property {() => import("../ladder.js").Verdict | null} memory
 * @property {boolean} hidden
 * @property {(now: Status, before: Status) => void} onStatus
 * @property {(verdict: any) => void} onRemember
 * @property {() => void} onVia another connection brings this tab its news
 * @property {() => void} onAlone sharing does not work here
 */

/** @param {Status["state"] | undefined} state */
const isWell = (state) => state === "live" || state === "refreshing";

/** @param {LinkOptions} options @returns {import("../live.js").Upstream} */
export function createLink(options) {
  const { intake, topics, sharing } = options;
  const { clock } = options.net;
  const mine = new Set(topics);
  let running = false;
  let way = 0;
  /** @type {import("./connect.js").Channel | null} */
  let channel = null;
  /** Tells the messages of the present channel from those of one before. */
  let channels = 0;
  let joined = false;
  let carried = false;
  let set = 0;
  /** @type {string | null} */
  let via = null;
  /** @type {Status | null} */
  let theirs = null;
  let tabs = 1;
  /** @type {string[]} */
  let known = [];
  let hidden = options.hidden;
  let others = 0;
  let login = "";
  let started = false;
  let wantedAt = 0;
  let joinedAt = 0;
  let heardAt = 0;
  let lookedAt = 0;
  let pingedAt = 0;
  let silences = 0;
  let serverAt = 0;
  /** When this tab last asked because nothing carries it, the pause until it does so again, and the least one that the server wants. */
  let soughtAt = 0;
  let pause = UNCARRIED;
  let adviceMs = 0;
  /** What is known to be missing, and since when. @type {{ to: string, at: number } | null} */
  let missing = null;
  let lock = holdLock(null, "");
  /** Ends the watch over the hub. @type {(() => void) | null} */
  let unwatch = null;
  /** @type {any} */
  let looking = null;
  /** @type {any} */
  let joining = null;
  let since = { state: /** @type {Status["state"]} */ ("off"), at: clock.now() };

  const filler = createFiller({
    ...options,
    onReached(whole, advice) {
      serverAt = clock.now();
      if (advice) adviceMs = Number(advice.interval_ms) || 0;
      if (whole) missing = null;
      show();
    },
    onFailed: () => post({ t: "tell", input: { type: "failed" } }),
    onRefused: options.onAlone,
  });

  /** @param {any} message */
  function post(message) {
    channel?.post(message);
  }

  function open() {
    channels += 1;
    const own = channels;
    /** @param {(...given: any[]) => void} fn */
    const current = (fn) => (/** @type {any[]} */ ...given) => {
      if (running && own === channels) fn(...given);
    };
    heardAt = clock.now();
    channel = sharing.ways[way]({ message: current(take), hub: current(enter), gone: current(reopen), lost: current(nextWay) });
    enter();
  }

  /** There is a hub that does not know this tab. */
  function enter() {
    wantedAt = clock.now();
    void join();
  }

  /** Says what this tab wants, until it is welcome. */
  async function join() {
    const own = channels;
    joined = false;
    carried = false;
    const locked = await Promise.race([lock.held, /** @type {Promise<boolean>} */ (new Promise((done) => clock.setTimeout(() => done(false), 500)))]);
    if (!running || own !== channels || joined) return;
    post({
      t: "join", client: options.client(), topics: [...topics], cursor: intake.cursor, memory: options.memory(), overrides: options.overrides,
      hidden, others, login, lock: locked, known: known.filter((client) => client !== options.client()),
    });
    clock.clearTimeout(joining);
    joining = clock.setTimeout(() => {
      if (!running || own !== channels || joined) return;
      if (clock.now() - wantedAt >= PATIENCE && !hidden) nextWay();
      else void join();
    }, UNCARRIED);
  }

  function nextWay() {
    leave();
    way += 1;
    if (way < sharing.ways.length) open();
    else options.onAlone();
  }

  /** The hub is silent: find out whether there is another. */
  function reopen() {
    silences += 1;
    if (silences >= SILENCES) return options.onAlone();
    channel?.seize();
    leave();
    open();
  }

  function leave() {
    post({ t: "leave" });
    channel?.close();
    channel = null;
    channels += 1;
    unwatch?.();
    unwatch = null;
    joined = false;
    carried = false;
  }

  /** @param {any} message from the hub */
  function take(message) {
    heardAt = clock.now();
    switch (message.t) {
      case "welcome":
        joined = true;
        joinedAt = clock.now();
        set = message.set;
        if (via !== message.hub) {
          via = message.hub;
          options.onVia();
        }
        takeStatus(message);
        break;
      case "full":
        options.onAlone();
        return;
      case "unknown":
        if (joined) enter();
        break;
      case "carried":
        if (!joined || message.set < set) break;
        if (message.lasting) setCarried();
        void intake.inLine(async () => {
          if (intake.cursor === null) intake.hello({ pos: null }, message.from);
          else if (!covers(intake.cursor, message.from)) {
            filler.fill();
            miss(message.from);
          }
        });
        break;
      case "batch":
        if (!joined || message.set < set) break;
        if (message.lasting) setCarried();
        void intake.take(
          { ...message.batch, events: message.batch.events.filter((/** @type {any} */ event) => mine.has(event?.topic)) },
          { pos: message.asked },
        ).then(() => miss(message.batch.to));
        break;
      case "status":
        if (joined) takeStatus(message);
        break;
      case "pulse":
        if (theirs) theirs = { ...theirs, lastHeard: message.heard };
        break;
      case "remember":
        options.onRemember(message.verdict);
        break;
      default:
        break;
    }
    show();
  }

  /** There is news up to here. @param {string | null} to */
  function miss(to) {
    if (running && to !== null && !covers(intake.cursor, to)) missing ??= { to, at: clock.now() };
  }

  /** News is missing, and has been for so long that it must be said. */
  function behind() {
    if (missing && covers(intake.cursor, missing.to)) missing = null;
    return missing !== null && clock.now() - missing.at > BEHIND;
  }

  function setCarried() {
    if (!carried) {
      filler.resume();
      hurry();
    }
    carried = true;
    silences = 0;
  }

  /** @param {any} message */
  function takeStatus(message) {
    const before = theirs?.state;
    theirs = message.status ?? null;
    tabs = message.tabs;
    known = message.known ?? [];
    if (message.locked && joined && via) {
      const own = channels;
      unwatch ??= watchHub(sharing.locks, via, () => {
        if (running && own === channels) reopen();
      });
    }
    if (isWell(theirs?.state) && !isWell(before)) filler.resume();
    // The server says no to the topics of all of us: perhaps it is to this tab's.
    if (message.refused) filler.fill();
    // What was not carried meanwhile is looked for at once when the way is free again.
    else if (before === "offline" && theirs?.state !== "offline" && joined && !carried) filler.fill();
  }

  /** How long between two questions of a tab that nothing carries. */
  function seldom() {
    return Math.max(adviceMs, pause);
  }

  /** @param {number} now */
  function seek(now) {
    // Looks are not quite on time.
    if (now - soughtAt < seldom() - UNCARRIED / 2) return;
    const { pollHidden, pollCompany, pollAlone } = options.timing;
    if (soughtAt > 0) pause = Math.min(2 * pause, hidden ? pollHidden : others > 0 ? pollCompany : pollAlone);
    soughtAt = now;
    filler.fill();
  }

  /** The next question comes soon. */
  function hurry() {
    soughtAt = 0;
    pause = UNCARRIED;
  }

  function look() {
    const now = clock.now();
    const late = now - lookedAt - LOOK;
    lookedAt = now;
    if (late > LOOK) {
      // The hub's words may be waiting behind this timer.
      heardAt = Math.max(heardAt, now - SILENCE + LOOK);
      post({ t: "ping" });
    } else if (joined && now - heardAt > SILENCE) {
      filler.fill();
      reopen();
    } else if (!carried && now - joinedAt > UNCARRIED && theirs?.state !== "offline" && theirs?.state !== "off") {
      seek(now);
    }
    if (now - pingedAt > PING) {
      pingedAt = now;
      post({ t: "ping" });
    }
    show();
    // What is not carried is looked after more closely.
    if (running) looking = clock.setTimeout(look, carried && !missing ? LOOK : UNCARRIED);
  }

  /** @returns {Status} */
  function compute() {
    const now = clock.now();
    /** @param {Status["state"]} state @param {Status["rung"]} rung @param {string} reason @param {number} intervalMs @returns {Status} */
    const say = (state, rung, reason, intervalMs = 0) => ({ state, rung, reason, intervalMs, since: 0, lastHeard: Math.max(theirs?.lastHeard ?? 0, serverAt), forced: null });
    const late = behind();
    let status;
    if (!running) status = say("off", "off", SENTENCES.off);
    else if (joined && theirs && ((carried && !late) || theirs.state === "offline" || theirs.state === "off")) {
      const words = carried && tabs > 1 && theirs.state !== "offline" ? ` This browser's ${tabs} tabs share the connection.` : "";
      status = { ...theirs, reason: theirs.reason + words, lastHeard: Math.max(theirs.lastHeard, serverAt) };
    } else if (now - serverAt < seldom() + 2 * UNCARRIED) status = say("refreshing", "poll", BETWEEN, seldom());
    else status = say("connecting", "stream", SENTENCES.connecting);
    if (status.state !== since.state) since = { state: status.state, at: now };
    return { ...status, since: status.state === "offline" && theirs ? theirs.since : since.at };
  }

  let shown = compute();
  function show() {
    const before = shown;
    shown = compute();
    const same = before.state === shown.state && before.rung === shown.rung && before.reason === shown.reason && before.intervalMs === shown.intervalMs;
    if (!same) options.onStatus(shown, before);
  }

  function verify() {
    if (!running) return;
    filler.fill();
    post({ t: "ping" });
  }

  return {
    get status() {
      return compute();
    },
    get shown() {
      return shown;
    },
    get via() {
      return joined ? via : null;
    },
    start() {
      if (running) return;
      running = true;
      // A page that comes out of the back/forward cache is behind.
      const again = started;
      started = true;
      lock = holdLock(sharing.locks, tabLock(options.client()));
      silences = 0;
      hurry();
      lookedAt = clock.now();
      pingedAt = lookedAt;
      open();
      looking = clock.setTimeout(look, UNCARRIED);
      if (again) filler.fill();
      show();
    },
    stop() {
      if (!running) return;
      leave();
      running = false;
      lock.release();
      clock.clearTimeout(looking);
      clock.clearTimeout(joining);
      filler.stop();
      missing = null;
      show();
    },
    tell(input) {
      switch (input.type) {
        case "applied":
          return;
        case "company":
          if ((others > 0) !== (input.others > 0)) {
            others = input.others;
            post({ t: "state", hidden, others });
          }
          return;
        case "hidden":
        case "visible":
          hidden = input.type === "hidden";
          post({ t: "state", hidden, others });
          hurry();
          if (!hidden) verify();
          return;
        case "online":
          post({ t: "tell", input });
          return verify();
        case "heard":
          serverAt = clock.now();
          if (theirs?.state === "offline") post({ t: "tell", input });
          return;
        default:
          post({ t: "tell", input });
      }
    },
    gap: () => filler.fill(),
    verify,
    renamed() {
      lock.release();
      lock = holdLock(sharing.locks, tabLock(options.client()));
      login = randomId();
      if (running) enter();
    },
  };
}
