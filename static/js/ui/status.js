/**
 * The status line `#live-status`: a dot, a few words, and behind them a menu
 * `#live-menu` with the rung, its reason, when the server was last heard, and
 * the choice. Changes of state are read out, once they have lasted a moment;
 * counting seconds is not.
 * @module
 */

import { el, setText } from "../lib/dom.js";
import { closeAsMenu } from "./menu.js";
import { heardWords, statusWords } from "./words.js";

/** @typedef {import("../sync/live.js").Live} Live */
/** @typedef {import("../sync/ladder.js").Status} Status */

/** A page that has just been opened is connecting: that is worth words only when it takes longer than this, in ms. */
const EARLY_MS = 2000;

/** A state shorter than this is not worth an interruption, in ms. */
const SETTLED_MS = 2000;

/** @type {readonly (readonly [string, string])[]} */
const CHOICES = [
  ["auto", "Automatic"],
  ["stream", "Stream"],
  ["hold", "Held requests"],
  ["poll", "Polling"],
  ["off", "Off"],
];

/**
 * @param {HTMLElement} root `#live-status`
 * @param {Live} live
 */
export function createStatus(root, live) {
  const dot = el("span", { class: "dot", "aria-hidden": "true" });
  const words = el("span", { class: "live-words" });
  const summary = el("summary", { title: "How this page is kept up to date" }, dot, words);
  const reason = el("p", { class: "live-reason" });
  const heard = el("p", { class: "live-heard" });
  const fieldset = el("fieldset", {}, el("legend", {}, "Keep this tab up to date by"));
  for (const [value, label] of CHOICES) {
    fieldset.append(el("label", {}, el("input", { type: "radio", name: "halley-live", value }), label));
  }
  const again = el("button", { type: "button", class: "button small live-again", hidden: true }, "Try again now");
  const links = el(
    "p",
    { class: "live-links" },
    el("a", { href: "/connection" }, "What does this network do?"),
    el("a", { href: "/lab" }, "Compare in the laboratory"),
  );
  const menu = el("details", { id: "live-menu" }, summary, el("div", { class: "live-panel" }, reason, heard, again, fieldset, links));
  const announcer = el("span", { class: "visually-hidden", role: "status" });
  /** @type {(() => void)[]} */
  let off = [];
  /** @type {any} */
  let announcing = null;
  /** @type {any} */
  let ticking = null;
  /** @type {any} */
  let early = null;
  let announced = "";
  let running = false;

  /** @param {Status} status */
  function show(status) {
    root.dataset.state = status.state;
    root.dataset.rung = status.rung;
    const text = statusWords(status);
    // Before it is started the connection is "off" without anybody's choice.
    if (status.forced === "off" || !["connecting", "off"].includes(status.state)) notEarly();
    setText(words, text);
    setText(reason, status.reason);
    setText(heard, heardWords(status.lastHeard, Date.now()));
    again.hidden = status.state !== "offline";
    const choice = status.forced ?? "auto";
    for (const input of fieldset.querySelectorAll("input")) input.checked = input.value === choice;
    clearTimeout(announcing);
    announcing = setTimeout(() => {
      // The page opens connecting and soon is live: neither is news.
      const news = announced !== "" && announced !== status.state && status.state !== "connecting";
      if (news) setText(announcer, text);
      if (status.state !== "connecting") announced = status.state;
    }, SETTLED_MS);
  }

  function notEarly() {
    clearTimeout(early);
    root.classList.remove("early");
  }

  return {
    start() {
      if (running) return;
      running = true;
      root.classList.add("early");
      early = setTimeout(notEarly, EARLY_MS);
      root.setAttribute("role", "group");
      root.setAttribute("aria-label", "Live updates");
      root.replaceChildren(menu, announcer);
      off.push(live.on("status", show));
      const choose = (/** @type {Event} */ event) => {
        const { value } = /** @type {HTMLInputElement} */ (event.target);
        live.choose(value === "auto" ? null : /** @type {any} */ (value));
        show(live.status);
      };
      const tick = () => {
        clearInterval(ticking);
        if (!menu.open) return;
        show(live.status);
        ticking = setInterval(() => setText(heard, heardWords(live.status.lastHeard, Date.now())), 1000);
      };
      const retry = () => live.retry();
      again.addEventListener("click", retry);
      fieldset.addEventListener("change", choose);
      menu.addEventListener("toggle", tick);
      off.push(
        () => again.removeEventListener("click", retry),
        () => fieldset.removeEventListener("change", choose),
        () => menu.removeEventListener("toggle", tick),
        closeAsMenu(menu),
      );
      show(live.status);
    },
    stop() {
      if (!running) return;
      running = false;
      for (const undo of off) undo();
      off = [];
      notEarly();
      clearTimeout(announcing);
      clearInterval(ticking);
      root.replaceChildren();
      delete root.dataset.state;
      delete root.dataset.rung;
    },
  };
}
