/**
 * Asks for the page's life while the other modules are on their way. A script of its own, so that it runs before them;
 * they import it and find what was asked.
 * @module
 */

/** A look at the server that takes longer has failed, in ms. A long life is a few MB. */
export const LOOK_MS = 60_000;

/** @param {string} address @param {string} [tag] of what is known @returns {[string, RequestInit]} what to fetch, and how */
export function question(address, tag) {
  return [address, {
    headers: { Accept: "application/json", ...(tag ? { "If-None-Match": tag } : {}) },
    // The tag is compared here: a browser's own cache would keep a copy of each life on the disk.
    cache: "no-store",
    credentials: "same-origin",
    redirect: "manual",
    signal: AbortSignal.timeout(LOOK_MS),
  }];
}

/** @param {string} page its number */
export const addressOf = (page) => `/_live/pages/${page}/timeline`;

/** @type {{ page: string, answer: Promise<Response> } | null} */
let asked = null;
const page = globalThis.document?.body.classList.contains("life") ? document.body.dataset.pageId : undefined;
if (page) {
  asked = { page, answer: fetch(...question(addressOf(page))) };
  // Whoever takes it hears of it.
  asked.answer.catch(() => {});
}

/** The answer that was asked for, once. @param {string} page @returns {Promise<Response> | null} */
export function takeEarly(page) {
  const found = asked?.page === page ? asked.answer : null;
  asked = null;
  return found;
}
