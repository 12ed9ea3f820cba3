// The ladder table of the live protocol, rows: open stream, hedge, mute, lumped or one behind.
// Played by the shipped modules against a server and a network in this process, on a clock moved by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SECOND, verdict, whole } from "./support/ladder.mjs";
import { openTab } from "./support/tab.mjs";

test("open stream: hello and a later probe prove it, and only then it is called live", async () => {
  const tab = openTab();
  await tab.clock.advance(500);
  assert.equal(tab.says(), "connecting/stream");
  await tab.clock.advance(400);
  assert.equal(tab.says(), "live/stream");
  await tab.publish(5, 100);
  whole(tab);
  assert.equal(tab.server.count("poll"), 0, "a good stream needs no poll");
  assert.equal(verdict(tab), null);
});

test("hedge: without hello after 1.5 s polls bring the news while the stream is still being tried", async () => {
  const tab = openTab({ fault: { mute: true } });
  await tab.clock.advance(1400);
  assert.equal(tab.server.count("poll"), 0);
  await tab.publish(1, 200);
  assert.equal(tab.server.count("poll"), 1);
  assert.equal(tab.says(), "refreshing/poll");
  whole(tab);
});

test("mute: no hello in 4 s while polls work goes to held requests within 5 s and loses nothing", async () => {
  const tab = openTab({ fault: { mute: true } });
  await tab.publish(50, 100);
  assert.equal(tab.says(), "live/hold");
  assert.match(tab.live.status.reason, /holds streamed data back/);
  await tab.publish(20, 300);
  whole(tab);
  assert.equal(verdict(tab).kind, "mute");
});

for (const [name, tick] of [["2 s", 2000], ["1 s", 1000]]) {
  test(`lumped: a network that flushes every ${name} gets one padded try, then held requests, within 5 s`, async () => {
    const tab = openTab({ fault: { tick } });
    await tab.publish(50, 100);
    assert.equal(tab.says(), "live/hold");
    assert.match(tab.live.status.reason, /lumps/);
    const streams = tab.server.requests.filter((request) => request.mode === "stream");
    assert.deepEqual(streams.map((request) => request.query.get("pad")), [null, "1"]);
    await tab.publish(10, 500);
    whole(tab);
  });
}

test("slow tick: a network that flushes every 20 s is as good as mute", async () => {
  const tab = openTab({ fault: { tick: 20000 } });
  await tab.publish(50, 100);
  assert.equal(tab.says(), "live/hold");
  whole(tab);
});

test("one behind: the padded retry pushes each event through and the stream stays", async () => {
  const tab = openTab({ fault: { behind: true } });
  await tab.clock.advance(5 * SECOND);
  assert.equal(tab.says(), "live/stream");
  await tab.publish(20, 200);
  await tab.clock.advance(100);
  whole(tab);
});

for (const at of [1400, 2000, 2900]) {
  test(`one behind: an event after ${at} ms that pushes the probe out proves nothing`, async () => {
    const tab = openTab({ fault: { behind: true } });
    await tab.clock.advance(100);
    await tab.publish(1, 0);
    await tab.clock.advance(at - 100);
    await tab.publish(1, 0);
    await tab.clock.advance(6 * SECOND - at);
    assert.equal(tab.says(), "live/stream");
    await tab.publish(1, 200);
    whole(tab);
  });
}

test("one behind: events that push hello and probe out in time still give it away when the page falls quiet", async () => {
  const tab = openTab({ fault: { behind: true } });
  await tab.clock.advance(100);
  for (const ms of [200, 250, 150, 300, 100]) await tab.publish(1, ms);
  await tab.clock.advance(3 * SECOND);
  // One word, key by key; the last key waits for no heartbeat.
  await tab.publish(8, 60);
  await tab.clock.advance(2 * SECOND);
  assert.equal(tab.says(), "live/stream");
  whole(tab);
  await tab.clock.advance(3 * SECOND);
  await tab.publish(1, 200);
  whole(tab);
});

for (const thresh of [2048, 4096]) {
  test(`threshold ${thresh}: events that push hello and probe out in time leave no word behind`, async () => {
    const tab = openTab({ fault: { block: thresh } });
    await tab.clock.advance(50);
    for (let count = 0; count < 40; count += 1) await tab.publish(1, 40);
    // The last of them are in the buffer: they come soon, and then the stream is padded or another rung.
    await tab.clock.advance(1200);
    whole(tab);
    await tab.clock.advance(5 * SECOND);
    await tab.publish(4, 100);
    await tab.clock.advance(300);
    whole(tab);
  });
}

test("threshold: held back at first, then a padded shadow stream gets through", async () => {
  const tab = openTab({ fault: { thresh: 4096 } });
  await tab.clock.advance(6 * SECOND);
  assert.equal(tab.says(), "live/hold");
  await tab.publish(24, 5 * SECOND);
  assert.equal(tab.says(), "live/stream");
  await tab.clock.advance(1000);
  whole(tab);
});

test("mute: on a line on which every answer takes 2 s it takes longer, and still goes to held requests", async () => {
  const tab = openTab({ fault: { mute: true, latency: 2000 } });
  await tab.publish(15, SECOND);
  assert.equal(tab.says(), "live/hold");
  await tab.clock.advance(4 * SECOND);
  whole(tab);
});
