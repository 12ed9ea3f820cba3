// The toolbar: buttons for the commands of view.js. One tab stop, arrow keys inside (WAI-ARIA toolbar pattern).

import { openSearchPanel } from "../../vendor/editor.js";
import { commands, keys } from "./view.js";

/** @typedef {{ name: string, label: string, path: string, key?: string, keyText?: string }} Item `path`: of a 24 x 24 line icon */

/** @type {(Item | null)[]} null: a separator */
const ITEMS = [
  { name: "undo", label: "Undo", path: "M8 5 4 9l4 4M4 9h9a6 6 0 0 1 0 12h-3", key: "Mod-z" },
  { name: "redo", label: "Redo", path: "m16 5 4 4-4 4M20 9h-9a6 6 0 0 0 0 12h3", key: "Mod-Shift-z" },
  null,
  { name: "bold", label: "Bold", path: "M7 5h6a3.5 3.5 0 0 1 0 7H7zm0 7h7a3.5 3.5 0 0 1 0 7H7z" },
  { name: "italic", label: "Italic", path: "M10 5h8M6 19h8M14.5 5l-5 14" },
  {
    name: "strike",
    label: "Strikethrough",
    path: "M5 12h14M16 7.5C16 6 14.4 5 12 5S8 6.2 8 8c0 1.6 1.4 2.6 3 3M8 16c0 1.8 1.6 3 4 3s4.2-1.2 4.2-3",
  },
  { name: "heading", label: "Heading", path: "M6 5v14M18 5v14M6 12h12", keyText: `${keyText("Mod-Alt-1")} to 4` },
  null,
  {
    name: "link",
    label: "Link",
    path: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.6l-1.2 1.2M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.6l1.2-1.2",
  },
  { name: "wikiLink", label: "Link to a page of this wiki", path: "M8 5H5v14h3M16 5h3v14h-3M9 12h6" },
  null,
  { name: "list", label: "List", path: "M9 6h11M9 12h11M9 18h11M4.5 6h.01M4.5 12h.01M4.5 18h.01" },
  {
    name: "numbered",
    label: "Numbered list",
    path: "M10 6h10M10 12h10M10 18h10M4 4.5 5.5 4v4M4 14.2c.4-1 2.5-1 2.5.2 0 .9-2.5 2.1-2.5 3.4h2.6",
  },
  { name: "task", label: "Task list", path: "M4 6.5 5.5 8 8.5 5M4 16.5 5.5 18l3-3M12 6.5h8M12 16.5h8" },
  { name: "quote", label: "Quote", path: "M5 5v14M10 8h9M10 12h9M10 16h6" },
  { name: "code", label: "Code", path: "m8 8-4 4 4 4M16 8l4 4-4 4M13.5 6l-3 12" },
  { name: "table", label: "Table", path: "M4 5h16v14H4zM4 10h16M4 14.5h16M12 5v14" },
  null,
  {
    name: "search",
    label: "Find and replace",
    path: "M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM15.5 15.5 20 20",
    key: "Mod-f",
  },
];

const SVG = "http://www.w3.org/2000/svg";

/**
 * Fills the toolbar.
 * @param {HTMLElement} bar
 * @param {ReturnType<typeof import('./view.js').createView>} editor
 * @returns {() => void} empties it
 */
export function createToolbar(bar, editor) {
  /** @type {HTMLButtonElement[]} */
  const buttons = [];
  bar.replaceChildren();
  for (const item of ITEMS) {
    if (item === null) {
      const line = document.createElement("span");
      line.className = "separator";
      line.setAttribute("role", "separator");
      line.setAttribute("aria-orientation", "vertical");
      bar.append(line);
      continue;
    }
    const button = document.createElement("button");
    const shortcut = item.keyText ?? keyText(item.key ?? keys[item.name]);
    button.type = "button";
    button.dataset.command = item.name;
    button.setAttribute("aria-label", item.label);
    button.title = shortcut ? `${item.label} (${shortcut})` : item.label;
    button.tabIndex = buttons.length === 0 ? 0 : -1;
    button.append(icon(item.path));
    // The text keeps its selection and, on a phone, its keyboard.
    button.addEventListener("mousedown", (event) => event.preventDefault());
    button.addEventListener("click", () => {
      run(item.name);
      if (item.name !== "search") editor.view.focus();
    });
    buttons.push(button);
    bar.append(button);
  }

  /** @param {string} name */
  function run(name) {
    if (name === "undo" || name === "redo") editor.history.run(name);
    else if (name === "search") openSearchPanel(editor.view);
    else commands[/** @type {keyof typeof commands} */ (name)](editor.view);
  }

  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const at = buttons.indexOf(/** @type {any} */ (document.activeElement));
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const next = buttons[(to + buttons.length) % buttons.length];
    for (const button of buttons) button.tabIndex = button === next ? 0 : -1;
    next.focus();
  }

  function refresh() {
    for (const button of buttons) {
      // aria-disabled keeps a button that has just been used focusable.
      if (button.dataset.command === "undo")
        button.setAttribute("aria-disabled", String(!editor.history.canUndo));
      if (button.dataset.command === "redo")
        button.setAttribute("aria-disabled", String(!editor.history.canRedo));
    }
  }
  bar.addEventListener("keydown", onKey);
  const off = editor.history.on(refresh);
  refresh();
  return () => {
    off();
    bar.removeEventListener("keydown", onKey);
    bar.replaceChildren();
  };
}

/** @param {string} path */
function icon(path) {
  const svg = document.createElementNS(SVG, "svg");
  const attributes = {
    viewBox: "0 0 24 24",
    width: "20",
    height: "20",
    fill: "none",
    stroke: "currentColor",
    "stroke-width": "2",
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
    "aria-hidden": "true",
    class: "icon",
  };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/**
 * A key as people of this platform write it.
 * @param {string | undefined} key
 */
function keyText(key) {
  if (!key) return "";
  const mac = /Mac|iPhone|iPad/.test(globalThis.navigator?.platform ?? "");
  const names = mac ? { Mod: "⌘", Shift: "⇧", Alt: "⌥" } : { Mod: "Ctrl", Shift: "Shift", Alt: "Alt" };
  const parts = key.split("-").map((part) => /** @type {any} */ (names)[part] ?? part.toUpperCase());
  return parts.join(mac ? "" : "+");
}
