// The browser's store: the same behaviour from IndexedDB and from memory, and who owns a record.

import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createKeeper } from "../../static/js/outbox/keeper.js";
import { MemoryStore, openStore } from "../../static/js/outbox/store.js";

let names = 0;
const kinds = {
  IndexedDB: () => openStore(indexedDB, `test${(names += 1)}`),
  memory: async () => new MemoryStore(),
};
const client = (id, more = {}) => ({
  page: 1,
  client: id,
  user: "me",
  issued: true,
  owner: "tab1",
  created: id,
  flight: null,
  ...more,
});
const entry = (seq) => ({ seq, bytes: Uint8Array.of(seq) });

for (const [kind, open] of Object.entries(kinds)) {
  test(`${kind}: entries come back in order, per page and client`, async () => {
    const store = await open();
    await store.putClient(client(9));
    await store.putClient(client(4));
    await store.putClient(client(4, { page: 2 }));
    for (let seq = 1; seq <= 12; seq += 1) await store.append(client(9), [entry(seq)]);
    await store.append(client(4, { page: 2 }), [entry(1)]);
    const { records, doc } = await store.load(1);
    assert.equal(doc, null);
    assert.deepEqual(
      records.map((record) => record.client),
      [4, 9],
    );
    assert.deepEqual(
      records[1].entries.map((each) => each.seq),
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    );
    assert.deepEqual(records[1].entries[11].bytes, Uint8Array.of(12));
    store.close();
  });

  test(`${kind}: an acknowledgement forgets exactly what it covers`, async () => {
    const store = await open();
    await store.putClient(client(9));
    await store.append(client(9), [entry(1), entry(2), entry(3)]);
    await store.acknowledge(client(9, { flight: { op: "x", bytes: Uint8Array.of(1), upto: 2 } }), 0);
    assert.equal((await store.load(1)).records[0].flight.op, "x");
    await store.acknowledge(client(9), 2);
    const [record] = (await store.load(1)).records;
    assert.deepEqual([record.flight, record.entries.map((each) => each.seq)], [null, [3]]);
    store.close();
  });

  test(`${kind}: a record can be claimed once`, async () => {
    const store = await open();
    await store.putClient(client(9));
    const won = await Promise.all([store.claim(1, 9, "tab1", "tab2"), store.claim(1, 9, "tab1", "tab3")]);
    assert.deepEqual(won.sort(), [false, true]);
    assert.equal(await store.claim(1, 10, "tab1", "tab2"), false);
    store.close();
  });

  test(`${kind}: what a tab writes after another one took it for dead and forgot it is kept, with what is being sent`, async () => {
    const store = await open();
    await store.putClient(client(9));
    assert.equal(await store.claim(1, 9, "tab1", "tab2"), true);
    await store.settle(1, 9, 0);
    assert.deepEqual((await store.load(1)).records, [], "there was nothing in it");
    const flight = { op: "x", bytes: Uint8Array.of(1), upto: 1 };
    await store.append(client(9), [entry(1)]);
    assert.equal((await store.load(1)).records[0]?.owner, "tab1", "the entry has brought its writer");
    await store.acknowledge(client(9, { flight }), 0);
    const [record] = (await store.load(1)).records;
    assert.deepEqual([record.owner, record.flight.op, record.entries.map((each) => each.seq)], ["tab1", "x", [1]]);
    await store.remove(1, 9);
    await store.acknowledge(client(9, { flight }), 0);
    assert.equal((await store.load(1)).records[0].flight.op, "x", "what is under way names its writer, too");
    store.close();
  });

  test(`${kind}: whoever has sent what another tab left behind forgets nothing that it has written since`, async () => {
    const store = await open();
    await store.putClient(client(9));
    await store.append(client(9), [entry(1), entry(2)]);
    await store.claim(1, 9, "tab1", "tab2");
    // It was only frozen.
    await store.append(client(9), [entry(3)]);
    await store.settle(1, 9, 2);
    const [record] = (await store.load(1)).records;
    assert.deepEqual([record.flight, record.entries.map((each) => each.seq)], [null, [3]]);
    await store.settle(1, 9, 3);
    assert.deepEqual((await store.load(1)).records, []);
    store.close();
  });

  test(`${kind}: replacing is one step`, async () => {
    const store = await open();
    await store.putClient(client(9));
    await store.append(client(9), [entry(1)]);
    await store.replace(1, [9], client(10), [entry(1), entry(2)]);
    const { records } = await store.load(1);
    assert.deepEqual(
      records.map((record) => [record.client, record.entries.length]),
      [[10, 2]],
    );
    store.close();
  });

  test(`${kind}: the newest copies stay`, async () => {
    const store = await open();
    for (let page = 1; page <= 6; page += 1) {
      await store.putDoc({ page, path: `p${page}`, state: Uint8Array.of(page), rev: 1, at: page }, 4);
    }
    assert.equal((await store.load(1)).doc, null);
    assert.equal((await store.load(2)).doc, null);
    assert.equal((await store.load(6)).doc.path, "p6");
    store.close();
  });
}

test("IndexedDB: a page with unsent edits keeps its copy whatever its age", async () => {
  const store = await openStore(indexedDB, `test${(names += 1)}`);
  await store.putClient(client(9));
  await store.append(client(9), [entry(1)]);
  for (let page = 1; page <= 6; page += 1) {
    await store.putDoc({ page, path: `p${page}`, state: Uint8Array.of(page), rev: 1, at: page }, 2);
  }
  assert.equal((await store.load(1)).doc.path, "p1");
  assert.deepEqual(await store.unsentPages(), [{ page: 1, path: "p1" }]);
  store.close();
});

test("without Web Locks the tabs ask each other who is alive", async () => {
  const one = createKeeper({ locks: null, answerMs: 50 });
  const two = createKeeper({ locks: null, answerMs: 50 });
  assert.equal(await one.hold(1, 9), true);
  assert.equal(await two.hold(1, 9), false);
  assert.equal(await two.hold(1, 10), true);
  one.close();
  assert.equal(await two.hold(1, 9), true);
  two.close();
});

test("without Web Locks an id that is new is held from its beginning", async () => {
  const one = createKeeper({ locks: null, answerMs: 50 });
  const two = createKeeper({ locks: null, answerMs: 50 });
  const [, free] = await Promise.all([one.begin(1, 9), two.hold(1, 9)]);
  assert.equal(free, false);
  one.close();
  two.close();
});

test("with Web Locks the lock tells", async () => {
  const held = new Set();
  const locks = {
    async request(name, _options, run) {
      if (held.has(name)) return run(null);
      held.add(name);
      await run({ name });
      held.delete(name);
    },
  };
  const one = createKeeper({ locks });
  const two = createKeeper({ locks });
  assert.equal(await one.hold(1, 9), true);
  assert.equal(await one.hold(1, 9), true);
  assert.equal(await two.hold(1, 9), false);
  one.release(1, 9);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await two.hold(1, 9), true);
  two.close();
});
