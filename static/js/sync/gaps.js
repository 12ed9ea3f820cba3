/**
 * Counts batches that did not join, to tell a race from readings that are out of
 * step for good.
 * @module
 */

/** So many batches out of step within this time, in ms: begin one stream alone. */
const GAPS = 3;
const GAP_WINDOW = 5000;

/** @param {import("./clock.js").Clock} clock */
export function createGaps(clock) {
  /** @type {number[]} */
  let gaps = [];
  return {
    /** One more; true: it is not the first. */
    again() {
      const now = clock.now();
      gaps = gaps.filter((at) => now - at < GAP_WINDOW);
      gaps.push(now);
      const again = gaps.length >= GAPS;
      if (again) gaps = [];
      return again;
    },
  };
}
