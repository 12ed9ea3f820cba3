/**
 * The page's own part: the verdict, the progress, the table and the letter.
 * @module
 */

import { el, setText } from "../lib/dom.js";
import { copyButton } from "./copy.js";
import { judge } from "./verdict.js";
import { letter, rows, sentence } from "./words.js";

/** @typedef {import("./measured.js").Measured} Measured */

/** Longest address that mail programs take, in characters. */
const MAX_MAILTO = 1900;

/** @param {ParentNode} root @param {string} id @returns {HTMLElement} */
function part(root, id) {
  const found = root.querySelector(`#${id}`);
  if (!found) throw new Error(`there is no #${id}`);
  return /** @type {HTMLElement} */ (found);
}

/**
 * @param {HTMLElement} root `#measure`
 * @param {{ again: () => void, long: () => void, stop: () => void }} on
 */
export function createView(root, on) {
  const verdict = part(root, "verdict");
  const words = part(root, "verdict-words");
  const note = part(root, "verdict-note");
  const progress = /** @type {HTMLProgressElement} */ (part(root, "measure-progress"));
  const doing = part(root, "measure-doing");
  const running = part(root, "measure-running");
  const again = /** @type {HTMLButtonElement} */ (part(root, "measure-again"));
  const long = /** @type {HTMLButtonElement} */ (part(root, "measure-long"));
  const stop = /** @type {HTMLButtonElement} */ (part(root, "measure-stop"));
  const table = part(root, "measure-rows");
  const text = part(root, "letter");
  const mail = /** @type {HTMLAnchorElement} */ (part(root, "letter-mail"));
  const section = part(root, "letter-section");
  const details = part(root, "details-section");
  again.addEventListener("click", on.again);
  long.addEventListener("click", on.long);
  stop.addEventListener("click", on.stop);
  mail.before(copyButton("the text for the administrator", () => ({ text: text.textContent ?? "", shown: text })));

  return {
    /**
     * @param {Measured} measured
     * @param {{ running: boolean, share: number, doing: string, stopped?: boolean }} state
     * @param {{ rung: string, words: string, reason: string } | null} live
     */
    show(measured, state, live) {
      const judged = judge(measured);
      const waits = judged.kind === "wait";
      verdict.dataset.tone = judged.tone;
      verdict.dataset.kind = judged.kind;
      setText(words, waits && !state.running ? "This was stopped before anything was certain." : sentence(measured));
      setText(note, noteOf(measured, state, waits));
      note.hidden = note.textContent === "";
      running.hidden = !state.running;
      progress.value = state.share;
      setText(doing, state.doing);
      const pressed = [again, long, stop].find((button) => button === document.activeElement);
      again.hidden = state.running;
      long.hidden = state.running || !measured.done || measured.probes.length === 0;
      stop.hidden = !state.running;
      // Whoever goes by the keyboard stays where the buttons are.
      if (pressed?.hidden) (state.running ? stop : again).focus();
      showRows(measured, live);
      const telling = measured.done && measured.probes.length > 0;
      section.hidden = !telling;
      if (!telling) return;
      const message = letter(measured, location.origin);
      setText(text, message);
      const address = (/** @type {string} */ body) => `mailto:?subject=${encodeURIComponent(`Live pages of ${location.host} in our network`)}&body=${encodeURIComponent(body)}`;
      const whole = address(message);
      mail.href = whole.length > MAX_MAILTO ? address(letter(measured, location.origin, { short: true })) : whole;
    },
  };

  /**
   * Rows are changed in place, so that nobody's selection or place is lost every half second.
   * @param {Measured} measured @param {{ rung: string, words: string, reason: string } | null} live
   */
  function showRows(measured, live) {
    const wanted = rows(measured, live);
    details.hidden = wanted.length === 0;
    wanted.forEach((row, at) => {
      let line = /** @type {HTMLTableRowElement | undefined} */ (table.children[at]);
      if (line?.dataset.row !== row.id) {
        // The roles say again what the elements are: on a phone they are laid out as blocks, which takes it from them.
        const cell = (/** @type {string} */ name) => el("td", { class: name, role: "cell" });
        line = el("tr", { "data-row": row.id, role: "row" }, el("th", { scope: "row", role: "rowheader" }), cell("measured"), cell("means"));
        table.insertBefore(line, table.children[at] ?? null);
      }
      line.dataset.tone = row.tone ?? "";
      const [name, value, means] = line.children;
      setText(name, row.name);
      setText(value, row.value);
      setText(means, row.means);
    });
    while (table.children.length > wanted.length) table.lastElementChild?.remove();
  }
}

/** @param {Measured} measured @param {{ running: boolean, stopped?: boolean }} state @param {boolean} waits */
function noteOf(measured, state, waits) {
  if (state.stopped) return waits ? "" : "It was stopped early: the details are not complete.";
  if (state.running && !waits && !measured.done) return "So far. How long connections may last is still being measured.";
  if (!measured.done) return "";
  const at = new Date(measured.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return `Measured at ${at} from this browser.`;
}
