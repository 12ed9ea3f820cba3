// Text: hashes, lone surrogates, small edits; what may enter the editor; and the Markdown commands.

import assert from "node:assert/strict";
import { test } from "node:test";
import { toCaret, toIndex } from "../../static/js/editor/carets.js";
import * as commands from "../../static/js/editor/commands.js";
import { splitsPair, textBytes, textLimit, wellFormedInput } from "../../static/js/editor/input.js";
import { oddLines } from "../../static/js/editor/lines.js";
import { diffText, hashText, utf8Length, wellFormed } from "../../static/js/editor/text.js";
import { previewWords } from "../../static/js/editor/note.js";
import { saveWords } from "../../static/js/editor/words.js";
import { EditorSelection, EditorState, Y, markdown, markdownLanguage } from "../../static/vendor/editor.js";
import { random } from "./convergence/faults.mjs";

test("the hash is FNV-1a over UTF-16 units, low byte first", () => {
  assert.equal(hashText(""), "811c9dc5");
  // FNV-1a 32 of the bytes 61 00.
  assert.equal(hashText("a"), fnv(Buffer.from("a", "utf16le")));
  assert.equal(hashText("é😀\r\n"), fnv(Buffer.from("é😀\r\n", "utf16le")));
});

/** Straight from the definition: http://www.isthe.com/chongo/tech/comp/fnv/ */
function fnv(bytes) {
  let hash = 0x811c9dc5n;
  for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * 0x01000193n) & 0xffffffffn;
  return hash.toString(16).padStart(8, "0");
}

test("lone surrogates become U+FFFD, pairs stay", () => {
  for (const [input, expected] of [
    ["a😀b", "a😀b"],
    ["a\ud83d", "a\ufffd"],
    ["\ude00a", "\ufffda"],
    ["\ud83d\ud83d\ude00\ude00", "\ufffd😀\ufffd"],
  ]) {
    assert.equal(wellFormed(input), expected);
    assert.equal(utf8Length(input), Buffer.from(expected).length);
  }
});

test("small edits turn one text into the other and split no pair", () => {
  const rng = random(4711);
  const pieces = ["a", "b\n", "😀", "😁", "é", "\r\n", "word ", ""];
  const make = () => Array.from({ length: rng.below(30) }, () => rng.pick(pieces)).join("");
  for (let i = 0; i < 3000; i += 1) {
    const from = make();
    const to = rng.chance(0.5)
      ? make()
      : from
          .split("a")
          .filter(() => rng.chance(0.8))
          .join("a");
    let text = from;
    for (const edit of diffText(from, to)) {
      assert.equal(wellFormed(edit.insert), edit.insert);
      assert.equal(wellFormed(from.slice(0, edit.at)), from.slice(0, edit.at));
      text = text.slice(0, edit.at) + edit.insert + text.slice(edit.at + edit.remove);
    }
    assert.equal(text, to);
  }
});

test("changes in two lines are two edits", () => {
  assert.deepEqual(diffText("one\ntwo\nthree\n", "one!\ntwo\nthree?\n"), [
    { at: 13, remove: 0, insert: "?" },
    { at: 3, remove: 0, insert: "!" },
  ]);
});

const state = (doc, extensions = []) =>
  EditorState.create({ doc, extensions: [EditorState.lineSeparator.of("\n"), wellFormedInput, extensions] });
const after = (start, spec) => start.update(spec).state;

for (const [name, doc, changes, expected, head] of [
  ["a deletion that begins inside a pair takes the pair", "a😀b", { from: 2, to: 3 }, "ab", 1],
  ["a deletion that ends inside a pair takes the pair", "a😀b", { from: 0, to: 2 }, "b", 0],
  ["an insertion inside a pair goes behind it", "a😀b", { from: 2, insert: "x" }, "a😀xb", 4],
  ["an insertion between the halves of a line end goes before it", "a\r\nb", { from: 2, insert: "x" }, "ax\r\nb", 2],
  ["a lone half becomes U+FFFD", "ab", { from: 1, insert: "\ud83d" }, "a\ufffdb", 2],
  ["pasted CRLF becomes LF", "ab", { from: 1, insert: "x\r\ny" }, "ax\nyb", 4],
  ["pasted CRLF stays where the page has it", "a\r\nb", { from: 0, insert: "x\r\n" }, "x\r\na\r\nb", null],
]) {
  test(name, () => {
    const next = after(state(doc), { changes });
    assert.equal(next.doc.toString(), expected);
    if (head !== null) assert.equal(next.selection.main.head, head);
  });
}

test("several changes at once are each kept off the middle of pairs", () => {
  const next = after(state("😀😀😀"), {
    changes: [
      { from: 1, to: 2 },
      { from: 3, insert: "x" },
      { from: 5, to: 6 },
    ],
  });
  assert.equal(next.doc.toString(), "😀x");
});

