/**
 * Where a page's timeline comes from: fetched once, and again only when there is something new.
 * @module
 */

import { addressOf, question } from "./early.js";
import { Timeline } from "./timeline.js";

/** News that come in a row are one look, in ms. */
const GATHER_MS = 1000;
/** A look that takes long is made less often: so many times its own length apart. */
const REST = 5;
/** After a failure, in ms. */
const AGAIN_MS = 10_000;

/**
 * @param {string | number} page its number
 * @param {{ fetch?: typeof fetch, first?: Promise<Response> | null }} [options] `first`: the answer to what was asked
 *   before
 */
export function createSource(page, options = {}) {
  const request = options.fetch ?? ((/** @type {any} */ input, /** @type {any} */ init) => globalThis.fetch(input, init));
  let { first = null } = options;
  let tag = "";
  /** @type {Timeline | null} */
  let known = null;
  /** @type {Promise<Timeline> | null} */
  let looking = null;
  let tookMs = 0;

  async function look() {
    const begun = performance.now();
    const early = first;
    first = null;
    const response = await (early ?? request(...question(addressOf(String(page)), known ? tag : "")));
    if (response.status === 304 && known) return known;
    if (!response.ok) throw new Error(`the timeline was answered with ${response.status}`);
    const made = new Timeline(await response.json());
    tag = response.headers.get("ETag") ?? "";
    tookMs = performance.now() - begun;
    // An answer that was overtaken (by a proxy's copy, say) takes nothing back.
    if (!known || made.head >= known.head) known = made;
    return known;
  }

  return {
    /** The newest that was fetched. */
    get timeline() {
      return known;
    },
    /** How long to wait before the next look, in ms. */
    get restMs() {
      return Math.max(GATHER_MS, REST * tookMs);
    },
    /**
     * Looks now, unless somebody is looking already.
     * @returns {Promise<Timeline>}
     */
    load() {
      looking ??= look().finally(() => {
        looking = null;
      });
      return looking;
    },
  };
}

/**
 * Looks again a while after it is told of news, however many.
 * @param {ReturnType<typeof createSource>} source
 * @param {(timeline: Timeline) => void} onNews called after each look
 */
export function createFollower(source, onNews) {
  /** @type {ReturnType<typeof setTimeout> | null} */
  let timer = null;
  let stopped = false;
  let looking = false;
  let again = false;

  /** @param {number} ms */
  function later(ms) {
    if (stopped) return;
    if (looking) again = true;
    else timer ??= setTimeout(look, ms);
  }

  async function look() {
    timer = null;
    looking = true;
    let rest = source.restMs;
    try {
      const timeline = await source.load();
      if (!stopped) onNews(timeline);
    } catch (error) {
      console.info("halley: the timeline could not be fetched; it is tried again", error);
      again = true;
      rest = AGAIN_MS;
    }
    looking = false;
    if (again) {
      again = false;
      later(Math.max(rest, source.restMs));
    }
  }

  return {
    /** There is something new. */
    news: () => later(source.restMs),
    stop() {
      stopped = true;
      if (timer !== null) clearTimeout(timer);
    },
  };
}
