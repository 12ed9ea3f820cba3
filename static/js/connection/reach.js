/**
 * Single requests: is the wiki there, how far, what time is it there, and does
 * what is sent arrive as it was sent.
 * @module
 */

import { randomId } from "../lib/id.js";
import { setDeadline } from "../sync/clock.js";

/** @typedef {import("./measured.js").Probe} Probe */
/** @typedef {import("./measured.js").Failure} Failure */
/** @typedef {{ fetch: typeof fetch, clock: import("../sync/clock.js").Clock, now: () => number, base: string }} Net `now` is monotonic, in ms */

/** Time for one answer, in ms. */
const TIMEOUT_MS = 4000;

/** What is sent to see whether sending works, in bytes. */
const SENT_BYTES = 4096;

/**
 * One request for JSON. Never throws.
 * @param {Net} net @param {string} url @param {RequestInit} init @param {AbortSignal} signal
 * @returns {Promise<{ ok: true, response: Response, headMs: number, json: any } | { ok: false, failure: Failure }>}
 */
async function request(net, url, init, signal) {
  const abort = new AbortController();
  let late = false;
  const answered = setDeadline(net.clock, () => {
    late = true;
    abort.abort();
  }, TIMEOUT_MS);
  const stop = () => abort.abort();
  signal.addEventListener("abort", stop);
  try {
    const begun = net.now();
    const response = await net.fetch(url, { cache: "no-store", credentials: "same-origin", redirect: "manual", signal: abort.signal, ...init });
    const headMs = net.now() - begun;
    const type = (response.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
    const foreign = response.type === "opaqueredirect" || response.status === 511 || (response.status >= 300 && response.status < 400);
    if (foreign || (response.ok && type !== "application/json")) {
      response.body?.cancel().catch(() => {});
      return { ok: false, failure: { kind: "type", status: response.status } };
    }
    if (!response.ok) {
      response.body?.cancel().catch(() => {});
      return { ok: false, failure: { kind: "status", status: response.status } };
    }
    return { ok: true, response, headMs, json: await response.json() };
  } catch {
    return { ok: false, failure: { kind: late ? "timeout" : "network" } };
  } finally {
    answered();
    signal.removeEventListener("abort", stop);
  }
}

/**
 * Asks for the server's time.
 * @param {Net} net @param {AbortSignal} signal
 * @returns {Promise<{ probe: Probe, protocol: string } | { failure: Failure }>}
 */
export async function probe(net, signal) {
  const nonce = randomId(12);
  const url = `${net.base}/probe?nonce=${nonce}`;
  const before = net.clock.now();
  const answer = await request(net, url, { headers: { Accept: "application/json" } }, signal);
  if (!answer.ok) return { failure: answer.failure };
  const { json, response, headMs } = answer;
  if (json?.nonce !== nonce) return { failure: { kind: "nonce" } };
  // Both clocks show whole milliseconds that have begun; half of one is right on average, and the same on both sides.
  const offsetMs = Number(json.now_ms) - (before + headMs / 2);
  return {
    probe: {
      rttMs: headMs,
      offsetMs: Number.isFinite(offsetMs) ? offsetMs : 0,
      encoding: response.headers.get("content-encoding"),
      aged: response.headers.has("age"),
      address: String(json.address ?? ""),
      trusted: json.trusted === true,
      proxies: Array.isArray(json.proxies) ? json.proxies.map(String) : [],
      via: typeof json.via === "string" ? json.via : null,
    },
    protocol: protocolOf(url),
  };
}

/** @param {string} url @returns {string} */
function protocolOf(url) {
  if (typeof performance === "undefined" || typeof location === "undefined") return "";
  const entry = /** @type {PerformanceResourceTiming | undefined} */ (performance.getEntriesByName(new URL(url, location.href).href).at(-1));
  return entry?.nextHopProtocol ?? "";
}

/**
 * Sends something, and sees what arrives.
 * @param {Net} net @param {AbortSignal} signal
 * @returns {Promise<NonNullable<import("./measured.js").Measured["post"]>>}
 */
export async function send(net, signal) {
  const nonce = randomId(12);
  const body = randomId(SENT_BYTES);
  const begun = net.now();
  const answer = await request(net, `${net.base}/probe?nonce=${nonce}`, { method: "POST", headers: { Accept: "application/json", "Content-Type": "text/plain" }, body }, signal);
  const ms = net.now() - begun;
  if (!answer.ok) return { ok: false, ms, bytes: SENT_BYTES, changed: false, failure: answer.failure };
  const { json } = answer;
  const changed = json?.nonce !== nonce || json.length !== body.length || json.hash !== fnv1a(body);
  return { ok: !changed, ms, bytes: SENT_BYTES, changed, failure: null };
}

/** FNV-1a of ASCII text, 32 bit, as eight hex digits. @param {string} text */
export function fnv1a(text) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}
