/**
 * What a page says to whoever comes back to it, and whether they watch it. Both
 * are forms that work without this; with it the page stays where it is.
 * @module
 */

import { notice } from "../ui/notice.js";

/** A form that takes longer has failed, in ms. */
const SEND_MS = 15_000;

/**
 * Sends a form as the browser would, but stays on the page.
 * @param {HTMLFormElement} form
 * @param {Record<string, string>} fields instead of those of the form, or beside them
 * @returns {Promise<void>} rejects when the server did not do it
 */
async function send(form, fields) {
  const body = new URLSearchParams();
  for (const [name, value] of new FormData(form)) body.set(name, String(value));
  for (const [name, value] of Object.entries(fields)) body.set(name, value);
  const response = await fetch(form.action, { method: "POST", body, credentials: "same-origin", redirect: "manual", signal: AbortSignal.timeout(SEND_MS) });
  // The answer leads back to this page.
  if (response.type !== "opaqueredirect" && !response.ok) throw new Error(`${form.action}: ${response.status}`);
}

/**
 * The line above the text that says what is new: goes away when it is dismissed.
 * @param {HTMLElement} line
 */
export function createNews(line) {
  const form = line.querySelector("form");
  let followed = false;
  line.querySelector("a")?.addEventListener("click", () => (followed = true));
  // Whoever comes back from what changed has seen it; a page that was sent again does not say so.
  addEventListener("pageshow", (event) => void (event.persisted && followed && line.remove()));
  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    line.hidden = true;
    // The focus would be lost with the button.
    document.getElementById("main")?.focus({ preventScroll: true });
    try {
      // What came while the page was open has been seen as well.
      await send(form, { rev: document.body.dataset.rev ?? "0" });
      line.remove();
    } catch (error) {
      console.warn("halley: the page could not be marked as seen", error);
      line.hidden = false;
      notice("That could not be noted. Try again in a moment.", { kind: "warn", id: "seen" });
    }
  });
}

/** What is said when it is done, by the value of the button. */
const DONE = new Map([
  ["page", "You watch this page now. What changes on it is listed under “Watching”."],
  ["tree", "You watch this page and all below it now. What changes there is listed under “Watching”."],
  ["none", "You do not watch this page any more."],
]);

/**
 * The page's star.
 * @param {HTMLFormElement} form with a button for each way to watch; those that make sense are shown by `data-how`
 */
export function createWatch(form) {
  form.addEventListener("submit", async (event) => {
    const how = /** @type {HTMLButtonElement | null} */ (event.submitter)?.value ?? "";
    if (!DONE.has(how)) return;
    event.preventDefault();
    const menu = form.closest("details");
    try {
      await send(form, { how });
      form.dataset.how = how;
      if (menu) {
        menu.open = false;
        menu.querySelector("summary")?.focus();
      }
      notice(DONE.get(how) ?? "", { id: "watch" });
    } catch (error) {
      console.warn("halley: how the page is watched could not be changed", error);
      notice("That could not be noted. Try again in a moment.", { kind: "warn", id: "watch" });
    }
  });
}
