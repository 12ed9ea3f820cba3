/**
 * The rendered blocks of a page, changed in place. Used by the reading page and
 * by the editor's preview.
 *
 * Invariant: the children `.block` of the article are the list of blocks at
 * revision `rev`. A change that does not fit that list is refused, and the whole
 * list is fetched again; blocks that are the same stay the same elements.
 * @module
 */

import { setBlockHtml } from "../lib/html.js";
import { createAnchor } from "./anchor.js";
import { planBlocks } from "./diff.js";

/** @typedef {{ hash: string, lines: number, html: string }} Block */
/** @typedef {{ was?: number, rev?: number, last?: boolean, start: number, end: number, total: number, blocks: Block[], title?: string }} Change */
/** @typedef {{ cursor: string, rev: number, title: string, blocks: Block[], deleted: boolean }} View */

/** Longer than the glow itself, for engines that do not report its end. */
const GLOW_MS = 2000;
const RESYNC_TRIES = 3;
const RESYNC_AGAIN_MS = 5000;

/**
 * @typedef {object} BlocksOptions
 * @property {number} [rev] revision of the blocks that are there
 * @property {boolean} [keepPosition] hold the reader's place; default true
 * @property {boolean | (() => boolean)} [glow] mark what changed; asked at each change; default true
 * @property {string} [base]
 * @property {typeof fetch} [fetch]
 * @property {(ms: number) => Promise<void>} [pause] for tests
 * @property {(news: { rev: number, title?: string, deleted?: boolean, count: number }) => void} [onChange] after each change
 */

