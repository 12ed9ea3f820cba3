/**
 * One copy of the page, kept by one way: the product's own live connection,
 * forced to a rung, with the product's own blocks.
 * @module
 */

import { el, setText } from "../lib/dom.js";
import { createBlocks } from "../page/blocks.js";
import { createLive } from "../sync/live.js";
import { statusWords } from "../ui/words.js";
import { createMeter } from "./meter.js";
import { Tally } from "./tally.js";
import { WAYS, timingOf } from "./ways.js";
import { NONE, clock, plural, time } from "./words.js";

/** @typedef {import("./ways.js").Way} Way */

/** Older connection events are forgotten. */
const MAX_EVENTS = 50;
/** More news than this during a pause: the whole page is read again. */
const MAX_HELD = 1000;
/** A copy that has not come up by then takes part as it is, in ms. */
const READY_MS = 8000;
/** Staleness that a person notices, in ms. */
const LATE_MS = 1000;
/** Staleness that fills the bar, in ms. */
const FULL_BAR_MS = 15000;

const channel = new MessageChannel();
/** @type {(() => void)[]} */
const waiting = [];
channel.port1.onmessage = () => waiting.shift()?.();

/**
 * Calls back when what was just put into the page has been painted. In a hidden
 * window nothing is painted; there it is called at once.
 * @param {() => void} fn
 */
function afterPaint(fn) {
  if (document.visibilityState === "hidden") return fn();
  requestAnimationFrame(() => {
    waiting.push(fn);
    channel.port2.postMessage(null);
  });
}

/**
 * @param {object} options
 * @param {number} options.index which of the copies, 0 to 3: its colour
 * @param {Way} options.way
 * @param {readonly import("./tally.js").Change[]} options.changes
 * @param {() => number} options.measured ms of the run so far, without pauses
 * @param {() => boolean} options.isMeasuring
 * @param {(rev: number, at: number) => void} options.onArrival before it is booked
 * @param {(way: Way) => void} options.onWay somebody chose another way
 */
