// Presence beats: the first at once, then at most four a second, then every 20 s.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createBeat } from "../../static/js/sync/beat.js";
import { TIMING } from "../../static/js/sync/timing.js";
import { FakeClock } from "./support/clock.mjs";

function setup(answer = () => ({ status: 200, body: { head: "aaaaaaaa.1", here: [] } })) {
  const clock = new FakeClock();
  const sent = [];
  const results = [];
  const beacons = [];
  const beat = createBeat({
    base: "/_live", client: "me", clock, timing: TIMING,
    fetch: (url, init) => new Promise((resolve, reject) => {
      sent.push({ url, at: clock.now(), ...JSON.parse(init.body) });
      const { status, body, headers, hang } = answer(sent.length);
      init.signal?.addEventListener("abort", () => reject(new DOMException("x", "AbortError")));
      if (hang) return;
      clock.setTimeout(() => (status === 0 ? reject(new TypeError("network")) :
        resolve(new Response(JSON.stringify(body ?? {}), { status, headers: { "content-type": "application/json", ...headers } }))), 20);
    }),
    state: () => ({ cursor: "aaaaaaaa.1", rung: "stream", intervalMs: 0 }),
    onBeat: (ok, value) => results.push({ ok, value }),
    onTaken: () => "me2",
    beacon: (url, body) => (beacons.push({ url, body }), true),
  });
  return { beat, clock, sent, results, beacons };
}

const here = (mode = "reading", caret = null) => ({ page: 42, mode, caret });

test("the first beat goes out at once and asks for the list, later ones every 20 s do not", async () => {
  const { beat, clock, sent } = setup();
  beat.set(here());
  beat.start();
  await clock.advance(0);
  assert.equal(sent.length, 1);
  assert.equal(sent[0].list, true);
  assert.deepEqual(sent[0].here, here());
  assert.equal(sent[0].rung, "stream");
  await clock.advance(60_500);
  assert.deepEqual(sent.map((one) => Math.round((one.at - sent[0].at) / 1000)), [0, 20, 40, 60]);
  assert.equal(sent[1].list, false);
});

test("an id that belongs to an earlier login is given up for a new one, at once and with the list", async () => {
  const { beat, clock, sent } = setup((n) => (n === 2 ? { status: 403, body: { error: { code: "not_yours" } } } : { status: 200, body: { head: "aaaaaaaa.1", here: [] } }));
  beat.set(here());
  beat.start();
  await clock.advance(21_000);
  assert.deepEqual(sent.map((one) => [one.client, one.list]), [["me", true], ["me", false], ["me2", true]]);
});

test("a refusal that would meet every id is no reason for a new one, nor for more beats", async () => {
  const { beat, clock, sent } = setup(() => ({ status: 403, body: { error: { code: "foreign_origin" } } }));
  beat.set(here());
  beat.start();
  await clock.advance(60_500);
  assert.deepEqual(sent.map((one) => one.client), ["me", "me", "me", "me"]);
});

test("ids that are all refused are tried no more often than beats are due", async () => {
  const { beat, clock, sent } = setup(() => ({ status: 403, body: { error: { code: "not_yours" } } }));
  beat.set(here());
  beat.start();
  await clock.advance(60_500);
  assert.ok(sent.length <= 5, `${sent.length} beats in a minute`);
});

test("changes are merged to at most four a second, and the last one is always sent", async () => {
  const { beat, clock, sent } = setup();
  beat.start();
  beat.set(here());
  await clock.advance(1000);
  for (let i = 0; i < 100; i += 1) {
    beat.set(here("writing", { anchor: i, head: i }));
    await clock.advance(20);
  }
  await clock.advance(500);
  const gaps = sent.slice(1).map((one, i) => one.at - sent[i].at);
  assert.ok(gaps.every((gap) => gap >= 250), `${gaps}`);
  assert.ok(sent.length <= 11, `${sent.length}`);
  assert.deepEqual(sent.at(-1).here.caret, { anchor: 99, head: 99 });
  beat.set(here("writing", { anchor: 99, head: 99 }));
  const count = sent.length;
  await clock.advance(1000);
  assert.equal(sent.length, count, "no change, no beat");
});

test("a hidden tab is away, and comes back", async () => {
  const { beat, clock, sent } = setup();
  beat.start();
  beat.set(here("writing"));
  await clock.advance(1000);
  beat.setHidden(true);
  await clock.advance(300);
  assert.equal(sent.at(-1).here.mode, "away");
  beat.setHidden(false);
  await clock.advance(300);
  assert.equal(sent.at(-1).here.mode, "writing");
});

test("a probe answers within its time, whatever the network does", async () => {
  const { beat, clock, results } = setup(() => ({ hang: true }));
  beat.start();
  assert.equal(beat.probe(3000), false, "nobody to beat for yet");
  beat.set(here());
  await clock.advance(6100);
  assert.deepEqual(results.map((one) => one.ok), [false]);
});

test("a refusal is an answer; Retry-After is kept", async () => {
  const { beat, clock, sent, results } = setup((n) => (n === 1 ? { status: 429, headers: { "retry-after": "30" } } : { status: 200 }));
  beat.start();
  beat.set(here());
  await clock.advance(1000);
  beat.set(here("writing"));
  await clock.advance(28_000);
  assert.equal(sent.length, 1);
  assert.equal(results[0].ok, true);
  await clock.advance(3000);
  assert.equal(sent.length, 2);
  assert.equal(sent[1].list, true, "the list is still wanted");
});

test("leaving goes by beacon; after stop nothing is sent", async () => {
  const { beat, clock, sent, beacons } = setup();
  beat.start();
  beat.set(here());
  await clock.advance(100);
  beat.leave();
  beat.stop();
  beat.stop();
  await clock.advance(100_000);
  assert.equal(sent.length, 1);
  assert.deepEqual(beacons, [{ url: "/_live/leave", body: '{"client":"me"}' }]);
});
