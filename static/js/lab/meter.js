/**
 * Counts what a connection costs: a `fetch` that notes each request and every
 * byte of its answer as it is read.
 *
 * Bodies and the heads of answers are counted as they are. A browser does not
 * show a page what it adds to a request, so the heads of requests are put
 * together from what it is known to send; over HTTP/2 the real ones are smaller,
 * since there repeated headers are compressed.
 * @module
 */

/** The signed cookie that knows a guest, about; scripts cannot read it. */
const COOKIE_BYTES = 120;

/**
 * @typedef {object} Counts
 * @property {number} requests
 * @property {number} bodyBytes of requests and answers
 * @property {number} headBytes of requests (estimated) and answers
 */

/** @param {string} name @param {string} value @returns {number} bytes of a header line */
const line = (name, value) => name.length + value.length + 4;

/** @param {Response} response @returns {number} bytes of its head over HTTP/1.1 */
function answerHead(response) {
  let bytes = `HTTP/1.1 ${response.status} ${response.statusText || "OK"}\r\n\r\n`.length;
  for (const [name, value] of response.headers) bytes += line(name, value);
  return bytes;
}

/** @param {URL} url @param {string} method @param {Headers} given @returns {number} bytes of a request's head over HTTP/1.1 */
function requestHead(url, method, given) {
  let bytes = `${method} ${url.pathname}${url.search} HTTP/1.1\r\n\r\n`.length + COOKIE_BYTES;
  bytes += line("Host", url.host) + line("Connection", "keep-alive");
  bytes += line("User-Agent", globalThis.navigator?.userAgent ?? "") + line("Referer", globalThis.location?.href ?? "");
  bytes += line("Accept-Encoding", "gzip, deflate, br, zstd") + line("Accept-Language", (globalThis.navigator?.languages ?? []).join(","));
  bytes += line("Sec-Fetch-Site", "same-origin") + line("Sec-Fetch-Mode", "cors") + line("Sec-Fetch-Dest", "empty");
  bytes += line("Cache-Control", "no-cache") + line("Pragma", "no-cache");
  if (!given.has("accept")) bytes += line("Accept", "*/*");
  for (const [name, value] of given) bytes += line(name, value);
  return bytes;
}

/**
 * @param {Counts} counts added to
 * @param {{ isOn: () => boolean, fetch?: typeof fetch }} options while it is off nothing is counted
 * @returns {typeof fetch}
 */
export function createMeter(counts, options) {
  const send = options.fetch ?? ((/** @type {any} */ input, /** @type {any} */ init) => globalThis.fetch(input, init));
  return async (input, init = {}) => {
    const url = new URL(String(input), globalThis.location?.href ?? "http://localhost");
    if (options.isOn()) {
      counts.requests += 1;
      counts.headBytes += requestHead(url, init.method ?? "GET", new Headers(init.headers));
    }
    const response = await send(input, init);
    // What was refused on the way has no head or body that could be read.
    if (response.type === "opaqueredirect") return response;
    if (options.isOn()) counts.headBytes += answerHead(response);
    if (!response.body) return response;
    const counter = new TransformStream({
      transform(/** @type {Uint8Array} */ chunk, controller) {
        if (options.isOn()) counts.bodyBytes += chunk.byteLength;
        controller.enqueue(chunk);
      },
    });
    const { status, statusText, headers } = response;
    return new Response(response.body.pipeThrough(counter), { status, statusText, headers });
  };
}
