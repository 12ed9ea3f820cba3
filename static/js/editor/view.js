// The CodeMirror view over a session's shared text. A new document (see session.js) gets a new state in the same
// view, with the selection carried over.

import {
  EditorSelection,
  EditorState,
  EditorView,
  Compartment,
  Prec,
  Y,
  bracketMatching,
  codeLanguages,
  completionKeymap,
  defaultKeymap,
  deleteMarkupBackward,
  drawSelection,
  dropCursor,
  highlightActiveLine,
  highlightSelectionMatches,
  highlightSpecialChars,
  insertNewlineContinueMarkup,
  keymap,
  markdown,
  markdownLanguage,
  placeholder,
  rectangularSelection,
  search,
  searchKeymap,
  startCompletion,
  temporarilySetTabFocusMode,
  yCollab,
} from "../../vendor/editor.js";
import { authorColours } from "./authors.js";
import { caretListener, remoteCarets } from "./carets.js";
import {
  cycleHeading,
  indent,
  insertLink,
  insertTable,
  insertWikiLink,
  outdent,
  setHeading,
  toggleCode,
  toggleList,
  toggleMarker,
  toggleQuote,
} from "./commands.js";
import { wikiCompletion } from "./complete.js";
import { highlighting, wikiLinkSyntax } from "./highlight.js";
import { driftGuard, fromDocument, textLimit, wellFormedInput } from "./input.js";
import { SPECIAL, oddLines } from "./lines.js";
import { diffText } from "./text.js";

/**
 * @typedef {object} ViewOptions
 * @property {HTMLElement} parent
 * @property {string} label what a screen reader calls the editor
 * @property {string | null} nonce for the editor's style element
 * @property {() => void} onMove the selection or the text changed
 * @property {() => void} onSave Mod-s
 * @property {(bytes: number) => void} onFull an edit was refused because the text would be too large
 * @property {(update: import('../../vendor/editor.js').ViewUpdate) => void} [onUpdate]
 */

/** Every command by name: one list for the keys and for the toolbar. */
export const commands = {
  bold: toggleMarker("**"),
  italic: toggleMarker("*"),
  strike: toggleMarker("~~"),
  heading: cycleHeading,
  heading1: setHeading(1),
  heading2: setHeading(2),
  heading3: setHeading(3),
  heading4: setHeading(4),
  link: insertLink,
  wikiLink: insertWikiLink(startCompletion),
  list: toggleList("bullet"),
  numbered: toggleList("number"),
  task: toggleList("task"),
  quote: toggleQuote,
  code: toggleCode,
  table: insertTable,
};

/** Keys of the commands, in CodeMirror's notation. @type {Record<string, string>} */
export const keys = {
  bold: "Mod-b",
  italic: "Mod-i",
  strike: "Mod-Shift-x",
  heading1: "Mod-Alt-1",
  heading2: "Mod-Alt-2",
  heading3: "Mod-Alt-3",
  heading4: "Mod-Alt-4",
  link: "Mod-k",
  wikiLink: "Mod-Shift-k",
  list: "Mod-Shift-8",
  numbered: "Mod-Shift-7",
  task: "Mod-Shift-9",
  quote: "Mod-Shift-.",
  code: "Mod-e",
};

/** CodeMirror's words for searching, as plain ones. @type {Record<string, string>} */
const PHRASES = {
  next: "Next",
  previous: "Previous",
  all: "All",
  "match case": "Match case",
  regexp: "Regex",
  "by word": "Whole words",
  replace: "Replace",
  "replace all": "Replace all",
  close: "Close the search",
};

