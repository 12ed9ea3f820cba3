// A page's whole life from the columns the server sends, against a model with one object per character.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Timeline, TimelineError } from "../../static/js/history/timeline.js";
import { seeded } from "./support/clock.mjs";
import { Model, large, people, typed } from "./support/timeline.mjs";

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));

/** What an edit did, by the model: the text before and after, letter by letter. @param {Model} model @param {number} rev */
function changed(model, rev) {
  const added = [];
  const removed = [];
  let at = 0;
  for (const { char, born, died } of model.chars) {
    const was = born < rev && (died === 0 || died >= rev);
    const is = born <= rev && (died === 0 || died > rev);
    if (is && !was) added.push(at);
    if (was && !is) removed.push(`${at}${char}`);
    if (is) at += 1;
  }
  return { added, removed };
}

test(`text, authors and edits at every revision are those of the model, seed ${seed}`, () => {
  const random = seeded(seed);
  for (let round = 0; round < 12; round += 1) {
    const model = typed(random, { edits: 150, authors: 1 + (round % 4) });
    const timeline = new Timeline(JSON.parse(JSON.stringify(model.json())));
    assert.ok(timeline.spans < model.chars.length, "spans are longer than letters");
    for (let rev = 0; rev <= model.head; rev += 1) {
      const alive = model.alive(rev);
      const moment = timeline.seek(rev);
      assert.equal(moment.text, alive.map(({ char }) => char).join(""), `text at ${rev}`);
      assert.deepEqual(alive.map((_, i) => moment.born(i)), alive.map(({ born }) => born), `edits at ${rev}`);
      const { count, from, author } = moment.runs;
      const authors = [];
      for (let i = 0; i < count; i += 1) {
        assert.ok(i === 0 || author[i] !== author[i - 1], "neighbours differ");
        for (let at = from[i]; at < from[i + 1]; at += 1) authors.push(author[i]);
      }
      assert.deepEqual(authors, alive.map(({ born }) => model.entries[born - 1].author), `authors at ${rev}`);
    }
  }
});

test(`what each edit did is what the model says, seed ${seed}`, () => {
  const model = typed(seeded(seed), { edits: 400 });
  const timeline = new Timeline(model.json());
  for (let rev = 1; rev <= model.head; rev += 1) {
    const change = timeline.changeAt(rev);
    const { added, removed } = changed(model, rev);
    const letters = change.added.flatMap(({ from, to }) => [...Array(to - from).keys()].map((i) => from + i));
    assert.deepEqual(letters, added, `added by ${rev}`);
    const gone = change.removed.flatMap(({ at, text }) => [...Array(text.length).keys()].map((i) => `${at}${text[i]}`));
    assert.deepEqual(gone, removed, `removed by ${rev}`);
    assert.deepEqual([change.addedLength, change.removedLength], [added.length, removed.length]);
  }
});

test("letters that two people typed in turns within one span are each one's own", () => {
  const model = new Model(people(2));
  for (const [i, char] of [..."abcdef"].entries()) model.edit(i % 2, 1000 + i, [{ from: i, insert: char }]);
  const json = model.json();
  assert.deepEqual(json.spans.len, [6], "one span");
  const { count, author } = new Timeline(json).spansAt(6);
  assert.deepEqual([count, [...author]], [6, [0, 1, 0, 1, 0, 1]]);
});

test("an author who is not in the list, or a colour that is not in the palette, breaks nothing", () => {
  const model = new Model([{ handle: "a", name: "", colour: 99 }]);
  model.edit(0, 5, [{ from: 0, insert: "x" }]);
  const json = model.json();
  json.entries.author = [4, 1];
  assert.equal(new Timeline(json).author(1).name, "Somebody");
  json.entries.author = [0, 1];
  assert.deepEqual(new Timeline(json).author(1), { handle: "a", name: "Somebody", colour: 0 });
});

test("times find revisions, also when a clock went back, and pauses are found", () => {
  const model = new Model(people(1));
  for (const at of [1000, 2000, 1500, 60_000]) model.edit(0, at, [{ from: 0, insert: "x" }]);
  const timeline = new Timeline(model.json());
  assert.deepEqual([0, 999, 1000, 1999, 2000, 59_999, 60_000, 1e15].map((ms) => timeline.revisionAtTime(ms)), [0, 0, 1, 1, 3, 3, 4, 4]);
  assert.deepEqual(timeline.pauses(5000), [{ before: 4, ms: 58_500 }]);
});

test("shares leave blanks out and say when each wrote last", () => {
  const model = new Model(people(2));
  model.edit(0, 1000, [{ from: 0, insert: "one  two\n" }]);
  model.edit(1, 2000, [{ from: 4, insert: "half" }]);
  model.edit(0, 3000, [{ from: 0, insert: "!" }]);
  const moment = new Timeline(model.json()).seek(3);
  assert.equal(moment.text, "!one half two\n");
  assert.deepEqual(moment.shares(0, 99), [{ author: 0, chars: 7, rev: 3, at: 3000 }, { author: 1, chars: 4, rev: 2, at: 2000 }]);
  assert.deepEqual(moment.shares(5, 9), [{ author: 1, chars: 4, rev: 2, at: 2000 }]);
  assert.deepEqual([moment.shares(4, 5), moment.shares(9, 2)], [[], []]);
});

test("a page without edits is an empty text", () => {
  const timeline = new Timeline(new Model([]).json());
  assert.deepEqual([timeline.textAt(0), timeline.textAt(9), timeline.revisionAtTime(5), timeline.clamp(NaN)], ["", "", 0, 0]);
  assert.equal(timeline.spansAt(0).count, 0);
  assert.equal(timeline.changeAt(0).addedLength, 0);
});

test("columns that do not fit together are refused", () => {
  const good = () => typed(seeded(1), { edits: 40 }).json();
  new Timeline(good());
  const breaks = [
    (json) => (json.head += 1),
    (json) => json.entries.at.pop(),
    (json) => (json.entries.author[1] -= 1),
    (json) => json.spans.born.pop(),
    (json) => (json.text += "x"),
    (json) => (json.spans.len[0] = 0),
    (json) => (json.spans.born[0] = 1.5),
    (json) => (json.spans.born[0] = 4000),
    (json) => delete json.spans,
    (json) => (json.authors = null),
  ];
  for (const broken of breaks) {
    const json = good();
    broken(json);
    assert.throws(() => new Timeline(json), TimelineError, String(broken));
  }
});

test("100,000 edits are opened and looked through without work that grows with their square", () => {
  const json = JSON.parse(JSON.stringify(large({ edits: 100_000 })));
  const begun = performance.now();
  const timeline = new Timeline(json);
  const opened = performance.now() - begun;
  const random = seeded(seed);
  const took = [];
  for (let i = 0; i < 100; i += 1) {
    const rev = Math.floor(random() * 100_001);
    const from = performance.now();
    const moment = timeline.seek(rev);
    void moment.runs;
    timeline.changeAt(rev);
    took.push(performance.now() - from);
    assert.equal(moment.text.length, moment.at[moment.pieces]);
  }
  took.sort((a, b) => a - b);
  console.log(`# ${timeline.spans} spans, ${json.text.length} letters: opened in ${opened.toFixed(1)} ms; seek, authors and change in ${took[50].toFixed(1)} ms (median), ${took[98].toFixed(1)} ms (99 of 100)`);
  // Generous, for a busy machine; what it shows is printed above.
  assert.ok(took[50] < 50, `a seek took ${took[50]} ms`);
});
