/**
 * Parts of a page fail alone: an error in one is logged once, the part is
 * switched off, and everything else goes on.
 * @module
 */

/** @type {Set<string>} */
const failed = new Set();

/**
 * Runs one part of the page.
 * @template T
 * @param {string} name what the log calls the part
 * @param {() => T} run
 * @param {() => void} [off] takes the part out of service after its failure
 * @returns {T | null} null when the part is, or has just been, switched off
 */
export function part(name, run, off) {
  if (failed.has(name)) return null;
  try {
    return run();
  } catch (error) {
    failed.add(name);
    console.error(`halley: ${name} is switched off`, error);
    try {
      off?.();
    } catch {
      // The part is off already; a second error adds nothing to the first.
    }
    return null;
  }
}
