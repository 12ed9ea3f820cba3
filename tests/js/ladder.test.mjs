// Each row of the ladder table, played by the shipped modules against a server
// and a network that live in this process, on a clock that is moved by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { seeded } from "./support/clock.mjs";
import { openTab, fakeWindow } from "./support/tab.mjs";

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** Everything published has arrived, once, in order. */
function whole(tab) {
  assert.deepEqual(tab.got, tab.server.log.map((event) => event.data));
}

function verdict(tab) {
  return JSON.parse(tab.env.localStorage.getItem("halley.verdict"));
}

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

test("threshold: held back at first, then a padded shadow stream gets through", async () => {
  const tab = openTab({ fault: { thresh: 4096 } });
  await tab.clock.advance(6 * SECOND);
  assert.equal(tab.says(), "live/hold");
  await tab.publish(24, 5 * SECOND);
  assert.equal(tab.says(), "live/stream");
  await tab.clock.advance(1000);
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

test("wrong nonce: a cache that answers leads to a new path, then to polling by POST", async () => {
  const tab = openTab({ fault: { cache: true } });
  await tab.publish(50, 100);
  assert.equal(tab.live.status.rung, "poll");
  assert.match(tab.live.status.reason, /cache/);
  await tab.publish(5, 6 * SECOND);
  const last = tab.server.requests.filter((request) => request.mode === "poll").at(-1);
  assert.equal(last.method, "POST");
  whole(tab);
});

test("wrong content type: a sign-in page is named, does not demote, and is over when it is over", async () => {
  const tab = openTab({ fault: { portal: true } });
  await tab.clock.advance(10 * SECOND);
  assert.equal(tab.live.status.state, "offline");
  assert.match(tab.live.status.reason, /sign in/);
  assert.equal(verdict(tab), null);
  tab.server.fault.portal = false;
  await tab.clock.advance(32 * SECOND);
  assert.equal(tab.says(), "live/stream");
});

test("over a cap the server's advice is followed and not remembered as the network's fault", async () => {
  const tab = openTab({ fault: { cap: true } });
  await tab.clock.advance(2 * SECOND);
  assert.equal(tab.says(), "refreshing/poll");
  assert.match(tab.live.status.reason, /too many streams/);
  assert.equal(verdict(tab), null);
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

for (const forced of [null, "hold", "poll"]) {
  test(`refused (${forced ?? "auto"}): a page that is gone is not called offline, is asked for seldom, and comes back`, async () => {
    const tab = openTab({ forced, fault: { refuse: 404 } });
    await tab.clock.advance(MINUTE);
    assert.equal(tab.says(), "off/off");
    assert.match(tab.live.status.reason, /deleted/);
    assert.ok(tab.server.requests.length < 60, `${tab.server.requests.length}`);
    assert.equal(verdict(tab), null);
    tab.server.fault.refuse = 0;
    await tab.clock.advance(40 * SECOND);
    assert.match(tab.live.status.state, /live|refreshing/);
  });
}
