/**
 * The choice of light, dark or as the system wants it. Kept in this browser;
 * `theme.js` in the head of each page applies it.
 * @module
 */

import { el } from "../lib/dom.js";

/** The same as in `theme.js`, which cannot import it. */
const KEY = "halley-theme";

/** @type {readonly (readonly [string, string])[]} */
const CHOICES = [
  ["auto", "As this device"],
  ["light", "Light"],
  ["dark", "Dark"],
];

/**
 * Fills `root`, and shows it. Where the browser keeps nothing it stays hidden.
 * @param {HTMLElement} root
 */
export function createThemeChoice(root) {
  const chosen = localStorage.getItem(KEY) ?? "auto";
  const set = el("fieldset", { class: "choices" }, el("legend", {}, "Light or dark"));
  for (const [value, label] of CHOICES) {
    const input = el("input", { type: "radio", name: "theme", value });
    input.checked = value === chosen;
    set.append(el("label", {}, input, label));
  }
  set.addEventListener("change", (event) => {
    const { value } = /** @type {HTMLInputElement} */ (event.target);
    if (value === "auto") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, value);
    dispatchEvent(new Event(KEY));
  });
  root.replaceChildren(set);
  root.hidden = false;
}
