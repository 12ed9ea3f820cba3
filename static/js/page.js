/**
 * Entry of every page but the editor. The page is complete before this runs;
 * what follows attaches to it part by part, and a part that fails is switched
 * off alone.
 * @module
 */

import { part } from "./lib/part.js";
import { createAuthors } from "./page/authors.js";
import { createReader } from "./page/reader.js";
import { createSiteWatch } from "./page/site.js";
import { createNews, createWatch } from "./page/visit.js";
import { createHere } from "./presence/here.js";
import { createYou } from "./presence/you.js";
import { createLive } from "./sync/live.js";
import { closeMenus } from "./ui/menu.js";
import { createStatus } from "./ui/status.js";
import { createThemeChoice } from "./ui/theme.js";
import { createTimes } from "./ui/times.js";

/** @typedef {import("./sync/live.js").Live} Live */

/** @param {Live} live */
function showStatus(live) {
  const root = document.getElementById("live-status");
  if (root) part("the status line", () => createStatus(root, live).start());
}

/** Keeps the name in the header that of the server. @param {Live} live */
function showName(live) {
  const link = document.getElementById("you");
  if (link) part("your name", () => createYou(link, live, document.body.dataset.you));
}

/** @param {ReturnType<typeof createTimes>} times */
function attachReader(times) {
  const { pageId, rev, cursor } = document.body.dataset;
  const article = document.getElementById("page");
  if (!pageId || !article) return;
  const live = createLive({ topics: [`view:${pageId}`, `here:${pageId}`, "site"], cursor });
  showStatus(live);
  showName(live);
  part("the list of people", () => {
    const root = document.getElementById("here");
    if (root) createHere(root, document.getElementById("here-count"), live, `here:${pageId}`).start();
  });
  const authors = part("who wrote what", () => {
    const button = document.getElementById("authors-toggle");
    return button instanceof HTMLButtonElement ? createAuthors(article, button, pageId) : null;
  });
  part("the live text", () => {
    const options = { page: pageId, rev: Number(rev ?? 0), title: document.title, refreshTimes: () => times.refresh(), onChange: () => authors?.changed() };
    createReader(article, live, options).start();
  });
  part("what is new", () => {
    const line = document.getElementById("news");
    if (line) createNews(line);
  });
  part("watching", () => {
    const form = document.getElementById("watch");
    if (form instanceof HTMLFormElement) createWatch(form);
  });
  live.beat({ page: /^\d{1,15}$/.test(pageId) ? Number(pageId) : pageId, mode: "reading", caret: null });
  live.start();
}

/** @param {ReturnType<typeof createTimes>} times */
function attachSite(times) {
  const { list } = /** @type {HTMLElement | null} */ (document.querySelector("[data-list]"))?.dataset ?? {};
  const wanted = list ? list === "recent" : document.querySelector(".page-list, .nothing") || location.pathname.startsWith("/wiki/");
  // An old revision is one fixed text; nothing about it is live.
  if (!wanted || document.getElementById("page")) return;
  const live = createLive({ topics: list ? ["recent", "site"] : ["site"], cursor: document.body.dataset.cursor });
  showStatus(live);
  part("the list of pages", () => createSiteWatch(live, () => times.refresh()).start());
  live.start();
}

/** The browser puts the caret before what a field was filled with: whoever goes on writes behind it, or instead of it. */
function placeCaret() {
  const field = /** @type {HTMLInputElement | null} */ (document.querySelector("input[autofocus]"));
  if (!field || field.value !== field.defaultValue) return;
  // The browser may not have come to it yet; somebody else's focus is left alone.
  if (document.activeElement === document.body) field.focus();
  if (document.activeElement !== field) return;
  if (field.name === "name") field.select();
  else field.setSelectionRange(field.value.length, field.value.length);
}

function attach() {
  const times = createTimes();
  part("the times", () => times.start());
  part("the menus", () => closeMenus());
  part("the form", () => placeCaret());
  part("light and dark", () => {
    const root = document.getElementById("theme");
    if (root) createThemeChoice(root);
  });
  part("the live connection", () => (document.body.dataset.pageId ? attachReader(times) : attachSite(times)));
}

if (document.readyState === "complete") attach();
else addEventListener("load", attach, { once: true });
