/**
 * Short notices in the corner (toasts). The region `#notices` is a polite live
 * region, so each is read out once.
 * @module
 */

import { el } from "../lib/dom.js";

/** How long a notice stays, in ms. One with an action stays until it is answered. */
const STAY_MS = 6000;

/**
 * @typedef {object} NoticeOptions
 * @property {"info" | "warn" | "error"} [kind]
 * @property {{ label: string, run: () => void }} [action] a button; the notice stays until it or the close button is pressed
 * @property {string} [id] a later notice of the same id takes this one's place
 * @property {boolean} [stay] keep it without an action
 */

/**
 * Shows a notice.
 * @param {string} text
 * @param {NoticeOptions} [options]
 * @returns {() => void} takes it away
 */
export function notice(text, options = {}) {
  const region = document.getElementById("notices");
  if (!region) return () => {};
  if (options.id) region.querySelector(`[data-notice="${CSS.escape(options.id)}"]`)?.remove();
  const box = el("div", { class: "notice", "data-kind": options.kind ?? "info", "data-notice": options.id }, el("p", {}, text));
  const away = () => box.remove();
  const { action } = options;
  if (action) {
    const button = el("button", { type: "button" }, action.label);
    button.addEventListener("click", () => {
      away();
      action.run();
    });
    box.append(button);
  }
  const close = el("button", { type: "button", "aria-label": "Close this notice" }, "×");
  close.addEventListener("click", away);
  box.append(close);
  region.append(box);
  if (!action && !options.stay) {
    // Pointer or focus on it: somebody is reading.
    let left = setTimeout(away, STAY_MS);
    const hold = () => clearTimeout(left);
    const go = () => {
      clearTimeout(left);
      left = setTimeout(away, STAY_MS);
    };
    box.addEventListener("pointerenter", hold);
    box.addEventListener("focusin", hold);
    box.addEventListener("pointerleave", go);
    box.addEventListener("focusout", go);
  }
  return away;
}
