/**
 * Time as a dependency, so that tests can have their own.
 * @module
 */

/**
 * @typedef {object} Clock
 * @property {() => number} now ms since the epoch
 * @property {(fn: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/** @type {Clock} */
export const realClock = {
  now: () => Date.now(),
  setTimeout: (fn, ms) => globalThis.setTimeout(fn, ms),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
};
