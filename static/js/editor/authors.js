// Who wrote what, in the editor: the text in its authors' colours. Exact or nothing: colours come from the timeline
// whose newest text is the very text in the editor; they move along with what is typed, what is typed meanwhile has
// none, and after a quiet moment the timeline is fetched again.

import { Decoration, EditorView, RangeSet, StateEffect, StateField } from "../../vendor/editor.js";
import { createSource } from "../history/source.js";
import { exactTime } from "../history/words.js";
import { createChoice } from "../page/authors.js";
import { notice } from "../ui/notice.js";

/** Nobody has written for so long: worth a look, in ms. */
const QUIET_MS = 1500;
/** A look that did not fit, or failed, is tried again after this, doubled each time up to the second, in ms. */
const AGAIN_MS = 2000;
const LONGEST_MS = 60_000;

/** @typedef {import('../../vendor/editor.js').DecorationSet} DecorationSet */

/** Sets the colours. */
const colour = /** @type {import('../../vendor/editor.js').StateEffectType<DecorationSet>} */ (StateEffect.define());
const none = /** @type {DecorationSet} */ (RangeSet.empty);

/**
 * What is typed inside of somebody's words is not theirs: the colour is parted there.
 * @param {DecorationSet} set that went along with the changes @param {import('../../vendor/editor.js').ChangeSet} changes
 */
function openGaps(set, changes) {
  let next = set;
  changes.iterChanges((_fromA, _toA, from, to) => {
    if (from === to) return;
    /** @type {ReturnType<Decoration["range"]>[]} */
    const add = [];
    next.between(from, to, (start, end, mark) => {
      if (start >= to || end <= from) return;
      if (start < from) add.push(mark.range(start, from));
      if (end > to) add.push(mark.range(to, end));
    });
    next = next.update({ filterFrom: from, filterTo: to, filter: (start, end) => start >= to || end <= from, add, sort: true });
  });
  return next;
}

/** The extension that shows them. */
export const authorColours = StateField.define({
  create: () => none,
  update(set, tr) {
    let next = tr.docChanged && set !== none ? openGaps(set.map(tr.changes), tr.changes) : set;
    for (const effect of tr.effects) if (effect.is(colour)) next = effect.value;
    return next;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** @param {import('../history/timeline.js').Moment} moment */
function decorate({ runs, timeline }) {
  /** @type {Map<number, Decoration>} */
  const marks = new Map();
  const ranges = [];
  for (let i = 0; i < runs.count; i += 1) {
    const author = runs.author[i];
    let mark = marks.get(author);
    if (!mark) {
      const who = timeline.authors[author] ?? { name: "Somebody", colour: 0 };
      mark = Decoration.mark({ class: `who c${who.colour}`, attributes: { title: who.name }, inclusive: false });
      marks.set(author, mark);
    }
    ranges.push(mark.range(runs.from[i], runs.from[i + 1]));
  }
  return Decoration.set(ranges);
}

/**
 * @param {EditorView} view
 * @param {string | number} page
 * @param {HTMLElement} button
 * @returns {{ changed(): void }} `changed`: the text, or the document under it
 */
export function createEditorAuthors(view, page, button) {
  const choice = createChoice("halley-authors-editing");
  const source = createSource(page);
  let on = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let again = AGAIN_MS;

  const text = () => view.state.doc.sliceString(0, view.state.doc.length, "\n");

  async function look() {
    try {
      const timeline = await source.load();
      if (!on) return;
      const moment = timeline.seek(timeline.head);
      // Something is on its way in one of the two directions.
      if (moment.text !== text()) return later();
      again = AGAIN_MS;
      view.dispatch({ effects: colour.of(decorate(moment)) });
    } catch (error) {
      console.info("halley: who wrote what could not be fetched; it is tried again", error);
      later();
    }
  }

  function later() {
    clearTimeout(timer);
    if (!on) return;
    timer = setTimeout(look, Math.max(again, source.restMs));
    again = Math.min(again * 2, LONGEST_MS);
  }

  /** @param {boolean} yes */
  function set(yes) {
    on = yes;
    button.setAttribute("aria-pressed", String(yes));
    clearTimeout(timer);
    if (yes) void look();
    else view.dispatch({ effects: colour.of(none) });
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    choice.set(!on);
    set(!on);
  });
  if (choice.get()) set(true);
  // A colour alone says nothing to whoever does not know whose it is.
  view.contentDOM.addEventListener("click", () => {
    const timeline = source.timeline;
    const at = view.state.selection.main.head;
    if (!on || !timeline || !view.state.selection.main.empty) return;
    const moment = timeline.seek(timeline.head);
    if (moment.text !== text()) return;
    const rev = moment.born(at);
    if (rev > 0) notice(`${timeline.author(rev).name}, ${exactTime(timeline.at[rev])}`, { id: "author" });
  });
  return {
    changed() {
      if (!on) return;
      again = AGAIN_MS;
      clearTimeout(timer);
      timer = setTimeout(look, Math.max(QUIET_MS, source.restMs));
    },
  };
}
