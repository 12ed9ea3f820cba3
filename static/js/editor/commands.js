// Markdown commands. Each takes a view, makes one transaction, and returns true.

import { EditorSelection, indentLess, indentMore, syntaxTree } from "../../vendor/editor.js";

/** @typedef {import('../../vendor/editor.js').EditorView} EditorView */

/**
 * Puts a marker around each selection, or takes it away where it is there already.
 * @param {string} marker
 * @returns {(view: EditorView) => boolean}
 */
export function toggleMarker(marker) {
  const size = marker.length;
  return (view) => {
    const { state } = view;
    if (state.readOnly) return false;
    const doc = state.doc;
    const spec = state.changeByRange((range) => {
      const word = range.empty ? state.wordAt(range.head) : null;
      const from = word ? word.from : range.from;
      const to = word ? word.to : range.to;
      const at = (/** @type {number} */ a, /** @type {number} */ b) =>
        doc.sliceString(Math.max(0, a), Math.min(doc.length, b));
      const outside = marked(at(from - size - 3, from), at(to, to + size + 3), marker);
      if (outside) {
        return {
          changes: [
            { from: from - size, to: from },
            { from: to, to: to + size },
          ],
          range: EditorSelection.range(range.anchor - size, range.head - size),
        };
      }
      const inside = at(from, to);
      if (inside.length > 2 * size && inside.startsWith(marker) && inside.endsWith(marker)) {
        return {
          changes: [
            { from, to: from + size },
            { from: to - size, to },
          ],
          range: EditorSelection.range(from, to - 2 * size),
        };
      }
      return {
        changes: [
          { from, insert: marker },
          { from: to, insert: marker },
        ],
        range: EditorSelection.range(range.anchor + size, range.head + size),
      };
    });
    view.dispatch(spec, { userEvent: "input", scrollIntoView: true });
    return true;
  };
}

/**
 * Whether the text before ends and the text after begins with exactly this marker: `*` is not the end of `**`.
 * @param {string} before
 * @param {string} after
 * @param {string} marker
 */
function marked(before, after, marker) {
  if (!before.endsWith(marker) || !after.startsWith(marker)) return false;
  const run = (/** @type {string} */ text, /** @type {RegExp} */ pattern) =>
    pattern.exec(text)?.[0].length ?? 0;
  const char = marker[0] === "*" ? "\\*" : marker[0];
  const left = run(before, new RegExp(`(?:${char})+$`));
  const right = run(after, new RegExp(`^(?:${char})+`));
  return marker === "*" ? left % 2 === 1 && right % 2 === 1 : left >= marker.length && right >= marker.length;
}

/**
 * Changes the beginning of every selected line.
 * @param {EditorView} view
 * @param {(text: string, index: number) => { remove: number, insert: string, at?: number }} edit
 */
function eachLine(view, edit) {
  const { state } = view;
  if (state.readOnly) return false;
  const changes = [];
  let index = 0;
  let last = -1;
  for (const range of state.selection.ranges) {
    for (let pos = range.from; ;) {
      const line = state.doc.lineAt(pos);
      const only = range.empty || state.doc.lineAt(range.from).number === state.doc.lineAt(range.to).number;
      if (line.number > last && (line.text.trim() !== "" || only)) {
        const { remove, insert, at = 0 } = edit(line.text, index);
        if (remove > 0 || insert !== "")
          changes.push({ from: line.from + at, to: line.from + at + remove, insert });
        index += 1;
        last = line.number;
      }
      if (line.to >= range.to) break;
      pos = line.to + 1;
    }
  }
  if (changes.length === 0) return true;
  const set = state.changes(changes);
  view.dispatch({
    changes: set,
    selection: EditorSelection.create(
      state.selection.ranges.map((r) =>
        EditorSelection.range(set.mapPos(r.anchor, 1), set.mapPos(r.head, 1)),
      ),
      state.selection.mainIndex,
    ),
    userEvent: "input",
    scrollIntoView: true,
  });
  return true;
}

/**
 * Makes the lines headings of a level, or plain ones where they are that already.
 * @param {number} level 1..6
 * @returns {(view: EditorView) => boolean}
 */
