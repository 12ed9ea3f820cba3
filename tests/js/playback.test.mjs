// What plays a page's life: its clock, its words, where blocks are in the source, and how often it is fetched.

import assert from "node:assert/strict";
import { test } from "node:test";
import { LONGEST_MS, createPlayer, showTimes } from "../../static/js/history/player.js";
import { createFollower, createSource } from "../../static/js/history/source.js";
import { Timeline } from "../../static/js/history/timeline.js";
import { changeWords, percent, placeWords } from "../../static/js/history/words.js";
import { blockRanges, countLines } from "../../static/js/page/authors.js";
import { Model, people } from "./support/timeline.mjs";

/** One letter at each of these times. @param {number[]} times */
function letters(times) {
  const model = new Model(people(2));
  times.forEach((at, i) => model.edit(i % 2, at, [{ from: i, insert: "abcdefghij"[i] }]));
  model.named = [{ rev: 2, name: "First draft" }];
  return model;
}

/** A player whose frames come when the test says. */
function playing(times, options = {}) {
  const timeline = new Timeline(letters(times).json());
  const shown = [];
  const states = [];
  let next = null;
  let now = 0;
  const player = createPlayer(timeline, {
    onShow: (rev) => shown.push(rev),
    onState: (state) => states.push(state),
    frame: (call) => ((next = call), 1),
    cancel: () => (next = null),
    ...options,
  });
  const real = performance.now;
  performance.now = () => now;
  return {
    player, shown, states, timeline,
    undo: () => (performance.now = real),
    frames(count, ms) {
      for (let i = 0; i < count && next; i += 1) {
        now += ms;
        const call = next;
        next = null;
        call(now);
      }
    },
  };
}

test("skipped pauses are short, others are as long as they were, and no clock goes back", () => {
  const timeline = new Timeline(letters([1000, 2000, 90_000, 89_000, 89_500]).json());
  const gaps = (times) => [...times].slice(1).map((time, i) => time - times[i]).slice(1);
  assert.deepEqual(gaps(showTimes(timeline, true)), [1000, LONGEST_MS, 0, 500]);
  assert.deepEqual(gaps(showTimes(timeline, false)), [1000, 88_000, 0, 500]);
});

test("playing from the end begins at the beginning, shows every edit, and stops at the end", (context) => {
  const { player, shown, states, frames, undo } = playing([1000, 1400, 1800, 2200]);
  context.after(undo);
  player.play();
  assert.deepEqual([shown, states], [[0], [true]]);
  frames(100, 50);
  assert.deepEqual([shown, states], [[0, 1, 2, 3, 4], [true, false]]);
});

test("speed leaves out what no frame could show, and a frame that was held up is not made up for", (context) => {
  const { player, shown, frames, undo } = playing([1000, 1100, 1200, 1300, 1400, 1500, 1600, 1700]);
  context.after(undo);
  player.seek(1);
  player.setSpeed(4);
  player.play();
  frames(1, 50);
  assert.deepEqual(shown, [1, 3]);
  player.seek(1);
  player.setSpeed(1);
  frames(1, 60_000);
  assert.deepEqual(shown.at(-1), 3, "a quarter of a second, not a minute");
});

test("whoever asked for less motion sees fewer pictures and misses none at the end", (context) => {
  const { player, shown, frames, undo } = playing([0, 100, 200, 300, 400, 500, 600, 700, 800], { leastMs: () => 500 });
  context.after(undo);
  player.seek(1);
  player.play();
  frames(100, 50);
  assert.ok(shown.length <= 5, `${shown}`);
  assert.equal(shown.at(-1), 9);
  assert.equal(player.playing, false);
});

test("seeking while it plays goes on from there, and a life that grew keeps the place", (context) => {
  const { player, shown, frames, undo } = playing([1000, 1400, 1800, 2200, 2600]);
  context.after(undo);
  player.seek(0);
  player.play();
  player.seek(3);
  frames(1, 200);
  frames(1, 220);
  assert.deepEqual(shown, [0, 3, 4]);
  player.grow(new Timeline(letters([1000, 1400, 1800, 2200, 2600, 2700]).json()));
  assert.equal(player.rev, 4);
  frames(9, 200);
  assert.equal(player.rev, 6);
  player.seek(-5);
  assert.equal(player.rev, 0);
});

