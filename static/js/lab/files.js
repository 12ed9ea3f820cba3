/**
 * What a run leaves behind when somebody wants it to: CSV files (RFC 4180) and
 * a way to save them.
 * @module
 */

import { ROWS, exact } from "./table.js";

/** A cell that a spreadsheet takes for text, whatever it begins with. @param {string} text */
function cell(text) {
  const plain = /^[=+@\t\r-]/.test(text) && !/^-?\d/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

/** @param {string[][]} rows @returns {string} */
const csv = (rows) => rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");

/**
 * The table as the page shows it: a line for each copy.
 * @param {string[]} names @param {import("./tally.js").Figures[]} figures @param {number} measuredMs
 * @returns {string}
 */
export function figuresCsv(names, figures, measuredMs) {
  const head = ["copy", "way", "measured_ms", ...ROWS.map((row) => `${columnOf(row.key)}_${row.unit}`)];
  const lines = names.map((name, i) => [
    String(i + 1),
    name,
    String(Math.round(measuredMs)),
    ...ROWS.map((row) => exact(row, /** @type {number | null} */ (figures[i][row.key]))),
  ]);
  return csv([head, ...lines]);
}

/** @param {string} key @returns {string} "bytesPerMinute" as "bytes_per_minute" */
const columnOf = (key) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/**
 * A line for each change: when it was made, and how long it took to each screen (empty: not shown).
 * @param {string[]} names
 * @param {readonly { at: number }[]} changes
 * @param {readonly (readonly import("./tally.js").Shown[])[]} shown of each copy
 * @param {(at: number) => number} runTime ms of the run at a moment
 * @returns {string}
 */
export function changesCsv(names, changes, shown, runTime) {
  const delays = shown.map((list) => new Map(list.map((each) => [each.n, each])));
  const head = ["change", "made_ms", ...names.flatMap((name) => [`${name}: delay_ms`, `${name}: came_with_a_later_one`])];
  const lines = changes.map((change, n) => [
    String(n + 1),
    String(Math.round(runTime(change.at))),
    ...delays.flatMap((map) => {
      const each = map.get(n);
      return each ? [each.delay.toFixed(1), each.together ? "1" : "0"] : ["", ""];
    }),
  ]);
  return csv([head, ...lines]);
}

/** Has the browser save something. @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // Only after the browser has taken it over.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
