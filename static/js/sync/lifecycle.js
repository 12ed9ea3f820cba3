/**
 * What a browser does to a tab: hides and shows it, freezes and resumes it, puts
 * it into the back/forward cache, loses and finds the network, sleeps.
 * @module
 */

/** @typedef {import("./ladder.js").Input} Input */

/** How often a visible tab looks at the clock, and how late that look may be before it has stood still, in ms. */
const LOOK = 2000;
const STILL = 4000;
/** Activity is told at most so often, in ms. */
const TOUCH_GAP = 1000;

/**
 * @param {any} env a window, or null
 * @param {import("./clock.js").Clock} clock
 * @param {{ tell: (input: Input) => void, hidden: (now: boolean) => void, away: () => void, back: () => void, stoodStill: () => void }} on
 * @returns {() => void} stops listening
 */
export function listenToTab(env, clock, on) {
  const doc = env?.document;
  /** @type {(() => void)[]} */
  const detach = [];

  /** @param {any} target @param {string} name @param {(event: any) => void} fn */
  function listen(target, name, fn) {
    if (!target?.addEventListener) return;
    target.addEventListener(name, fn, { passive: true });
    detach.push(() => target.removeEventListener(name, fn));
  }

  let touchedAt = 0;
  function touched() {
    const now = clock.now();
    if (now - touchedAt < TOUCH_GAP) return;
    touchedAt = now;
    on.tell({ type: "activity" });
  }

  let lookedAt = clock.now();
  /** @type {any} */
  let timer = null;
  function look() {
    const late = clock.now() - lookedAt - LOOK;
    if (late > STILL && doc.visibilityState !== "hidden") on.stoodStill();
    again();
  }
  function again() {
    lookedAt = clock.now();
    clock.clearTimeout(timer);
    timer = clock.setTimeout(look, LOOK);
  }

  listen(env, "online", () => on.tell({ type: "online" }));
  listen(env, "offline", () => on.tell({ type: "offline" }));
  listen(doc, "visibilitychange", () => {
    const hidden = doc.visibilityState === "hidden";
    // Timers of hidden tabs are late by design.
    if (!hidden && doc) again();
    on.hidden(hidden);
  });
  // A frozen tab (Page Lifecycle) runs nothing at all until this.
  listen(doc, "resume", () => {
    again();
    on.stoodStill();
  });
  for (const name of ["pointerdown", "keydown", "wheel", "touchstart"]) listen(env, name, touched);
  listen(env, "pagehide", on.away);
  listen(env, "pageshow", (event) => {
    if (event.persisted) on.back();
  });
  if (doc) again();

  return () => {
    clock.clearTimeout(timer);
    for (const off of detach) off();
  };
}
