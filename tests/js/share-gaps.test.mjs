// The one connection of all tabs where something is missing: no tab loses what it
// was not sent, none says that it is live while it lacks news, and none asks more
// than it should.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeBrowser } from "./support/browser.mjs";
import { FakeClock, seeded } from "./support/clock.mjs";
import { FakeServer } from "./support/server.mjs";
import { openTab } from "./support/tab.mjs";

const SECOND = 1000;

function scene(mode, options = {}) {
  const clock = new FakeClock();
  const server = new FakeServer(clock, options);
  const random = seeded(7);
  const browser = new FakeBrowser({ clock, server, random, mode });
  return { clock, server, random, browser };
}

/** What a tab must have: the events of its topics after its cursor. */
function due({ server }, tab) {
  const [, seq] = tab.from.split(".");
  return server.log.slice(Number(seq)).filter((event) => tab.topics.includes(event.topic)).map((event) => event.data);
}

for (const mode of ["worker", "leader"]) {
  test(`${mode}: after a long sleep a tab that goes on later than the others has what it missed`, async () => {
    const on = scene(mode, { maxAgeS: 900 });
    const [a, b] = [on.browser.open(), on.browser.open({ topics: ["view:2"] })];
    await on.clock.advance(3 * SECOND);
    const processes = [a.process, b.process, ...(on.browser.worker ? [on.browser.worker.process] : [])];
    for (const process of processes) process.frozen = true;
    for (const stream of on.server.streams) stream.lose();
    await on.clock.advance(150 * SECOND);
    on.server.publish("missed", "view:2");
    await on.clock.advance(150 * SECOND);
    on.browser.worker?.process.thaw();
    a.thaw();
    await on.clock.advance(2 * SECOND);
    on.server.publish("other");
    await on.clock.advance(2 * SECOND);
    b.thaw();
    await on.clock.advance(3 * SECOND);
    assert.deepEqual(a.got, ["other"]);
    assert.deepEqual(b.got, ["missed"]);
    for (const tab of [a, b]) assert.equal(tab.says(), "live/stream");
  });
}

// No second stream is admitted: the one that is open lacks the topics of tabs that come later.
function oneStreamOnly(server) {
  const answer = server.answer.bind(server);
  server.answer = async (request, signal) => {
    if (request.mode === "stream" && server.streams.size > 0) {
      return server.json({ from: "x", to: "x", events: [], more: false, advice: { mode: "poll", interval_ms: 2000, why: "too many streams" } });
    }
    return answer(request, signal);
  };
}

for (const mode of ["worker", "leader"]) {
  test(`${mode}: a poll beside a stream that lacks a tab's topics does not make that tab live`, async () => {
    const on = scene(mode);
    on.browser.open({ page: 1 });
    await on.clock.advance(3 * SECOND);
    oneStreamOnly(on.server);
    const late = on.browser.open({ topics: ["view:2"], page: 2 });
    for (let n = 0; n < 60; n += 1) {
      on.server.publish(n, "view:2");
      await on.clock.advance(3 * SECOND);
      assert.ok(!late.says().startsWith("live"), `${n}: ${late.says()}`);
    }
    await on.clock.advance(6 * SECOND);
    assert.equal(late.got.length, 60);
    assert.deepEqual(late.got, on.server.log.map((event) => event.data));
  });
}

test("nor does a poll beside a stream that is slow to open and lacks its topics", async () => {
  const on = scene("worker");
  const answer = on.server.answer.bind(on.server);
  let streams = 0;
  on.server.answer = async (request, signal) => {
    if (request.mode !== "stream") return answer(request, signal);
    streams += 1;
    if (streams > 1) return on.server.json({ from: "x", to: "x", events: [], more: false, advice: { mode: "poll", interval_ms: 2000, why: "too many streams" } });
    await new Promise((done) => on.clock.setTimeout(done, 3000));
    return answer(request, signal);
  };
  const first = on.browser.open();
  await on.clock.advance(500);
  const late = on.browser.open({ topics: ["view:2"] });
  await on.clock.advance(10 * SECOND);
  assert.deepEqual([first.says(), late.says()], ["live/stream", "refreshing/poll"]);
  on.server.publish("x", "view:2");
  await on.clock.advance(6 * SECOND);
  assert.deepEqual(late.got, ["x"]);
});

