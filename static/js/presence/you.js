/**
 * Who this person is, in the header: as the server says it with every beat, and
 * at once when another tab of this browser has another name.
 * @module
 */

import { colourClass, initials } from "./here.js";

/** @typedef {import("../sync/live.js").Live} Live */

/** Tabs tell each other of a name by this channel. */
const CHANNEL = "halley-you";

/** @param {any} you as the server says it @returns {string} what differs when the person or the name does */
export function youKey(you) {
  return JSON.stringify([you?.id ?? null, you?.name ?? null, you?.colour ?? null]);
}

/**
 * @param {HTMLElement} link `#you`
 * @param {{ name: string, colour: unknown }} you
 */
function show(link, you) {
  const name = link.querySelector(".you-name");
  if (name && name.textContent !== you.name) name.textContent = you.name;
  const words = `You are ${you.name}. Change your name`;
  link.title = words;
  link.setAttribute("aria-label", words);
  const avatar = link.querySelector(".avatar");
  if (!avatar) return;
  avatar.className = `avatar ${colourClass(you.colour)}`;
  avatar.textContent = initials(you.name);
}

/**
 * @param {HTMLElement} link `#you`
 * @param {Live} live
 * @param {string | undefined} served `data-you` of the page
 * @param {BroadcastChannel | null} [channel]
 * @returns {{ take: (you: any) => void, stop: () => void }} `take`: what another answer of the server says
 */
export function createYou(link, live, served, channel = openChannel()) {
  let known = served ? youKey(parse(served)) : "";
  /** @param {any} you */
  function take(you) {
    if (typeof you?.name !== "string" || youKey(you) === known) return;
    known = youKey(you);
    show(link, you);
  }
  const off = live.on("you", take);
  if (channel) {
    channel.onmessage = ({ data }) => {
      // Not believed, only asked about: the server says who we are, and tells the others.
      if (typeof data === "string" && data !== known) live.greet();
    };
    // A page that was opened after renaming tells the tabs that were open before.
    if (known) channel.postMessage(known);
  }
  return {
    take,
    stop() {
      off();
      channel?.close();
    },
  };
}

/** @param {string} json @returns {any} */
function parse(json) {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

/** @returns {BroadcastChannel | null} */
function openChannel() {
  return typeof BroadcastChannel === "function" ? new BroadcastChannel(CHANNEL) : null;
}
