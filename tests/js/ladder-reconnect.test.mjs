// The ladder below its table: ends with and without a goodbye, and when the next try is made.
// Played by the shipped modules against a server and a network in this process, on a clock moved by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MINUTE, SECOND, verdict, whole } from "./support/ladder.mjs";
import { openTab } from "./support/tab.mjs";

test("mute, but polls fail too: offline, and the rung is kept", async () => {
  const tab = openTab({ fault: { down: true } });
  await tab.clock.advance(20 * SECOND);
  assert.equal(tab.says(), "offline/stream");
  assert.equal(verdict(tab), null);
  assert.equal(tab.server.count("hold"), 0);
  tab.server.fault.down = false;
  await tab.clock.advance(32 * SECOND);
  assert.equal(tab.says(), "live/stream");
});

test("black hole: requests that are never answered are offline, not a rung", async () => {
  const tab = openTab({ fault: { blackhole: true } });
  await tab.clock.advance(40 * SECOND);
  assert.equal(tab.live.status.state, "offline");
  assert.equal(verdict(tab), null);
  tab.server.fault.blackhole = false;
  tab.env.fire("online");
  await tab.clock.advance(12 * SECOND);
  assert.equal(tab.says(), "live/stream");
});

test("restart: a server that dies and comes back never demotes, and a new epoch resets once", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  for (const epoch of ["bbbbbbbb", "cccccccc", "dddddddd", "eeeeeeee"]) {
    tab.server.crash();
    await tab.clock.advance(6 * SECOND);
    tab.server.recover(epoch);
    await tab.clock.advance(20 * SECOND);
    assert.equal(tab.says(), "live/stream");
  }
  assert.equal(tab.resets.length, 4);
  assert.equal(verdict(tab), null);
  assert.equal(tab.server.count("hold"), 0);
});

test("recycling: the next stream is open before the old one is closed, and nobody notices", async () => {
  const tab = openTab({ maxAgeS: 60 });
  await tab.publish(300, SECOND);
  const streams = tab.server.requests.filter((request) => request.mode === "stream");
  assert.ok(streams.length >= 5);
  assert.deepEqual(tab.statuses.map((status) => status.state).filter((state) => state !== "connecting"), ["live"]);
  whole(tab);
});

test("bye recycle without warning is bridged, whether the server ends at once or lingers", async () => {
  for (const end of [true, false]) {
    const tab = openTab({ maxAgeS: 20 });
    await tab.clock.advance(2 * SECOND);
    for (const stream of tab.server.streams) stream.bye("recycle", 1800, end);
    await tab.publish(30, 100);
    assert.equal(tab.says(), "live/stream");
    assert.equal(tab.server.streams.size, 1);
    whole(tab);
    tab.live.stop();
  }
});

test("bye drain waits within after_ms and comes back", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  for (const stream of tab.server.streams) stream.bye("drain", 3000);
  await tab.clock.advance(100);
  assert.equal(tab.live.status.state, "connecting");
  await tab.clock.advance(5 * SECOND);
  assert.equal(tab.says(), "live/stream");
});

test("a server that says busy instead of hello is returned to within after_ms, as often as it takes, and costs no rung", async () => {
  const tab = openTab({ fault: { busy: 6 } });
  await tab.publish(60, SECOND);
  const streams = tab.server.requests.filter((request) => request.mode === "stream");
  assert.equal(streams.length, 7);
  for (const [i, { at }] of streams.slice(1).entries()) assert.ok(at - streams[i].at <= 4100);
  assert.equal(tab.says(), "live/stream");
  assert.equal(tab.server.count("hold"), 0);
  assert.equal(verdict(tab), null);
  whole(tab);
});

test("Retry-After is a floor, also for `online`", async () => {
  const tab = openTab({ fault: { unready: 20 } });
  await tab.clock.advance(SECOND);
  const before = tab.server.requests.filter((request) => request.mode === "stream").length;
  tab.env.fire("online");
  await tab.clock.advance(15 * SECOND);
  assert.equal(tab.server.requests.filter((request) => request.mode === "stream").length, before);
  tab.server.fault.unready = 0;
  await tab.clock.advance(8 * SECOND);
  assert.equal(tab.says(), "live/stream");
});

test("reconnecting: distances grow to 30 s at most and start over after 60 stable seconds", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  tab.server.crash();
  await tab.clock.advance(10 * MINUTE);
  const at = tab.server.requests.filter((request) => request.mode === "stream").map((request) => request.at);
  const gaps = at.slice(2).map((time, i) => time - at[i + 1]);
  assert.ok(gaps[0] <= 1500, `${gaps}`);
  assert.ok(Math.max(...gaps) <= 30100 && Math.max(...gaps) > 10000, `${gaps}`);
  assert.equal(tab.says(), "offline/stream");
  tab.server.recover();
  await tab.clock.advance(31 * SECOND);
  await tab.clock.advance(61 * SECOND);
  tab.server.crash();
  const mark = tab.server.requests.length;
  await tab.clock.advance(600);
  assert.ok(tab.server.requests.slice(mark).some((request) => request.mode === "stream"));
});

