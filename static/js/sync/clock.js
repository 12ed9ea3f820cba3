/**
 * Time as a dependency, so that tests can have their own.
 * @module
 */

import { TIMING } from "./timing.js";

/**
 * @typedef {object} Clock
 * @property {() => number} now ms since the epoch
 * @property {(fn: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/**
 * A time-out for somebody else. When it finds that this page itself stood still,
 * what arrived meanwhile is taken in first, so that an answer that is here
 * counts.
 * @param {Clock} clock
 * @param {() => void} fn
 * @param {number} ms
 * @returns {() => void} calls it off
 */
export function setDeadline(clock, fn, ms) {
  const due = clock.now() + ms;
  let timer = clock.setTimeout(() => {
    if (clock.now() - due > TIMING.stall) timer = clock.setTimeout(fn, TIMING.catchUp);
    else fn();
  }, ms);
  return () => clock.clearTimeout(timer);
}

/** @type {Clock} */
export const realClock = {
  now: () => Date.now(),
  setTimeout: (fn, ms) => globalThis.setTimeout(fn, ms),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
};