export function createPane(options) {
  const { index, changes } = options;
  let way = options.way;
  let tally = new Tally(changes, performance.now());
  const counts = { requests: 0, bodyBytes: 0, headBytes: 0 };
  /** @type {{ at: number, text: string }[]} newest last; `at` in ms of the run */
  const events = [];
  /** Of the run, when this copy was begun. */
  let begunAt = 0;
  /** @type {import("../sync/live.js").Live | null} */
  let live = null;
  /** Runs of this copy; what comes from an earlier one is void. */
  let turn = 0;
  /** @type {import("../sync/ladder.js").Status | null} */
  let latest = null;
  /** Of a pause: news that waits for its end; null: none is held back. @type {any[] | null} */
  let held = null;
  /** Before the copy is open a pause has held nothing back. */
  const hearAll = () => void (held = null);
  /** Takes what was held back. */
  let takeHeld = hearAll;

  const name = `lab-way-${index}`;
  const select = el("select", { id: name });
  for (const each of WAYS) select.append(el("option", { value: each.key }, each.name));
  select.value = way.key;
  const now = el("strong", {}, NONE);
  const bar = el("span", {});
  const note = el("p", { class: "lab-note" }, "Not started.");
  const copy = el("article", { class: "prose lab-copy", tabindex: "0", role: "region", "aria-label": `Copy ${index + 1}` });
  const state = el("span", { class: "lab-state" }, "Not connected");
  const log = el("ol", { class: "lab-events" });
  const root = el(
    "section",
    { class: `lab-pane lab-c${index}`, "aria-label": `Copy ${index + 1}` },
    el("div", { class: "lab-pane-head" }, el("span", { class: "lab-key", "aria-hidden": "true" }), el("label", { for: name, class: "visually-hidden" }, `Way of copy ${index + 1}`), select),
    el("p", { class: "lab-now" }, now, " behind"),
    el("span", { class: "lab-bar", "aria-hidden": "true" }, bar),
    note,
    copy,
    el("details", { class: "lab-log" }, el("summary", {}, state), log),
  );
  select.addEventListener("change", () => options.onWay(/** @type {Way} */ (WAYS.find((each) => each.key === select.value))));

  /** @param {string} text */
  function noteEvent(text) {
    const at = options.measured();
    events.push({ at, text });
    log.append(el("li", {}, el("time", {}, clock(at)), ` ${text}`));
    if (events.length > MAX_EVENTS) {
      events.shift();
      log.firstElementChild?.remove();
    }
  }

  /** @param {import("../sync/ladder.js").Status} status */
  function showStatus(status) {
    latest = status;
    const fell = status.rung !== way.rung && (status.state === "live" || status.state === "refreshing");
    setText(state, statusWords(status));
    state.title = status.reason;
    root.classList.toggle("fell", fell);
    const why = fell || status.state === "offline" ? ` ${status.reason}` : "";
    noteEvent(`${statusWords(status)}.${why}`);
  }

  /** Stamps a revision when it is on the screen. Several within one frame are one arrival. */
  function createStamp(/** @type {number} */ mine) {
    let newest = -1;
    let due = false;
    return (/** @type {number} */ rev) => {
      newest = Math.max(newest, rev);
      if (due) return;
      due = true;
      afterPaint(() => {
        due = false;
        if (mine !== turn) return;
        const at = performance.now();
        // What was painted as a pause began is neither seen nor counted by then.
        if (held !== null) return;
        copy.scrollTop = copy.scrollHeight;
        options.onArrival(newest, at);
        tally.arrived(newest, at);
      });
    };
  }

  /**
   * Opens the copy. Done when it shows the page and its connection stands, or
   * when that takes too long.
   * @param {number} page
   * @param {boolean} paused it stands still at first
   */
  async function start(page, paused) {
    stop();
    held = paused ? [] : null;
    turn += 1;
    const mine = turn;
    copy.replaceChildren();
    log.replaceChildren();
    events.length = 0;
    reset();
    const fetch = createMeter(counts, { isOn: () => mine === turn && options.isMeasuring() });
    const answer = await fetch(`/_live/pages/${page}/view`, { headers: { Accept: "application/json" }, cache: "no-store", credentials: "same-origin" });
    if (!answer.ok) throw new Error(`the page answered ${answer.status}`);
    /** @type {import("../page/blocks.js").View} */
    const view = await answer.json();
    if (mine !== turn) return;
    const stamp = createStamp(mine);
    const blocks = createBlocks(copy, { rev: view.rev, keepPosition: false, fetch, onChange: ({ rev }) => stamp(rev) });
    blocks.replaceAll(view.blocks, view.rev);
    const opened = createLive({ topics: [`view:${page}`], cursor: view.cursor, forced: way.rung, sharing: null, fetch, timing: timingOf(way) });
    live = opened;
    const apply = (/** @type {any} */ change) => {
      if (!blocks.apply(change)) void blocks.resync(page);
    };
    opened.on("event", (event) => {
      if (event.kind !== "changed") return;
      if (held === null) apply(event.data);
      else if (held.length <= MAX_HELD) held.push(event.data);
    });
    opened.on("reset", () => {
      noteEvent("Lost its place, and read the whole page again.");
      // What waits for the end of a pause does not fit any more; the whole page is read then.
      if (held !== null) held = new Array(MAX_HELD + 1);
      else return blocks.resync(page);
    });
    takeHeld = () => {
      const news = held ?? [];
      held = null;
      if (news.length > MAX_HELD) void blocks.resync(page);
      else news.forEach(apply);
    };
    const ready = new Promise((/** @type {(value?: unknown) => void} */ done) => {
      setTimeout(done, READY_MS);
      opened.on("status", (status) => {
        if (mine !== turn) return;
        showStatus(status);
        if (status.state === "live" || status.state === "refreshing") done();
      });
    });
    opened.start();
    await ready;
  }

  function stop() {
    turn += 1;
    live?.stop();
    live = null;
    latest = null;
    held = null;
    takeHeld = hearAll;
  }

  /** Everything measured so far is void; the measurement begins now. */
  function reset() {
    tally = new Tally(changes, performance.now());
    Object.assign(counts, { requests: 0, bodyBytes: 0, headBytes: 0 });
    begunAt = options.measured();
  }

  return {
    root,
    index,
    counts,
    events,
    get way() {
      return way;
    },
    set way(next) {
      way = next;
      select.value = next.key;
    },
    get tally() {
      return tally;
    },
    /** Ms that this copy was measured. */
    get measured() {
      return options.measured() - begunAt;
    },
    start,
    reset,
    stop() {
      stop();
      setText(state, "Not connected");
    },
    /** The copy stands still: what it hears waits, and what was under way counts for nothing. @param {number} now */
    pause(now) {
      held = [];
      tally.skip(now);
    },
    /** And goes on. @param {number} now */
    resume(now) {
      takeHeld();
      tally.resume(now);
    },
    noteEvent,
    /** Another way was chosen when nothing runs: what is seen is not of that one. */
    outdate() {
      setText(now, NONE);
      setText(note, "Begins with the next run.");
      root.classList.remove("late", "shut", "fell");
      bar.style.width = "0";
    },
    /** Whether another way can be chosen. @param {boolean} open */
    choosable(open) {
      select.disabled = !open;
    },
    /** The server is reached by this way. */
    get reaches() {
      return latest?.state === "live" || latest?.state === "refreshing";
    },
    /**
     * Shows figures.
     * @param {import("./tally.js").Figures} figures
     * @param {boolean} running
     * @param {boolean} reached some copy reaches the server
     */
    show(figures, running, reached) {
      setText(now, `${(figures.stale / 1000).toFixed(1)} s`);
      root.classList.toggle("late", figures.stale >= LATE_MS);
      bar.style.width = `${Math.min(100, (100 * figures.stale) / FULL_BAR_MS).toFixed(1)}%`;
      const typical = figures.p50 === null ? "" : ` Typically ${time(figures.p50)} from edit to screen.`;
      const lacks = figures.behind === 0 ? "Shows every change." : `Lacks ${plural(figures.behind, "change", "changes")}.`;
      // "The server cannot be reached" would be wrong beside a copy that reaches it.
      const shut = running && reached && latest?.state === "offline";
      if (shut) setText(state, "Does not get through");
      root.classList.toggle("shut", shut);
      setText(note, shut ? `This network does not let this way through. ${lacks}` : running || figures.shown > 0 ? `${lacks}${typical}` : "Waits for a change.");
    },
  };
}

/** @typedef {ReturnType<typeof createPane>} Pane */
