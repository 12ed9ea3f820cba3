// A busy or sleeping computer is no bad network: the page must not blame its own
// standstill, or the server's, on what lies between.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openTab } from "./support/tab.mjs";

const SECOND = 1000;

function verdict(tab) {
  return JSON.parse(tab.env.localStorage.getItem("halley.verdict"));
}

/** The streams that are open, by how they were asked for. */
function open(tab) {
  return [...tab.server.streams].map((stream) => (stream.request.query.get("pad") ? "padded" : "plain"));
}

function assertPlainStream(tab) {
  assert.equal(tab.says(), "live/stream");
  assert.deepEqual(open(tab), ["plain"]);
  assert.equal(verdict(tab), null);
}

test("hello and probe that waited in this page for one read do not make the network lumpy", async () => {
  const tab = openTab();
  await tab.clock.advance(5);
  await tab.stall(900);
  await tab.clock.advance(2 * SECOND);
  assertPlainStream(tab);
});

test("a page that stands still time after time while it connects still finds a stream", async () => {
  const tab = openTab();
  for (let count = 0; count < 2; count += 1) {
    await tab.clock.advance(5);
    await tab.stall(895);
  }
  await tab.clock.advance(3 * SECOND);
  assert.equal(tab.says(), "live/stream");
  assert.equal(verdict(tab), null);
});

test("a page that stands still opens no more streams at once than any other", async () => {
  const tab = openTab({ fault: { tick: 2000 } });
  let most = 0;
  for (let count = 0; count < 24; count += 1) {
    await tab.clock.advance(50);
    await tab.stall(300);
    most = Math.max(most, tab.server.streams.size);
  }
  assert.equal(tab.says(), "live/hold");
  assert.ok(most <= 2, `${most} streams`);
});

test("a probe that waited in this page is not late", async () => {
  const tab = openTab();
  await tab.clock.advance(300);
  await tab.stall(1300);
  await tab.clock.advance(2 * SECOND);
  assertPlainStream(tab);
});

test("a hello that came close after its time is not missing when both were noticed at once", async () => {
  const tab = openTab({ fault: { streamDelay: 2500 } });
  await tab.clock.advance(2000);
  await tab.stall(2600);
  await tab.clock.advance(5 * SECOND);
  assertPlainStream(tab);
});

test("a verdict that a page at a standstill cannot help is not remembered", async () => {
  const tab = openTab({ fault: { tick: 2000 } });
  for (let count = 0; count < 20; count += 1) {
    await tab.clock.advance(50);
    await tab.stall(450);
  }
  assert.equal(tab.says(), "live/hold", "it does come to a verdict");
  assert.equal(verdict(tab), null);
});

test("a probe that a busy server sent late is not late", async () => {
  const tab = openTab({ fault: { probeAfter: 1800 } });
  await tab.clock.advance(3 * SECOND);
  assertPlainStream(tab);
});

test("a probe that a network brings late is late, whatever else is slow", async () => {
  const tab = openTab({ fault: { probeAfter: 1500, behind: true } });
  await tab.clock.advance(1000);
  await tab.publish(1, 2200);
  await tab.publish(1, 4000);
  assert.equal(tab.says(), "live/stream");
  assert.deepEqual(open(tab), ["padded"]);
});

test("an answered beat counts, also when the answer is read after its time-out", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  for (const stream of tab.server.streams) stream.lose();
  tab.server.fault.beatsTake = 2500;
  // Silence is noticed 25 s after hello and probe; the beat that asks is under way.
  await tab.clock.advance(24 * SECOND);
  assert.match(tab.live.status.reason, /gone quiet/);
  await tab.stall(4 * SECOND);
  tab.server.fault.beatsTake = 0;
  await tab.clock.advance(3 * SECOND);
  assert.equal(tab.says(), "live/stream");
  assert.ok(!tab.statuses.some((status) => /lost/.test(status.reason)), "it never was offline");
});

test("streams that die while the computer sleeps, again and again, demote nothing", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  for (let count = 0; count < 3; count += 1) {
    for (const stream of tab.server.streams) stream.lose();
    await tab.stall(60 * SECOND);
    await tab.clock.advance(5 * SECOND);
    assertPlainStream(tab);
  }
});

test("the way back up is tried again at once when this page stood still during the proof", async () => {
  const tab = openTab({ fault: { mute: true }, timing: { shadowFirst: 10 * SECOND, shadowMax: 600 * SECOND } });
  await tab.clock.advance(6 * SECOND);
  assert.equal(tab.says(), "live/hold");
  tab.server.fault.mute = false;
  // Until the shadow stream has been asked for, and then its proof is missed.
  for (let ms = 0; tab.server.count("stream") === 1 && ms < 20 * SECOND; ms += 1) await tab.clock.advance(1);
  await tab.stall(1500);
  await tab.clock.advance(17 * SECOND);
  assert.equal(tab.says(), "live/stream");
});

test("a stream that speaks is not given up because another request is slow", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  tab.server.fault.beatsTake = 10 * SECOND;
  tab.live.failed();
  await tab.publish(10, 500);
  assertPlainStream(tab);
  assert.equal(tab.server.count("stream"), 1);
});

test("news that a poll brings a moment before the stream does not make the stream mute", async () => {
  const tab = openTab({ fault: { streamDelay: 300 }, here: false });
  await tab.clock.advance(5 * SECOND);
  // The head is ahead for other pages, so the page looks after it; just then somebody writes.
  tab.server.lead = 3;
  const { asked } = tab.server;
  tab.server.asked = (request, signal) => {
    tab.server.publish(tab.server.log.length);
    return asked.call(tab.server, request, signal);
  };
  tab.live.beat({ page: 1, mode: "reading", caret: null });
  await tab.clock.advance(10 * SECOND);
  assert.equal(tab.server.count("poll"), 1, "it has looked");
  assertPlainStream(tab);
  assert.equal(tab.server.count("stream"), 1);
  assert.deepEqual(tab.got, [0]);
});
