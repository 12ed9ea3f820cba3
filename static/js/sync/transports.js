/**
 * The three ways to read, as plain requests with callbacks. None of them knows
 * the ladder: each reports what came, and when, and how it ended.
 * @module
 */

import { setDeadline } from "./clock.js";
import { createSseParser } from "./sse.js";
import { isRefusal } from "./states.js";

/** @typedef {import("./clock.js").Clock} Clock */
/** @typedef {{ seq?: number, topic: string, kind: string, data: any }} LiveEvent `seq`: its own position in the log */
/** @typedef {{ from: string | null, to: string, events: LiveEvent[], more?: boolean, reset?: boolean, nonce?: string, advice?: import("./ladder.js").Advice }} Batch */
/** @typedef {{ kind: import("./ladder.js").FailKind, status?: number, retryAfterMs?: number }} Failure */
/** @typedef {{ ok: true, batch: Batch | null } | { ok: false, failure: Failure }} Answer */
/** @typedef {{ fetch: typeof fetch, clock: Clock }} Net */
/** @typedef {{ base: string, mode: "stream"|"hold"|"poll", cursor: string | null, topics: readonly string[], client: string, nonce: string, waitMs?: number, pad?: boolean, shadow?: boolean }} Query */

/**
 * The address of a read. Cursors, topics and ids need no escaping.
 * @param {Query} query
 * @returns {string}
 */
export function eventsUrl(query) {
  let url = `${query.base}/events?mode=${query.mode}`;
  if (query.cursor) url += `&cursor=${query.cursor}`;
  url += `&topics=${query.topics.join(",")}&client=${query.client}&nonce=${query.nonce}`;
  if (query.waitMs !== undefined) url += `&wait=${Math.max(1, Math.round(query.waitMs / 1000))}`;
  if (query.pad) url += "&pad=1";
  if (query.shadow) url += "&shadow=1";
  return url;
}

/**
 * The pause an answer asks for (RFC 9110 section 10.2.3), in ms; at most ten minutes.
 * @param {Response} response @param {number} now
 * @returns {number | undefined}
 */
export function retryAfterMs(response, now) {
  const value = response.headers.get("retry-after");
  if (!value) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isFinite(ms) && ms > 0 ? Math.min(ms, 600000) : undefined;
}

/** @param {Response} response @returns {string} media type, lower case, without parameters */
function mediaType(response) {
  return (response.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
}

/**
 * What an answer that is not news means. A redirect or an HTML page where our
 * own format was asked for comes from a network that wants a sign-in, or that
 * filters: our own refusals are JSON.
 * @param {Response} response @param {number} now
 * @returns {Failure}
 */
function refusal(response, now) {
  if (response.type === "opaqueredirect" || response.status === 511 || (response.status >= 300 && response.status < 400)) {
    return { kind: "type", status: response.status };
  }
  const foreign = isRefusal(response.status) && mediaType(response) === "text/html";
  if (response.ok || foreign) return { kind: "type", status: response.status };
  return { kind: "status", status: response.status, retryAfterMs: retryAfterMs(response, now) };
}

/**
 * One poll or held request. Never throws.
 * @param {Net} net
 * @param {Query} query
 * @param {{ timeoutMs: number, post: boolean, etag: boolean, signal: AbortSignal }} options `etag`: an unchanged answer may be a 304
 * @returns {Promise<Answer>} a batch of null: nothing is new
 */
export async function ask(net, query, options) {
  const abort = new AbortController();
  let late = false;
  const answered = setDeadline(net.clock, () => {
    late = true;
    abort.abort();
  }, options.timeoutMs);
  const stop = () => abort.abort();
  options.signal.addEventListener("abort", stop);
  try {
    /** @type {Record<string, string>} */
    const headers = { Accept: "application/json" };
    if (options.etag && query.cursor && !options.post) headers["If-None-Match"] = `"${query.cursor}"`;
    const response = await net.fetch(eventsUrl(query), {
      method: options.post ? "POST" : "GET",
      headers,
      cache: "no-store",
      credentials: "same-origin",
      redirect: "manual",
      signal: abort.signal,
    });
    if (response.status === 304) return { ok: true, batch: null };
    if (!response.ok || mediaType(response) !== "application/json") {
      response.body?.cancel().catch(() => {});
      return { ok: false, failure: refusal(response, net.clock.now()) };
    }
    /** @type {Batch} */
    const batch = await response.json();
    if (!batch || typeof batch.to !== "string" || !Array.isArray(batch.events)) return { ok: false, failure: { kind: "type", status: 200 } };
    if (batch.nonce !== undefined && batch.nonce !== query.nonce) return { ok: false, failure: { kind: "nonce" } };
    return { ok: true, batch };
  } catch (error) {
    // A body that is not JSON under a JSON type was cut or rewritten on the way.
    return { ok: false, failure: { kind: late ? "timeout" : "network" } };
  } finally {
    answered();
    options.signal.removeEventListener("abort", stop);
  }
}

/**
 * @typedef {object} StreamHandlers
 * @property {(frame: import("./sse.js").Frame, read: number) => void} frame `read` numbers the reads of the body
 * @property {() => void} bytes before the frames of a read
 * @property {() => void} end the body ended
 * @property {(failure: Failure) => void} fail it never was a stream, or it broke
 * @property {(batch: Batch) => void} advice the server answered with JSON instead: too many streams
 */

/**
 * Opens a stream. The handlers are not called any more once `signal` is aborted.
 * @param {Net} net
 * @param {Query} query
 * @param {AbortSignal} signal
 * @param {StreamHandlers} on
 */
export async function openStream(net, query, signal, on) {
  let began = false;
  try {
    const response = await net.fetch(eventsUrl(query), {
      headers: { Accept: "text/event-stream" },
      cache: "no-store",
      credentials: "same-origin",
      redirect: "manual",
      signal,
    });
    if (signal.aborted) return;
    const type = mediaType(response);
    if (response.ok && type === "application/json") {
      const batch = await response.json();
      if (!signal.aborted) on.advice(batch);
      return;
    }
    if (!response.ok || type !== "text/event-stream" || !response.body) {
      response.body?.cancel().catch(() => {});
      on.fail(refusal(response, net.clock.now()));
      return;
    }
    began = true;
    const reader = response.body.getReader();
    let reads = 0;
    const parser = createSseParser((frame) => {
      if (!signal.aborted) on.frame(frame, reads);
    });
    for (;;) {
      const { done, value } = await reader.read();
      if (signal.aborted) return;
      if (done) break;
      reads += 1;
      on.bytes();
      parser.push(value);
    }
    on.end();
  } catch {
    if (signal.aborted) return;
    // A stream that breaks is cut, by whom we cannot tell; one that never began has failed.
    if (began) on.end();
    else on.fail({ kind: "network" });
  }
}
