/**
 * The time of a run, which stands still while it is paused.
 * @module
 */

export function createStopwatch() {
  /** Stretches of running: since when, and how much there was before. @type {{ from: number, base: number }[]} */
  const stretches = [];
  let base = 0;
  let running = false;

  return {
    /** @param {number} now */
    start(now) {
      if (running) return;
      running = true;
      stretches.push({ from: now, base });
    },
    /** @param {number} now */
    stop(now) {
      if (!running) return;
      running = false;
      base += now - stretches[stretches.length - 1].from;
    },
    /** @param {number} now @returns {number} ms that ran */
    ms(now) {
      return running ? base + now - stretches[stretches.length - 1].from : base;
    },
    /** Ms that had run at a moment of running. @param {number} at @returns {number} */
    at(at) {
      const stretch = stretches.findLast((each) => each.from <= at);
      return stretch ? stretch.base + at - stretch.from : 0;
    },
  };
}