// Polls are answered with an error, whatever else works. Returns what ends that.
function pollsFail(server, headers = {}) {
  const answer = server.answer.bind(server);
  server.answer = async (request, signal) => (request.mode === "poll" ? server.json({ error: { code: "busy", message: "Busy." } }, 503, headers) : answer(request, signal));
  return () => void (server.answer = answer);
}

test("a tab that knows of news it cannot get does not say that it is live", async () => {
  const on = scene("worker");
  const [a, b] = [on.browser.open(), on.browser.open()];
  await on.clock.advance(3 * SECOND);
  on.browser.loses = (process, message) => process === b.process && message.t === "batch";
  on.server.publish("lost");
  await on.clock.advance(SECOND);
  on.browser.loses = null;
  const heal = pollsFail(on.server);
  on.server.publish("next");
  await on.clock.advance(500);
  assert.equal(b.says(), "live/stream", "a moment is nothing");
  await on.clock.advance(4 * SECOND);
  assert.deepEqual([a.says(), b.says()], ["live/stream", "connecting/stream"]);
  assert.ok(b.status.includes("connecting/stream"), "and it is told");
  heal();
  await on.clock.advance(16 * SECOND);
  assert.deepEqual([a.says(), b.says()], ["live/stream", "live/stream"]);
  for (const tab of [a, b]) assert.deepEqual(tab.got, ["lost", "next"]);
});

test("a page that is shown before it comes back from the back/forward cache does not go on as a hidden one", async () => {
  const tab = openTab({ forced: "poll" });
  const turn = (state) => {
    tab.env.document.visibilityState = state;
    tab.env.document.fire("visibilitychange");
  };
  await tab.clock.advance(3 * SECOND);
  tab.env.fire("pagehide", { persisted: true });
  turn("hidden");
  await tab.clock.advance(10 * SECOND);
  turn("visible");
  tab.env.fire("pageshow", { persisted: true });
  await tab.clock.advance(20 * SECOND);
  assert.equal(tab.live.status.intervalMs, 5000);
});

test("hidden tabs that slept are polled for as visible ones when they are looked at", async () => {
  const on = scene("worker");
  Object.assign(on.server.fault, { streamRefused: true, holdRefused: true });
  const tab = on.browser.open();
  await on.clock.advance(30 * SECOND);
  assert.equal(tab.says(), "refreshing/poll");
  tab.show(false);
  await on.clock.advance(SECOND);
  const { process } = on.browser.worker;
  process.frozen = tab.process.frozen = true;
  await on.clock.advance(300 * SECOND);
  process.thaw();
  tab.env.document.visibilityState = "visible";
  tab.thaw();
  tab.show(true);
  await on.clock.advance(20 * SECOND);
  assert.equal(tab.says(), "refreshing/poll");
  assert.equal(tab.live.status.intervalMs, 5000);
});

test("a tab that leads no more tells the others nothing of its end", async () => {
  const on = scene("leader");
  const tabs = [on.browser.open(), on.browser.open(), on.browser.open()];
  await on.clock.advance(3 * SECOND);
  for (const tab of tabs) tab.status.length = 0;
  tabs[0].show(false);
  await on.clock.advance(3 * SECOND);
  for (const tab of tabs) {
    assert.equal(tab.says(), "live/stream");
    assert.ok(!tab.status.includes("off/off"), `${tab.status}`);
  }
});

test("a poll that the server puts off is not brought forward by each message of the shared connection", async () => {
  const on = scene("worker");
  const [a, b] = [on.browser.open(), on.browser.open()];
  await on.clock.advance(3 * SECOND);
  on.browser.loses = (process, message) => process === b.process && message.t === "batch";
  on.server.publish("lost");
  await on.clock.advance(SECOND);
  on.browser.loses = null;
  const heal = pollsFail(on.server, { "retry-after": "30" });
  const before = on.server.count("poll");
  for (let n = 0; n < 40; n += 1) {
    on.server.publish(n);
    await on.clock.advance(500);
  }
  assert.equal(on.server.count("poll") - before, 1);
  heal();
  await on.clock.advance(12 * SECOND);
  for (const tab of [a, b]) assert.deepEqual(tab.got, due(on, tab));
  assert.equal(b.says(), "live/stream");
});

