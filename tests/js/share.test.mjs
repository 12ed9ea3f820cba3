// One connection for all tabs of a browser, by a SharedWorker and by a leading
// tab: each tab has each event of its topics once and in order, whatever happens
// to the others, and the server sees one stream.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeBrowser } from "./support/browser.mjs";
import { FakeClock, seeded } from "./support/clock.mjs";
import { FakeServer } from "./support/server.mjs";

const SECOND = 1000;
const firstSeed = Number(process.env.TEST_SEED ?? Date.now() % 1e9);

function scene(mode, { seed = 7, ...options } = {}) {
  const clock = new FakeClock();
  const server = new FakeServer(clock, options);
  const random = seeded(seed);
  const browser = new FakeBrowser({ clock, server, random, mode });
  return { clock, server, random, browser };
}

/** What a tab must have: the events of its topics after its cursor. */
function due({ server }, tab) {
  const [, seq] = tab.from.split(".");
  return server.log.slice(Number(seq)).filter((event) => tab.topics.includes(event.topic)).map((event) => event.data);
}

for (const mode of ["worker", "leader", "bare"]) {
  test(`${mode}: twenty tabs of different pages have one stream, and each has the events of its page`, async () => {
    const on = scene(mode);
    const tabs = [];
    for (let page = 1; page <= 20; page += 1) {
      tabs.push(on.browser.open({ topics: [`view:${page}`, `here:${page}`, "site"], page }));
      await on.clock.advance(50);
    }
    await on.clock.advance(5 * SECOND);
    assert.equal(on.server.streams.size, 1);
    for (const tab of tabs) assert.equal(tab.says(), "live/stream");
    for (let n = 0; n < 100; n += 1) {
      on.server.publish(n, n % 5 === 0 ? "site" : `view:${1 + (n % 20)}`);
      await on.clock.advance(7);
    }
    await on.clock.advance(100);
    for (const tab of tabs) assert.deepEqual(tab.got, due(on, tab));
    assert.equal(tabs[1].got.length, 25);
    assert.match(tabs[3].live.status.reason, /20 tabs share/);
  });

  test(`${mode}: a tab that joins is live within a second and a half, from where its page was made`, async () => {
    const on = scene(mode);
    on.browser.open();
    await on.clock.advance(3 * SECOND);
    const cursor = on.server.head;
    on.server.publish("while it loaded", "view:9");
    const tab = on.browser.open({ topics: ["view:9"], cursor });
    await on.clock.advance(1500);
    assert.equal(tab.says(), "live/stream");
    assert.deepEqual(tab.got, ["while it loaded"]);
    assert.equal(tab.resets.length, 0);
  });

  test(`${mode}: the tab that came first dies without a word, the others go on, and the server is told`, async () => {
    const on = scene(mode);
    const tabs = [1, 2, 3].map((page) => on.browser.open({ topics: [`view:${page}`, "site"], client: `client${page}client`, page }));
    await on.clock.advance(3 * SECOND);
    tabs[0].kill();
    for (let n = 0; n < 40; n += 1) {
      on.server.publish(n, n % 2 ? "site" : "view:2");
      await on.clock.advance(100);
    }
    await on.clock.advance(2 * SECOND);
    for (const tab of tabs.slice(1)) {
      assert.deepEqual(tab.got, due(on, tab));
      assert.equal(tab.says(), "live/stream");
      assert.equal(tab.resets.length, 0);
    }
    assert.equal(on.server.streams.size, 1);
    const left = on.server.requests.filter((request) => request.mode === "leave").map((request) => JSON.parse(request.body).client);
    assert.ok(left.includes("client1client"), `${left}`);
  });

  test(`${mode}: the last tab ends the stream`, async () => {
    const on = scene(mode);
    const [a, b] = [on.browser.open(), on.browser.open()];
    await on.clock.advance(3 * SECOND);
    a.close();
    await on.clock.advance(SECOND);
    assert.equal(on.server.streams.size, 1);
    b.env.fire("pagehide", { persisted: true });
    await on.clock.advance(SECOND);
    assert.equal(on.server.streams.size, 0);
  });

  test(`${mode}: a tab that was frozen has everything at once when it goes on`, async () => {
    const on = scene(mode);
    const [a, b] = [on.browser.open(), on.browser.open()];
    await on.clock.advance(3 * SECOND);
    b.freeze();
    for (let n = 0; n < 30; n += 1) {
      on.server.publish(n);
      await on.clock.advance(SECOND);
    }
    b.thaw();
    await on.clock.advance(SECOND);
    for (const tab of [a, b]) assert.deepEqual(tab.got, due(on, tab));
    assert.equal(b.resets.length, 0);
    await on.clock.advance(3 * SECOND);
    assert.equal(b.says(), "live/stream");
    assert.equal(on.server.streams.size, 1);
  });

  test(`${mode}: a page that comes back from the back/forward cache is live again, with what it missed`, async () => {
    const on = scene(mode);
    const [a, b] = [on.browser.open(), on.browser.open()];
    await on.clock.advance(3 * SECOND);
    b.env.fire("pagehide", { persisted: true });
    await on.clock.advance(60 * SECOND);
    on.server.publish("meanwhile");
    await on.clock.advance(SECOND);
    b.env.fire("pageshow", { persisted: true });
    await on.clock.advance(1500);
    for (const tab of [a, b]) {
      assert.deepEqual(tab.got, ["meanwhile"]);
      assert.equal(tab.says(), "live/stream");
    }
  });

  test(`${mode}: a restart of the server resets each tab once`, async () => {
    const on = scene(mode);
    const tabs = [1, 2, 3].map((page) => on.browser.open({ topics: [`view:${page}`] }));
    await on.clock.advance(3 * SECOND);
    on.server.crash();
    await on.clock.advance(2 * SECOND);
    on.server.recover("bbbbbbbb");
    await on.clock.advance(10 * SECOND);
    on.server.publish("new", "view:2");
    await on.clock.advance(SECOND);
    for (const tab of tabs) {
      assert.equal(tab.resets.length, 1);
      assert.equal(tab.says(), "live/stream");
    }
    assert.deepEqual(tabs[1].got, ["new"]);
    assert.equal(on.server.streams.size, 1);
  });

  test(`${mode}: a rung that is chosen is this tab's alone, and with 'automatic' it shares again`, async () => {
    const on = scene(mode);
    const [a, b] = [on.browser.open(), on.browser.open()];
    await on.clock.advance(3 * SECOND);
    b.live.choose("poll");
    await on.clock.advance(3 * SECOND);
    assert.deepEqual([a.says(), b.says()], ["live/stream", "refreshing/poll"]);
    on.server.publish("one");
    await on.clock.advance(6 * SECOND);
    b.live.choose(null);
    on.server.publish("two");
    await on.clock.advance(3 * SECOND);
    assert.equal(b.says(), "live/stream");
    assert.equal(on.server.streams.size, 1);
    for (const tab of [a, b]) assert.deepEqual(tab.got, ["one", "two"]);
  });

  test(`${mode}: the server's no to one tab's topics leaves the others as they were`, async () => {
    const on = scene(mode);
    const answer = on.server.answer.bind(on.server);
    on.server.answer = async (request, signal) => {
      const topics = request.query.get("topics") ?? "";
      if (topics.split(",").includes("view:13")) return on.server.json({ error: { code: "no_page", message: "None." } }, 404);
      return answer(request, signal);
    };
    const good = on.browser.open();
    await on.clock.advance(3 * SECOND);
    const bad = on.browser.open({ topics: ["view:13"] });
    const late = on.browser.open({ topics: ["view:2"] });
    await on.clock.advance(20 * SECOND);
    on.server.publish("good");
    on.server.publish("late", "view:2");
    await on.clock.advance(3 * SECOND);
    assert.deepEqual([good.got, late.got], [["good"], ["late"]]);
    assert.deepEqual([good.says(), bad.says(), late.says()], ["live/stream", "off/off", "live/stream"]);
  });

  test(`${mode}: rights that are taken from one tab end the stream, and the others are live again within 2 s`, async () => {
    const on = scene(mode);
    const bad = on.browser.open({ topics: ["view:13", "site"] });
    const good = [on.browser.open(), on.browser.open({ topics: ["view:2"] })];
    await on.clock.advance(3 * SECOND);
    const answer = on.server.answer.bind(on.server);
    on.server.answer = async (request, signal) => {
      const topics = request.query.get("topics") ?? "";
      if (topics.split(",").includes("view:13")) return on.server.json({ error: { code: "no_page", message: "None." } }, 404);
      return answer(request, signal);
    };
    for (const stream of on.server.streams) stream.bye("auth");
    await on.clock.advance(2 * SECOND);
    for (const tab of good) assert.equal(tab.says(), "live/stream");
    assert.equal(bad.says(), "off/off");
    on.server.publish("for two", "view:2");
    await on.clock.advance(SECOND);
    assert.deepEqual(good[1].got, ["for two"]);
  });

  test(`${mode}: chaos: joins, deaths, freezes, faults and restarts lose, repeat and reorder nothing`, async () => {
    for (let run = 0; run < 25; run += 1) {
      const seed = firstSeed + run;
      const on = scene(mode, { seed, maxAgeS: 40 });
      const pick = (list) => list[Math.floor(on.random() * list.length)];
      const faults = [{}, {}, {}, { mute: true }, { cut: 3000 }, { tick: 900 }, { hole: 3000 }, { streamRefused: true }, { latency: 700 }, { portal: true }];
      const tabs = [];
      const open = () => {
        const page = 1 + Math.floor(on.random() * 6);
        const topics = on.random() < 0.3 ? [`view:${page}`, `doc:${page}`, "site"] : [`view:${page}`];
        tabs.push(on.browser.open({ topics }));
      };
      open();
      let n = 0;
      for (let step = 0; step < 50; step += 1) {
        const living = tabs.filter((tab) => tab.open);
        const chance = on.random();
        if (chance < 0.2 && living.length < 12) open();
        else if (chance < 0.3 && living.length > 1) pick(living).kill();
        else if (chance < 0.36 && living.length > 1) pick(living).close();
        else if (chance < 0.46) pick(living).show(on.random() < 0.6);
        else if (chance < 0.54) {
          const tab = pick(living);
          tab.freeze();
          on.clock.setTimeout(() => tab.open && tab.thaw(), on.random() * 20000);
        } else if (chance < 0.6) {
          const tab = pick(living);
          tab.env.fire("pagehide", { persisted: true });
          on.clock.setTimeout(() => tab.open && tab.env.fire("pageshow", { persisted: true }), on.random() * 8000);
        } else if (chance < 0.66) pick(living).live.choose(pick([null, null, "poll", "hold", "stream"]));
        else if (chance < 0.72) pick(living).env.fire(pick(["online", "offline"]));
        else if (chance < 0.76 && on.browser.worker) on.browser.worker.process.kill();
        else if (chance < 0.86) on.server.fault = { ...pick(faults) };
        else if (chance < 0.9) {
          on.server.crash();
          await on.clock.advance(on.random() * 4000);
          on.server.recover();
          on.server.fault = {};
        } else if (chance < 0.95) {
          const tab = pick(living);
          if (tab.live.cursor) void tab.live.applyBatch(on.server.batch(tab.live.cursor, tab.topics.join(",")));
        }
        for (let i = Math.floor(on.random() * 6); i > 0; i -= 1) {
          n += 1;
          on.server.publish(n, pick(["view:1", "view:2", "view:3", "view:4", "view:5", "doc:2", "site"]));
          if (on.random() < 0.5) await on.clock.advance(on.random() * 200);
        }
        await on.clock.advance(on.random() * 4000);
      }
      on.server.fault = {};
      for (const tab of tabs.filter((tab) => tab.open)) {
        tab.show(true);
        tab.live.choose(null);
      }
      await on.clock.advance(60 * SECOND);
      for (const [index, tab] of tabs.entries()) {
        if (!tab.open) continue;
        assert.deepEqual(tab.got, due(on, tab), `seed ${seed}, tab ${index}`);
        assert.equal(tab.resets.length, 0, `seed ${seed}, tab ${index}`);
        // The way back from a verdict takes its time.
        assert.match(tab.says(), /^(live|refreshing)\//, `seed ${seed}, tab ${index}: ${tab.live.status.reason}`);
      }
    }
  });
}

test("a browser that can share nothing gives each tab a stream of its own", async () => {
  const on = scene("none");
  const tabs = [on.browser.open(), on.browser.open()];
  await on.clock.advance(3 * SECOND);
  assert.equal(on.server.streams.size, 2);
  for (const tab of tabs) assert.equal(tab.says(), "live/stream");
});

test("a worker that never answers is given up: a leading tab has the connection", async () => {
  const on = scene("worker");
  on.browser.workerClass = () =>
    class {
      constructor() {
        this.port = { postMessage() {}, close() {}, onmessage: null };
      }
    };
  const tabs = [on.browser.open(), on.browser.open()];
  on.server.publish("early");
  await on.clock.advance(3 * SECOND);
  for (const tab of tabs) assert.deepEqual(tab.got, ["early"], "by a poll of its own");
  await on.clock.advance(12 * SECOND);
  for (const tab of tabs) assert.equal(tab.says(), "live/stream");
  assert.equal(on.server.streams.size, 1);
});

test("a hidden tab does not lead where another is looked at", async () => {
  const on = scene("leader");
  const [a, b] = [on.browser.open(), on.browser.open()];
  await on.clock.advance(3 * SECOND);
  const leader = () => [...on.browser.queues].find(([name]) => name.startsWith("halley-live"))[1][0].process;
  assert.equal(leader(), a.process);
  a.show(false);
  await on.clock.advance(SECOND);
  assert.equal(leader(), b.process);
  on.server.publish("x");
  await on.clock.advance(2 * SECOND);
  for (const tab of [a, b]) assert.deepEqual(tab.got, ["x"]);
  assert.equal(on.server.streams.size, 1);
  // Where nobody else is left, a hidden one does.
  b.kill();
  await on.clock.advance(SECOND);
  assert.equal(leader(), a.process);
  on.server.publish("y");
  await on.clock.advance(2 * SECOND);
  assert.deepEqual(a.got, ["x", "y"]);
});

test("a worker that crashes is noticed at once: another has the connection within a second", async () => {
  const on = scene("worker");
  const tabs = [on.browser.open({ client: "client1client", page: 1 }), on.browser.open({ client: "client2client", page: 1 })];
  await on.clock.advance(3 * SECOND);
  const beats = on.server.beats.length;
  on.browser.worker.process.kill();
  // With it went the tab in whose process it was.
  tabs[0].kill();
  on.server.publish("x");
  await on.clock.advance(SECOND);
  assert.equal(on.browser.hubs, 2);
  assert.deepEqual(tabs[1].got, ["x"]);
  assert.equal(tabs[1].says(), "live/stream");
  const [stream] = on.server.streams;
  assert.equal(on.server.beats.slice(beats).find((beat) => beat.client === "client2client")?.via, stream.request.query.get("client"));
  const left = on.server.requests.filter((request) => request.mode === "leave").map((request) => JSON.parse(request.body).client);
  assert.deepEqual(left, ["client1client"]);
});

test("a message that got lost on the way is noticed by the next one, and asked for", async () => {
  const on = scene("worker");
  const [a, b] = [on.browser.open(), on.browser.open()];
  await on.clock.advance(3 * SECOND);
  on.browser.loses = (process, message) => process === b.process && message.t === "batch";
  on.server.publish("lost");
  await on.clock.advance(SECOND);
  on.browser.loses = null;
  on.server.publish("next");
  await on.clock.advance(SECOND);
  for (const tab of [a, b]) assert.deepEqual(tab.got, ["lost", "next"]);
});

test("more topics than the server takes at once: the tabs beyond connect by themselves", async () => {
  const on = scene("worker");
  const tabs = Array.from({ length: 40 }, (_, page) => on.browser.open({ topics: [`view:${page}`, `doc:${page}`] }));
  await on.clock.advance(10 * SECOND);
  for (let page = 0; page < 40; page += 1) on.server.publish(page, `view:${page}`);
  await on.clock.advance(2 * SECOND);
  for (const [page, tab] of tabs.entries()) assert.deepEqual(tab.got, [page]);
  const most = Math.max(...on.server.requests.map((request) => (request.query.get("topics") ?? "").split(",").length));
  assert.ok(most <= 64, `${most}`);
});

test("a tab that is frozen for long is sent nothing more, and has everything when it goes on", async () => {
  const on = scene("worker");
  const [a, b] = [on.browser.open(), on.browser.open()];
  await on.clock.advance(3 * SECOND);
  b.freeze();
  for (let minute = 0; minute < 60; minute += 1) {
    on.server.publish(minute);
    await on.clock.advance(60 * SECOND);
  }
  const piled = b.process.waiting.length;
  await on.clock.advance(3600 * SECOND);
  assert.equal(b.process.waiting.length, piled, "nothing more is waiting for it");
  b.thaw();
  await on.clock.advance(SECOND);
  on.server.publish("after");
  await on.clock.advance(2 * SECOND);
  for (const tab of [a, b]) assert.deepEqual(tab.got, due(on, tab));
  assert.equal(b.says(), "live/stream");
});

test("beats name the connection that brings the news, and none where it is the tab's own", async () => {
  const on = scene("worker");
  on.browser.open({ client: "sharedshared", page: 1 });
  on.browser.open({ client: "alonealone", page: 1, search: "?live=stream" });
  await on.clock.advance(3 * SECOND);
  const last = (client) => on.server.beats.filter((beat) => beat.client === client).at(-1);
  const shared = [...on.server.streams].map((stream) => stream.request.query.get("client")).find((client) => client !== "alonealone");
  assert.equal(last("sharedshared").via, shared);
  assert.equal(last("alonealone").via, undefined);
});
