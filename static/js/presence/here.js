/**
 * Who is here: faces in `#here`, and behind the number in `#here-count` the
 * names and what each person does. Names are text; colours are classes `c0` to
 * `c11`, never styles.
 * @module
 */

import { el } from "../lib/dom.js";
import { closeAsMenu } from "../ui/menu.js";

/** @typedef {import("../sync/live.js").Live} Live */
/** @typedef {import("../sync/beat.js").Entry} Entry */

/** Faces shown; the others are a number. */
const FACES = 5;
const COLOURS = 12;
const DOING = { writing: "writing", reading: "reading", away: "away" };
const ORDER = { writing: 0, reading: 1, away: 2 };

/** @param {string} name @returns {string} one or two characters */
export function initials(name) {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const picked = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return picked.map((word) => [...word][0] ?? "").join("").toLocaleUpperCase() || "?";
}

/** @param {unknown} colour @returns {string} */
export function colourClass(colour) {
  const index = Number(colour);
  return `c${Number.isInteger(index) && index >= 0 ? index % COLOURS : 0}`;
}

/** @param {Entry} entry @returns {"writing" | "reading" | "away"} */
function doing(entry) {
  return entry.mode in DOING ? entry.mode : "reading";
}

/**
 * Oneself first, then who writes, who reads, who is away; by name within.
 * @param {Iterable<Entry>} entries
 * @param {string} own
 * @returns {Entry[]}
 */
export function arrange(entries, own) {
  return [...entries].sort((a, b) => {
    if ((a.client === own) !== (b.client === own)) return a.client === own ? -1 : 1;
    const order = ORDER[doing(a)] - ORDER[doing(b)];
    return order || a.name.localeCompare(b.name) || (a.client < b.client ? -1 : 1);
  });
}

/**
 * Tabs as people: whoever has a page open twice is one person, and does what the
 * busiest tab does. Two people with the same name and colour cannot be told
 * apart by those who look on either.
 * @param {readonly Entry[]} arranged
 * @returns {(Entry & { tabs: number })[]}
 */
export function asPeople(arranged) {
  /** @type {Map<string, Entry & { tabs: number }>} */
  const people = new Map();
  for (const entry of arranged) {
    const key = JSON.stringify([entry.name, entry.colour, entry.guest]);
    const known = people.get(key);
    if (!known) people.set(key, { ...entry, tabs: 1 });
    else {
      known.tabs += 1;
      if (ORDER[doing(entry)] < ORDER[doing(known)]) known.mode = doing(entry);
    }
  }
  return [...people.values()];
}

/**
 * @param {HTMLElement} root `#here`
 * @param {HTMLElement | null} count `#here-count`
 * @param {Live} live
 * @param {string} topic `here:<page>`
 */
export function createHere(root, count, live, topic) {
  /** @type {(() => void) | null} */
  let off = null;
  const list = el("div", { class: "menu-list here-list", role: "list", "aria-label": "Who is here" });
  const summary = el("summary", { class: "here-summary", title: "Who is here" });
  const menu = el("details", { class: "menu here-menu" }, summary, list);
  let drawn = "";
  /** Nothing has been heard for too long: who is here is not known any more. */
  let stale = false;
  /** @type {Map<string, Entry>} */
  let latest = new Map();

  /** @param {Entry} entry */
  function label(entry) {
    const you = entry.client === live.client ? " (you)" : "";
    return `${entry.name}${you}, ${activity(entry)}`;
  }

  /** @param {Entry & { tabs?: number }} entry */
  function activity(entry) {
    const { tabs = 1 } = entry;
    return tabs > 1 ? `${DOING[doing(entry)]} in ${tabs} tabs` : DOING[doing(entry)];
  }

  /** @param {Entry} entry @param {string} className */
  function face(entry, className) {
    return el("span", { class: `${className} ${colourClass(entry.colour)} ${doing(entry)}` }, initials(entry.name));
  }

  /** @param {Map<string, Entry>} entries */
  function draw(entries) {
    latest = entries;
    const people = asPeople(arrange(entries.values(), live.client));
    // Carets move many times a second; faces do not.
    const key = JSON.stringify([stale, people.map((entry) => [entry.client, entry.name, entry.colour, doing(entry), entry.tabs])]);
    if (key === drawn) return;
    drawn = key;
    const shown = people.length > FACES + 1 ? people.slice(0, FACES) : people;
    const faces = shown.map((entry) => {
      const made = face(entry, "face");
      made.dataset.mode = doing(entry);
      made.dataset.client = entry.client;
      made.title = label(entry);
      made.setAttribute("role", "img");
      made.setAttribute("aria-label", label(entry));
      return made;
    });
    if (shown.length < people.length) {
      const rest = people.slice(shown.length);
      faces.push(el("span", { class: "more", role: "img", title: rest.map(label).join("\n"), "aria-label": `${rest.length} more` }, `+${rest.length}`));
    }
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Who is here");
    root.replaceChildren(...faces);
    if (!count) return;
    summary.textContent = `${people.length} ${stale && people.length > 1 ? "were here" : "here"}`;
    summary.title = stale ? "Who was here when the server was last heard" : "Who is here";
    list.replaceChildren(
      ...people.map((entry) => {
        const avatar = face(entry, "avatar");
        avatar.setAttribute("aria-hidden", "true");
        const name = entry.client === live.client ? `${entry.name} (you)` : entry.name;
        return el("div", { class: "person", role: "listitem" }, avatar, el("span", { class: "person-name" }, name), el("span", { class: "person-mode" }, activity(entry)));
      }),
    );
    if (people.length === 0) count.replaceChildren();
    else if (menu.parentElement !== count) count.replaceChildren(menu);
  }

  return {
    start() {
      if (off) return;
      const offHere = live.on("here", (change) => {
        if (change.topic === topic) draw(change.entries);
      });
      const offStatus = live.on("status", ({ state }) => {
        if (stale === (state === "offline")) return;
        stale = state === "offline";
        root.classList.toggle("stale", stale);
        if (latest.size > 0) draw(latest);
      });
      const offMenu = closeAsMenu(menu);
      off = () => {
        offHere();
        offStatus();
        offMenu();
      };
    },
    stop() {
      off?.();
      off = null;
      root.replaceChildren();
      count?.replaceChildren();
      drawn = "";
    },
  };
}
