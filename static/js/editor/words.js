// What is said about saving, in words. The only place where a status becomes a sentence.

/** @typedef {import('../outbox/outbox.js').Status} Status */

/** @param {number} count */
const changes = (count) => (count === 1 ? "1 change" : `${count} changes`);

/** Why the server does not take changes right now. @type {Record<string, string>} */
const REASONS = {
  disk_full: "The disk of the server is full",
  page_full: "The page is full (1 MiB): remove something before you add more",
  page_deleted: "The page has been deleted",
  no_page: "The page has been deleted",
  forbidden: "You may not write on this page",
  foreign_origin: "The server does not accept changes from this address",
  too_many_requests: "The server asks to slow down",
  timed_out: "The connection is too slow for the last change",
  internal: "Something went wrong on the server",
  busy: "The server is busy",
};

/**
 * @param {Status} status
 * @param {{ clock?: (ms: number) => string, fromCopy?: boolean }} [how] `clock`: time of day; `fromCopy`: the text
 *   comes from this browser, and the server has not been asked yet. It may hold what another window has not sent.
 * @returns {{ state: 'saved' | 'saving' | 'unsaved' | 'offline' | 'error', text: string }} `state` is the stylesheet's
 */
export function saveWords(status, { clock = timeOfDay, fromCopy = false } = {}) {
  const kept = status.durable ? "kept in this browser" : "not kept anywhere: leave this page open";
  const away = status.since === null ? "Offline" : `Offline since ${clock(status.since)}`;
  switch (status.state) {
    case "saved":
      if (fromCopy) return { state: "offline", text: `${away} — this is the copy kept in this browser` };
      return { state: "saved", text: "Saved" };
    case "saving":
      return { state: "saving", text: "Saving…" };
    case "unsaved":
      return { state: "unsaved", text: `${changes(status.count)} not saved yet` };
    case "offline":
      return { state: "offline", text: `${away} — ${changes(status.count)} ${kept}` };
    case "refused": {
      const reason = REASONS[status.code] ?? "The server did not accept the last changes";
      return { state: "error", text: `${reason} — ${changes(status.count)} ${kept}` };
    }
  }
}

/** @param {number} ms since 1970 */
function timeOfDay(ms) {
  return new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
}

/** @param {string} code of a session that was refused */
export function refusalWords(code) {
  return REASONS[code] ?? "The server did not let this page be opened for writing";
}
