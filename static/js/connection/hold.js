/**
 * A held request that is watched: whether it lasts as long as it was asked to.
 * @module
 */

import { randomId } from "../lib/id.js";
import { ask } from "../sync/transports.js";
import { probe } from "./reach.js";

/** @typedef {import("./measured.js").Hold} Hold */
/** @typedef {import("./reach.js").Net} Net */

/** How much longer than asked a held request may take, in ms. */
const SLACK_MS = 10000;

/** Somebody may make a page meanwhile, which answers it: ask again, so often. */
const TRIES = 3;

/**
 * Asks for a request to be held, and writes down in `hold` what became of it.
 * @param {Net} net @param {Hold} hold @param {AbortSignal} signal @param {() => void} onChange
 */
export async function watchHold(net, hold, signal, onChange) {
  /** @type {string | null} */
  let cursor = null;
  for (let tries = 0; tries < TRIES && !signal.aborted; tries += 1) {
    hold.startedMs = net.now();
    const query = { base: net.base, mode: /** @type {const} */ ("hold"), cursor, topics: ["site"], client: randomId(), nonce: randomId(12), waitMs: hold.waitMs };
    const answer = await ask(net, query, { timeoutMs: hold.waitMs + SLACK_MS, post: false, etag: false, signal });
    if (signal.aborted) return;
    hold.ageMs = net.now() - hold.startedMs;
    if (!answer.ok) {
      hold.failure = answer.failure;
      if (answer.failure.kind === "nonce") hold.state = "cached";
      else {
        // Only somebody who reaches the wiki otherwise can say that it was the network that ended this.
        const beside = await probe(net, signal);
        if (signal.aborted) return;
        hold.state = "probe" in beside ? "ended" : "lost";
      }
      break;
    }
    const { batch } = answer;
    if (batch?.advice?.mode === "poll") {
      hold.state = "full";
      break;
    }
    if (hold.ageMs >= hold.waitMs * 0.9) {
      hold.state = "passed";
      break;
    }
    if (!batch || batch.events.length === 0) {
      hold.state = "early";
      break;
    }
    cursor = batch.to;
  }
  // News came each time: that they are answered is proven, how long they last is not.
  if (hold.state === "running") hold.state = "full";
  onChange();
}
