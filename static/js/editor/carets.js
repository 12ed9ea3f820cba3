// Other people's carets and selections in the text. Names enter by textContent, colours by a class; positions are
// Yjs relative positions that come from other browsers, so nothing about them is taken for granted.

import {
  Decoration,
  EditorView,
  RangeSet,
  StateEffect,
  StateField,
  ViewPlugin,
  WidgetType,
  Y,
} from "../../vendor/editor.js";
import { ROOT } from "./session/document.js";

/** @typedef {{ client: string, name: string, colour: number, anchor: number, head: number, seen: number }} Person */
/** @typedef {{ anchor: unknown, head: unknown }} Caret a selection as relative positions in JSON */

/** How long a name stays beside a caret that has moved. */
const NAME_MS = 2000;

/** Sets who is shown. */
const showPeople = /** @type {import("../../vendor/editor.js").StateEffectType<Person[]>} */ (
  StateEffect.define()
);

class CaretWidget extends WidgetType {
  /** @param {Person} person */
  constructor(person) {
    super();
    this.person = person;
  }

  /** @param {CaretWidget} other */
  eq(other) {
    const a = this.person;
    const b = other.person;
    return a.client === b.client && a.name === b.name && a.colour === b.colour && a.seen === b.seen;
  }

  /** @param {EditorView} view */
  toDOM(view) {
    const caret = document.createElement("span");
    caret.className = `remote-caret c${this.person.colour}`;
    caret.setAttribute("aria-hidden", "true");
    const name = document.createElement("span");
    name.className = "remote-name";
    name.textContent = this.person.name;
    caret.append(name);
    // Near the right edge there is no room for the name, and the editor would cut it off.
    view.requestMeasure({
      key: caret,
      read: () => name.getBoundingClientRect().right > view.scrollDOM.getBoundingClientRect().right - 4,
      write: (cut) => {
        if (cut) caret.classList.add("flipped");
      },
    });
    setTimeout(() => caret.classList.add("quiet"), NAME_MS);
    return caret;
  }

  ignoreEvent() {
    return true;
  }
}

/**
 * @param {Person[]} people
 * @param {number} length of the document
 */
function decorate(people, length) {
  const ranges = [];
  for (const person of people) {
    const from = Math.min(person.anchor, person.head, length);
    const to = Math.min(Math.max(person.anchor, person.head), length);
    if (from < to)
      ranges.push(Decoration.mark({ class: `remote-selection c${person.colour}` }).range(from, to));
    // The side keeps the caret before what its owner types next, where the next beat will put it anyway.
    ranges.push(
      Decoration.widget({ widget: new CaretWidget(person), side: 1 }).range(Math.min(person.head, length)),
    );
  }
  return Decoration.set(ranges, true);
}

const people = StateField.define({
  create: () => /** @type {import('../../vendor/editor.js').DecorationSet} */ (RangeSet.empty),
  update(set, tr) {
    let next = tr.docChanged ? set.map(tr.changes) : set;
    for (const effect of tr.effects)
      if (effect.is(showPeople)) next = decorate(effect.value, tr.newDoc.length);
    return next;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** The stylesheet draws them; this is only what the behaviour needs. */
const behaviour = EditorView.baseTheme({
  ".remote-caret.remote-caret": { pointerEvents: "auto" },
  ".remote-caret.quiet .remote-name": { display: "none" },
  ".remote-caret.quiet:hover .remote-name": { display: "block" },
  ".remote-caret::after": { content: '""', position: "absolute", inset: "-2px -5px" },
});

/** The extension that shows them. */
export const remoteCarets = [people, behaviour];

/**
 * Keeps a view's carets up to date with the people on the page.
 * @param {EditorView} view
 * @param {string} self this tab's id, which is not shown
 */
export function createCarets(view, self) {
  /** @type {Map<string, { key: string, seen: number }>} */
  const known = new Map();
  /** @type {Map<string, any>} */
  let entries = new Map();
  let moves = 0;

  return {
    /** Somebody's caret stands in text that is not here yet. */
    unresolved: false,
    /**
     * @param {Map<string, any>} now presence entries by tab
     * @param {any} text the shared text
     */
    show(now, text) {
      entries = now;
      this.refresh(text);
    },
    /** @param {any} text */
    refresh(text) {
      /** @type {Person[]} */
      const list = [];
      this.unresolved = false;
      for (const [client, entry] of entries) {
        if (client === self || entry.mode === "reading" || !entry.caret) continue;
        const anchor = toIndex(entry.caret.anchor, text);
        const head = toIndex(entry.caret.head, text);
        if (anchor === null || head === null) {
          this.unresolved = true;
          continue;
        }
        const key = JSON.stringify(entry.caret);
        const before = known.get(client);
        const seen = before?.key === key ? before.seen : (moves += 1);
        known.set(client, { key, seen });
        const colour =
          Number.isInteger(entry.colour) && entry.colour >= 0 && entry.colour < 12 ? entry.colour : 0;
        list.push({ client, name: String(entry.name).slice(0, 60), colour, anchor, head, seen });
      }
      for (const client of known.keys()) if (!entries.has(client)) known.delete(client);
      view.dispatch({ effects: showPeople.of(list) });
    },
  };
}

/**
 * The local selection as relative positions.
 * @param {any} text
 * @param {{ anchor: number, head: number }} selection
 * @returns {Caret}
 */
export function toCaret(text, selection) {
  // As the editor itself moves them: a caret stays behind the character before it when somebody writes at that very
  // place, and a selection does not grow. Otherwise a caret at the end would run along with whoever writes there.
  const at = (/** @type {number} */ index, /** @type {number} */ assoc) =>
    Y.relativePositionToJSON(
      Y.createRelativePositionFromTypeIndex(text, Math.min(index, text.length), assoc),
    );
  const { anchor, head } = selection;
  const headAt = at(head, head < anchor ? 0 : -1);
  return { anchor: anchor === head ? headAt : at(anchor, anchor < head ? 0 : -1), head: headAt };
}

/** @param {any} id */
const isId = (id) =>
  Number.isSafeInteger(id?.client) && Number.isSafeInteger(id?.clock) && id.client >= 0 && id.clock >= 0;

/**
 * Index of a relative position, or null when it is none, or not one of this text, or of something not here yet.
 * @param {any} json
 * @param {any} text
 * @returns {number | null}
 */
export function toIndex(json, text) {
  if (typeof json !== "object" || json === null) return null;
  // Looking a position up by another name would create that type in the document.
  if (json.tname != null && json.tname !== ROOT) return null;
  if (
    json.type != null ||
    (json.item != null && !isId(json.item)) ||
    (json.item == null && json.tname !== ROOT)
  )
    return null;
  try {
    const position = Y.createRelativePositionFromJSON({
      tname: json.tname ?? null,
      type: null,
      item: json.item ?? null,
      assoc: json.assoc === -1 ? -1 : 0,
    });
    const found = Y.createAbsolutePositionFromRelativePosition(position, text.doc);
    return found !== null && found.type === text ? found.index : null;
  } catch {
    return null;
  }
}

/**
 * Calls back when the local selection or the text under it changes.
 * @param {() => void} onMove
 */
export function caretListener(onMove) {
  return ViewPlugin.fromClass(
    class {
      /** @param {import('../../vendor/editor.js').ViewUpdate} update */
      update(update) {
        if (update.selectionSet || update.docChanged || update.focusChanged) onMove();
      }
    },
  );
}
