/**
 * A page's source in its authors' colours. CodeMirror draws the part that is
 * seen and nothing else, so any moment of a large page is shown in a few ms.
 * @module
 */

import {
  Decoration,
  EditorState,
  EditorView,
  RangeSet,
  StateEffect,
  ViewPlugin,
  WidgetType,
  defaultKeymap,
  keymap,
  search,
  searchKeymap,
} from "../../vendor/editor.js";
import { lastNotAfter } from "./timeline.js";

/** @typedef {import("./timeline.js").Moment} Moment */
/** @typedef {import("./timeline.js").Change} Change */
/** @typedef {{ moment: Moment, change: Change | null, only: number | null }} Shown `only`: the one author who is not dimmed */

/** What is shown from now on. */
const show = /** @type {import("../../vendor/editor.js").StateEffectType<Shown>} */ (StateEffect.define());

/** A run that is longer than what can be seen at once is cut there; the marks are the same. */
class Gone extends WidgetType {
  eq() {
    return true;
  }

  toDOM() {
    const mark = document.createElement("span");
    mark.className = "just-gone";
    mark.setAttribute("aria-hidden", "true");
    return mark;
  }
}

const gone = Decoration.widget({ widget: new Gone(), side: -1 });
const added = Decoration.mark({ class: "just-added" });

/** Marks are made once for each author, or CodeMirror would draw anew what is the same. @type {Map<string, Decoration>} */
const marks = new Map();

/** @param {number} colour @param {boolean} dim */
function markOf(colour, dim) {
  const name = `who c${colour}${dim ? " dim" : ""}`;
  let made = marks.get(name);
  if (!made) marks.set(name, (made = Decoration.mark({ class: name })));
  return made;
}

/**
 * What is to be drawn in the parts that are seen.
 * @param {import("../../vendor/editor.js").EditorView} view @param {Shown} shown
 */
function decorate(view, { moment, change, only }) {
  const { runs, timeline } = moment;
  const length = view.state.doc.length;
  const ranges = [];
  for (const { from, to } of view.visibleRanges) {
    let run = Math.max(0, lastNotAfter(runs.from, from, 0, runs.count, 0));
    for (; run < runs.count && runs.from[run] < to; run += 1) {
      const start = Math.max(runs.from[run], from);
      const end = Math.min(runs.from[run + 1], to, length);
      const author = runs.author[run];
      if (start < end) ranges.push(markOf(timeline.authors[author]?.colour ?? 0, only !== null && only !== author).range(start, end));
    }
    if (!change) continue;
    for (const one of change.added) {
      const start = Math.max(one.from, from);
      const end = Math.min(one.to, to, length);
      if (start < end) ranges.push(added.range(start, end));
    }
    for (const { at } of change.removed) if (at >= from && at <= to && at <= length) ranges.push(gone.range(at));
  }
  return Decoration.set(ranges, true);
}

/**
 * @typedef {object} ColouredOptions
 * @property {string} label what a screen reader calls the text
 * @property {string | null} nonce for the style element
 * @property {(index: number) => void} [onCaret] with a caret that goes where it is sent; without it there is none
 */

/** @param {HTMLElement} parent @param {ColouredOptions} options */
export function createColoured(parent, options) {
  /** @type {Shown | null} */
  let shown = null;
  const plugin = ViewPlugin.fromClass(
    class {
      constructor() {
        /** @type {import("../../vendor/editor.js").DecorationSet} */
        this.decorations = /** @type {any} */ (RangeSet.empty);
      }

      /** @param {import("../../vendor/editor.js").ViewUpdate} update */
      update(update) {
        let fresh = update.viewportChanged;
        for (const tr of update.transactions) {
          for (const effect of tr.effects) {
            if (effect.is(show)) {
              shown = effect.value;
              fresh = true;
            }
          }
        }
        if (shown && fresh) this.decorations = decorate(update.view, shown);
      }
    },
    { decorations: (value) => value.decorations },
  );
  const { onCaret } = options;
  const view = new EditorView({
    parent,
    state: EditorState.create({
      extensions: [
        EditorState.lineSeparator.of("\n"),
        options.nonce ? EditorView.cspNonce.of(options.nonce) : [],
        EditorState.readOnly.of(true),
        EditorView.editable.of(onCaret !== undefined),
        EditorView.lineWrapping,
        // What is not seen is not in the page, so the browser's own search would not find it.
        search({ top: true }),
        keymap.of([...searchKeymap, ...(onCaret ? defaultKeymap : [])]),
        EditorView.contentAttributes.of({
          "aria-label": options.label,
          "aria-readonly": "true",
          // A caret to look around with needs no keyboard on the glass.
          ...(onCaret ? { inputmode: "none" } : { tabindex: "0" }),
          spellcheck: "false",
          translate: "no",
        }),
        plugin,
        onCaret
          ? EditorView.updateListener.of((update) => {
              if (update.selectionSet) onCaret(update.state.selection.main.head);
            })
          : [],
      ],
    }),
  });
  let text = "";

  return {
    view,
    /**
     * @param {Moment} moment
     * @param {{ change?: Change | null, only?: number | null, reveal?: number | null }} [how] `reveal`: a place that is to be seen
     */
    show(moment, { change = null, only = null, reveal = null } = {}) {
      const [from, before, after] = difference(text, moment.text);
      const changes = from === before && from === after ? undefined : { from, to: before, insert: moment.text.slice(from, after) };
      text = moment.text;
      const effects = /** @type {any[]} */ ([show.of({ moment, change, only })]);
      if (reveal !== null) effects.push(EditorView.scrollIntoView(Math.min(reveal, text.length), { y: "nearest", yMargin: 64 }));
      view.dispatch({ changes, effects });
    },
    destroy: () => view.destroy(),
  };
}

/**
 * Where two texts differ: from the first to before the second number in the old one, to before the third in the new one.
 * @param {string} before @param {string} after @returns {[number, number, number]}
 */
export function difference(before, after) {
  const shorter = Math.min(before.length, after.length);
  let from = 0;
  while (from < shorter && before.charCodeAt(from) === after.charCodeAt(from)) from += 1;
  // Both halves of a pair go together.
  if (from > 0 && from < shorter && (before.charCodeAt(from - 1) & 0xfc00) === 0xd800) from -= 1;
  let tail = 0;
  while (tail < shorter - from && before.charCodeAt(before.length - 1 - tail) === after.charCodeAt(after.length - 1 - tail)) tail += 1;
  if (tail > 0 && (before.charCodeAt(before.length - tail) & 0xfc00) === 0xdc00) tail -= 1;
  return [from, before.length - tail, after.length - tail];
}
