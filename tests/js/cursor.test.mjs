// The interval cover: whatever comes, in whatever order, each event is applied
// once and in order, and asking again always helps.

import assert from "node:assert/strict";
import { test } from "node:test";
import { APPLY, Cover, GAP, SEEN, covers, parseCursor, sameEpoch } from "../../static/js/sync/cursor.js";
import { seeded } from "./support/clock.mjs";

const at = (seq, epoch = "aaaaaaaa") => `${epoch}.${seq}`;
const batch = (from, to, events = Array.from({ length: to - from }, (_, i) => ({ seq: from + i + 1 }))) => ({ from: at(from), to: at(to), events });
const seqs = (events) => events.map((event) => event.seq);

test("cursors parse strictly and compare by number, not by text", () => {
  assert.deepEqual(parseCursor("abcdefgh.12"), { epoch: "abcdefgh", seq: "12" });
  for (const bad of ["", "abc.1", "abcdefgh.", "abcdefgh.01", "ABCDEFGH.1", "abcdefgh.-1", "abcdefgh.1.2", null, 5, "abcdefg1.1"]) {
    assert.equal(parseCursor(bad), null, String(bad));
  }
  assert.ok(covers(at(10), at(9)));
  assert.ok(!covers(at(9), at(10)));
  assert.ok(covers(at("9007199254740993"), at("9007199254740992")));
  assert.ok(!covers(at(10), at(9, "bbbbbbbb")));
  assert.ok(!covers(null, at(0)));
  assert.ok(sameEpoch(at(1), at(2)) && !sameEpoch(at(1), at(1, "bbbbbbbb")));
});

test("a batch is applied where it joins, dropped when it is behind, asked for again otherwise", () => {
  const cover = new Cover(at(5));
  const check = (from, to, expected, events) => assert.equal(cover.judge(batch(from, to, events)), expected, `${from}..${to}`);
  check(5, 7, APPLY);
  check(3, 5, SEEN);
  check(5, 5, SEEN);
  check(6, 8, GAP);
  check(4, 6, APPLY);
  check(4, 6, APPLY, []);
  check(4, 6, GAP, [{ data: "whoever wrote this says no position" }]);
  check(5, 6, APPLY, [{ data: "nor does this, which needs none" }]);
  assert.equal(cover.judge({ from: at(5, "bbbbbbbb"), to: at(6, "bbbbbbbb"), events: [{ seq: 6 }] }), GAP);
  assert.equal(cover.judge({ from: null, to: at(6), events: [{ seq: 6 }] }), GAP);
});

test("a batch that begins behind is split: what was applied before is left out", () => {
  const cover = new Cover(at(5));
  assert.deepEqual(seqs(cover.advance(batch(2, 8))), [6, 7, 8]);
  assert.equal(cover.cursor, at(8));
  assert.deepEqual(seqs(cover.advance(batch(7, 12, [{ seq: 8 }, { seq: 11 }]))), [11]);
  const far = new Cover(at("99"));
  assert.deepEqual(seqs(far.advance({ from: at("9"), to: at("101"), events: [{ seq: 10 }, { seq: 100 }] })), [100], "by number, not by text");
});

test("an empty poll beside a stream does not put the two out of step", () => {
  const cover = new Cover(at(5));
  cover.advance(batch(5, 9, []));
  assert.deepEqual(seqs(cover.advance(batch(5, 11, [{ seq: 10 }]))), [10]);
  assert.deepEqual(seqs(cover.advance(batch(9, 12, [{ seq: 10 }, { seq: 12 }]))), [12]);
});

test("property: drops, duplicates and reordering never lose or repeat an event", () => {
  const seed = Number(process.env.TEST_SEED ?? Date.now() % 1e9);
  const random = seeded(seed);
  const pick = (n) => Math.floor(random() * n);
  for (let run = 0; run < 2000; run += 1) {
    const cover = new Cover(at(0));
    const got = [];
    // Some events are on other topics: they move the cursor and are not delivered.
    const log = Array.from({ length: 40 }, (_, i) => (random() < 0.6 ? i + 1 : null));
    const read = (from, to) => ({ from: at(from), to: at(to), events: log.slice(from, to).filter((event) => event !== null).map((seq) => ({ seq })) });
    const take = (one) => {
      const verdict = cover.judge(one);
      if (verdict === APPLY) {
        got.push(...seqs(cover.advance(one)));
      }
      return verdict;
    };
    const sources = [0, 0, 0];
    let head = 0;
    const late = [];
    while (!covers(cover.cursor, at(log.length))) {
      head = Math.min(log.length, head + pick(4));
      const which = pick(sources.length);
      const to = Math.min(head, sources[which] + pick(8));
      const one = read(sources[which], to);
      sources[which] = to;
      const chance = random();
      if (chance < 0.2) continue;
      if (chance < 0.35) {
        late.push(one);
        continue;
      }
      let verdict = take(one);
      if (random() < 0.2) take(one);
      if (late.length > 0 && random() < 0.5) verdict = take(late.splice(pick(late.length), 1)[0]);
      if (verdict === GAP || chance > 0.95) {
        const own = Number(cover.cursor.split(".")[1]);
        assert.notEqual(take(read(own, head)), GAP);
        assert.ok(covers(cover.cursor, at(head)), "asking again always helps");
      }
    }
    assert.deepEqual(got, log.filter((event) => event !== null), `seed ${seed}, run ${run}`);
  }
});
