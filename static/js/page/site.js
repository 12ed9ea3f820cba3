/**
 * Pages that show no page of the wiki: the list of all pages brings itself up to
 * date, and an address where there was no page says when there is one.
 * @module
 */

import { parsePage } from "../lib/html.js";
import { notice } from "../ui/notice.js";

/** @typedef {import("../sync/live.js").Live} Live */

/** Several changes in a row are one look at the server, in ms. */
const GATHER_MS = 400;
/** Whoever watches what changes lately looks within this time, so that not everybody does at once, in ms. */
const SPREAD_MS = 1600;
/** A look that takes longer has failed, in ms. */
const LOOK_MS = 15000;
/** Pause after the last key in the filter, in ms. */
const TYPING_MS = 150;

/** @param {string} pathname @returns {string | null} the wiki path that an address names */
export function wikiPath(pathname) {
  if (!pathname.startsWith("/wiki/")) return null;
  try {
    return decodeURIComponent(pathname.slice("/wiki/".length));
  } catch {
    return null;
  }
}

/**
 * What in a list has the focus, so that it can be found again in the list that takes its place.
 * @param {Element} sheet
 * @returns {(sheet: Element) => void} gives it the focus, if it is still there
 */
function focused(sheet) {
  const held = document.activeElement;
  if (!(held instanceof HTMLElement) || held === document.body || !sheet.contains(held)) return () => {};
  const name = (/** @type {Element} */ element) => element.getAttribute("aria-label") ?? element.getAttribute("href") ?? element.textContent;
  const wanted = name(held);
  return (fresh) => {
    // The filter is not replaced, and keeps it.
    if (document.activeElement === held) return;
    const twin = [...fresh.querySelectorAll(held.localName)].find((element) => name(element) === wanted);
    if (twin instanceof HTMLElement) twin.focus({ preventScroll: true });
  };
}

/**
 * @param {Live} live
 * @param {() => void} changed called after the list was replaced
 */
export function createSiteWatch(live, changed) {
  /** @type {(() => void)[]} */
  let off = [];
  /** @type {any} */
  let timer = null;
  const own = wikiPath(location.pathname);
  const spread = document.querySelector('[data-list="recent"]') ? SPREAD_MS : 0;
  /** Counts the looks at the server: only the answer to the last one is shown. */
  let looks = 0;
  /** A look that was asked for by events is under way: those that come meanwhile are one more look after it. */
  let looking = false;
  let again = false;

  async function refresh() {
    const sheet = document.querySelector(".sheet");
    looks += 1;
    const look = looks;
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(LOOK_MS) });
      if (!response.ok) throw new Error(`status ${response.status}`);
      const fresh = parsePage(await response.text()).querySelector(".sheet");
      if (look !== looks) return;
      if (!sheet || !fresh) throw new Error("the list is not there");
      // The filter stays, with whatever is typed in it.
      const filter = sheet.querySelector("form.filter");
      const other = fresh.querySelector("form.filter");
      if (filter && other) other.replaceWith(document.createComment("filter"));
      const parts = [...fresh.children].map((child) => document.importNode(child, true));
      const focus = focused(sheet);
      for (const child of [...sheet.children]) if (child !== filter) child.remove();
      for (const part of parts) {
        if (filter && part.classList.contains("sheet-head")) filter.before(part);
        else sheet.append(part);
      }
      focus(sheet);
      changed();
    } catch {
      if (look !== looks) return;
      notice("The list has changed.", { id: "list", action: { label: "Refresh", run: () => location.reload() } });
    }
  }

  /** @type {any} */
  let typing = null;
  /** The filter answers while it is typed in; its button stays for those without this. @param {Event} event */
  function typed(event) {
    const field = /** @type {HTMLInputElement} */ (event.currentTarget);
    clearTimeout(typing);
    typing = setTimeout(() => {
      const query = field.value.trim();
      history.replaceState(history.state, "", query ? `/pages?q=${encodeURIComponent(query)}` : "/pages");
      const all = field.form?.querySelector('a[href="/pages"]');
      if (all instanceof HTMLElement) all.hidden = query === "";
      void refresh();
    }, TYPING_MS);
  }

  function soon() {
    if (looking) again = true;
    if (timer !== null || looking) return;
    timer = setTimeout(async () => {
      timer = null;
      looking = true;
      try {
        await refresh();
      } finally {
        looking = false;
      }
      if (again && off.length > 0) soon();
      again = false;
    }, GATHER_MS + Math.random() * spread);
  }

  /** @param {import("../sync/transports.js").LiveEvent} event */
  function take(event) {
    if (event.topic !== "site" && event.topic !== "recent") return;
    if (own !== null) {
      const here = event.data?.path === own && (event.kind === "created" || event.kind === "restored");
      if (here) notice("There is a page here now.", { id: "created", action: { label: "Open it", run: () => location.reload() } });
    } else soon();
  }

  return {
    start() {
      if (off.length > 0) return;
      const field = own === null ? document.querySelector('form.filter input[name="q"]') : null;
      field?.addEventListener("input", typed);
      off.push(() => field?.removeEventListener("input", typed));
      off.push(live.on("event", take), live.on("reset", () => (own === null ? soon() : undefined)));
      // What is marked as new may have been read in another tab.
      const seen = () => void (spread > 0 && document.visibilityState === "visible" && soon());
      document.addEventListener("visibilitychange", seen);
      off.push(() => document.removeEventListener("visibilitychange", seen));
    },
    stop() {
      for (const undo of off) undo();
      off = [];
      clearTimeout(timer);
      clearTimeout(typing);
      timer = null;
    },
  };
}
