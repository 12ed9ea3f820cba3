/**
 * One run of the laboratory: opens the copies, has the text written, samples
 * how far behind each copy is, and ends all of it in order.
 *
 * While it pauses nothing is written and nothing is counted; what was under way
 * at that moment counts for nothing.
 * @module
 */

import { createStopwatch } from "./stopwatch.js";
import { figures } from "./tally.js";
import { createTypist } from "./typist.js";

/** @typedef {import("./tally.js").Change} Change */
/** @typedef {import("./tally.js").Figures} Figures */
/** @typedef {import("./pane.js").Pane} Pane */

/** How often staleness is sampled, and how often what is seen is drawn anew, in ms. */
const SAMPLE_MS = 100;
const DRAW_MS = 250;
/** What was held back in a pause is on the screen by then, in ms. */
const CATCH_UP_MS = 500;

/** @typedef {"idle" | "starting" | "running" | "paused" | "ended"} State */

/**
 * What the page shows, taken at one moment: for each copy the name of its way then, its figures and what it has shown.
 * Another way that is chosen later has no part in it.
 * @typedef {{ measured: number, names: string[], figures: Figures[], shown: (readonly import("./tally.js").Shown[])[] }} Snapshot
 */

export class LabError extends Error {}

/**
 * @param {object} options
 * @param {Pane[]} options.panes
 * @param {{ id: number } | null} options.page a page of the wiki to watch; null: a text of the laboratory's own
 * @param {HTMLTextAreaElement | null} options.field
 * @param {Change[]} options.changes
 * @param {ReturnType<typeof createStopwatch>} options.watch
 * @param {number} options.minutes
 * @param {(state: State, why: string) => void} options.onState
 * @param {(snapshot: Snapshot) => void} options.onDraw
 * @param {(path: string) => void} options.onPage where the text is, for others
 */
