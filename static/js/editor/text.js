// Plain functions on text: no DOM, no Yjs.

/** Most bytes (UTF-8) of a page's text; the server refuses more. */
export const MAX_TEXT_BYTES = 1024 * 1024;

/** @typedef {{ at: number, remove: number, insert: string }} Edit position and length in UTF-16 units of the old text */

/**
 * FNV-1a, 32 bit, over the UTF-16 code units, low byte first: the hash of a `checked` event.
 * @param {string} text
 * @returns {string} 8 hexadecimal digits
 */
export function hashText(text) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193);
  }
  return (hash >>> 0).toString(16).padStart(8, "0");
}

/** @param {number} unit */
export const isHigh = (unit) => unit >= 0xd800 && unit <= 0xdbff;
/** @param {number} unit */
export const isLow = (unit) => unit >= 0xdc00 && unit <= 0xdfff;

/**
 * The text with every lone surrogate replaced by U+FFFD, which is what it would become in UTF-8 anyway.
 * @param {string} text
 * @returns {string} the same string when there is none
 */
export function wellFormed(text) {
  const native = /** @type {any} */ (text).toWellFormed;
  if (typeof native === "function") return native.call(text);
  return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
}

/**
 * Bytes of a text in UTF-8 (a lone surrogate counts as the three bytes of U+FFFD).
 * @param {string} text
 */
export function utf8Length(text) {
  let bytes = 0;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) bytes += 1;
    else if (unit < 0x800) bytes += 2;
    else if (isHigh(unit) && isLow(text.charCodeAt(i + 1))) {
      bytes += 4;
      i += 1;
    } else bytes += 3;
  }
  return bytes;
}

/** Line differences beyond which one replacement of the middle is taken instead. */
const MAX_DIFFERENCES = 600;

/**
 * Small edits that turn one text into another, in descending position so that they can be applied one after the
 * other. Whole lines are matched first, then each pair of differing stretches is trimmed to what differs; no edit
 * splits a surrogate pair.
 * @param {string} from
 * @param {string} to
 * @returns {Edit[]}
 */
export function diffText(from, to) {
  if (from === to) return [];
  const whole = trim(from, to, 0);
  if (whole === null) return [];
  const a = whole.removed.split(/(?<=\n)/);
  const b = whole.insert.split(/(?<=\n)/);
  const hunks = a.length > 1 && b.length > 1 ? lineHunks(a, b) : null;
  if (hunks === null) return [{ at: whole.at, remove: whole.removed.length, insert: whole.insert }];
  /** @type {Edit[]} */
  const edits = [];
  let position = whole.at;
  let line = 0;
  for (const hunk of hunks) {
    while (line < hunk.fromA) position += a[line++].length;
    const oldText = a.slice(hunk.fromA, hunk.toA).join("");
    const part = trim(oldText, b.slice(hunk.fromB, hunk.toB).join(""), position);
    if (part !== null) edits.push({ at: part.at, remove: part.removed.length, insert: part.insert });
  }
  return edits.reverse();
}

/**
 * What differs after the common beginning and end are taken away.
 * @param {string} from
 * @param {string} to
 * @param {number} offset
 * @returns {{ at: number, removed: string, insert: string } | null}
 */
function trim(from, to, offset) {
  const shorter = Math.min(from.length, to.length);
  let start = 0;
  while (start < shorter && from.charCodeAt(start) === to.charCodeAt(start)) start += 1;
  if (start > 0 && isHigh(from.charCodeAt(start - 1))) start -= 1;
  let end = 0;
  while (
    end < shorter - start &&
    from.charCodeAt(from.length - 1 - end) === to.charCodeAt(to.length - 1 - end)
  )
    end += 1;
  if (end > 0 && isLow(from.charCodeAt(from.length - end))) end -= 1;
  const removed = from.slice(start, from.length - end);
  const insert = to.slice(start, to.length - end);
  return removed === "" && insert === "" ? null : { at: offset + start, removed, insert };
}

/**
 * Differing stretches of two lists of lines: E. W. Myers, "An O(ND) Difference Algorithm" (1986), greedy form.
 * @param {string[]} a
 * @param {string[]} b
 * @returns {{ fromA: number, toA: number, fromB: number, toB: number }[] | null} null: too different
 */
function lineHunks(a, b) {
  const limit = Math.min(a.length + b.length, MAX_DIFFERENCES);
  const offset = limit + 1;
  const furthest = new Int32Array(2 * limit + 3);
  /** @type {Int32Array[]} */
  const trace = [];
  let found = -1;
  outer: for (let d = 0; d <= limit; d += 1) {
    trace.push(furthest.slice());
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && furthest[offset + k - 1] < furthest[offset + k + 1]);
      let x = down ? furthest[offset + k + 1] : furthest[offset + k - 1] + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x += 1;
      furthest[offset + k] = x;
      if (x >= a.length && x - k >= b.length) {
        found = d;
        break outer;
      }
    }
  }
  if (found < 0) return null;
  /** @type {{ fromA: number, toA: number, fromB: number, toB: number }[]} */
  const hunks = [];
  let x = a.length;
  let y = b.length;
  for (let d = found; d > 0; d -= 1) {
    const before = trace[d];
    const k = x - y;
    const down = k === -d || (k !== d && before[offset + k - 1] < before[offset + k + 1]);
    const previousK = down ? k + 1 : k - 1;
    const previousX = before[offset + previousK];
    const previousY = previousX - previousK;
    const stepX = down ? previousX : previousX + 1;
    const stepY = down ? previousY + 1 : previousY;
    const last = hunks[hunks.length - 1];
    if (last && last.fromA === stepX && last.fromB === stepY && x >= stepX) {
      last.fromA = previousX;
      last.fromB = previousY;
    } else hunks.push({ fromA: previousX, toA: stepX, fromB: previousY, toB: stepY });
    x = previousX;
    y = previousY;
  }
  return hunks.reverse();
}
