/**
 * Who wrote each block of a page that is read, in its margin. Off until somebody
 * asks for it; the choice is kept in this browser.
 *
 * Blocks say how many lines of the source they are, so each is a piece of the
 * text at the very revision that is shown, and its authors are those of that
 * piece's characters. A life that is older than the blocks says nothing.
 * @module
 */

import { createFollower, createSource } from "../history/source.js";
import { exactTime, percent } from "../history/words.js";
import { el } from "../lib/dom.js";
import { part } from "../lib/part.js";
import { notice } from "../ui/notice.js";
import { relativeTime } from "../ui/words.js";

/** Times that say how long ago it was are put right so often, in ms. */
const TIMES_MS = 60_000;
/** Of more authors of one block than these only the number is said. */
const NAMED = 4;

/**
 * Where each block is in the source.
 * @param {string} text @param {readonly number[]} lines how many lines each block has
 * @returns {{ from: number, to: number }[]}
 */
export function blockRanges(text, lines) {
  let at = 0;
  return lines.map((count) => {
    const from = at;
    for (let i = 0; i < count && at < text.length; i += 1) {
      const end = text.indexOf("\n", at);
      at = end < 0 ? text.length : end + 1;
    }
    return { from, to: at };
  });
}

/** Lines as the server counts them: what stands behind the last line break is one if there is anything. @param {string} text */
export function countLines(text) {
  let count = 0;
  for (let at = 0; at < text.length; count += 1) {
    const end = text.indexOf("\n", at);
    at = end < 0 ? text.length : end + 1;
  }
  return count;
}

/** Whether somebody wants it in this browser. @param {"halley-authors" | "halley-authors-editing"} key */
export function createChoice(key) {
  return {
    get() {
      try {
        return localStorage.getItem(key) === "yes";
      } catch {
        return false;
      }
    },
    /** @param {boolean} yes */
    set(yes) {
      try {
        if (yes) localStorage.setItem(key, "yes");
        else localStorage.removeItem(key);
      } catch {
        // A browser that keeps nothing shows it until the page is left.
      }
    },
  };
}

/** @typedef {import("../history/timeline.js").Moment} Moment */

/**
 * @param {ReturnType<Moment["shares"]>} shares @param {Moment} moment @param {boolean} same as the block before
 */
function note(shares, moment, same) {
  const now = Date.now();
  const { authors } = moment.timeline;
  const all = shares.reduce((sum, { chars }) => sum + chars, 0);
  const names = shares.slice(0, NAMED).map(({ author, chars, at }) => {
    const who = authors[author] ?? { name: "Somebody", colour: 0 };
    const share = shares.length > 1 ? `, ${percent(chars, all)} of this` : "";
    return el("span", { class: `block-author c${who.colour}`, title: `${who.name}${share}, last on ${exactTime(at)}` }, el("b", {}, who.name), ` ${relativeTime(at, now)}`);
  });
  const more = shares.length - NAMED;
  if (more > 0) names.push(el("span", { class: "block-author" }, `and ${more} more`));
  const bar = el("span", { class: "block-bar", "aria-hidden": "true" }, ...shares.map(({ author, chars }) => {
    const share = el("span", { class: `c${authors[author]?.colour ?? 0}` });
    share.style.setProperty("--share", String(chars));
    return share;
  }));
  return [bar, el("p", { class: `block-authors${same ? " same" : ""}`, lang: "en" }, el("span", { class: "visually-hidden" }, "Written by "), ...names)];
}

/**
 * @param {HTMLElement} article
 * @param {HTMLButtonElement} button of the page's menu
 * @param {string} page its number
 */
export function createAuthors(article, button, page) {
  const choice = createChoice("halley-authors");
  /** @type {ReturnType<typeof createSource> | null} */
  let source = null;
  /** @type {ReturnType<typeof createFollower> | null} */
  let follower = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let times;
  let on = false;

  const rev = () => Number(document.body.dataset.rev ?? 0);

  function clear() {
    for (const one of article.querySelectorAll(":scope > .block > :is(.block-bar, .block-authors)")) one.remove();
  }

  function show() {
    const timeline = source?.timeline;
    if (!on || !timeline) return;
    if (timeline.head < rev()) {
      follower?.news();
      return;
    }
    const moment = timeline.seek(rev());
    const blocks = /** @type {HTMLElement[]} */ ([...article.children].filter((child) => child.classList.contains("block")));
    const ranges = blockRanges(moment.text, blocks.map((block) => Number(block.dataset.lines) || 0));
    // Blocks of another text than this: say nothing rather than something wrong.
    if (blocks.reduce((sum, block) => sum + (Number(block.dataset.lines) || 0), 0) !== countLines(moment.text)) {
      clear();
      return;
    }
    let before = "";
    blocks.forEach((block, i) => {
      const shares = moment.shares(ranges[i].from, ranges[i].to);
      const key = shares.map(({ author, at }) => `${author}:${relativeTime(at, Date.now())}`).join();
      for (const old of block.querySelectorAll(":scope > :is(.block-bar, .block-authors)")) old.remove();
      if (shares.length > 0) block.append(...note(shares, moment, key === before));
      before = key;
    });
  }

  /** @param {boolean} yes */
  function set(yes) {
    on = yes;
    button.setAttribute("aria-pressed", String(yes));
    document.body.classList.toggle("authors", yes);
    clearInterval(times);
    if (!yes) {
      follower?.stop();
      follower = null;
      clear();
      return;
    }
    const from = (source ??= createSource(page));
    follower = createFollower(from, () => part("who wrote what", show, () => set(false)));
    times = setInterval(show, TIMES_MS);
    from.load().then(
      () => part("who wrote what", show, () => set(false)),
      (error) => {
        console.warn("halley: who wrote what could not be fetched", error);
        if (on) notice("Who wrote what could not be fetched. It is tried again.", { kind: "warn", id: "authors" });
        follower?.news();
      },
    );
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    choice.set(!on);
    set(!on);
  });
  if (choice.get()) set(true);
  return {
    /** The blocks have changed. */
    changed: () => part("who wrote what", show, () => set(false)),
    stop: () => set(false),
  };
}