test("words say what an edit did and no more than that", () => {
  const model = new Model(people(1));
  model.edit(0, 1000, [{ from: 0, insert: "Hello world" }]);
  model.edit(0, 2000, [{ from: 5, insert: "\n" }]);
  model.edit(0, 3000, [{ from: 0, remove: 5, insert: "Bye" }]);
  model.edit(0, 4000, [{ from: 3, insert: "x".repeat(40) }]);
  model.edit(0, 5000, [{ from: 0, remove: 1 }]);
  model.edit(0, 6000, []);
  model.edit(0, 7000, [{ from: 5, insert: "b" }, { from: 0, insert: "a" }]);
  model.edit(0, 8000, [{ from: 0, insert: " " }]);
  const timeline = new Timeline(model.json());
  const words = [1, 2, 3, 4, 5, 6, 7, 8].map((rev) => changeWords(timeline.changeAt(rev), timeline.textAt(rev)));
  assert.deepEqual(words, [
    "wrote “Hello world”",
    "wrote a line break",
    "wrote “Bye” and removed “Hello”",
    "wrote 40 characters",
    "removed “B”",
    "changed nothing that can be seen",
    "wrote 2 characters",
    "wrote a space",
  ]);
});

test("a place on the slider is said with its name, author, what was done and number", () => {
  const timeline = new Timeline(letters([1000, 2000, 3000]).json());
  assert.match(placeWords(timeline, 2, "wrote “x”"), /^First draft, Ben wrote “x”, .*, edit 2 of 3$/);
  assert.equal(placeWords(timeline, 0, ""), "Before the first edit, edit 0 of 3");
});

test("a share is never rounded to nothing or to all", () => {
  assert.deepEqual([[0, 5], [1, 1000], [999, 1000], [5, 5], [1, 3], [3, 0]].map(([a, b]) => percent(a, b)), ["0 %", "< 1 %", "> 99 %", "100 %", "33 %", "0 %"]);
});

test("blocks are found in the source by their lines", () => {
  const text = "\n# A\r\n\nb\nc\n\nlast";
  assert.equal(countLines(text), 7);
  assert.deepEqual([countLines(""), countLines("\n"), countLines("a\n"), countLines("a\n\nb")], [0, 1, 1, 3]);
  const pieces = blockRanges(text, [3, 3, 1]).map(({ from, to }) => text.slice(from, to));
  assert.deepEqual(pieces, ["\n# A\r\n\n", "b\nc\n\n", "last"]);
  assert.deepEqual(blockRanges("a\n", [1, 5]).map(({ from, to }) => [from, to]), [[0, 2], [2, 2]]);
});

/** A server of one timeline. */
function server() {
  let model = letters([1000]);
  const asked = [];
  return {
    asked,
    grow: () => (model = letters(Array.from({ length: model.head + 1 }, (_, i) => 1000 * (i + 1)))),
    fetch: async (url, { headers }) => {
      asked.push(headers["If-None-Match"] ?? null);
      const tag = `"${model.head}"`;
      if (headers["If-None-Match"] === tag) return new Response(null, { status: 304 });
      return new Response(JSON.stringify(model.json()), { headers: { ETag: tag } });
    },
  };
}

test("what is known is not sent again, and what is asked for twice at once is asked for once", async () => {
  const { fetch, asked, grow } = server();
  const source = createSource(7, { fetch });
  const [first, same] = await Promise.all([source.load(), source.load()]);
  assert.equal(first, same);
  assert.equal(await source.load(), first, "304");
  grow();
  assert.equal((await source.load()).head, 2);
  assert.deepEqual(asked, [null, '"1"', '"1"']);
});

test("an answer that is no timeline is refused, and what was known stays", async () => {
  let answer = () => new Response("{}", { headers: { ETag: '"x"' } });
  const source = createSource(7, { fetch: async () => answer() });
  await assert.rejects(source.load());
  answer = () => new Response("", { status: 503 });
  await assert.rejects(source.load(), /503/);
  assert.equal(source.timeline, null);
});

test("many news are one look, and news during a look are one more", async (context) => {
  const apis = ["setTimeout"];
  context.mock.timers.enable(/** @type {any} */ (Number(process.versions.node.split(".")[0]) < 20 ? apis : { apis }));
  const { fetch, asked, grow } = server();
  /** @type {(() => void)[]} */
  const doors = [];
  const source = createSource(7, { fetch: async (url, init) => (await new Promise((go) => doors.push(() => go(null))), fetch(url, init)) });
  const heads = [];
  const follower = createFollower(source, (timeline) => heads.push(timeline.head));
  const settle = async () => {
    for (let i = 0; i < 20; i += 1) await Promise.resolve();
    await new Promise((done) => setImmediate(done));
  };
  for (let i = 0; i < 50; i += 1) follower.news();
  context.mock.timers.tick(5000);
  assert.equal(doors.length, 1);
  follower.news();
  follower.news();
  grow();
  doors[0]();
  await settle();
  assert.deepEqual(heads, [2]);
  context.mock.timers.tick(60_000);
  assert.equal(doors.length, 2);
  doors[1]();
  await settle();
  context.mock.timers.tick(600_000);
  assert.equal(doors.length, 2);
  assert.deepEqual([heads, asked], [[2, 2], [null, '"2"']]);
  follower.stop();
  follower.news();
  context.mock.timers.tick(600_000);
  assert.equal(doors.length, 2);
});
