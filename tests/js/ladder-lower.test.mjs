// The ladder table of the live protocol, rows: hold, poll.
// Played by the shipped modules against a server and a network in this process, on a clock moved by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MINUTE, SECOND, whole } from "./support/ladder.mjs";
import { openTab } from "./support/tab.mjs";

test("hold: a short one proves that they pass, the first long one waits 10 s, later ones 25 s", async () => {
  const tab = openTab({ forced: "hold" });
  await tab.clock.advance(70 * SECOND);
  const waits = tab.server.requests.filter((request) => request.mode === "hold").map((request) => request.query.get("wait"));
  assert.deepEqual(waits.slice(0, 4), ["1", "10", "25", "25"]);
  assert.equal(tab.says(), "live/hold");
});

test("hold: two failures at a similar age teach a shorter wait", async () => {
  const tab = openTab({ fault: { mute: true, holdCut: 12000 } });
  await tab.clock.advance(60 * SECOND);
  const last = tab.server.requests.filter((request) => request.mode === "hold").at(-1);
  assert.equal(last.query.get("wait"), "10");
  assert.equal(tab.says(), "live/hold");
  await tab.publish(5, 2000);
  whole(tab);
});

test("hold: learned below 5 s goes to polling", async () => {
  const tab = openTab({ fault: { mute: true, holdCut: 3000 } });
  await tab.clock.advance(20 * SECOND);
  assert.equal(tab.live.status.rung, "poll");
  await tab.publish(10, SECOND);
  await tab.clock.advance(6 * SECOND);
  whole(tab);
});

test("hold: a server that goes away means offline; it comes back to hold", async () => {
  const tab = openTab({ fault: { mute: true } });
  await tab.clock.advance(6 * SECOND);
  tab.server.crash();
  await tab.clock.advance(10 * SECOND);
  assert.equal(tab.says(), "offline/hold");
  tab.server.recover();
  await tab.clock.advance(31 * SECOND);
  assert.equal(tab.says(), "live/hold");
});

test("poll: 5 s alone, 2 s with company, 15 s idle, 60 s hidden, each within 10 %", async () => {
  const tab = openTab({ forced: "poll" });
  const gaps = async (ms) => {
    const from = tab.server.requests.length;
    await tab.clock.advance(ms);
    const polls = tab.server.requests.slice(from).filter((request) => request.mode === "poll").map((request) => request.at);
    return polls.slice(1).map((at, i) => at - polls[i]);
  };
  /** @param {number[]} list */
  const near = (list, ms) => list.every((gap) => gap >= ms * 0.9 - 1 && gap <= ms * 1.1 + 30);
  assert.ok(near(await gaps(30 * SECOND), 5000));
  tab.server.log.push({ topic: "here:1", kind: "joined", data: { client: "other", name: "Ada", colour: 2, guest: true, mode: "reading", rung: "poll", caret: null } });
  await tab.clock.advance(6 * SECOND);
  assert.ok(near(await gaps(20 * SECOND), 2000));
  assert.equal(tab.live.status.intervalMs, 2000);
  await tab.clock.advance(2 * MINUTE);
  assert.ok(near(await gaps(60 * SECOND), 15000));
  tab.env.fire("keydown");
  assert.ok(near(await gaps(20 * SECOND), 2000));
  tab.env.document.visibilityState = "hidden";
  tab.env.document.fire("visibilitychange");
  assert.ok(near(await gaps(5 * MINUTE), 60000));
  const before = tab.server.count("poll");
  tab.env.document.visibilityState = "visible";
  tab.env.document.fire("visibilitychange");
  await tab.clock.advance(100);
  assert.equal(tab.server.count("poll"), before + 1, "a tab that is looked at again asks at once");
});

test("poll: the server may raise the interval, and unchanged polls are 304", async () => {
  const tab = openTab({ forced: "poll", fault: { advice: { mode: null, interval_ms: 9000 } } });
  await tab.clock.advance(40 * SECOND);
  assert.equal(tab.live.status.intervalMs, 9000);
  const tags = tab.server.requests.filter((request) => request.mode === "poll" && request.headers["If-None-Match"]);
  assert.ok(tags.length >= 2);
});

/** Held requests are never answered any more; everything else is as it was. */
function swallowHolds(tab) {
  const { asked } = tab.server;
  tab.server.asked = (request, signal) => (request.mode === "hold" ? new Promise(() => {}) : asked.call(tab.server, request, signal));
}

test("hold: a request that is not answered is given up 10 s after its wait, and a poll asks instead", async () => {
  const tab = openTab({ forced: "hold", here: false });
  await tab.clock.advance(13 * SECOND);
  swallowHolds(tab);
  const holds = tab.server.count("hold");
  while (tab.server.count("hold") === holds) await tab.clock.advance(100);
  const polls = tab.server.count("poll");
  tab.server.publish(0);
  await tab.clock.advance(34 * SECOND);
  assert.equal(tab.server.count("poll"), polls, "its time is not over");
  await tab.clock.advance(2 * SECOND);
  assert.ok(tab.server.count("poll") > polls);
  whole(tab);
});

test("hold: requests that are never answered go to polling, and nothing is lost", async () => {
  const tab = openTab({ fault: { mute: true } });
  swallowHolds(tab);
  await tab.publish(30, SECOND);
  assert.equal(tab.live.status.rung, "poll");
  await tab.clock.advance(6 * SECOND);
  whole(tab);
});

test("hold: two failures at unlike ages teach nothing", async () => {
  const tab = openTab({ fault: { mute: true, holdCut: 6000 } });
  await tab.clock.advance(5 * SECOND);
  // Each failure is explained by a poll.
  const fails = async () => {
    const polls = tab.server.count("poll");
    while (tab.server.count("poll") === polls) await tab.clock.advance(100);
  };
  await fails();
  tab.server.fault.holdCut = 16000;
  await fails();
  tab.server.fault.holdCut = undefined;
  await tab.clock.advance(30 * SECOND);
  const last = tab.server.requests.filter((request) => request.mode === "hold").at(-1);
  assert.equal(last.query.get("wait"), "25");
  assert.equal(tab.says(), "live/hold");
});

test("hold: answers whose news came quicker another way say nothing against held requests", async () => {
  const tab = openTab({ fault: { mute: true } });
  await tab.clock.advance(8 * SECOND);
  assert.equal(tab.says(), "live/hold");
  for (let count = 0; count < 20; count += 1) {
    const { cursor } = tab.live;
    tab.server.publish(count);
    // As with the answer to a save, or from a shadow stream.
    await tab.live.applyBatch(tab.server.batch(cursor));
    await tab.clock.advance(200);
  }
  assert.equal(tab.says(), "live/hold");
  whole(tab);
});

test("hold: empty answers that come at once, time after time, go to polling", async () => {
  const tab = openTab({ fault: { mute: true, instant: true } });
  await tab.clock.advance(15 * SECOND);
  assert.equal(tab.live.status.rung, "poll");
  assert.ok(tab.server.count("hold") < 10);
});
