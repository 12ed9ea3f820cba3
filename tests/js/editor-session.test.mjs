// The document session against a server in memory: what happens to text when logins change, tabs die, the server
// forgets, documents differ, or nothing can be reached.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Session } from "../../static/js/editor/session.js";
import { createApi } from "../../static/js/outbox/api.js";
import { MemoryStore } from "../../static/js/outbox/store.js";
import { FakeServer } from "./convergence/fake-server.mjs";

const PAGE = 1;
let tabs = 0;

/** A browser: a login, a network that can be cut, and a store that outlives tabs. */
function browser(server, user) {
  const store = new MemoryStore();
  store.durable = true;
  store.close = () => {};
  const alive = new Set();
  const it = {
    user,
    store,
    alive,
    offline: false,
    async tab() {
      const client = `tab${(tabs += 1)}`;
      const held = new Set();
      const send = (input, init) =>
        it.offline ? Promise.reject(new TypeError("offline")) : server.fetchAs(it.user)(input, init);
      let ops = 0;
      const session = new Session({
        page: PAGE,
        path: "test",
        client,
        api: createApi({ page: PAGE, client, fetch: send }),
        store,
        keeper: {
          hold: async (_page, id) => {
            if (alive.has(id) && !held.has(id)) return false;
            alive.add(id);
            held.add(id);
            return true;
          },
          begin: (_page, id) => (alive.add(id), held.add(id)),
          release: (_page, id) => (alive.delete(id), held.delete(id)),
          close: () => held.forEach((id) => alive.delete(id)),
        },
        newOp: () => `${client}-${(ops += 1)}`,
        timing: { gapMs: 0, backoffMs: 1, backoffMaxMs: 4, refusedMs: 5 },
        adoptAgainMs: 2,
        random: () => 0,
      });
      const seen = { asides: [], recovered: [], documents: 0 };
      session.on("aside", (value) => seen.asides.push(value));
      session.on("recovered", (value) => seen.recovered.push(value));
      session.on("document", () => (seen.documents += 1));
      await session.start();
      // What a live connection would bring, from the first event on.
      let at = 0;
      const pump = () => {
        for (; at < server.events.length; at += 1) {
          const event = server.events[at];
          if (event.topic === `doc:${PAGE}`) session.event(event);
        }
      };
      const saved = async () => {
        assert.equal(await session.outbox.whenSaved(2000), true, JSON.stringify(session.status));
        pump();
      };
      const type = (text, position = session.text.length) => session.text.insert(position, text);
      const text = () => session.text.toString();
      /** The tab is gone without having done anything. */
      const crash = () => {
        session.closed = true;
        session.outbox.close();
        held.forEach((id) => alive.delete(id));
      };
      return { session, seen, saved, type, text, pump, crash };
    },
  };
  return it;
}

const until = async (condition, what) => {
  for (let i = 0; i < 400; i += 1) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail(`in vain: ${what}`);
};

test("two tabs write the same page", async () => {
  const server = new FakeServer({ text: "start" });
  const one = await browser(server, "ann").tab();
  const two = await browser(server, "ben").tab();
  one.type(" one");
  two.type(" two");
  await one.saved();
  await two.saved();
  one.pump();
  assert.equal(one.text(), server.text);
  assert.equal(two.text(), server.text);
  for (const tab of [one, two]) tab.session.stop();
});

test("what a crashed tab left is sent by the next one, once", async () => {
  const server = new FakeServer({ text: "start" });
  const ann = browser(server, "ann");
  const first = await ann.tab();
  ann.offline = true;
  first.type(" kept");
  first.crash();
  ann.offline = false;
  const second = await ann.tab();
  assert.equal(second.text(), "start kept", "it appears before it is sent");
  await second.saved();
  assert.equal(server.text, "start kept");
  assert.equal(second.seen.recovered.length, 1);
  second.session.stop();
  const third = await ann.tab();
  await third.saved();
  assert.equal(third.text(), "start kept");
  third.session.stop();
});

test("the records of a living tab are left alone", async () => {
  const server = new FakeServer({ text: "start" });
  const ann = browser(server, "ann");
  const first = await ann.tab();
  ann.offline = true;
  first.type(" mine");
  ann.offline = false;
  const second = await ann.tab();
  assert.equal(second.text(), "start");
  await first.saved();
  assert.equal(server.text, "start mine");
  first.session.stop();
  second.session.stop();
});

test("a tab that is closed late is looked at again", async () => {
  const server = new FakeServer({ text: "start" });
  const ann = browser(server, "ann");
  const first = await ann.tab();
  ann.offline = true;
  first.type(" late");
  ann.offline = false;
  first.session.outbox.close();
  const second = await ann.tab();
  assert.equal(second.text(), "start");
  first.crash();
  await until(() => server.text === "start late", "the records of the tab that went");
  await until(() => second.text() === "start late", "their text in the other tab");
  second.session.stop();
});

