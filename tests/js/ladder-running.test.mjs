// The ladder table of the live protocol, rows: running stream, cut.
// Played by the shipped modules against a server and a network in this process, on a clock moved by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { seeded } from "./support/clock.mjs";
import { MINUTE, SECOND, verdict, whole } from "./support/ladder.mjs";
import { openTab } from "./support/tab.mjs";

test("a poll that fails while it looks after a good stream says nothing against the stream", async () => {
  const tab = openTab();
  await tab.publish(30, 60);
  assert.equal(tab.says(), "live/stream");
  tab.server.fault.pollsFail = true;
  await tab.clock.advance(10 * SECOND);
  assert.equal(tab.says(), "live/stream");
  assert.ok(tab.server.count("poll") >= 1, "it was looked after");
  assert.equal(tab.server.count("stream"), 1, "and kept");
  whole(tab);
});

test("a good stream that was proven among events is looked after once", async () => {
  const tab = openTab();
  await tab.publish(30, 60);
  await tab.clock.advance(5 * SECOND);
  await tab.publish(30, 60);
  await tab.clock.advance(5 * SECOND);
  assert.equal(tab.says(), "live/stream");
  assert.equal(tab.server.count("poll"), 1);
  assert.equal(tab.server.count("stream"), 1);
});

test("a slow and uneven line is not taken for one that is one behind", async () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const random = seeded(seed);
    const tab = openTab({ seed });
    // Each frame takes up to half a second, in order.
    tab.server.fault.streamDelay = () => random() * 500;
    for (let count = 0; count < 60; count += 1) await tab.publish(1, random() * 1200);
    await tab.clock.advance(2 * SECOND);
    assert.equal(tab.says(), "live/stream", `seed ${seed}`);
    whole(tab);
  }
});

test("running stream: frames that come 3 s late time after time end it", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  assert.equal(tab.says(), "live/stream");
  tab.server.fault.behind = true;
  await tab.publish(6, 5 * SECOND);
  await tab.clock.advance(5 * SECOND);
  assert.equal(tab.says(), "live/stream", "by padding");
  await tab.publish(1, 200);
  whole(tab);
});

test("running stream: 25 s of silence and an answered beat mean mute; the second time goes to hold", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  assert.equal(tab.says(), "live/stream");
  tab.server.fault.hole = 0;
  tab.server.publish(0);
  await tab.clock.advance(24 * SECOND);
  await tab.clock.advance(6 * SECOND);
  assert.notEqual(tab.says(), "live/stream", "silence beyond the watchdog is not live");
  whole(tab);
  await tab.clock.advance(6 * SECOND);
  assert.equal(tab.says(), "live/hold");
  tab.server.publish(1);
  await tab.clock.advance(100);
  whole(tab);
});

test("running stream: silence and a failing beat mean offline, without a demotion", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  Object.assign(tab.server.fault, { hole: 0, down: true });
  await tab.clock.advance(40 * SECOND);
  assert.equal(tab.live.status.state, "offline");
  assert.equal(verdict(tab), null);
  Object.assign(tab.server.fault, { hole: undefined, down: false });
  await tab.clock.advance(35 * SECOND);
  assert.equal(tab.says(), "live/stream");
});

test("running stream: a head that stays ahead for 3 s and news in a poll mean mute at once", async () => {
  const tab = openTab();
  await tab.clock.advance(10 * SECOND);
  tab.server.fault.hole = 0;
  tab.server.publish(0);
  // The next beat is due at 20 s and tells the head.
  await tab.clock.advance(15 * SECOND);
  whole(tab);
  assert.equal(tab.server.count("stream"), 2, "another stream is tried long before the watchdog would");
});

test("running stream: a head that is ahead only for other pages is not a fault", async () => {
  const tab = openTab();
  tab.server.lead = 3;
  await tab.clock.advance(2 * MINUTE);
  assert.equal(tab.says(), "live/stream");
  assert.equal(tab.server.streams.size, 1);
  await tab.publish(5, 100);
  whole(tab);
});

