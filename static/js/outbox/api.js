// The HTTP of one page's document. Every answer is either what was asked for, an HttpError (the server said no) or
// a NetworkError (nobody knows whether the server acted).

import { fromBase64, toBase64Url } from "../lib/base64.js";

/** Nobody answered, or what answered was not Halley (a sign-in page of the network, a proxy's error page). */
export class NetworkError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "NetworkError";
  }
}

/** The server refused. */
export class HttpError extends Error {
  /**
   * @param {number} status
   * @param {string} code `snake_case`, from the error body
   * @param {string} message
   * @param {{ sv?: Uint8Array | null, retryAfterMs?: number | null }} [more]
   */
  constructor(status, code, message, more = {}) {
    super(message);
    this.name = "HttpError";
    this.status = status;
    this.code = code;
    this.sv = more.sv ?? null;
    this.retryAfterMs = more.retryAfterMs ?? null;
  }
}

/**
 * @typedef {{ id: string, name: string, colour: number, guest?: boolean }} You
 * @typedef {{ client_id: number, you: You, rights: { read: boolean, write: boolean }, path: string,
 *   limits?: { text_bytes?: number, update_bytes?: number } }} SessionAnswer
 * @typedef {{ bytes: Uint8Array, rev: number, cursor: string | null }} DocAnswer
 * @typedef {{ rev: number, batch: any }} Accepted
 * @typedef {object} Api
 * @property {() => Promise<SessionAnswer>} session
 * @property {(sv: Uint8Array | null) => Promise<DocAnswer>} doc
 * @property {(op: string, bytes: Uint8Array, more?: { piggyback?: { cursor: string, topics: string[] | string } | null,
 *   keepalive?: boolean }) => Promise<Accepted>} update
 * @property {(kind: string, detail: string) => Promise<void>} report
 */

/**
 * A dead line is noticed, and a slow one has time: at 5 KB/s for what it can carry before the server gives a body up
 * (30 s). What does not arrive within that is cut by the outbox.
 */
const TIMEOUT_MS = 15_000;
const TIMEOUT_PER_KIB_MS = 200;
/** Longest state vector that is asked for in an address; a longer one is the body of a POST. */
const MAX_SV_IN_ADDRESS = 1500;

/**
 * @param {{ page: number, client: string, base?: string, fetch?: typeof fetch, timeoutMs?: number }} options
 * @returns {Api}
 */
export function createApi({
  page,
  client,
  base = "",
  fetch: send = globalThis.fetch.bind(globalThis),
  timeoutMs = TIMEOUT_MS,
}) {
  const root = `${base}/_live/pages/${page}`;

  /**
   * @template T
   * @param {string} url
   * @param {RequestInit & { size?: number }} init
   * @param {string} type start of the content type that a genuine answer has
   * @param {(response: Response) => Promise<T>} read
   * @returns {Promise<T>}
   */
  async function call(url, init, type, read) {
    const abort = new AbortController();
    const limit = timeoutMs + ((init.size ?? 0) / 1024) * TIMEOUT_PER_KIB_MS;
    const timer = setTimeout(() => abort.abort(), limit);
    try {
      const response = await send(url, {
        credentials: "same-origin",
        cache: "no-store",
        ...init,
        signal: abort.signal,
      });
      if (!response.ok) throw await refusal(response);
      if (!(response.headers.get("content-type") ?? "").startsWith(type)) {
        throw new NetworkError("The answer did not come from the wiki; the network may ask you to sign in.");
      }
      return await read(response);
    } catch (error) {
      if (error instanceof HttpError || error instanceof NetworkError) throw error;
      throw new NetworkError(error instanceof Error ? error.message : String(error));
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    session: () =>
      call(
        `${root}/session`,
        { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ client }) },
        "application/json",
        async (response) => {
          const answer = await response.json();
          if (!Number.isSafeInteger(answer?.client_id))
            throw new NetworkError("The session answer made no sense.");
          return answer;
        },
      ),
    doc: (sv) =>
      call(
        // A state vector grows with the number of writers; proxies take 8 KiB of address at most.
        sv && sv.length <= MAX_SV_IN_ADDRESS ? `${root}/doc?sv=${toBase64Url(sv)}` : `${root}/doc`,
        sv && sv.length > MAX_SV_IN_ADDRESS
          ? { method: "POST", headers: { "content-type": "application/octet-stream" }, body: /** @type {BodyInit} */ (sv) }
          : { method: "GET" },
        "application/octet-stream",
        async (response) => ({
          bytes: new Uint8Array(await response.arrayBuffer()),
          rev: Number(response.headers.get("halley-revision") ?? 0),
          cursor: response.headers.get("halley-cursor"),
        }),
      ),
    update: (op, bytes, more = {}) => {
      const query = new URLSearchParams({ client, op });
      if (more.piggyback) {
        query.set("cursor", more.piggyback.cursor);
        query.set("topics", String(more.piggyback.topics));
      }
      return call(
        `${root}/updates?${query}`,
        {
          method: "POST",
          headers: { "content-type": "application/octet-stream" },
          body: /** @type {BodyInit} */ (bytes),
          size: bytes.length,
          keepalive: more.keepalive ?? false,
        },
        "application/json",
        async (response) => {
          const answer = await response.json();
          if (answer?.saved !== true || !Number.isSafeInteger(answer.rev)) {
            throw new NetworkError("The answer to a change made no sense.");
          }
          return { rev: answer.rev, batch: answer.batch ?? null };
        },
      );
    },
    report: (kind, detail) =>
      call(
        `${base}/_live/report`,
        {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ page, kind, detail: detail.slice(0, 2000) }),
        },
        "",
        async () => undefined,
      ),
  };
}

/**
 * Reads a refusal. An answer in the form of an error that is not Halley's own (a proxy's 502 page, say) proves
 * nothing about the server and counts as the network.
 * @param {Response} response
 * @returns {Promise<HttpError | NetworkError>}
 */
async function refusal(response) {
  /** @type {any} */
  let body = null;
  try {
    if ((response.headers.get("content-type") ?? "").startsWith("application/json"))
      body = await response.json();
  } catch {
    body = null;
  }
  const retry = Number(response.headers.get("retry-after") ?? NaN);
  const retryAfterMs = Number.isFinite(retry) && retry >= 0 ? Math.min(retry, 3600) * 1000 : null;
  const error = body?.error;
  if (typeof error?.code !== "string") {
    if (response.status === 503 || response.status === 429) {
      return new HttpError(response.status, "busy", "The server is busy.", { retryAfterMs });
    }
    return new NetworkError(`The network answered ${response.status} in the place of the wiki.`);
  }
  /** @type {Uint8Array | null} */
  let sv = null;
  try {
    if (typeof body.sv === "string") sv = fromBase64(body.sv);
  } catch {
    sv = null;
  }
  return new HttpError(response.status, error.code, String(error.message ?? ""), { sv, retryAfterMs });
}