test("random changes never leave half a pair", () => {
  const rng = random(99);
  let now = state("a😀b👩‍👩‍👧c\n".repeat(5));
  for (let i = 0; i < 2000; i += 1) {
    const from = rng.below(now.doc.length + 1);
    const to = Math.min(now.doc.length, from + rng.below(4));
    const insert = rng.pick(["", "😀", "\ud83d", "\udc69", "x\r\ny", "é"]);
    now = after(now, { changes: { from, to, insert } });
    const text = now.doc.toString();
    assert.equal(wellFormed(text), text);
    if (now.doc.length > 400) now = state("😀");
  }
});

test("a position inside a pair is known as such", () => {
  const { doc } = state("a😀");
  assert.deepEqual(
    [0, 1, 2, 3].map((pos) => splitsPair(doc, pos)),
    [false, false, true, false],
  );
});

test("the size of the text follows its changes, and an edit past the limit is refused", () => {
  const told = [];
  let now = state(
    "é".repeat(10),
    textLimit((bytes) => told.push(bytes), 24),
  );
  assert.equal(now.field(textBytes), 20);
  now = after(now, { changes: { from: 0, insert: "😀" } });
  assert.equal(now.field(textBytes), 24);
  now = after(now, { changes: { from: 0, insert: "x" } });
  assert.deepEqual([now.field(textBytes), told], [24, [25]]);
  now = after(now, { changes: { from: 0, to: 2, insert: "ab" } });
  assert.equal(now.doc.toString(), `ab${"é".repeat(10)}`);
});

test("a text with CRLF and lone CR has the same length in the editor as in the shared document", () => {
  const text = "a\r\nb\rc\n\r";
  const doc = new Y.Doc();
  doc.getText("body").insert(0, text);
  assert.equal(state(text).doc.length, doc.getText("body").length);
  assert.equal(state(text).doc.toString(), text);
});

test("a caret comes back to its place, also after others have written before it", () => {
  const doc = new Y.Doc();
  const text = doc.getText("body");
  text.insert(0, "hello world");
  const caret = JSON.parse(JSON.stringify(toCaret(text, { anchor: 6, head: 11 })));
  text.insert(0, "😀 ");
  assert.deepEqual([toIndex(caret.anchor, text), toIndex(caret.head, text)], [9, 14]);
});

test("carets that make no sense are none, and create nothing in the document", () => {
  const doc = new Y.Doc();
  const text = doc.getText("body");
  text.insert(0, "hello");
  for (const json of [
    null,
    5,
    "x",
    {},
    [],
    { tname: "other" },
    { tname: "body", item: { client: "x", clock: 0 } },
    { tname: "body", item: { client: 1, clock: -1 } },
    { type: { client: 1, clock: 1 }, item: null },
    { tname: "body", item: { client: 123, clock: 9 } },
    { tname: "__proto__" },
  ]) {
    assert.equal(toIndex(json, text), null, JSON.stringify(json));
  }
  assert.deepEqual([...doc.share.keys()], ["body"]);
});

/** `|` is the caret, `<` and `>` a selection. */
function run(command, marked) {
  const anchor = marked.search(/[|<]/);
  let doc = marked.replace(/[|<]/, "");
  const end = marked[anchor] === "<" ? doc.indexOf(">") : -1;
  const head = end < 0 ? anchor : end;
  if (end >= 0) doc = doc.replace(">", "");
  let now = EditorState.create({ doc, selection: EditorSelection.single(anchor, head) });
  const view = {
    get state() {
      return now;
    },
    dispatch: (...specs) => {
      now = now.update(...specs).state;
    },
  };
  command(view);
  const { from, to } = now.selection.main;
  const text = now.doc.toString();
  return from === to
    ? `${text.slice(0, from)}|${text.slice(from)}`
    : `${text.slice(0, from)}<${text.slice(from, to)}>${text.slice(to)}`;
}

for (const [name, command, before, expected] of [
  ["bold around a selection", commands.toggleMarker("**"), "a <b> c", "a **<b>** c"],
  ["bold off from outside", commands.toggleMarker("**"), "a **<b>** c", "a <b> c"],
  ["bold off from inside", commands.toggleMarker("**"), "a <**b**> c", "a <b> c"],
  ["bold of the word at the caret", commands.toggleMarker("**"), "wo|rd", "**wo|rd**"],
  ["bold with nothing there", commands.toggleMarker("**"), "a |", "a **|**"],
  ["italic inside bold", commands.toggleMarker("*"), "**<b>**", "***<b>***"],
  ["italic off inside bold", commands.toggleMarker("*"), "***<b>***", "**<b>**"],
  ["a heading", commands.setHeading(2), "Ti|tle", "## Ti|tle"],
  ["the same heading is no heading", commands.setHeading(2), "## Ti|tle", "Ti|tle"],
  ["another heading", commands.setHeading(3), "# Ti|tle", "### Ti|tle"],
  ["headings go round", commands.cycleHeading, "#### Ti|tle", "Ti|tle"],
  ["a list of lines", commands.toggleList("bullet"), "<a\n\nb>", "- <a\n\n- b>"],
  ["a list in a list", commands.toggleList("task"), "  - a|", "  - [ ] a|"],
  ["numbers", commands.toggleList("number"), "<a\nb>", "1. <a\n2. b>"],
  ["no list any more", commands.toggleList("number"), "1. a|", "a|"],
  ["a quote", commands.toggleQuote, "a|", "> a|"],
  ["no quote", commands.toggleQuote, "> a|", "a|"],
  ["code in a line", commands.toggleCode, "a <b> c", "a `<b>` c"],
  ["a block of code", commands.toggleCode, "<a\nb>", "```|\na\nb\n```"],
  ["a link of words", commands.insertLink, "see <this>", "see [this](<https://>)"],
  ["a link of an address", commands.insertLink, "<https://a.b/>", "[<text>](https://a.b/)"],
]) {
  test(`command: ${name}`, () => assert.equal(run(command, before), expected));
}

