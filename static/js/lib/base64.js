/**
 * Bytes as base64 and back. Bounded chunks, since spreading a large array into
 * `String.fromCharCode` overflows the stack.
 * @module
 */

const CHUNK = 0x2000;

/**
 * Standard base64 with padding (RFC 4648 section 4).
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function toBase64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  }
  return btoa(text);
}

/**
 * Reads standard or URL-safe base64, with or without padding.
 * @param {string} text
 * @returns {Uint8Array}
 * @throws {DOMException} when the text is not base64
 */
export function fromBase64(text) {
  const binary = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/**
 * URL-safe base64 without padding (RFC 4648 section 5).
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function toBase64Url(bytes) {
  return toBase64(bytes).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
