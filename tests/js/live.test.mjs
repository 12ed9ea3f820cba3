// The live connection as its users see it: order, reset, piggyback, presence, and
// a long seeded run in which the network does everything at once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openTab, fakeWindow } from "./support/tab.mjs";
import { FakeClock, seeded, settle } from "./support/clock.mjs";

const SECOND = 1000;
const MINUTE = 60 * SECOND;

test("chaos: faults, restarts, rung switches and piggybacked batches lose and repeat nothing", async () => {
  const first = Number(process.env.TEST_SEED ?? Date.now() % 1e9);
  for (let run = 0; run < 40; run += 1) {
    const seed = first + run;
    const random = seeded(seed);
    const pick = (list) => list[Math.floor(random() * list.length)];
    const tab = openTab({ seed, maxAgeS: 40 });
    const faults = [{}, {}, { mute: true }, { tick: 1500 }, { behind: true }, { cut: 5000 }, { cut: 700 }, { hole: 3000 }, { streamRefused: true }, { holdCut: 2000, mute: true }, { latency: 900 }, { portal: true }];
    let sent = 0;
    for (let step = 0; step < 40; step += 1) {
      const chance = random();
      if (chance < 0.3) tab.server.fault = { ...pick(faults) };
      else if (chance < 0.4) tab.live.choose(pick([null, null, "stream", "hold", "poll"]));
      else if (chance < 0.47) {
        tab.server.crash();
        await tab.clock.advance(random() * 8000);
        tab.server.recover();
        tab.server.fault = {};
      } else if (chance < 0.55) tab.env.fire(pick(["online", "offline"]));
      else if (chance < 0.7 && tab.live.cursor) void tab.live.applyBatch(tab.server.batch(tab.live.cursor));
      const burst = Math.floor(random() * 6);
      for (let i = 0; i < burst; i += 1) {
        sent += 1;
        tab.server.publish(sent);
        if (random() < 0.5) await tab.clock.advance(random() * 300);
      }
      await tab.clock.advance(random() * 5000);
    }
    tab.server.fault = {};
    tab.live.choose(null);
    await tab.clock.advance(40 * SECOND);
    assert.deepEqual(tab.got, Array.from({ length: sent }, (_, i) => i + 1), `seed ${seed}`);
    assert.equal(tab.says(), "live/stream", `seed ${seed}`);
    assert.equal(tab.resets.length, 0, `seed ${seed}`);
    assert.equal(tab.server.streams.size, 1, `seed ${seed}`);
    tab.live.stop();
  }
});

test("chaos with new epochs: what was resynchronised and what came after make the whole", async () => {
  const first = Number(process.env.TEST_SEED ?? Date.now() % 1e9);
  for (let run = 0; run < 20; run += 1) {
    const seed = first + run;
    const random = seeded(seed);
    const tab = openTab({ seed, maxAgeS: 40 });
    let text = [];
    tab.live.on("event", (event) => text.push(event.data));
    tab.live.on("reset", async ({ cursor }) => {
      await new Promise((done) => tab.clock.setTimeout(done, random() * 2000));
      const [epoch, seq] = cursor.split(".");
      // A server that has changed again meanwhile will reset again.
      if (epoch === tab.server.epoch) text = tab.server.log.slice(0, Number(seq)).map((event) => event.data);
    });
    for (let step = 0; step < 30; step += 1) {
      if (random() < 0.2) {
        tab.server.crash();
        await tab.clock.advance(random() * 5000);
        tab.server.recover(random() < 0.6 ? `bbbbbbb${"abcdefghijklmnopqrstuvwxyz234567"[step]}` : undefined);
        tab.server.fault = {};
      } else if (random() < 0.2) tab.server.fault = { ...[{ mute: true }, { cut: 3000 }, { tick: 900 }, {}][Math.floor(random() * 4)] };
      else if (random() < 0.1) tab.server.floor = tab.server.log.length;
      for (let i = Math.floor(random() * 5); i > 0; i -= 1) tab.server.publish(random());
      await tab.clock.advance(random() * 4000);
    }
    tab.server.fault = {};
    tab.live.choose(null);
    await tab.clock.advance(45 * SECOND);
    assert.deepEqual(text, tab.server.log.map((event) => event.data), `seed ${seed}`);
    assert.equal(tab.says(), "live/stream", `seed ${seed}`);
    tab.live.stop();
  }
});

test("reset: every handler is awaited before events go on", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  const order = [];
  let release;
  tab.live.on("reset", () => new Promise((done) => (release = () => (order.push("slow"), done()))));
  tab.live.on("reset", async () => void order.push("quick"));
  tab.live.on("event", (event) => order.push(event.data));
  tab.server.log.push({ topic: "view:1", kind: "changed", data: "lost" });
  tab.server.floor = 2;
  tab.server.log.push({ topic: "view:1", kind: "changed", data: "lost too" });
  tab.server.flush();
  await settle();
  tab.server.publish("after");
  await tab.clock.advance(SECOND);
  assert.deepEqual(order, ["quick"]);
  release();
  await tab.clock.advance(SECOND);
  assert.deepEqual(order, ["quick", "slow", "after"]);
  assert.equal(tab.live.cursor, tab.server.head);
});

