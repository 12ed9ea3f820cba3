/**
 * Buttons that copy a text.
 * @module
 */

import { el, setText } from "../lib/dom.js";

/** How long a button says that it has copied, in ms. */
const SAID_MS = 2500;

/**
 * @param {string} label what is copied, for the button's name
 * @param {() => { text: string, shown: HTMLElement }} what `shown` is selected where the browser does not copy by itself
 * @returns {HTMLElement}
 */
export function copyButton(label, what) {
  const words = el("span", {}, "Copy");
  const button = el("button", { type: "button", class: "button small", "aria-label": `Copy ${label}` }, words);
  // Beside the button: what is inside one is part of its name, and not read out by itself.
  const said = el("span", { class: "visually-hidden", role: "status" });
  /** @type {any} */
  let timer = null;
  button.addEventListener("click", async () => {
    const { text, shown } = what();
    const done = await copy(text, shown);
    setText(words, done ? "Copied" : "Selected: press Ctrl+C");
    setText(said, done ? `Copied ${label}` : "Selected. Press Control C to copy");
    clearTimeout(timer);
    timer = setTimeout(() => {
      setText(words, "Copy");
      setText(said, "");
    }, SAID_MS);
  });
  return el("span", { class: "copy" }, button, said);
}

/** @param {string} text @param {HTMLElement} shown @returns {Promise<boolean>} */
async function copy(text, shown) {
  try {
    // Only where the page came over TLS, or from this computer.
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection()?.selectAllChildren(shown);
    try {
      return document.execCommand("copy");
    } catch {
      return false;
    }
  }
}
