/**
 * A stream that is watched: when its signals come, in what pieces, and how long
 * it lives. The same requests as those of a live page.
 * @module
 */

import { randomId } from "../lib/id.js";
import { openStream } from "../sync/transports.js";

/** @typedef {import("./measured.js").Trial} Trial */
/** @typedef {import("./reach.js").Net} Net */

/**
 * @typedef {object} Watch
 * @property {Trial} trial what has been seen so far
 * @property {() => boolean} over it has ended, failed, or was not opened
 * @property {() => void} close
 * @property {(so: (trial: Trial) => boolean, ms: number) => Promise<void>} until waits until this is so, until the
 *   stream is over or closed, or so long
 */

/** Frames and pieces that are written down; a stream of events could have any number. */
const MAX_KEPT = 500;

/**
 * Opens a stream and watches it until `close`.
 * @param {Net} net @param {boolean} pad @param {AbortSignal} signal ends the watching, too
 * @param {() => void} onChange
 * @returns {Watch}
 */
export function startTrial(net, pad, signal, onChange) {
  const abort = new AbortController();
  const openedAt = net.now();
  /** @type {Trial} */
  const trial = {
    pad, ageMs: 0, headMs: null, helloMs: null, probeMs: null, nonceOk: true, frames: [], pieces: [],
    ended: null, failure: null, advice: null, encoding: null, stalled: false,
  };
  /** @type {Set<() => void>} */
  const waiting = new Set();
  const since = () => net.now() - openedAt;
  const changed = () => {
    if (!closed()) trial.ageMs = since();
    for (const look of [...waiting]) look();
    onChange();
  };
  const closed = () => abort.signal.aborted;
  const over = () => trial.ended !== null || trial.failure !== null || trial.advice !== null;
  const close = () => {
    if (closed()) return;
    if (!over()) trial.ageMs = since();
    abort.abort();
    signal.removeEventListener("abort", close);
    changed();
  };
  signal.addEventListener("abort", close);

  /** @type {typeof fetch} */
  const watched = async (input, init) => {
    const response = await net.fetch(input, init);
    trial.headMs = since();
    trial.encoding = response.headers.get("content-encoding");
    const isStream = response.ok && (response.headers.get("content-type") ?? "").startsWith("text/event-stream");
    if (!isStream || !response.body) return response;
    const counter = new TransformStream({
      transform(/** @type {Uint8Array} */ piece, out) {
        if (trial.pieces.length < MAX_KEPT) trial.pieces.push({ ms: since(), bytes: piece.byteLength });
        out.enqueue(piece);
      },
    });
    return new Response(response.body.pipeThrough(counter), { status: response.status, headers: response.headers });
  };

  const nonce = randomId(12);
  let last = 0;
  let bye = false;
  const query = { base: net.base, mode: /** @type {const} */ ("stream"), cursor: null, topics: ["site"], client: randomId(), nonce, pad, shadow: true };
  void openStream({ fetch: watched, clock: net.clock }, query, abort.signal, {
    bytes() {},
    frame(frame) {
      const ms = since();
      last = ms;
      /** @type {any} */
      let data = null;
      try {
        data = JSON.parse(frame.data);
      } catch {
        // Changed on the way: the nonce is missing then.
      }
      if (trial.frames.length < MAX_KEPT) trial.frames.push({ event: frame.event, ms, t: typeof data?.t === "number" ? data.t : null });
      if (frame.event === "hello" && trial.helloMs === null) {
        trial.helloMs = ms;
        trial.nonceOk = data?.nonce === nonce;
      } else if (frame.event === "probe" && trial.probeMs === null) {
        trial.probeMs = ms;
        if (data?.nonce !== nonce) trial.nonceOk = false;
      } else if (frame.event === "bye") bye = true;
      changed();
    },
    end() {
      const ms = since();
      trial.ended = { ms, silentMs: ms - Math.max(last, trial.headMs ?? 0), bye };
      changed();
    },
    fail(failure) {
      trial.failure = failure;
      changed();
    },
    advice(batch) {
      if (batch?.nonce !== undefined && batch.nonce !== nonce) trial.nonceOk = false;
      trial.advice = batch?.advice?.why ?? "the server has as many connections open as it may";
      changed();
    },
  });

  return {
    trial,
    over,
    close,
    until(so, ms) {
      return new Promise((resolve) => {
        const look = () => {
          if (!so(trial) && !over() && !closed()) return;
          net.clock.clearTimeout(timer);
          waiting.delete(look);
          resolve();
        };
        const timer = net.clock.setTimeout(() => {
          waiting.delete(look);
          if (!closed() && !over()) trial.ageMs = since();
          resolve();
        }, ms);
        waiting.add(look);
        look();
      });
    },
  };
}
