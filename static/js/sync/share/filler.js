/**
 * A tab's own polls: they fill what lies between what it knows and what the
 * shared connection carries, and stand in while nothing does.
 * @module
 */

import { randomId } from "../../lib/id.js";
import { isRefusal } from "../states.js";
import { ask } from "../transports.js";

/** Least distance of two polls, and the longest pause after failures, in ms. */
const GAP = 250;
const SELDOM = 15000;

/**
 * @param {object} options
 * @param {import("../transports.js").Net} options.net
 * @param {import("../timing.js").Timing} options.timing
 * @param {string} options.base
 * @param {import("../intake.js").Intake} options.intake
 * @param {readonly string[]} options.topics
 * @param {(whole: boolean, advice: import("../ladder.js").Advice) => void} options.onReached `whole`: nothing that was missing when it was asked for is missing any more
 * @param {() => void} options.onFailed nothing of the server's came back
 * @param {() => void} options.onRefused the server gives these topics no news
 */
export function createFiller(options) {
  const { net, intake, topics, base } = options;
  const { clock } = net;
  // Not the tab's own: the server takes a poll for a sign that its tab polls.
  const client = randomId();
  let post = false;
  let failures = 0;
  /** The server wants no poll before then. */
  let notBefore = 0;
  let askedAt = -Infinity;
  let again = false;
  /** @type {AbortController | null} */
  let abort = null;
  /** @type {any} */
  let timer = null;

  async function poll() {
    const own = new AbortController();
    abort = own;
    again = false;
    askedAt = clock.now();
    const from = { pos: intake.cursor, abort: own };
    const query = { base, mode: /** @type {const} */ ("poll"), cursor: from.pos, topics, client, nonce: randomId() };
    const answer = await ask(net, query, { timeoutMs: options.timing.pollTimeout, post, etag: failures === 0, signal: own.signal });
    if (own.signal.aborted) return;
    if (answer.ok) {
      if (answer.batch) await intake.take(answer.batch, from);
      if (own.signal.aborted) return;
      abort = null;
      failures = 0;
      const whole = !answer.batch?.more && !again;
      options.onReached(whole, answer.batch?.advice);
      if (!whole) fill();
      return;
    }
    abort = null;
    const { kind, status, retryAfterMs = 0 } = answer.failure;
    failures += 1;
    notBefore = clock.now() + retryAfterMs;
    if (kind === "nonce") post = true;
    if (kind === "status" && status === 400) intake.forget();
    else if (kind === "status" && isRefusal(status)) return options.onRefused();
    else if (kind === "network" || kind === "timeout") options.onFailed();
    plan(Math.max(retryAfterMs, Math.min(SELDOM, GAP * 2 ** Math.min(failures, 8))));
  }

  /** @param {number} ms */
  function plan(ms) {
    timer ??= clock.setTimeout(() => {
      timer = null;
      void poll();
    }, ms);
  }

  /** Asks for what is missing, soon. */
  function fill() {
    if (abort) again = true;
    else if (timer === null) {
      const wait = Math.max(askedAt + GAP, notBefore) - clock.now();
      if (wait > 0) plan(wait);
      else void poll();
    }
  }

  return {
    fill,
    /** The network is back: what a failed poll was for is not put off any more, unless the server asked for it. */
    resume() {
      if (failures === 0) return;
      failures = 0;
      clock.clearTimeout(timer);
      timer = null;
      // What the failed poll was for may still be missing.
      fill();
    },
    stop() {
      abort?.abort();
      abort = null;
      again = false;
      notBefore = 0;
      clock.clearTimeout(timer);
      timer = null;
    },
  };
}