test("an acknowledgement lost in a crash doubles nothing", async () => {
  const server = new FakeServer({ text: "start" });
  const ann = browser(server, "ann");
  const first = await ann.tab();
  const answer = server.answer.bind(server);
  server.intercept = (url, init, body) => {
    if (!url.pathname.endsWith("/updates")) return null;
    answer(url, "POST", body, "ann", null);
    return new Response("cut", { status: 502 });
  };
  first.type(" once");
  await until(() => server.text === "start once", "the server to act");
  first.type(" more");
  server.intercept = null;
  first.crash();
  const second = await ann.tab();
  await second.saved();
  assert.equal(server.text, "start once more");
  assert.equal(second.text(), server.text);
  second.session.stop();
});

test("opened offline it shows the copy, takes edits, and gives them to the server once", async () => {
  const server = new FakeServer({ text: "start" });
  const ann = browser(server, "ann");
  const first = await ann.tab();
  first.type(" one");
  await first.saved();
  ann.offline = true;
  first.type(" two");
  first.session.leave();
  first.crash();
  const second = await ann.tab();
  assert.equal(second.text(), "start one two");
  second.type(" three");
  second.session.leave();
  second.crash();
  const third = await ann.tab();
  assert.equal(third.text(), "start one two three");
  third.type(" four");
  assert.equal(third.session.status.state, "offline");
  const other = await browser(server, "ben").tab();
  other.type("Ben: ", 0);
  await other.saved();
  ann.offline = false;
  third.session.retryNow();
  await until(() => third.session.genuine, "the server");
  await third.saved();
  assert.equal(server.text, "Ben: start one two three four");
  assert.equal(third.text(), server.text);
  assert.deepEqual(
    (await ann.store.load(PAGE)).records.map((record) => record.entries.length),
    [0],
  );
  third.session.stop();
  other.session.stop();
});

test("with another login the edits become edits of the present one", async () => {
  const server = new FakeServer({ text: "start" });
  const ann = browser(server, "ann");
  const first = await ann.tab();
  ann.offline = true;
  first.type(" hers");
  first.session.text.delete(0, 1);
  first.crash();
  ann.offline = false;
  ann.user = "zoe";
  const second = await ann.tab();
  await second.saved();
  assert.equal(server.text, "tart hers");
  assert.equal(server.owners.get(second.session.doc.clientID), "zoe");
  assert.equal(second.seen.recovered[0].moved, true);
  second.session.stop();
});

test("a login that changes while typing loses nothing and keeps the view going", async () => {
  const server = new FakeServer({ text: "start" });
  const ann = browser(server, "ann");
  const tab = await ann.tab();
  tab.type(" before");
  await tab.saved();
  ann.user = "zoe";
  tab.type(" after");
  await until(() => tab.seen.documents === 2, "the rebuilt document");
  tab.type(" more");
  await tab.saved();
  assert.equal(server.text, "start before after more");
  assert.equal(tab.text(), server.text);
  tab.session.stop();
});

test("two logins that change at once do not double the words between their edits", async () => {
  const server = new FakeServer({ text: "left middle right" });
  const names = ["ann", "ben"];
  const browsers = names.map((name) => browser(server, name));
  const two = await Promise.all(browsers.map((each) => each.tab()));
  for (const each of browsers) each.offline = true;
  two.forEach((tab, i) => {
    tab.type(`<${names[i]}`, 0);
    tab.type(`${names[i]}>`);
  });
  browsers.forEach((each, i) => {
    each.user = `new${i}`;
    each.offline = false;
    two[i].session.retryNow();
  });
  for (const tab of two) await tab.saved();
  assert.equal(server.text.match(/middle/g).length, 1);
  for (const part of ["<ann", "<ben", "ann>", "ben>"]) assert.ok(server.text.includes(part), part);
  for (const tab of two) tab.session.stop();
});

test("after a reset it fetches what it missed", async () => {
  const server = new FakeServer({ text: "start" });
  const one = await browser(server, "ann").tab();
  const two = await browser(server, "ben").tab();
  two.type(" unseen");
  await two.saved();
  assert.equal(one.text(), "start");
  await one.session.resync();
  assert.equal(one.text(), "start unseen");
  assert.equal(one.session.rev, server.rev);
  for (const tab of [one, two]) tab.session.stop();
});

test("a gap in the revisions is filled", async () => {
  const server = new FakeServer({ text: "start" });
  const one = await browser(server, "ann").tab();
  const two = await browser(server, "ben").tab();
  two.type(" a");
  await two.saved();
  two.type(" b");
  await two.saved();
  one.session.event(server.events.findLast((event) => event.kind === "updated"));
  await until(() => one.text() === "start a b", "the missing revision");
  for (const tab of [one, two]) tab.session.stop();
});

