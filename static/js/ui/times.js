/**
 * `<time datetime>` elements say how long ago it was, and `[data-since]` when somebody was here, and
 * both stay right.
 * @module
 */

import { setText } from "../lib/dom.js";
import { relativeTime, sinceTime } from "./words.js";

const EVERY_MS = 30000;

export function createTimes() {
  /** @type {any} */
  let timer = null;

  function refresh() {
    for (const time of document.querySelectorAll("time[datetime]")) {
      // Times inside the text of a page belong to its author.
      if (time.closest(".prose")) continue;
      const then = Date.parse(/** @type {HTMLTimeElement} */ (time).dateTime);
      if (!Number.isFinite(then)) continue;
      setText(time, relativeTime(then, Date.now()));
      time.setAttribute("title", new Date(then).toLocaleString());
    }
    for (const since of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-since]"))) {
      const then = Date.parse(since.dataset.since ?? "");
      if (!Number.isFinite(then)) continue;
      setText(since, sinceTime(then, Date.now()));
      since.title = new Date(then).toLocaleString();
    }
  }

  return {
    refresh,
    start() {
      if (timer !== null) return;
      refresh();
      timer = setInterval(refresh, EVERY_MS);
    },
    stop() {
      clearInterval(timer);
      timer = null;
    },
  };
}