test("what is said about saving is true in every state", () => {
  const base = { count: 2, since: 0, code: "", durable: true };
  const clock = () => "14:03";
  for (const [status, text] of [
    [{ ...base, state: "saved", count: 0 }, "Saved"],
    [{ ...base, state: "saving" }, "Saving…"],
    [{ ...base, state: "unsaved", count: 1 }, "1 change not saved yet"],
    [{ ...base, state: "offline" }, "Offline since 14:03 — 2 changes kept in this browser"],
    [
      { ...base, state: "offline", durable: false },
      "Offline since 14:03 — 2 changes not kept anywhere: leave this page open",
    ],
    [
      { ...base, state: "refused", code: "disk_full" },
      "The disk of the server is full — 2 changes kept in this browser",
    ],
    [
      { ...base, state: "refused", code: "new_one" },
      "The server did not accept the last changes — 2 changes kept in this browser",
    ],
  ]) {
    assert.equal(saveWords(status, { clock }).text, text);
  }
});

test("a copy of this browser is never called saved: it may hold what another window has not sent", () => {
  const status = { state: "saved", count: 0, since: 0, code: "", durable: true };
  const said = saveWords(status, { clock: () => "14:03", fromCopy: true });
  assert.deepEqual(said, { state: "offline", text: "Offline since 14:03 — this is the copy kept in this browser" });
});

test("the preview says when it stands still, and nothing else", () => {
  for (const state of ["connecting", "live", "refreshing"]) assert.equal(previewWords({ state, forced: null }), "");
  assert.match(previewWords({ state: "offline", forced: null }), /waits for the server/);
  assert.match(previewWords({ state: "off", forced: "off" }), /stands still/);
  assert.equal(previewWords({ state: "off", forced: null }), "", "not yet started is no choice");
});

test("a selection ends before the carriage return of a line, not behind it", () => {
  const start = state("one\r\ntwo\rx", oddLines);
  assert.equal(after(start, { selection: { anchor: 4 } }).selection.main.head, 3);
  assert.deepEqual(after(start, { selection: { anchor: 4, head: 0 } }).selection.main.toJSON(), { anchor: 3, head: 0 });
  assert.equal(after(start, { selection: { anchor: 5 } }).selection.main.head, 5);
  assert.equal(after(start, { selection: { anchor: 9 } }).selection.main.head, 9, "a lone one is a character");
});

test("a link in a link is not made: its address is selected instead", () => {
  const view = (doc, anchor, head) => {
    const made = { state: EditorState.create({ doc, selection: { anchor, head }, extensions: [markdown({ base: markdownLanguage })] }), dispatch: (spec) => void (made.state = made.state.update(spec).state) };
    return made;
  };
  const inside = view("see [word](https://a.b) x", 6, 8);
  commands.insertLink(inside);
  assert.equal(inside.state.doc.toString(), "see [word](https://a.b) x");
  assert.deepEqual(inside.state.selection.main.toJSON(), { anchor: 11, head: 22 });
  const beside = view("see [word](https://a.b) x", 24, 25);
  commands.insertLink(beside);
  assert.equal(beside.state.doc.toString(), "see [word](https://a.b) [x](https://)");
});

test("a caret stays where it is when somebody else writes at that very place, and a selection does not grow", () => {
  const doc = new Y.Doc();
  const text = doc.getText("body");
  text.insert(0, "hello");
  const caret = toCaret(text, { anchor: 5, head: 5 });
  const selection = toCaret(text, { anchor: 0, head: 5 });
  const backwards = toCaret(text, { anchor: 5, head: 0 });
  text.insert(5, " world");
  text.insert(0, "> ");
  assert.deepEqual([toIndex(caret.anchor, text), toIndex(caret.head, text)], [7, 7]);
  assert.deepEqual([toIndex(selection.anchor, text), toIndex(selection.head, text)], [2, 7]);
  assert.deepEqual([toIndex(backwards.anchor, text), toIndex(backwards.head, text)], [7, 2]);
});
