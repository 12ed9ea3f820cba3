/**
 * The ways to follow a page that the laboratory compares.
 * @module
 */

/**
 * @typedef {object} Way
 * @property {string} key
 * @property {"stream" | "hold" | "poll"} rung
 * @property {number} intervalMs of polling; 0 on other rungs
 * @property {string} name
 */

/** @type {readonly number[]} seconds: the paper's intervals, and 2 for what this wiki does by itself */
const INTERVALS = [1, 2, 5, 15, 50];

/** @type {readonly Way[]} */
export const WAYS = [
  { key: "stream", rung: "stream", intervalMs: 0, name: "Stream" },
  { key: "hold", rung: "hold", intervalMs: 0, name: "Held requests" },
  ...INTERVALS.map((seconds) => ({
    key: `poll-${seconds}`,
    rung: /** @type {"poll"} */ ("poll"),
    intervalMs: seconds * 1000,
    name: `Poll every ${seconds} s`,
  })),
];

/** What is compared unless somebody chooses: the two extremes, and what lies between. */
export const DEFAULT_WAYS = ["stream", "hold", "poll-5"];

/** @param {string} key @returns {Way} the stream for a key that is none */
export function wayOf(key) {
  return WAYS.find((way) => way.key === key) ?? WAYS[0];
}

/**
 * The timing that makes the live connection poll at this interval and no other.
 * It still varies by a tenth, as everywhere in the product, so that clients do not march in step.
 * @param {Way} way
 * @returns {Partial<import("../sync/timing.js").Timing>}
 */
export function timingOf(way) {
  const ms = way.intervalMs;
  return ms > 0 ? { pollCompany: ms, pollAlone: ms, pollIdle: ms, pollHidden: ms } : {};
}