/** @param {HTMLElement} article @param {BlocksOptions} [options] */
export function createBlocks(article, options = {}) {
  const request = options.fetch ?? ((/** @type {any} */ input, /** @type {any} */ init) => globalThis.fetch(input, init));
  const pause = options.pause ?? ((ms) => new Promise((done) => setTimeout(done, ms)));
  const anchor = options.keepPosition === false ? null : createAnchor(article);
  let rev = options.rev ?? 0;
  /** @type {Promise<boolean> | null} */
  let syncing = null;
  /** @type {Change[]} */
  let waiting = [];

  /** @returns {HTMLElement[]} */
  function list() {
    return /** @type {HTMLElement[]} */ ([...article.children].filter((child) => child.classList.contains("block")));
  }

  function calm() {
    const { glow = true } = options;
    const wanted = typeof glow === "function" ? glow() : glow;
    return !wanted || globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches;
  }

  /** @param {Block} block @param {boolean} glow @returns {HTMLElement} */
  function make(block, glow) {
    const made = document.createElement("div");
    made.className = "block";
    made.dataset.hash = String(block.hash);
    made.dataset.lines = String(block.lines);
    setBlockHtml(made, block.html);
    if (glow) {
      made.classList.add("changed");
      const done = () => made.classList.remove("changed");
      made.addEventListener("animationend", done, { once: true });
      setTimeout(done, GLOW_MS);
    }
    return made;
  }

  /**
   * Makes old blocks `start..end` into `blocks`, keeping those that are the same.
   * @param {HTMLElement[]} old @param {number} start @param {number} end @param {Block[]} blocks
   */
  function replace(old, start, end, blocks) {
    const before = old.slice(start, end).map((node) => node.dataset.hash ?? "");
    const plan = planBlocks(before, blocks.map((block) => String(block.hash)));
    const kept = new Set(plan.steps.filter((step) => step !== null).map((step) => start + /** @type {number} */ (step)));
    const goes = old.filter((_, i) => i >= start + plan.start && i < start + plan.start + plan.remove && !kept.has(i));
    const leaves = new Set(goes);
    const restore = anchor?.hold(old.filter((node) => !leaves.has(node)));
    const known = new Set(before);
    const glow = !calm();
    /** @type {Node | null} where the next new block goes: before this */
    const after = old[start + plan.start + plan.remove] ?? null;
    // Lines of a block that stays may have moved without its HTML changing.
    let step = 0;
    for (const wanted of plan.steps) {
      const block = blocks[plan.start + step];
      step += 1;
      if (wanted !== null) {
        old[start + wanted].dataset.lines = String(block.lines);
        continue;
      }
      const next = plan.steps.slice(step).find((later) => later !== null);
      const before = next !== undefined && next !== null ? old[start + next] : after;
      article.insertBefore(make(block, glow && !known.has(String(block.hash))), before);
    }
    for (const node of goes) node.remove();
    for (let i = 0; i < plan.start; i += 1) old[start + i].dataset.lines = String(blocks[i].lines);
    for (let i = plan.start + plan.steps.length; i < blocks.length; i += 1) {
      old[end - (blocks.length - i)].dataset.lines = String(blocks[i].lines);
    }
    restore?.();
  }

  /** @param {Change} change @returns {boolean} */
  function fits(change, /** @type {number} */ length) {
    const { start, end, total, blocks } = change;
    return Array.isArray(blocks) && Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start <= end &&
      end <= length && length - (end - start) + blocks.length === total;
  }

  /** @param {Change} change @returns {boolean} */
  function applyNow(change) {
    const next = change.rev ?? rev;
    const from = change.was ?? rev;
    // The same revision may be rendered twice, when a page that it links to came or went.
    if (next < rev || (next === rev && from < rev)) return true;
    if (from > rev) return false;
    const old = list();
    if (!fits(change, old.length)) return false;
    replace(old, change.start, change.end, change.blocks);
    // One revision may come in several runs.
    if (change.last !== false) rev = next;
    options.onChange?.({ rev, title: change.title, count: change.total });
    return true;
  }

  /** @param {string | number} page @returns {Promise<View | "gone" | null>} null: try again */
  async function fetchView(page) {
    try {
      const response = await request(`${options.base ?? "/_live"}/pages/${page}/view`, {
        headers: { Accept: "application/json" }, cache: "no-store", credentials: "same-origin", redirect: "manual",
      });
      if (response.status === 404 || response.status === 410) return "gone";
      if (!response.ok) return null;
      const view = await response.json();
      return view && Array.isArray(view.blocks) ? view : null;
    } catch {
      return null;
    }
  }

  /** @param {string | number} page @returns {Promise<boolean>} */
  async function syncOnce(page) {
    const view = await fetchView(page);
    if (view === null) return false;
    if (view === "gone") {
      waiting = [];
      options.onChange?.({ rev, deleted: true, count: list().length });
      return true;
    }
    rev = view.rev;
    const old = list();
    replace(old, 0, old.length, view.blocks);
    options.onChange?.({ rev, title: view.title, deleted: view.deleted, count: view.blocks.length });
    const later = waiting;
    waiting = [];
    for (const change of later) if (!applyNow(change)) return false;
    return true;
  }

  /** @param {string | number} page @returns {Promise<boolean>} */
  async function sync(page) {
    for (let tries = 0; tries < RESYNC_TRIES; tries += 1) {
      if (await syncOnce(page)) return true;
      await pause(300 * 2 ** tries);
    }
    return false;
  }

  /**
   * Fetches the blocks and takes over what differs. Changes that come meanwhile
   * are kept and applied after. When the server cannot be reached the promise is
   * false and the attempt goes on in the background.
   * @param {string | number} page
   * @returns {Promise<boolean>}
   */
  function resync(page) {
    if (syncing) return syncing;
    syncing = sync(page).then((done) => {
      syncing = null;
      if (!done) pause(RESYNC_AGAIN_MS).then(() => resync(page));
      return done;
    });
    return syncing;
  }

  return {
    get rev() {
      return rev;
    },
    /**
     * Applies one `changed` event.
     * @param {Change} change
     * @returns {boolean} false: it does not fit, resynchronise
     */
    apply(change) {
      if (syncing) {
        waiting.push(change);
        return true;
      }
      return applyNow(change);
    },
    /** Makes the article these blocks. @param {Block[]} blocks @param {number} [revision] */
    replaceAll(blocks, revision) {
      const old = list();
      replace(old, 0, old.length, blocks);
      if (revision !== undefined) rev = revision;
      options.onChange?.({ rev, count: blocks.length });
    },
    resync,
  };
}
