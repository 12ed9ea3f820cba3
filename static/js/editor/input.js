// What may enter the text: guards on local transactions. Positions in Yjs and in CodeMirror are UTF-16 units, and
// Yjs puts U+FFFD in the place of a surrogate pair that is split, so a change must never begin or end inside one.

import {
  Annotation,
  EditorSelection,
  EditorState,
  EditorView,
  StateField,
  ySyncAnnotation,
} from "../../vendor/editor.js";
import { splitsReturn } from "./lines.js";
import { MAX_TEXT_BYTES, isHigh, isLow, utf8Length, wellFormed } from "./text.js";

/** @typedef {import('../../vendor/editor.js').Text} Text */

/** Marks a transaction that puts text in that is in the shared document already. */
export const fromDocument = Annotation.define();

/** @param {import('../../vendor/editor.js').Transaction} tr */
const isRemote = (tr) =>
  tr.annotation(ySyncAnnotation) !== undefined || tr.annotation(fromDocument) !== undefined;

/**
 * Whether a position lies between the halves of a surrogate pair.
 * @param {Text} doc
 * @param {number} pos
 */
export function splitsPair(doc, pos) {
  if (pos <= 0 || pos >= doc.length) return false;
  const around = doc.sliceString(pos - 1, pos + 1);
  return isHigh(around.charCodeAt(0)) && isLow(around.charCodeAt(1));
}

/**
 * Moves local changes to code point borders, repairs lone surrogates, and takes the carriage returns of pasted text
 * away unless the page itself uses them.
 */
export const wellFormedInput = EditorState.transactionFilter.of((tr) => {
  if (!tr.docChanged || isRemote(tr)) return tr;
  const before = tr.startState.doc;
  let repair = false;
  /** @type {{ from: number, to: number, insert: string }[]} */
  const changes = [];
  let floor = 0;
  tr.changes.iterChanges((fromA, toA, _fromB, _toB, inserted) => {
    const text = inserted.sliceString(0, inserted.length, "\n");
    let insert = wellFormed(text);
    if (insert.includes("\r") && !usesReturns(before)) insert = insert.replace(/\r\n?/g, "\n");
    let from = fromA;
    let to = toA;
    if (fromA !== toA) {
      // A deletion takes the whole pair, ...
      if (splitsPair(before, from)) from -= 1;
      if (splitsPair(before, to)) to += 1;
    } else if (splitsPair(before, from)) {
      // ... an insertion goes behind it.
      from += 1;
      to += 1;
    } else if (splitsReturn(before, from)) {
      // What is written at the end of a line stands before its whole end, or the "\r" would begin a line of its own.
      from -= 1;
      to -= 1;
    }
    from = Math.max(from, floor);
    to = Math.max(from, to);
    floor = to;
    if (from !== fromA || to !== toA || insert !== text) repair = true;
    changes.push({ from, to, insert });
  }, true);
  if (!repair) return tr;
  const set = tr.startState.changes(changes);
  const last = changes[changes.length - 1];
  const head = set.mapPos(last.to, 1);
  return [
    {
      changes: set,
      selection: EditorSelection.cursor(Math.min(head, set.newLength)),
      effects: tr.effects,
      scrollIntoView: tr.scrollIntoView,
    },
  ];
});

/** Whether the page keeps carriage returns: looked up in its first lines only. @param {Text} doc */
function usesReturns(doc) {
  return doc.sliceString(0, Math.min(doc.length, 2000)).includes("\r");
}

/** Bytes of the text in UTF-8, kept up to date by what changes. */
export const textBytes = StateField.define({
  create: (state) => utf8Length(state.doc.sliceString(0, state.doc.length, "\n")),
  update(bytes, tr) {
    return tr.docChanged ? bytes + growth(tr) : bytes;
  },
});

/** Bytes that a transaction adds. @param {import('../../vendor/editor.js').Transaction} tr */
function growth(tr) {
  let bytes = 0;
  tr.changes.iterChanges((fromA, toA, _fromB, _toB, inserted) => {
    bytes += utf8Length(inserted.sliceString(0, inserted.length, "\n"));
    if (toA > fromA) bytes -= utf8Length(tr.startState.doc.sliceString(fromA, toA, "\n"));
  });
  return bytes;
}

/**
 * Refuses local edits with which the text would pass the limit.
 * @param {(bytes: number) => void} onFull told with the size it would have had
 * @param {number} [limit] bytes
 */
export function textLimit(onFull, limit = MAX_TEXT_BYTES) {
  return [
    textBytes,
    EditorState.transactionFilter.of((tr) => {
      if (!tr.docChanged || isRemote(tr)) return tr;
      const more = growth(tr);
      const size = tr.startState.field(textBytes) + more;
      if (more <= 0 || size <= limit) return tr;
      onFull(size);
      return [];
    }),
  ];
}

/**
 * The view and the shared text must not drift apart unnoticed: should the binding between them fail, `onDrift` is
 * called after the update. Lengths are compared, which costs nothing.
 * @param {() => number} sharedLength
 * @param {() => void} onDrift
 */
export function driftGuard(sharedLength, onDrift) {
  return EditorView.updateListener.of((update) => {
    if (update.docChanged && update.state.doc.length !== sharedLength()) queueMicrotask(onDrift);
  });
}
