/**
 * A reading page that attaches to what the server rendered: it touches nothing
 * that is there until something changes.
 * @module
 */

import { el } from "../lib/dom.js";
import { part } from "../lib/part.js";
import { notice } from "../ui/notice.js";
import { createBlocks } from "./blocks.js";
import { restorePage } from "./restore.js";

/** @typedef {import("../sync/live.js").Live} Live */

/**
 * @param {HTMLElement} article
 * @param {Live} live
 * @param {{ page: string, rev: number, title: string, refreshTimes: () => void, onChange?: () => void }} options `title`: the document's, as served; `onChange`: after each change of the blocks
 */
export function createReader(article, live, options) {
  const topic = `view:${options.page}`;
  const empty = document.getElementById("page-empty");
  const time = /** @type {HTMLTimeElement | null} */ (document.querySelector(".page-foot time"));
  // What follows the page's own title in the window's, such as the wiki's name.
  const suffix = / · [^·]*$/.exec(options.title)?.[0] ?? "";
  /** @type {HTMLElement | null} */
  let gone = null;
  /** @type {(() => void)[]} */
  let off = [];

  const blocks = createBlocks(article, {
    rev: options.rev,
    onChange({ rev, title, deleted, count }) {
      if (title) document.title = `${title}${suffix}`;
      if (empty) empty.hidden = count > 0;
      if (deleted !== undefined) setDeleted(deleted);
      if (rev !== Number(document.body.dataset.rev)) {
        document.body.dataset.rev = String(rev);
        footer(rev);
      }
      options.onChange?.();
    },
  });

  /** @param {number} rev */
  function footer(rev) {
    if (!time) return;
    time.dateTime = new Date().toISOString();
    options.refreshTimes();
    const shown = document.querySelector(".page-foot .page-rev");
    if (shown) shown.textContent = `Revision ${rev}`;
  }

  /** @param {boolean} deleted */
  function setDeleted(deleted) {
    document.body.classList.toggle("is-deleted", deleted);
    if (!deleted) {
      gone?.remove();
      gone = null;
      return;
    }
    if (gone) return;
    const button = el("button", { type: "button", class: "button small" }, "Restore the page");
    button.addEventListener("click", () => void restore(button));
    gone = el("div", { class: "banner banner-warn", role: "status" }, el("p", {}, "This page was deleted. Its text is kept."), button);
    document.querySelector("main")?.before(gone);
  }

  /** @param {HTMLButtonElement} button */
  async function restore(button) {
    button.disabled = true;
    try {
      await restorePage(document.body.dataset.pagePath ?? "");
      // The event says the same, where live updates are not switched off.
      setDeleted(false);
    } catch (error) {
      console.warn("halley: the page could not be restored", error);
      notice("The page could not be restored. Try again in a moment.", { kind: "error", id: "restore" });
      button.disabled = false;
    }
  }

  /** @param {import("../sync/transports.js").LiveEvent} event */
  function take(event) {
    if (event.topic !== topic) return;
    if (event.kind === "changed") {
      if (!blocks.apply(event.data)) void blocks.resync(options.page);
    } else if (event.kind === "deleted") {
      setDeleted(true);
    } else if (event.kind === "restored") {
      setDeleted(false);
      void blocks.resync(options.page);
    }
  }

  function stop() {
    for (const undo of off) undo();
    off = [];
  }

  return {
    start() {
      if (off.length > 0) return;
      off.push(
        live.on("event", (event) => part("the live text", () => take(event), stop)),
        live.on("reset", () => blocks.resync(options.page)),
        // Fetched at once; what each event says is then known already.
        live.on("crowd", (crowd) => void (crowd.topic === topic && blocks.resync(options.page))),
      );
    },
    stop,
  };
}