test("very many events of one topic that come at once are announced before them, and all come", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  const order = [];
  tab.live.on("crowd", ({ topic }) => order.push(topic));
  tab.live.on("event", (event) => order.push(event.data));
  for (let n = 0; n < 60; n += 1) tab.server.log.push({ topic: n % 10 ? "view:1" : "site", kind: "changed", data: n });
  tab.server.flush();
  await tab.clock.advance(SECOND);
  assert.deepEqual(order, ["view:1", ...Array.from({ length: 60 }, (_, n) => n)]);
  await tab.publish(5, 100);
  assert.equal(order.length, 66, "few are not announced");
});

test("a handler that throws stops neither the others nor the stream", async (context) => {
  context.mock.method(console, "error", () => {});
  const tab = openTab();
  tab.live.on("event", () => {
    throw new Error("broken part");
  });
  await tab.publish(3, 100);
  await tab.clock.advance(2 * SECOND);
  assert.deepEqual(tab.got, [0, 1, 2]);
});

test("without a cursor it begins at the head that hello names", async () => {
  const clock = new FakeClock();
  const tab = openTab({ clock, cursor: null });
  tab.server.log.push({ topic: "view:1", kind: "changed", data: "old" });
  await tab.clock.advance(SECOND);
  tab.server.publish("new");
  await tab.clock.advance(SECOND);
  assert.deepEqual(tab.got, ["new"]);
  assert.equal(tab.resets.length, 0);
});

test("piggyback: only on poll and hold; the batch of a POST's answer is applied once", async () => {
  const tab = openTab({ forced: "poll" });
  await tab.clock.advance(100);
  const carried = tab.live.piggyback();
  assert.deepEqual(carried, { cursor: tab.server.head, topics: "view:1,here:1,site" });
  tab.server.publish("mine");
  const answer = tab.server.batch(carried.cursor);
  await tab.live.applyBatch(answer);
  await tab.live.applyBatch(answer);
  assert.deepEqual(tab.got, ["mine"]);
  await tab.clock.advance(10 * SECOND);
  assert.deepEqual(tab.got, ["mine"]);
  tab.live.choose(null);
  await tab.clock.advance(SECOND);
  assert.equal(tab.live.piggyback(), null);
  await tab.live.applyBatch(undefined);
});

test("people: a list with the first beat, then events; a reset asks for the list again", async () => {
  const clock = new FakeClock();
  const tab = openTab({ clock });
  const entry = (client, name) => ({ client, name, colour: 3, guest: true, mode: "reading", rung: "stream", caret: null });
  tab.server.here = [entry("me", "Quiet Heron"), entry("b", "Ada")];
  await clock.advance(SECOND);
  assert.deepEqual(tab.here.at(-1), ["Quiet Heron", "Ada"]);
  tab.server.log.push({ topic: "here:1", kind: "joined", data: entry("c", "Zoë") });
  tab.server.log.push({ topic: "here:1", kind: "left", data: { client: "b" } });
  tab.server.flush();
  await clock.advance(SECOND);
  assert.deepEqual(tab.here.at(-1), ["Quiet Heron", "Zoë"]);
  tab.server.here = [entry("me", "Quiet Heron")];
  tab.server.crash();
  await clock.advance(SECOND);
  tab.server.recover("bbbbbbbb");
  await clock.advance(20 * SECOND);
  assert.deepEqual(tab.here.at(-1), ["Quiet Heron"]);
});

test("a page that goes to the back/forward cache says goodbye, and is live again when it comes back", async () => {
  const tab = openTab();
  await tab.clock.advance(2 * SECOND);
  tab.env.fire("pagehide", { persisted: true });
  assert.equal(tab.env.beacons.length, 1);
  assert.deepEqual(JSON.parse(tab.env.beacons[0].body), { client: "me" });
  await tab.clock.advance(MINUTE);
  assert.equal(tab.server.streams.size, 0);
  const beats = tab.server.beats.length;
  tab.server.publish("meanwhile");
  tab.env.fire("pageshow", { persisted: true });
  await tab.clock.advance(2 * SECOND);
  assert.equal(tab.says(), "live/stream");
  assert.deepEqual(tab.got, ["meanwhile"]);
  assert.ok(tab.server.beats.length > beats && tab.server.beats.at(-1).list);
});

test("timing can be overridden from the session, numbers only", async () => {
  const env = fakeWindow();
  env.sessionStorage.setItem("halley.timing", JSON.stringify({ hello: 500, hedge: 100, hedgeEvery: 50, pollAlone: "x", nonsense: 1 }));
  const tab = openTab({ env, fault: { mute: true } });
  assert.equal(tab.live.timing.pollAlone, 5000);
  await tab.clock.advance(700);
  assert.equal(tab.live.status.rung, "hold");
  env.sessionStorage.setItem("halley.timing", "{broken");
  assert.equal(openTab({ env }).live.timing.hello, 4000);
});

test("storage that throws changes nothing", async () => {
  const env = fakeWindow();
  Object.defineProperty(env, "localStorage", { get: () => { throw new Error("denied"); } });
  env.sessionStorage.setItem = () => { throw new Error("full"); };
  const tab = openTab({ env, fault: { mute: true } });
  tab.live.choose("hold");
  await tab.clock.advance(6 * SECOND);
  assert.equal(tab.says(), "live/hold");
});