export function setHeading(level) {
  return (view) =>
    eachLine(view, (text) => {
      const now = /^ {0,3}(#{1,6})(?:[ \t]+|$)/.exec(text);
      return {
        remove: now?.[0].length ?? 0,
        insert: now?.[1].length === level ? "" : `${"#".repeat(level)} `,
      };
    });
}

/** One level deeper with each call: none, 2, 3, 4, none. @param {EditorView} view */
export function cycleHeading(view) {
  return eachLine(view, (text) => {
    const now = /^ {0,3}(#{1,6})(?:[ \t]+|$)/.exec(text);
    const level = now?.[1].length ?? 0;
    const next = level === 0 ? 2 : level >= 4 ? 0 : level + 1;
    return { remove: now?.[0].length ?? 0, insert: next === 0 ? "" : `${"#".repeat(next)} ` };
  });
}

const LIST_MARKER = /^(\s*)(?:([-*+]|\d{1,9}[.)])[ \t]+(\[[ xX]\][ \t]+)?)?/;

/**
 * Makes the lines a list of a kind, or plain ones where they are that already.
 * @param {'bullet' | 'number' | 'task'} kind
 * @returns {(view: EditorView) => boolean}
 */
export function toggleList(kind) {
  return (view) =>
    eachLine(view, (text, index) => {
      const [whole, indent, marker, task] = /** @type {RegExpExecArray} */ (LIST_MARKER.exec(text));
      const now = task ? "task" : marker ? (/\d/.test(marker) ? "number" : "bullet") : "";
      const wanted = kind === "bullet" ? "- " : kind === "task" ? "- [ ] " : `${index + 1}. `;
      return { at: indent.length, remove: whole.length - indent.length, insert: now === kind ? "" : wanted };
    });
}

/** Quotes the lines, or unquotes them. @param {EditorView} view */
export function toggleQuote(view) {
  return eachLine(view, (text) => {
    const now = /^ {0,3}> ?/.exec(text);
    return now ? { remove: now[0].length, insert: "" } : { remove: 0, insert: "> " };
  });
}

/** Inline code for a part of a line, a fenced block for several lines. @param {EditorView} view */
export function toggleCode(view) {
  const { state } = view;
  const { from, to } = state.selection.main;
  if (state.doc.lineAt(from).number === state.doc.lineAt(to).number) return toggleMarker("`")(view);
  if (state.readOnly) return false;
  const start = state.doc.lineAt(from).from;
  const end = state.doc.lineAt(to).to;
  const inside = state.doc.sliceString(start, end, "\n");
  const longest = Math.max(2, ...[...inside.matchAll(/`{3,}/g)].map((match) => match[0].length));
  const fence = "`".repeat(longest + 1);
  view.dispatch({
    changes: [
      { from: start, insert: `${fence}\n` },
      { from: end, insert: `\n${fence}` },
    ],
    selection: EditorSelection.cursor(start + fence.length),
    userEvent: "input",
    scrollIntoView: true,
  });
  return true;
}

/**
 * Where the address of the link around a range stands.
 * @param {import('../../vendor/editor.js').EditorState} state
 * @param {number} from
 * @param {number} to
 */
function enclosingLink(state, from, to) {
  for (
    let node = /** @type {any} */ (syntaxTree(state).resolveInner(from, to > from ? 1 : 0));
    node;
    node = node.parent
  ) {
    if (node.name !== "Link" || node.from > from || node.to < to) continue;
    const url = node.getChild("URL");
    return url ? { from: url.from, to: url.to } : null;
  }
  return null;
}

/** `[text](url)`, with the part that is missing selected. @param {EditorView} view */
export function insertLink(view) {
  const { state } = view;
  if (state.readOnly) return false;
  const { from, to } = state.selection.main;
  // Pressed again, or inside a link: a link in a link is none, so its address is offered instead.
  const link = enclosingLink(state, from, to);
  if (link) {
    view.dispatch({ selection: EditorSelection.range(link.from, link.to), scrollIntoView: true });
    return true;
  }
  const text = state.doc.sliceString(from, to, "\n");
  const isUrl = /^(?:https?:\/\/|mailto:)\S+$/.test(text);
  const label = isUrl ? "text" : text || "text";
  const url = isUrl ? text : "https://";
  const labelAt = from + 1;
  const urlAt = labelAt + label.length + 2;
  view.dispatch({
    changes: { from, to, insert: `[${label}](${url})` },
    selection:
      isUrl || text === ""
        ? EditorSelection.range(labelAt, labelAt + label.length)
        : EditorSelection.range(urlAt, urlAt + url.length),
    userEvent: "input",
    scrollIntoView: true,
  });
  return true;
}

/**
 * `[[page]]`, with the completion of page names open.
 * @param {(view: EditorView) => boolean} complete
 * @returns {(view: EditorView) => boolean}
 */
export function insertWikiLink(complete) {
  return (view) => {
    const { state } = view;
    if (state.readOnly) return false;
    const { from, to } = state.selection.main;
    const text = state.doc.sliceString(from, to, " ");
    const line = state.doc.lineAt(from);
    const before = line.text.slice(0, from - line.from).lastIndexOf("[[");
    // Inside the brackets already: no second pair, only the names.
    if (before >= 0 && to <= line.to && !state.doc.sliceString(line.from + before, to).includes("]]"))
      return complete(view);
    view.dispatch({
      changes: { from, to, insert: `[[${text}]]` },
      selection: EditorSelection.cursor(from + 2 + text.length),
      userEvent: "input",
      scrollIntoView: true,
    });
    return complete(view);
  };
}

/** A table of two columns, the first heading selected. @param {EditorView} view */
export function insertTable(view) {
  const { state } = view;
  if (state.readOnly) return false;
  const line = state.doc.lineAt(state.selection.main.head);
  const lead =
    line.text.trim() === ""
      ? line.number > 1 && state.doc.line(line.number - 1).text.trim() !== ""
        ? "\n"
        : ""
      : "\n\n";
  const at = line.to;
  const table = "| Column | Column |\n| --- | --- |\n|  |  |\n";
  view.dispatch({
    changes: { from: at, insert: lead + table },
    selection: EditorSelection.range(at + lead.length + 2, at + lead.length + 8),
    userEvent: "input",
    scrollIntoView: true,
  });
  return true;
}

/** Tab: indents list items and selected lines, otherwise puts in spaces. @param {EditorView} view */
export function indent(view) {
  const { state } = view;
  if (state.readOnly) return false;
  const inList = state.selection.ranges.some((range) => {
    for (
      let node = /** @type {any} */ (syntaxTree(state).resolveInner(range.head, -1));
      node;
      node = node.parent
    ) {
      if (node.name === "ListItem") return true;
    }
    return /^\s*(?:[-*+]|\d{1,9}[.)])\s/.test(state.doc.lineAt(range.head).text);
  });
  if (inList || state.selection.ranges.some((range) => !range.empty)) return indentMore(view);
  view.dispatch(state.update(state.replaceSelection("  "), { userEvent: "input", scrollIntoView: true }));
  return true;
}

export { indentLess as outdent };
