/**
 * The only door through which HTML enters the page as HTML: blocks that the
 * server rendered and sanitised. The Content Security Policy demands Trusted
 * Types, and `halley` is the one policy it names.
 * @module
 */

/**
 * @typedef {object} HtmlPolicy
 * @property {(html: string) => any} createHTML
 */

/** @type {HtmlPolicy | null} */
let policy = null;

/** @returns {HtmlPolicy} */
function halleyPolicy() {
  if (policy) return policy;
  /** @type {HtmlPolicy} */
  const plain = { createHTML: (html) => html };
  const types = /** @type {any} */ (globalThis).trustedTypes;
  policy = types ? /** @type {HtmlPolicy} */ (types.createPolicy("halley", plain)) : plain;
  return policy;
}

/**
 * Sets an element's content to HTML that came from our server's renderer.
 * Never call this with anything else.
 * @param {Element} element
 * @param {string} html sanitised HTML of one block
 */
export function setBlockHtml(element, html) {
  element.innerHTML = halleyPolicy().createHTML(html);
}

/**
 * Parses a whole page of ours that was fetched again; nothing in it runs.
 * @param {string} html
 * @returns {Document}
 */
export function parsePage(html) {
  return new DOMParser().parseFromString(halleyPolicy().createHTML(html), "text/html");
}
