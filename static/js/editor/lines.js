// Lines that are not plain left-to-right ones ended by "\n": CRLF, whose "\r" is kept but neither seen nor stepped
// on, and lines in scripts that are written from right to left.

import { Decoration, EditorSelection, EditorState, EditorView, ViewPlugin } from "../../vendor/editor.js";

/** @typedef {import('../../vendor/editor.js').Text} Text */
/** @typedef {import('../../vendor/editor.js').DecorationSet} DecorationSet */

/** Hebrew, Arabic and the other scripts of their blocks. */
const RTL = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;

/** The default of highlightSpecialChars, but a "\r" that ends a line is no stray character. */
export const SPECIAL =
  // eslint-disable-next-line no-control-regex
  /[\u0000-\u0008\u000a-\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\u202d\u202e\u2066\u2067\u2069\ufeff\ufff9-\ufffc]|\r(?!$)/g;

/**
 * Whether a position lies between the "\r" and the "\n" of one line end.
 * @param {Text} doc
 * @param {number} pos
 */
export function splitsReturn(doc, pos) {
  return pos > 0 && pos < doc.length && doc.sliceString(pos - 1, pos + 1, "\n") === "\r\n";
}

/** @param {EditorView} view */
function look(view) {
  const { doc } = view.state;
  const lines = [];
  const whole = [];
  for (const { from, to } of view.visibleRanges) {
    for (let pos = from; pos <= to; ) {
      const line = doc.lineAt(pos);
      if (RTL.test(line.text)) lines.push(rightToLeft.range(line.from));
      if (line.text.endsWith("\r") && line.to < doc.length) {
        lines.push(unseen.range(line.to - 1, line.to));
        whole.push(unseen.range(line.to - 1, line.to + 1));
      }
      pos = line.to + 1;
    }
  }
  return { lines: Decoration.set(lines, true), whole: Decoration.set(whole, true) };
}

const rightToLeft = Decoration.line({ attributes: { dir: "auto" } });
const unseen = Decoration.replace({});

const plugin = ViewPlugin.fromClass(
  class {
    /** @param {EditorView} view */
    constructor(view) {
      const { lines, whole } = look(view);
      /** @type {DecorationSet} */
      this.lines = lines;
      /** @type {DecorationSet} a line end is one step, and one deletion */
      this.whole = whole;
    }

    /** @param {import('../../vendor/editor.js').ViewUpdate} update */
    update(update) {
      if (update.docChanged || update.viewportChanged) Object.assign(this, look(update.view));
    }
  },
  {
    decorations: (made) => made.lines,
    provide: (made) => EditorView.atomicRanges.of((view) => view.plugin(made)?.whole ?? Decoration.none),
  },
);

/** The key End, a click beside a line and the like end before its "\r". */
const beforeReturn = EditorState.transactionFilter.of((tr) => {
  if (!tr.selection) return tr;
  const doc = tr.newDoc;
  const { ranges, mainIndex } = tr.selection;
  if (!ranges.some(({ anchor, head }) => splitsReturn(doc, anchor) || splitsReturn(doc, head))) return tr;
  const off = (/** @type {number} */ pos) => (splitsReturn(doc, pos) ? pos - 1 : pos);
  const moved = ranges.map(({ anchor, head }) => EditorSelection.range(off(anchor), off(head)));
  return [tr, { selection: EditorSelection.create(moved, mainIndex), sequential: true }];
});

/** The extension. */
export const oddLines = [plugin, beforeReturn, EditorView.perLineTextDirection.of(true)];