test("offline says since when: the last time the server was heard", async () => {
  const tab = openTab();
  await tab.clock.advance(10 * SECOND);
  const heard = tab.live.status.lastHeard;
  tab.server.crash();
  await tab.clock.advance(30 * SECOND);
  assert.equal(tab.live.status.state, "offline");
  assert.ok(tab.live.status.since >= heard && tab.live.status.since <= heard + 10 * SECOND);
});

test("stop is final and start begins again, any number of times", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  tab.live.stop();
  tab.live.stop();
  const count = tab.server.requests.length;
  await tab.clock.advance(5 * MINUTE);
  assert.equal(tab.server.requests.length, count);
  assert.equal(tab.server.streams.size, 0);
  tab.server.publish(0);
  tab.live.start();
  tab.live.start();
  await tab.clock.advance(2 * SECOND);
  assert.equal(tab.says(), "live/stream");
  assert.equal(tab.server.streams.size, 1);
  whole(tab);
});

/** How long the next stream takes to be asked for, in many browsers at once. */
async function waits(count, setUp, happen, most) {
  const list = [];
  for (let seed = 1; seed <= count; seed += 1) {
    const tab = openTab({ seed });
    await setUp(tab);
    const from = tab.clock.now();
    const before = tab.server.count("stream");
    for (const stream of [...tab.server.streams]) happen(stream);
    while (tab.server.count("stream") === before && tab.clock.now() - from <= most + SECOND) await tab.clock.advance(10);
    list.push(tab.clock.now() - from);
    tab.live.stop();
  }
  return list.sort((a, b) => a - b);
}

/** Spread evenly over 0..most, as far as so many tell. */
function assertEven(list, most) {
  assert.ok(list.at(-1) <= most + 30, `${list}`);
  for (const share of [0.25, 0.5, 0.75]) {
    const at = list[Math.floor(list.length * share)];
    assert.ok(Math.abs(at - most * share) < most * 0.2, `${share}: ${at} of ${list}`);
  }
}

test("bye drain: everybody comes back within after_ms, spread evenly", async () => {
  assertEven(await waits(60, (tab) => tab.clock.advance(2 * SECOND), (stream) => stream.bye("drain", 4000), 4000), 4000);
});

test("a fault: the first try is within half a second, spread evenly", async () => {
  assertEven(await waits(60, (tab) => tab.clock.advance(2 * SECOND), (stream) => stream.cut(), 500), 500);
});

/** A tab whose server was away for long and has been back for so many ms. */
const longAway = (ms) => async (tab) => {
  await tab.clock.advance(2 * SECOND);
  tab.server.crash();
  await tab.clock.advance(2 * MINUTE);
  tab.server.recover();
  while (tab.says() !== "live/stream") await tab.clock.advance(100);
  await tab.clock.advance(ms);
};

test("reconnecting: a connection that lasts for less than a minute makes the distances no shorter", async () => {
  const list = await waits(12, longAway(40 * SECOND), (stream) => stream.cut(), 30000);
  assert.ok(list.at(-1) > 5000, `${list}`);
});

test("reconnecting: after a stable minute the first try is within half a second again", async () => {
  const list = await waits(12, longAway(61 * SECOND), (stream) => stream.cut(), 30000);
  assert.ok(list.at(-1) <= 530, `${list}`);
});

test("recycling: at no moment is there no stream, and never more than two", async () => {
  const tab = openTab({ maxAgeS: 60 });
  await tab.clock.advance(SECOND);
  for (let ms = 0; ms < 130 * SECOND; ms += 20) {
    await tab.clock.advance(20);
    if (ms % SECOND === 0) tab.server.publish(tab.server.log.length);
    assert.ok(tab.server.streams.size >= 1 && tab.server.streams.size <= 2, `${tab.server.streams.size} streams after ${ms} ms`);
  }
  await tab.clock.advance(100);
  assert.ok(tab.server.count("stream") >= 3);
  whole(tab);
});

test("an outage that ends while a stream and a poll wait for it blames the stream for nothing", async () => {
  for (let ms = 500; ms < 30 * SECOND; ms += 250) {
    const tab = openTab();
    await tab.clock.advance(2 * SECOND);
    for (const stream of tab.server.streams) stream.cut();
    let end;
    tab.server.fault.frozen = new Promise((done) => (end = done));
    // What a poll brings is whole a moment before a stream says hello.
    tab.server.fault.streamDelay = 60;
    await tab.clock.advance(ms);
    delete tab.server.fault.frozen;
    end();
    await tab.clock.advance(3 * SECOND);
    assert.equal(verdict(tab), null, `after ${ms} ms: ${tab.live.status.reason}`);
    assert.equal(tab.server.count("hold"), 0, `after ${ms} ms`);
    tab.live.stop();
  }
});
