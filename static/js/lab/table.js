/**
 * The figures as a table: what the charts show, for everybody who cannot see
 * them, and the same numbers as the CSV has.
 * @module
 */

import { el, setText } from "../lib/dom.js";
import { rate, size, time } from "./words.js";

/** @typedef {import("./tally.js").Figures} Figures */

/**
 * @typedef {object} Row
 * @property {keyof Figures} key also the name of its column in the CSV, with the unit
 * @property {string} unit
 * @property {string} label
 * @property {(value: any) => string} words
 */

/** @type {readonly Row[]} */
export const ROWS = [
  { key: "stale", unit: "ms", label: "Behind now", words: time },
  { key: "average", unit: "ms", label: "Behind on average", words: time },
  { key: "p50", unit: "ms", label: "Edit to screen, half within", words: time },
  { key: "p95", unit: "ms", label: "Edit to screen, 95 % within", words: time },
  { key: "max", unit: "ms", label: "Edit to screen, longest", words: time },
  { key: "shown", unit: "changes", label: "Changes shown", words: String },
  { key: "missed", unit: "changes", label: "Of these never seen alone", words: String },
  { key: "requestsPerMinute", unit: "requests", label: "Requests a minute", words: rate },
  { key: "bytesPerMinute", unit: "bytes", label: "Traffic a minute", words: size },
  { key: "bytesPerChange", unit: "bytes", label: "Traffic for each change", words: size },
];

/** A figure as the table and the CSV have it: whole ms, bytes and counts, rates to a tenth. @param {Row} row @param {number | null} value */
export function exact(row, value) {
  if (value === null) return "";
  return row.unit === "requests" ? String(Math.round(value * 10) / 10) : String(Math.round(value));
}

/** @param {HTMLTableElement} table with a caption */
export function createTable(table) {
  const head = el("tr", {}, el("td", {}));
  const body = el("tbody");
  table.append(el("thead", {}, head), body);
  const rows = ROWS.map((row) => {
    const line = el("tr", { "data-key": row.key }, el("th", { scope: "row" }, row.label));
    body.append(line);
    return line;
  });

  return {
    /** @param {string[]} names @param {Figures[]} figures */
    show(names, figures) {
      while (head.children.length > names.length + 1) {
        head.lastElementChild?.remove();
        for (const line of rows) line.lastElementChild?.remove();
      }
      names.forEach((name, i) => {
        if (!head.children[i + 1]) {
          head.append(el("th", { scope: "col", class: `lab-c${i}` }, el("span", { class: "lab-key", "aria-hidden": "true" }), el("span")));
          for (const line of rows) line.append(el("td"));
        }
        setText(/** @type {Element} */ (head.children[i + 1].lastElementChild), name);
        ROWS.forEach((row, j) => {
          const cell = /** @type {HTMLElement} */ (rows[j].children[i + 1]);
          const value = /** @type {number | null} */ (figures[i][row.key]);
          const text = exact(row, value);
          if (cell.dataset.value === text) return;
          cell.dataset.value = text;
          setText(cell, row.words(value));
        });
      });
    },
  };
}
