/**
 * Figures as people read them. A figure that is not there is a dash.
 * @module
 */

export const NONE = "–";

/** @param {number | null} ms @returns {string} "64 ms", "2.51 s", "12.3 s" */
export function time(ms) {
  if (ms === null) return NONE;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9995) return `${(ms / 1000).toFixed(2)} s`;
  return `${(ms / 1000).toFixed(1)} s`;
}

/** @param {number | null} bytes @returns {string} "812 B", "12.4 KB"; 1 KB is 1,000 bytes */
export function size(bytes) {
  if (bytes === null) return NONE;
  if (bytes < 999.5) return `${Math.round(bytes)} B`;
  if (bytes < 99950) return `${(bytes / 1000).toFixed(1)} KB`;
  if (bytes < 999500) return `${Math.round(bytes / 1000)} KB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** @param {number | null} count @returns {string} "0", "0.4", "12.1", "532" */
export function rate(count) {
  if (count === null) return NONE;
  return count < 100 && !Number.isInteger(count) ? count.toFixed(1) : String(Math.round(count));
}

/** @param {number} ms @returns {string} "0:34" */
export function clock(ms) {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** @param {number} count @param {string} one @param {string} many @returns {string} */
export function plural(count, one, many) {
  return `${count} ${count === 1 ? one : many}`;
}
