// The ladder table of the live protocol, rows: back up, memory, choice.
// Played by the shipped modules against a server and a network in this process, on a clock moved by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MINUTE, SECOND, verdict, whole } from "./support/ladder.mjs";
import { fakeWindow, openTab } from "./support/tab.mjs";

test("back up: when the fault ends a shadow stream is proven beside the held requests and takes over", async () => {
  const tab = openTab({ fault: { mute: true } });
  await tab.clock.advance(6 * SECOND);
  assert.equal(tab.says(), "live/hold");
  tab.server.fault.mute = false;
  await tab.publish(40, SECOND);
  assert.equal(tab.says(), "live/hold", "the first try is after a minute");
  await tab.publish(60, SECOND);
  assert.equal(tab.says(), "live/stream");
  const shadow = tab.server.requests.filter((request) => request.query.get("shadow") === "1");
  assert.equal(shadow.length, 1);
  assert.equal(verdict(tab), null, "the verdict is forgotten");
  whole(tab);
});

test("back up: failing shadows come at doubling distances up to 30 min", async () => {
  const tab = openTab({ fault: { mute: true } });
  await tab.clock.advance(200 * MINUTE);
  const at = tab.server.requests.filter((request) => request.query.get("shadow") === "1").map((request) => request.at);
  const gaps = at.slice(1).map((time, i) => time - at[i]);
  assert.ok(gaps[0] > 1.5 * MINUTE && gaps[0] < 2.6 * MINUTE, `${gaps}`);
  assert.ok(gaps.every((gap) => gap <= 36.2 * MINUTE), `${gaps}`);
  assert.ok(gaps.at(-1) > 23 * MINUTE, `${gaps}`);
  assert.equal(tab.says(), "live/hold");
});

test("back up: at once on `online`, from hold and from poll", async () => {
  for (const fault of [{ mute: true }, { cut: 2000, holdCut: 2000 }]) {
    const tab = openTab({ fault });
    await tab.clock.advance(60 * SECOND);
    assert.match(tab.says(), /hold|poll/);
    for (const name of Object.keys(fault)) delete tab.server.fault[name];
    tab.env.fire("online");
    await tab.clock.advance(17 * SECOND);
    assert.equal(tab.says(), "live/stream");
    tab.live.stop();
  }
});

test("memory: a proven verdict opens the next page on the lower rung, for 30 minutes", async () => {
  const env = fakeWindow();
  const one = openTab({ env, fault: { mute: true } });
  await one.clock.advance(6 * SECOND);
  one.live.stop();
  const two = openTab({ env, clock: one.clock });
  await two.clock.advance(100);
  assert.equal(two.live.status.rung, "hold");
  assert.equal(two.server.count("stream"), 0);
  two.live.stop();
  await one.clock.advance(31 * MINUTE);
  const three = openTab({ env, clock: one.clock });
  await three.clock.advance(1 * SECOND);
  assert.equal(three.says(), "live/stream");
});

test("choice: ?live= forces a rung for the tab, the menu changes it, auto lets go", async () => {
  for (const rung of ["stream", "hold", "poll"]) {
    const tab = openTab({ env: fakeWindow(`?live=${rung}`) });
    await tab.publish(30, 500);
    assert.equal(tab.live.status.rung, rung);
    assert.match(tab.live.status.reason, /You chose this/);
    await tab.clock.advance(6 * SECOND);
    whole(tab);
    tab.live.stop();
  }
  const env = fakeWindow("?live=off");
  const tab = openTab({ env });
  await tab.clock.advance(MINUTE);
  assert.equal(tab.says(), "off/off");
  assert.equal(tab.server.count("stream") + tab.server.count("poll") + tab.server.count("hold"), 0);
  tab.live.choose("poll");
  await tab.clock.advance(100);
  assert.equal(tab.says(), "refreshing/poll");
  assert.equal(env.sessionStorage.getItem("halley.live"), "poll");
  tab.live.choose(null);
  await tab.clock.advance(SECOND);
  assert.equal(tab.says(), "live/stream");
  assert.equal(env.sessionStorage.getItem("halley.live"), null);
});

test("choice: a forced stream behind a mute network stays a stream and never claims to be live", async () => {
  const tab = openTab({ forced: "stream", fault: { mute: true } });
  await tab.clock.advance(2 * MINUTE);
  assert.ok(tab.statuses.every((status) => status.state !== "live" && status.rung === "stream"));
});

test("back up: a shadow stream without its heartbeat is not promoted, and the held requests go on", async () => {
  const tab = openTab({ fault: { mute: true } });
  await tab.clock.advance(6 * SECOND);
  tab.server.fault = { hole: 5000 };
  await tab.publish(110, SECOND);
  assert.equal(tab.server.requests.filter((request) => request.query.get("shadow") === "1").length, 1);
  assert.equal(tab.says(), "live/hold");
  assert.ok(tab.statuses.every((status) => status.rung !== "stream" || status.state !== "live"));
  whole(tab);
});

test("the rung and a reason are there at every moment, whatever the network does", async () => {
  for (const fault of [{}, { mute: true }, { tick: 2000 }, { cut: 3000 }, { streamRefused: true }, { down: true }, { portal: true }, { cache: true }, { cap: true }]) {
    const tab = openTab({ fault });
    for (let count = 0; count < 60; count += 1) {
      await tab.clock.advance(SECOND);
      const { state, rung, reason } = tab.live.status;
      assert.match(state, /^(connecting|live|refreshing|offline|off)$/);
      assert.match(rung, /^(stream|hold|poll|off)$/);
      assert.match(reason, /^[A-Z].*\.$/, JSON.stringify(fault));
    }
    tab.live.stop();
  }
});
