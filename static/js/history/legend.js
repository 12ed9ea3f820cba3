/**
 * Who wrote a page, each with a share. A press on a name shows only what that
 * one wrote.
 * @module
 */

import { el } from "../lib/dom.js";
import { percent } from "./words.js";

/** More authors than these are counted and not named. */
const NAMED = 60;

/** One or two initials, as parts.html.j2 makes them. @param {string} name */
export function initials(name) {
  const words = name.trim().split(/\s+/);
  const of = (/** @type {string} */ word) => ([...word][0] ?? "").toUpperCase();
  return words.length > 1 ? of(words[0]) + of(words[words.length - 1]) : of(words[0]);
}

/** @param {{ name: string, colour: number }} author */
export function avatar(author) {
  return el("span", { class: `avatar c${author.colour}`, "aria-hidden": "true" }, initials(author.name));
}

/**
 * @param {HTMLElement} list
 * @param {(only: number | null) => void} onChoose
 */
export function createLegend(list, onChoose) {
  /** @type {number | null} */
  let only = null;
  let made = "";
  list.addEventListener("click", (event) => {
    const button = /** @type {Element} */ (event.target).closest("button");
    if (!button) return;
    const author = Number(button.dataset.author);
    only = only === author ? null : author;
    for (const other of list.querySelectorAll("button")) other.setAttribute("aria-pressed", String(Number(other.dataset.author) === only));
    onChoose(only);
  });

  return {
    get only() {
      return only;
    },
    /** @param {import("./timeline.js").Moment} moment */
    show(moment) {
      const { authors } = moment.timeline;
      const shares = moment.shares(0, moment.text.length);
      const all = shares.reduce((sum, { chars }) => sum + chars, 0);
      const rows = shares.slice(0, NAMED).map(({ author, chars }) => ({ author, share: percent(chars, all) }));
      // Somebody may be reading it.
      const key = JSON.stringify([rows, shares.length]);
      if (key === made) return;
      made = key;
      const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.closest("#life-authors button")?.getAttribute("data-author");
      list.replaceChildren(
        ...rows.map(({ author, share }) => {
          const who = authors[author] ?? { name: "Somebody", colour: 0 };
          const button = el("button", { type: "button", "data-author": String(author), "aria-pressed": String(only === author), title: `Show only what ${who.name} wrote` },
            avatar(who), el("span", { class: "legend-name" }, who.name), el("span", { class: "legend-share" }, share));
          return el("li", {}, button);
        }),
        ...(shares.length > NAMED ? [el("li", { class: "legend-more" }, `and ${shares.length - NAMED} more`)] : []),
      );
      if (focused !== null && focused !== undefined) /** @type {HTMLElement | null} */ (list.querySelector(`[data-author="${focused}"]`))?.focus();
    },
  };
}
