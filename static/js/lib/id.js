/**
 * Random names for tabs and requests.
 * @module
 */

const LETTERS = "abcdefghijklmnopqrstuvwxyz234567";

/**
 * A random id of characters [a-z2-7], five bits each.
 * @param {number} [length] characters; the default carries 100 bits
 * @returns {string}
 */
export function randomId(length = 20) {
  const bytes = crypto.getRandomValues(new Uint8Array(length));
  let id = "";
  for (const byte of bytes) id += LETTERS[byte & 31];
  return id;
}
