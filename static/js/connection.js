/**
 * Entry of the page "Connection": measures at once, shows what it finds, and
 * stops when it is left. `page.js` stands beside it for what all pages have.
 * @module
 */

import { copyButton } from "./connection/copy.js";
import { nothingMeasured } from "./connection/measured.js";
import { LONG_MS, measure, measureLong } from "./connection/run.js";
import { createView } from "./connection/view.js";
import { part } from "./lib/part.js";
import { realClock } from "./sync/clock.js";
import { createLive } from "./sync/live.js";
import { createStatus } from "./ui/status.js";
import { statusWords } from "./ui/words.js";

/** @type {import("./connection/reach.js").Net} */
const net = {
  fetch: (input, init) => globalThis.fetch(input, init),
  clock: realClock,
  now: () => performance.now(),
  base: "/_live",
};

/**
 * The page's own live connection, which says what the ladder has settled on.
 * @returns {import("./sync/live.js").Live | null}
 */
function attachLive() {
  const root = document.getElementById("live-status");
  if (!root) return null;
  const live = createLive({ topics: ["site"], cursor: document.body.dataset.cursor });
  createStatus(root, live).start();
  live.start();
  return live;
}

function attachRecipes() {
  for (const recipe of document.querySelectorAll(".recipe")) {
    const code = /** @type {HTMLElement | null} */ (recipe.querySelector("pre code"));
    const actions = recipe.querySelector(".recipe-actions");
    const name = recipe.querySelector("summary")?.textContent?.trim() ?? "";
    if (code && actions) actions.append(copyButton(`the lines for ${name}`, () => ({ text: code.textContent ?? "", shown: code })));
  }
  // A link into the page may mean one of them.
  const open = () => {
    const meant = /^#recipe-[a-z]+$/.test(location.hash) ? document.querySelector(location.hash) : null;
    if (meant instanceof HTMLDetailsElement) meant.open = true;
  };
  open();
  addEventListener("hashchange", open);
}

/** @param {import("./sync/live.js").Live | null} live */
function attachMeasuring(live) {
  const root = document.getElementById("measure");
  if (!root) return;
  root.hidden = false;
  let measured = nothingMeasured(Date.now());
  let state = { running: false, share: 0, doing: "", stopped: false };
  /** @type {AbortController | null} */
  let abort = null;

  const view = createView(root, {
    again: () => void begin(),
    long: () => void beginLong(),
    stop: () => {
      end();
      state = { ...state, running: false, stopped: true };
      show();
    },
  });

  function show() {
    const now = live ? { rung: live.status.rung, words: statusWords(live.status), reason: live.status.reason } : null;
    view.show(measured, state, now);
  }

  function end() {
    abort?.abort();
    abort = null;
  }

  /** @param {(signal: AbortSignal, report: import("./connection/run.js").Report) => Promise<unknown>} work */
  async function run(work) {
    end();
    const mine = new AbortController();
    abort = mine;
    state = { running: true, share: 0, doing: "", stopped: false };
    show();
    try {
      await work(mine.signal, (found, progress) => {
        if (abort !== mine) return;
        measured = found;
        state = { ...state, ...progress };
        show();
      });
    } finally {
      if (abort === mine) {
        abort = null;
        state = { ...state, running: false };
        show();
      }
    }
  }

  function begin() {
    measured = nothingMeasured(Date.now());
    return run((signal, report) => measure(net, signal, report));
  }

  function beginLong() {
    return run((signal, report) => measureLong(net, measured, signal, report));
  }

  live?.on("status", show);
  // Whoever leaves wants no answer; whoever comes back finds what was measured, or measures anew.
  addEventListener("pagehide", () => {
    if (!state.running) return;
    end();
    state = { ...state, running: false, stopped: true };
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted && state.stopped) void begin();
  });
  addEventListener("online", () => {
    if (!state.running && measured.probes.length === 0) void begin();
  });
  document.getElementById("measure-long")?.setAttribute("title", `Takes ${LONG_MS / 60000} minutes`);
  void begin();
}

function attach() {
  const live = part("the live status", attachLive);
  part("the lines for proxies", attachRecipes);
  part("the measurement", () => attachMeasuring(live));
}

if (document.readyState === "complete") attach();
else addEventListener("load", attach, { once: true });