test("cut: three ends without bye, each younger than 20 s, go to held requests below that age", async () => {
  const tab = openTab({ fault: { cut: 10000 } });
  await tab.publish(50, SECOND);
  assert.equal(tab.says(), "live/hold");
  const kept = verdict(tab);
  assert.equal(kept.kind, "cut");
  assert.ok(kept.waitMs < 8100 && kept.waitMs >= 5000, `wait ${kept.waitMs}`);
  await tab.publish(5, SECOND);
  whole(tab);
});

test("cut very early: ends after 2 s leave no room for held requests", async () => {
  const tab = openTab({ fault: { cut: 2000, holdCut: 2000 } });
  await tab.publish(60, SECOND);
  assert.equal(tab.live.status.rung, "poll");
  await tab.clock.advance(16 * SECOND);
  whole(tab);
});

test("refused streams with a reachable server go to held requests", async () => {
  const tab = openTab({ fault: { streamRefused: true } });
  await tab.publish(50, 100);
  assert.equal(tab.says(), "live/hold");
  assert.match(tab.live.status.reason, /refuses streams/);
  whole(tab);
});

test("a regular cut at 30 s is learned, and streams are replaced before it", async () => {
  const tab = openTab({ fault: { cut: 30000 } });
  await tab.publish(300, SECOND);
  assert.equal(tab.says(), "live/stream");
  const before = tab.statuses.length;
  await tab.publish(120, SECOND);
  assert.equal(tab.statuses.length, before, "no interruption is visible any more");
  whole(tab);
});

test("a failed save beside a good stream is asked about, and neither interrupts nor demotes it", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  const before = tab.statuses.length;
  for (let i = 0; i < 5; i += 1) {
    tab.live.failed();
    await tab.clock.advance(SECOND);
    tab.env.fire("offline");
    await tab.clock.advance(10 * SECOND);
  }
  assert.equal(tab.statuses.length, before);
  assert.equal(tab.server.requests.filter((request) => request.mode === "stream").length, 1);
  tab.server.fault.blackhole = true;
  tab.server.fault.hole = 0;
  tab.live.failed();
  await tab.clock.advance(8 * SECOND);
  assert.notEqual(tab.live.status.state, "live", "no answer: the network is gone, long before the watchdog");
});

test("cut: ends of streams that have lived for 20 s are no cuts", async () => {
  const tab = openTab({ fault: { cut: 21000 } });
  await tab.publish(200, SECOND);
  assert.equal(tab.says(), "live/stream");
  assert.equal(tab.server.count("hold"), 0);
  whole(tab);
});

test("cut: three ends are too many only within two minutes", async () => {
  const tab = openTab();
  for (let count = 0; count < 5; count += 1) {
    await tab.clock.advance(5 * SECOND);
    for (const stream of tab.server.streams) stream.cut();
    await tab.clock.advance(65 * SECOND);
    assert.equal(tab.says(), "live/stream");
    // A young stream again, to be cut next.
    for (const stream of tab.server.streams) stream.bye("recycle", 0);
  }
  assert.equal(tab.server.count("hold"), 0);
  assert.equal(verdict(tab), null);
});

test("cut: ends that come while the server is away are not counted", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  for (let count = 0; count < 6; count += 1) {
    tab.server.crash();
    await tab.clock.advance(SECOND);
    tab.server.recover();
    await tab.clock.advance(8 * SECOND);
  }
  await tab.clock.advance(30 * SECOND);
  assert.equal(tab.says(), "live/stream");
  assert.equal(tab.server.count("hold"), 0);
});

test("a network that lets no POST through leaves a good stream alone", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  tab.server.fault.beatsFail = true;
  const before = tab.statuses.length;
  // As the outbox says of each save that fails.
  for (let count = 0; count < 8; count += 1) {
    tab.live.failed();
    await tab.clock.advance(9 * SECOND);
  }
  assert.deepEqual(tab.statuses.slice(before).map((status) => status.state), []);
  assert.equal(tab.server.count("stream"), 1);
  await tab.publish(3, 100);
  whole(tab);
});

test("a failed save, a failed beat and a failed poll beside a silent stream mean offline, within seconds", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  Object.assign(tab.server.fault, { hole: 0, down: true });
  tab.live.failed();
  await tab.clock.advance(2 * SECOND);
  assert.notEqual(tab.live.status.state, "live");
});