test("a document that differs is reported and built anew", async () => {
  const server = new FakeServer({ text: "start", checkEvery: 1 });
  const tab = await browser(server, "ann").tab();
  tab.session.rebuiltAt = -Infinity;
  // A fault of this browser: text that no server knows, and no outbox either.
  tab.session.doc.off("update", tab.session.onUpdate);
  tab.session.text.insert(0, "ghost ");
  tab.session.doc.on("update", tab.session.onUpdate);
  const other = await browser(server, "ben").tab();
  other.type(" x");
  await other.saved();
  tab.pump();
  await until(() => tab.text() === "start x", "the rebuilt document");
  assert.equal(server.reports[0].kind, "diverged");
  tab.type(" goes on");
  await tab.saved();
  assert.equal(server.text, "start x goes on");
  for (const each of [tab, other]) each.session.stop();
});

test("a check that is older or newer than the document is not compared", async () => {
  const server = new FakeServer({ text: "start" });
  const tab = await browser(server, "ann").tab();
  for (const rev of [0, 2, 99])
    tab.session.event({ kind: "checked", data: { rev, length: 1, hash: "00000000" } });
  tab.type("!");
  tab.session.event({ kind: "checked", data: { rev: 1, length: 1, hash: "00000000" } });
  await tab.saved();
  assert.equal(server.reports.length, 0);
  tab.session.stop();
});

test("a server that was restored from a backup gets back what it lost", async () => {
  const server = new FakeServer({ text: "start" });
  const tab = await browser(server, "ann").tab();
  tab.type(" lost and found");
  await tab.saved();
  const older = new FakeServer({ text: "start" });
  Object.assign(server, { doc: older.doc, rev: 1, owners: new Map(), ops: new Map() });
  server.nextClient = 5000;
  await tab.session.resync();
  await until(() => server.text === "start lost and found", "the text to come back");
  await tab.saved();
  assert.equal(tab.text(), server.text);
  assert.equal(server.reports[0].kind, "server_lost");
  tab.session.stop();
});

test("text that fits nowhere is offered as a copy and stays until it is given up", async () => {
  const server = new FakeServer({ text: "start" });
  const ann = browser(server, "ann");
  const first = await ann.tab();
  ann.offline = true;
  first.type(" one");
  const [lost] = first.session.outbox.own.entries;
  first.type(" two");
  first.crash();
  // The first entry is gone, so the second hangs in the air.
  ann.store.records.forEach((record) => {
    record.entries = record.entries.filter((entry) => entry.seq !== lost.seq);
    record.flight = null;
  });
  ann.offline = false;
  const second = await ann.tab();
  assert.deepEqual(
    second.seen.asides.map((each) => each.text),
    [" two"],
  );
  second.type("!");
  await second.saved();
  assert.equal(server.text, "start!");
  second.session.stop();
  const third = await ann.tab();
  assert.equal(third.seen.asides.length, 1, "it is offered again");
  third.session.discard(third.seen.asides[0].record);
  third.session.stop();
  const fourth = await ann.tab();
  assert.equal(fourth.seen.asides.length, 0);
  fourth.session.stop();
});

test("a server that refuses everything is asked only so often, and the text is kept", async () => {
  const server = new FakeServer({ text: "start" });
  const ann = browser(server, "ann");
  const tab = await ann.tab();
  server.intercept = (url) =>
    url.pathname.endsWith("/updates")
      ? new Response(JSON.stringify({ error: { code: "broken_update", message: "No." } }), {
          status: 422,
          headers: { "content-type": "application/json" },
        })
      : null;
  tab.type(" stubborn");
  await until(() => tab.seen.asides.length > 0, "the offer of a copy");
  assert.equal(tab.seen.asides[0].text, "start stubborn");
  const requests = server.requests;
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(server.requests, requests);
  server.intercept = null;
  tab.session.retryNow();
  await tab.saved();
  assert.equal(server.text, "start stubborn");
  tab.session.stop();
});

test("where every request was a stranger's for a while, one more try saves the text once", async () => {
  const server = new FakeServer({ text: "start" });
  const ann = browser(server, "ann");
  const tab = await ann.tab();
  let strangers = 0;
  let stripped = true;
  // As behind a filter that takes cookies out.
  Object.defineProperty(ann, "user", { get: () => (stripped ? `stranger${(strangers += 1)}` : "ann") });
  tab.type(" stubborn");
  await until(() => tab.seen.asides.length > 0, "the offer of a copy");
  stripped = false;
  tab.session.retryNow();
  await tab.saved();
  assert.equal(server.text, "start stubborn");
  assert.equal(tab.text(), server.text);
  tab.session.stop();
});

test("a store that fails is said, and typing goes on", async () => {
  const server = new FakeServer({ text: "start" });
  const ann = browser(server, "ann");
  ann.store.append = () => Promise.reject(new DOMException("full", "QuotaExceededError"));
  const tab = await ann.tab();
  let failed = 0;
  tab.session.on("storeFailed", () => (failed += 1));
  tab.type(" on");
  await tab.saved();
  assert.equal(server.text, "start on");
  assert.deepEqual([failed, tab.session.status.durable], [1, false]);
  tab.session.stop();
});
