// The server renders the preview. Where it does not hear of what is typed, the preview must say that it stands still.

import { el, setText } from "../lib/dom.js";

/** @typedef {import('../sync/ladder.js').Status} Status */

/**
 * @param {Pick<Status, 'state' | 'forced'>} status
 * @returns {string} empty: the preview follows
 */
export function previewWords({ state, forced }) {
  if (state === "offline") return "The preview waits for the server. Your words are in the text.";
  if (forced === "off") return "The preview stands still while live updates are off.";
  return "";
}

/**
 * @param {HTMLElement} preview the article
 * @param {import('../sync/live.js').Live} live
 * @returns {() => void} takes it away
 */
export function createPreviewNote(preview, live) {
  const note = el("p", { class: "preview-note", hidden: true });
  preview.before(note);
  /** @param {Status} status */
  const show = (status) => {
    const words = previewWords(status);
    note.hidden = words === "";
    setText(note, words);
  };
  const off = live.on("status", show);
  show(live.status);
  return () => {
    off();
    note.remove();
  };
}