test("a tab that nothing carries asks ever more seldom, and no more often than the server wants", async () => {
  const on = scene("worker", { maxAgeS: 3600 });
  on.browser.open();
  await on.clock.advance(3 * SECOND);
  oneStreamOnly(on.server);
  const late = on.browser.open({ topics: ["view:2"] });
  const polls = async (ms) => {
    const before = on.server.requests.length;
    await on.clock.advance(ms);
    return on.server.requests.slice(before).filter((request) => request.mode === "poll" && request.query.get("topics") === "view:2").length;
  };
  assert.ok((await polls(4 * SECOND)) >= 2, "at first it is quick");
  await polls(20 * SECOND);
  const usual = await polls(60 * SECOND);
  assert.ok(usual >= 8 && usual <= 13, `${usual}`);
  assert.equal(late.says(), "refreshing/poll");
  assert.equal(late.live.status.intervalMs, 5000);
  on.server.fault.advice = { mode: null, wait: 25, interval_ms: 20000 };
  // An answer with nothing new brings no advice.
  on.server.publish("one", "view:2");
  await polls(20 * SECOND);
  const advised = await polls(60 * SECOND);
  assert.ok(advised >= 2 && advised <= 4, `${advised}`);
  late.show(false);
  await polls(150 * SECOND);
  const hidden = await polls(180 * SECOND);
  assert.ok(hidden >= 2 && hidden <= 4, `${hidden}`);
  on.server.publish("two", "view:2");
  late.show(true);
  await on.clock.advance(SECOND);
  assert.deepEqual(late.got, ["one", "two"], "at once when it is looked at");
});

test("twenty tabs that say that the network is back make one new held request", async () => {
  const on = scene("worker");
  on.server.fault.streamRefused = true;
  const tabs = Array.from({ length: 20 }, () => on.browser.open());
  await on.clock.advance(20 * SECOND);
  assert.equal(tabs[0].says(), "live/hold");
  const before = on.server.count("hold");
  for (const tab of tabs) tab.env.fire("online");
  await on.clock.advance(500);
  assert.equal(on.server.count("hold") - before, 1);
  await on.clock.advance(2 * SECOND);
  for (const tab of tabs) tab.env.fire("online");
  await on.clock.advance(500);
  assert.equal(on.server.count("hold") - before, 2);
});

test("a tab that could not share does so when it is looked at later, unless the server gave it no news", async () => {
  const on = scene("bare");
  const answer = on.server.answer.bind(on.server);
  on.server.answer = async (request, signal) => {
    if ((request.query.get("topics") ?? "").split(",").includes("view:13")) return on.server.json({ error: { code: "no_page", message: "None." } }, 404);
    return answer(request, signal);
  };
  on.browser.open();
  await on.clock.advance(3 * SECOND);
  const { workerClass } = on.browser;
  on.browser.workerClass = () => class {
    constructor() {
      throw new Error("blocked");
    }
  };
  const [b, c] = [on.browser.open(), on.browser.open()];
  // What other ways the browser has is not the question here.
  const bad = on.browser.open({ topics: ["view:13"] });
  on.browser.workerClass = workerClass;
  for (const tab of [b, c, bad]) tab.env.SharedWorker = on.browser.workerClass(tab.process);
  const turn = (tab) => {
    tab.show(false);
    tab.show(true);
  };
  await on.clock.advance(30 * SECOND);
  assert.equal(on.server.streams.size, 3);
  turn(b);
  await on.clock.advance(3 * SECOND);
  assert.equal(on.server.streams.size, 3, "not at once");
  await on.clock.advance(40 * SECOND);
  turn(b);
  turn(bad);
  on.server.publish("turned");
  c.env.fire("pagehide", { persisted: true });
  await on.clock.advance(SECOND);
  on.server.publish("away");
  c.env.fire("pageshow", { persisted: true });
  await on.clock.advance(3 * SECOND);
  assert.equal(on.server.streams.size, 1);
  assert.deepEqual([b.says(), c.says(), bad.says()], ["live/stream", "live/stream", "off/off"]);
  assert.match(b.live.status.reason, /3 tabs share/);
  for (const tab of [b, c]) assert.deepEqual(tab.got, ["turned", "away"]);
  // A choice is kept.
  b.live.choose("stream");
  await on.clock.advance(200 * SECOND);
  turn(b);
  await on.clock.advance(3 * SECOND);
  assert.equal(on.server.streams.size, 2);
});
