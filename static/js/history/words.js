/**
 * What an edit did, in words.
 * @module
 */

/** @typedef {import("./timeline.js").Change} Change */
/** @typedef {import("./timeline.js").Timeline} Timeline */

/** Longer than this it is counted and not quoted, in UTF-16 units. */
const QUOTED = 24;

/** @param {number} ms since 1970 @returns {string} to the second */
export function exactTime(ms) {
  return new Date(ms).toLocaleString([], { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
}

/** @param {string} text @param {number} length in all */
function thing(text, length) {
  if (text === "\n" && length === 1) return "a line break";
  if (text.length === length && length <= QUOTED && !/[\n\r]/.test(text)) return text.trim() === "" ? (length === 1 ? "a space" : `${length} spaces`) : `“${text}”`;
  return length === 1 ? "1 character" : `${length.toLocaleString()} characters`;
}

/** @param {Change} change @param {string} text of the page after it @returns {string} "wrote “x” and removed “y”" */
export function changeWords(change, text) {
  const { added, removed, addedLength, removedLength } = change;
  const written = added.length === 1 ? text.slice(added[0].from, Math.min(added[0].to, added[0].from + QUOTED + 1)) : "";
  const gone = removed.length === 1 ? removed[0].text : "";
  if (addedLength === 0 && removedLength === 0) return "changed nothing that can be seen";
  if (removedLength === 0) return `wrote ${thing(written, addedLength)}`;
  if (addedLength === 0) return `removed ${thing(gone, removedLength)}`;
  return `wrote ${thing(written, addedLength)} and removed ${thing(gone, removedLength)}`;
}

/** @param {Timeline} timeline @param {number} rev @param {string} did what the edit did @returns {string} for a slider: short, and complete */
export function placeWords(timeline, rev, did) {
  const of = `edit ${rev.toLocaleString()} of ${timeline.head.toLocaleString()}`;
  if (rev === 0) return `Before the first edit, ${of}`;
  const named = timeline.named.find((one) => one.rev === rev);
  return `${named ? `${named.name}, ` : ""}${timeline.author(rev).name} ${did}, ${exactTime(timeline.at[rev])}, ${of}`;
}

/** @param {number} part @param {number} whole @returns {string} "12 %"; never 0 % of something nor 100 % of less than all */
export function percent(part, whole) {
  if (whole <= 0 || part <= 0) return "0 %";
  const share = (part / whole) * 100;
  if (share < 1) return "< 1 %";
  if (part < whole && share > 99) return "> 99 %";
  return `${Math.round(share)} %`;
}
