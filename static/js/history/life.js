/**
 * What the two pages made from a timeline have in common: it is fetched, with
 * words for the wait and for failing, and news of the page are heard.
 * @module
 */

import { part } from "../lib/part.js";
import { createYou } from "../presence/you.js";
import { createLive } from "../sync/live.js";
import { createStatus } from "../ui/status.js";
import { takeEarly } from "./early.js";
import { createSource } from "./source.js";

/** Words for a wait that is shorter would only flicker, in ms. */
const WAIT_MS = 300;

/**
 * @typedef {object} Life
 * @property {string} page its number
 * @property {string} url its path, as it stands in addresses
 * @property {string | null} nonce
 * @property {number | null} wanted the revision in the address
 * @property {ReturnType<typeof createSource>} source
 * @property {(heard: () => void) => void} onNews somebody has written
 */

/**
 * An element of the template; a template of one's own without it is a fault that is said.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [kind]
 * @returns {T}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!found || (kind && !(found instanceof kind))) throw new Error(`#${id} is not in the page`);
  return /** @type {T} */ (found);
}

/** @param {(life: Life) => void} attach */
export function attachLife(attach) {
  const { pageId = "", pathUrl = "", cursor } = document.body.dataset;
  const at = new URLSearchParams(location.search).get("at");
  const live = createLive({ topics: [`doc:${pageId}`, "site"], cursor });
  part("the status line", () => createStatus(byId("live-status"), live).start());
  part("your name", () => {
    const link = document.getElementById("you");
    if (link) createYou(link, live, document.body.dataset.you);
  });
  /** @type {() => void} */
  let heard = () => {};
  live.on("event", ({ topic, kind }) => void (topic === `doc:${pageId}` && kind === "updated" && heard()));
  live.on("reset", () => heard());
  live.on("crowd", ({ topic }) => void (topic === `doc:${pageId}` && heard()));
  attach({
    page: pageId,
    url: pathUrl,
    nonce: document.querySelector('meta[name="csp-nonce"]')?.getAttribute("content") || null,
    wanted: at !== null && /^\d{1,15}$/.test(at) ? Number(at) : null,
    source: createSource(pageId, { first: takeEarly(pageId) }),
    onNews(listener) {
      heard = listener;
    },
  });
  live.start();
}

/**
 * Fetches the timeline, and begins once it is there.
 * @param {Life} life @param {(life: Life) => void} begin
 */
export function loadLife(life, begin) {
  const wait = byId("life-wait");
  const failed = byId("life-failed");
  async function load() {
    failed.hidden = true;
    const timer = setTimeout(() => (wait.hidden = false), WAIT_MS);
    try {
      await life.source.load();
      byId("life").hidden = false;
      begin(life);
    } catch (error) {
      console.warn("halley: the timeline could not be shown", error);
      byId("life").hidden = true;
      failed.hidden = false;
    } finally {
      clearTimeout(timer);
      wait.hidden = true;
    }
  }
  byId("life-again").addEventListener("click", () => void load());
  void load();
}