export function createRun(options) {
  const { panes, changes, watch } = options;
  /** @type {State} */
  let state = "idle";
  /** The scratch page, to be given back. @type {number | null} */
  let scratch = null;
  /** @type {import("./writer.js").Writer | null} */
  let writer = null;
  const typist = createTypist((letters) => writer?.type(letters));
  /** Keys a second; 0: a person writes. */
  let speed = 0;
  /** Of somebody else's page: the newest revision that was seen on any copy. */
  let newest = -1;
  /** Of our own text: revisions of which it is not known yet whether they are ours. @type {{ at: number, rev: number }[]} */
  let strange = [];
  /** Until then copies show what happened during a pause. */
  let caughtUpAt = 0;
  /** How often each copy was given another way. */
  const changed = panes.map(() => 0);
  /** @type {any[]} */
  let timers = [];
  /** @type {{ t: number[], y: (number | null)[][] }} s of the run, and s of staleness of each copy */
  const samples = { t: [], y: panes.map(() => []) };
  /** @type {Snapshot} */
  let snapshot = { measured: 0, names: [], figures: [], shown: [] };

  /** As a call, since it changes while something is awaited. @param {State} which */
  const is = (which) => state === which;

  /** @param {State} next @param {string} [why] */
  function become(next, why = "") {
    state = next;
    options.onState(next, why);
  }

  function sample() {
    const now = performance.now();
    samples.t.push(watch.ms(now) / 1000);
    panes.forEach((pane, i) => samples.y[i].push(pane.tally.staleness(now) / 1000));
  }

  /** Books what somebody else wrote into our own text. */
  function judge(/** @type {number} */ now) {
    while (strange.length > 0 && now - strange[0].at > DRAW_MS) {
      const foreign = writer?.isForeign(strange[0].rev);
      if (foreign === null) return;
      const change = /** @type {{ at: number, rev: number }} */ (strange.shift());
      const last = changes.at(-1);
      // What both wrote at the same moment is counted for the one who is here.
      if (foreign && (!last || (last.rev !== null && last.rev < change.rev))) changes.push(change);
    }
    for (const pane of panes) pane.tally.settle();
  }

  /** @param {number} now @returns {Snapshot} */
  function look(now) {
    return {
      measured: watch.ms(now),
      names: panes.map((pane) => pane.way.name),
      figures: panes.map((pane) => figures(pane.tally, pane.counts, now, pane.measured)),
      shown: panes.map((pane) => pane.tally.shown),
    };
  }

  function draw() {
    const now = performance.now();
    judge(now);
    snapshot = look(now);
    options.onDraw(snapshot);
    if (snapshot.measured >= options.minutes * 60000) end(`The run is over after ${options.minutes} minutes.`);
  }

  function tick() {
    for (const timer of timers) clearInterval(timer);
    timers = [setInterval(sample, SAMPLE_MS), setInterval(draw, DRAW_MS)];
  }

  function still() {
    for (const timer of timers) clearInterval(timer);
    timers = [];
    typist.stop();
  }

  /** @returns {Promise<number>} the page that is watched */
  async function openPage() {
    if (options.page) return options.page.id;
    const response = await fetch("/lab", { method: "POST", headers: { Accept: "application/json" }, cache: "no-store" });
    const answer = await response.json().catch(() => null);
    if (!response.ok) throw new LabError(answer?.error?.message ?? "The laboratory could not be opened. Please try again in a moment.");
    scratch = answer.page;
    if (is("starting")) options.onPage(answer.path);
    return answer.page;
  }

  async function start() {
    if (state !== "idle" && state !== "ended") return;
    become("starting");
    try {
      const page = await openPage();
      // Whoever stopped it meanwhile could not give back what was not there yet.
      if (!is("starting")) return letGo();
      const { field } = options;
      if (field) {
        const { openWriter } = await import("./writer.js");
        writer = await openWriter({
          page,
          changes,
          field,
          onSaved: () => panes.forEach((pane) => pane.tally.settle()),
          onTrouble: (message) => end(message),
          isWanted: () => is("starting"),
        });
        if (!is("starting")) return letGo();
      }
      await Promise.all(panes.map((pane) => pane.start(page, false)));
    } catch (error) {
      // A person may have stopped it meanwhile.
      if (!is("starting")) return;
      console.warn("halley: the laboratory could not begin", error);
      end(error instanceof LabError ? error.message : "The server cannot be reached. Please try again in a moment.");
      return;
    }
    if (!is("starting")) return;
    // What opening costs is the same for all, and is not what is compared.
    watch.start(performance.now());
    for (const pane of panes) pane.reset();
    become("running");
    if (speed > 0) typist.start(speed);
    tick();
    draw();
  }

  function pause() {
    if (state !== "running") return;
    draw();
    const now = performance.now();
    sample();
    still();
    watch.stop(now);
    become("paused");
    for (const pane of panes) pane.pause(now);
    strange = [];
  }

  function resume() {
    if (state !== "paused") return;
    const now = performance.now();
    watch.start(now);
    caughtUpAt = now + CATCH_UP_MS;
    for (const pane of panes) pane.resume(now);
    become("running");
    if (speed > 0) typist.start(speed);
    tick();
  }

  function giveBack() {
    if (scratch === null) return;
    const url = `/lab/${scratch}/end`;
    scratch = null;
    if (!navigator.sendBeacon(url)) void fetch(url, { method: "POST", keepalive: true }).catch(() => {});
  }

  /** Ends what was opened, as far as it was. */
  function letGo() {
    writer?.close();
    writer = null;
    for (const pane of panes) pane.stop();
    giveBack();
  }

  /** @param {string} why */
  function end(why) {
    if (state === "idle" || state === "ended") return;
    const measured = state === "running";
    state = "ended";
    if (measured) {
      // Once more, so that what is saved is what is seen.
      const now = performance.now();
      snapshot = look(now);
      watch.stop(now);
      options.onDraw(snapshot);
    }
    still();
    letGo();
    become("ended", why);
  }

  return {
    get state() {
      return state;
    },
    get snapshot() {
      return snapshot;
    },
    samples,
    start,
    pause,
    resume,
    end,
    /** Keys a second that are typed; 0: a person writes. @param {number} keysPerSecond */
    type(keysPerSecond) {
      speed = keysPerSecond;
      if (speed === 0) typist.stop();
      else if (state === "running") typist.start(speed);
    },
    /** A copy shows a revision. @param {number} rev @param {number} at */
    arrived(rev, at) {
      writer?.seen(rev);
      // Nobody here knows when somebody else pressed a key: time counts from the first copy that has it.
      if (state !== "running" || at < caughtUpAt) return void (newest = Math.max(newest, rev));
      if (newest < 0) newest = rev;
      for (; newest < rev; newest += 1) {
        if (writer) strange.push({ at, rev: newest + 1 });
        else changes.push({ at, rev: newest + 1 });
      }
    },
    /** A copy goes on by another way: what it has shown so far is forgotten. @param {number} index */
    async change(index) {
      if (state !== "running" && state !== "paused") return;
      const page = options.page?.id ?? scratch;
      if (page === null || page === undefined) return;
      samples.y[index] = samples.y[index].map(() => null);
      changed[index] += 1;
      const mine = changed[index];
      // An opening that was overtaken by another one, or by the end, is heard of only after its whole wait.
      const isNewest = () => mine === changed[index] && !is("ended");
      try {
        await panes[index].start(page, is("paused"));
        if (isNewest()) panes[index].reset();
      } catch (error) {
        if (!isNewest()) return;
        console.warn("halley: a copy could not be opened", error);
        panes[index].noteEvent("The server could not be reached.");
      }
    },
    get isMeasuring() {
      return state === "running";
    },
  };
}

/** @typedef {ReturnType<typeof createRun>} Run */
