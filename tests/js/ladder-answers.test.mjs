// The ladder table of the live protocol, row: wrong nonce and wrong type; and answers that are a no.
// Played by the shipped modules against a server and a network in this process, on a clock moved by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MINUTE, SECOND, verdict, whole } from "./support/ladder.mjs";
import { openTab } from "./support/tab.mjs";

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

test("wrong nonce: one answer from a cache is met by a new path, and nothing else changes", async () => {
  const tab = openTab({ fault: { cache: true } });
  await tab.clock.advance(15);
  tab.server.fault.cache = false;
  await tab.publish(20, 100);
  assert.equal(tab.says(), "live/stream");
  const nonces = tab.server.requests.filter((request) => request.mode === "stream").map((request) => request.query.get("nonce"));
  assert.equal(nonces.length, 2);
  assert.notEqual(nonces[0], nonces[1]);
  whole(tab);
});

test("refused by a page of HTML: that was the network, and nobody is told that the page was deleted", async () => {
  const tab = openTab({ fault: { filtered: true } });
  await tab.clock.advance(MINUTE);
  assert.equal(tab.live.status.state, "offline");
  assert.match(tab.live.status.reason, /page of its own/);
  assert.equal(verdict(tab), null);
  tab.server.fault.filtered = false;
  await tab.clock.advance(40 * SECOND);
  assert.equal(tab.says(), "live/stream");
  whole(tab);
});