/** @param {ViewOptions} options */
export function createView(options) {
  /** @type {Y.UndoManager | null} */
  let undoManager = null;
  /** @type {Y.Text | null} */
  let shared = null;
  const editable = new Compartment();
  let writable = true;
  /** @type {Set<() => void>} */
  const undoListeners = new Set();
  const tellUndo = () => undoListeners.forEach((listener) => listener());

  const history = {
    /** @param {'undo' | 'redo'} which */
    run(which) {
      try {
        undoManager?.[which]();
      } catch (error) {
        // The stored selection may lie in text that is gone for good; the text itself has been changed back.
        console.warn(`halley: ${which} could not restore the selection`, error);
      }
      return true;
    },
    get canUndo() {
      return (undoManager?.undoStack.length ?? 0) > 0;
    },
    get canRedo() {
      return (undoManager?.redoStack.length ?? 0) > 0;
    },
    /** @param {() => void} listener */
    on(listener) {
      undoListeners.add(listener);
      return () => undoListeners.delete(listener);
    },
  };
  const undo = () => history.run("undo");
  const redo = () => history.run("redo");

  const fixed = [
    // Only "\n" ends a line: texts with CRLF or lone CR must have the same length here as in the shared text.
    EditorState.lineSeparator.of("\n"),
    options.nonce ? EditorView.cspNonce.of(options.nonce) : [],
    wellFormedInput,
    textLimit(options.onFull),
    highlightSpecialChars({ specialChars: SPECIAL }),
    oddLines,
    drawSelection(),
    dropCursor(),
    rectangularSelection(),
    EditorState.allowMultipleSelections.of(true),
    EditorView.lineWrapping,
    highlightActiveLine(),
    highlightSelectionMatches({ minSelectionLength: 3 }),
    bracketMatching(),
    placeholder("Write in Markdown …"),
    search({ top: true }),
    EditorState.phrases.of(PHRASES),
    // The line one writes on keeps its distance from the edge.
    EditorView.scrollMargins.of(() => ({ top: 24, bottom: 72 })),
    markdown({
      base: markdownLanguage,
      codeLanguages: [...codeLanguages],
      addKeymap: false,
      completeHTMLTags: false,
      extensions: [wikiLinkSyntax],
    }),
    highlighting,
    wikiCompletion(),
    remoteCarets,
    authorColours,
    caretListener(options.onMove),
    EditorView.contentAttributes.of({
      "aria-label": `${options.label}. Tab indents; to leave, press Escape and then Tab.`,
      spellcheck: "true",
      autocorrect: "on",
      autocapitalize: "sentences",
    }),
    Prec.high(
      EditorView.domEventHandlers({
        beforeinput(event) {
          if (event.inputType === "historyUndo") return undo();
          if (event.inputType === "historyRedo") return redo();
          return false;
        },
      }),
    ),
    Prec.high(
      keymap.of([
        { key: "Mod-s", preventDefault: true, run: () => (options.onSave(), true) },
        { key: "Mod-z", preventDefault: true, run: undo },
        { key: "Mod-y", mac: "Mod-Shift-z", preventDefault: true, run: redo },
        { key: "Mod-Shift-z", preventDefault: true, run: redo },
        ...Object.entries(keys).map(([name, key]) => ({
          key,
          preventDefault: true,
          run: commands[/** @type {keyof typeof commands} */ (name)],
        })),
      ]),
    ),
    keymap.of([
      ...completionKeymap,
      ...searchKeymap,
      { key: "Enter", run: insertNewlineContinueMarkup },
      { key: "Backspace", run: deleteMarkupBackward },
      { key: "Tab", run: indent, shift: outdent },
      // Tab stays in the text, so there must be a way out without a mouse: Escape, then Tab.
      { key: "Escape", run: temporarilySetTabFocusMode },
      ...defaultKeymap,
    ]),
    options.onUpdate ? EditorView.updateListener.of(options.onUpdate) : [],
  ];

  const view = new EditorView({ parent: options.parent, state: EditorState.create({ extensions: fixed }) });

  /**
   * @param {Y.Text} text
   * @param {number} anchor
   * @param {number} head
   */
  function stateOf(text, anchor, head) {
    undoManager?.destroy();
    undoManager = new Y.UndoManager(text);
    for (const name of ["stack-item-added", "stack-item-popped", "stack-cleared"]) {
      undoManager.on(/** @type {any} */ (name), tellUndo);
    }
    shared = text;
    const doc = text.toString();
    const clip = (/** @type {number} */ pos) => Math.min(pos, doc.length);
    return EditorState.create({
      doc,
      selection: EditorSelection.single(clip(anchor), clip(head)),
      extensions: [
        fixed,
        yCollab(text, null, { undoManager }),
        driftGuard(() => shared?.length ?? 0, repair),
        editable.of(EditorState.readOnly.of(!writable)),
      ],
    });
  }

  /** Puts into the shared text what is in the view only: text that a person typed must not be lost to a fault. */
  function repair() {
    if (!shared?.doc) return;
    const text = shared;
    const seen = view.state.doc.sliceString(0, view.state.doc.length, "\n");
    const edits = diffText(text.toString(), seen);
    if (edits.length === 0) return;
    console.error("halley: the editor and the shared text had drifted apart; repaired");
    const { anchor, head } = view.state.selection.main;
    text.doc?.transact(() => {
      for (const edit of edits) {
        if (edit.remove > 0) text.delete(edit.at, edit.remove);
        if (edit.insert !== "") text.insert(edit.at, edit.insert);
      }
    });
    // The binding may be what failed, so the state is made anew.
    view.setState(stateOf(text, anchor, head));
  }

  return {
    view,
    history,
    /** @param {Y.Text} text the document to show from now on */
    show(text) {
      const { anchor, head } = view.state.selection.main;
      const old = view.state.doc.sliceString(0, view.state.doc.length, "\n");
      const next = text.toString();
      // Positions are carried through the difference of the texts: the caret stays at its words.
      const changes = view.state.changes(
        diffText(old, next).map((edit) => ({
          from: edit.at,
          to: edit.at + edit.remove,
          insert: edit.insert,
        })),
      );
      const scroll = view.scrollDOM.scrollTop;
      view.setState(stateOf(text, changes.mapPos(anchor, 1), changes.mapPos(head, 1)));
      view.scrollDOM.scrollTop = scroll;
      tellUndo();
    },
    /** @param {boolean} yes whether the person may write here */
    setWritable(yes) {
      writable = yes;
      view.dispatch({
        effects: editable.reconfigure(EditorState.readOnly.of(!yes)),
        annotations: fromDocument.of(true),
      });
    },
    destroy() {
      undoManager?.destroy();
      view.destroy();
    },
  };
}
