/**
 * Which of the old blocks stay when a list of blocks becomes another one.
 * Not the least possible edit, but linear, and exact where it matters: a node
 * that stays is never moved, so selection, focus and open details inside survive.
 * @module
 */

/**
 * @typedef {{ start: number, remove: number, steps: (number | null)[] }} Plan
 * `remove` old blocks from `start` give way; each step is the index of an old
 * block that stays in place, or null for the next new block, in the new order.
 */

/**
 * @param {readonly string[]} before hashes
 * @param {readonly string[]} after hashes
 * @returns {Plan} `steps` covers the new blocks between the common head and tail
 */
export function planBlocks(before, after) {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start += 1;
  let tail = 0;
  while (tail < shorter - start && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail += 1;
  const end = before.length - tail;
  /** @type {Map<string, number[]>} */
  const places = new Map();
  for (let i = start; i < end; i += 1) {
    const list = places.get(before[i]);
    if (list) list.push(i);
    else places.set(before[i], [i]);
  }
  let next = start;
  /** @type {(number | null)[]} */
  const steps = [];
  for (let i = start; i < after.length - tail; i += 1) {
    const list = places.get(after[i]);
    while (list && list.length > 0 && list[0] < next) list.shift();
    const found = list?.[0];
    if (found === undefined) {
      steps.push(null);
    } else {
      steps.push(found);
      next = found + 1;
    }
  }
  return { start, remove: end - start, steps };
}
