// The outbox against every answer a server or a network can give: what is kept, what is sent again, and what is said.

import assert from "node:assert/strict";
import { test } from "node:test";
import { HttpError, NetworkError } from "../../static/js/outbox/api.js";
import { Outbox, toOutboxRecord } from "../../static/js/outbox/outbox.js";
import { MemoryStore } from "../../static/js/outbox/store.js";
import { insertedText, mergeUpdates, onlyClients, splitUpdate } from "../../static/js/outbox/updates.js";
import { Y } from "../../static/vendor/editor.js";

const PAGE = 7;
const CLIENT = 77;

/** A writer, its outbox, and a server that answers from a list; then with 200. */
function setup(answers = [], timing = {}) {
  const doc = new Y.Doc();
  doc.clientID = CLIENT;
  const text = doc.getText("body");
  const sent = [];
  const statuses = [];
  const refused = [];
  const server = new Y.Doc();
  let rev = 0;
  let ops = 0;
  const waiting = [];
  const api = {
    update(op, bytes, more) {
      sent.push({ op, bytes, more });
      for (const wake of waiting.splice(0)) wake();
      const answer = answers.shift();
      if (typeof answer === "function") return answer({ op, bytes, server });
      if (answer) return Promise.reject(answer);
      Y.applyUpdate(server, bytes);
      return Promise.resolve({ rev: (rev += 1), batch: null });
    },
  };
  const store = new MemoryStore();
  store.durable = true;
  const outbox = new Outbox({
    page: PAGE,
    api,
    store,
    newOp: () => `op${(ops += 1)}`,
    random: () => 0,
    timing: { gapMs: 0, backoffMs: 1, backoffMaxMs: 4, patienceMs: 10_000, refusedMs: 5, ...timing },
    onRefused: (record, error) => refused.push(error.code),
    diffFor: (record, sv) => onlyClients(Y.encodeStateAsUpdate(doc, sv), new Set([record.client])),
    onStatus: (status) => statuses.push(status.state + (status.code ? `:${status.code}` : "")),
  });
  const record = {
    page: PAGE,
    client: CLIENT,
    user: "me",
    issued: true,
    owner: "tab",
    created: 1,
    flight: null,
    entries: [],
    nextSeq: 1,
  };
  const ready = store.putClient(record);
  outbox.setRecords([record]);
  outbox.resume();
  doc.on("update", (bytes) => outbox.add(bytes));
  const request = () => new Promise((resolve) => waiting.push(resolve));
  return { doc, text, sent, statuses, refused, server, outbox, record, store, ready, request };
}

const type = (text, what) => text.insert(text.length, what);

test("one edit is one request, and is saved when it is acknowledged", async () => {
  const { text, sent, outbox, server, statuses } = setup();
  type(text, "a");
  assert.equal(outbox.unsaved, 1);
  assert.equal(await outbox.whenSaved(1000), true);
  assert.equal(sent.length, 1);
  assert.equal(server.getText("body").toString(), "a");
  assert.deepEqual([statuses[0], statuses.at(-1)], ["saved", "saved"]);
  assert.ok(statuses.includes("saving"));
});

test("edits made while a request is under way go together in the next one", async () => {
  let answer;
  const { text, sent, outbox, request } = setup([() => new Promise((resolve) => (answer = resolve))]);
  const first = request();
  type(text, "a");
  await first;
  type(text, "b");
  type(text, "c");
  assert.equal(sent.length, 1, "at most one request at a time");
  answer({ rev: 1, batch: null });
  assert.equal(await outbox.whenSaved(1000), true);
  assert.equal(sent.length, 2);
  assert.equal(insertedText(sent[1].bytes), "bc");
});

for (const [name, error] of [
  ["the network fails", new NetworkError("gone")],
  ["the server is busy", new HttpError(429, "rate_limited", "", { retryAfterMs: 1 })],
  ["the server restarts", new HttpError(503, "busy", "")],
  ["the disk is full", new HttpError(507, "disk_full", "", { retryAfterMs: 1 })],
]) {
  test(`when ${name} the same bytes are sent again under the same operation`, async () => {
    const { text, sent, outbox, server } = setup([error, error]);
    type(text, "a");
    assert.equal(await outbox.whenSaved(1000), true);
    assert.equal(sent.length, 3);
    for (const again of sent.slice(1)) {
      assert.equal(again.op, sent[0].op);
      assert.deepEqual(again.bytes, sent[0].bytes);
    }
    assert.equal(server.getText("body").toString(), "a");
  });
}

test("an acknowledgement that got lost doubles nothing, though more was typed meanwhile", async () => {
  const acted = ({ bytes, server }) => {
    Y.applyUpdate(server, bytes);
    return Promise.reject(new NetworkError("cut"));
  };
  const { text, sent, outbox, server } = setup([acted]);
  type(text, "a");
  await new Promise((resolve) => setTimeout(resolve, 0));
  type(text, "b");
  assert.equal(await outbox.whenSaved(1000), true);
  assert.deepEqual(sent[1].bytes, sent[0].bytes, "the retry is not mixed with what came later");
  assert.equal(server.getText("body").toString(), "ab");
});

test("what the status says follows what is known", async () => {
  const { text, outbox, statuses, ready } = setup([
    new NetworkError("gone"),
    new HttpError(507, "disk_full", "", { retryAfterMs: 1 }),
  ]);
  await ready;
  type(text, "a");
  await outbox.whenSaved(1000);
  assert.deepEqual(statuses, ["saved", "saving", "offline", "refused:disk_full", "saved"]);
});

test("bytes that the server knows in part are sent without that part", async () => {
  const behind = ({ bytes, server }) => {
    // The server had got the first half by an earlier request whose answer and operation id were lost.
    const half = splitUpdate(bytes, { bytes: 64, structs: 1 })[0];
    Y.applyUpdate(server, half);
    return Promise.reject(new HttpError(409, "behind", "", { sv: Y.encodeStateVector(server) }));
  };
  const { text, sent, outbox, server } = setup([behind]);
  type(text, "x".repeat(100));
  assert.equal(await outbox.whenSaved(1000), true);
  assert.notEqual(sent[1].op, sent[0].op, "other bytes are another operation");
  assert.ok(sent[1].bytes.length < sent[0].bytes.length);
  assert.equal(server.getText("body").toString(), "x".repeat(100));
});

test("what a server lost is given back from the document", async () => {
  const { text, outbox, server, sent } = setup([
    null,
    ({ server: now }) => Promise.reject(new HttpError(409, "behind", "", { sv: Y.encodeStateVector(now) })),
  ]);
  type(text, "first ");
  await outbox.whenSaved(1000);
  // The server forgets: the second update leaves a gap.
  server.getText("body");
  const fresh = new Y.Doc();
  Object.assign(server, { store: fresh.store, share: fresh.share });
  type(text, "second");
  assert.equal(await outbox.whenSaved(1000), true);
  assert.equal(insertedText(sent.at(-1).bytes), "first second");
});

test("an update that is too large is cut and loses nothing", async () => {
  const tooLarge = ({ bytes }) =>
    bytes.length > 3000
      ? Promise.reject(new HttpError(413, "too_large", ""))
      : Promise.reject(new Error("the test expects a large one"));
  const { text, outbox, server, sent } = setup([tooLarge]);
  const long = "😀é".repeat(2000);
  type(text, long);
  assert.equal(await outbox.whenSaved(1000), true);
  assert.ok(sent.length > 2);
  assert.equal(server.getText("body").toString(), long);
});

test("a full page waits for the next edit, which may make room", async () => {
  const { text, outbox, server, sent } = setup([new HttpError(413, "page_full", "")]);
  type(text, "too much");
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual([outbox.status.state, outbox.status.code], ["refused", "page_full"]);
  assert.equal(sent.length, 1);
  text.delete(3, 5);
  assert.equal(await outbox.whenSaved(1000), true);
  assert.equal(server.getText("body").toString(), "too");
});

test("a deleted page keeps the edits until it is tried again", async () => {
  const { text, outbox, server } = setup([new HttpError(410, "page_deleted", "")]);
  type(text, "kept");
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual([outbox.status.state, outbox.status.code, outbox.unsaved], ["refused", "page_deleted", 1]);
  outbox.retryNow();
  assert.equal(await outbox.whenSaved(1000), true);
  assert.equal(server.getText("body").toString(), "kept");
});

test("whoever asks for it need not wait for the end of a long pause", async () => {
  const { text, outbox, sent } = setup([new NetworkError("away")], { backoffMs: 600_000, backoffMaxMs: 600_000 });
  type(text, "a");
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual([sent.length, outbox.status.state], [1, "offline"]);
  outbox.retryNow({ asked: true });
  assert.equal(await outbox.whenSaved(1000), true);
});

test("a network that is said to be back is tried again soon, but not at each word of it", async () => {
  const { text, outbox, sent } = setup(Array.from({ length: 50 }, () => new NetworkError("away")), { backoffMs: 600_000, backoffMaxMs: 600_000, againMs: 40 });
  type(text, "a");
  const begun = Date.now();
  while (sent.length < 4 && Date.now() - begun < 5000) {
    outbox.retryNow();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.equal(sent.length, 4);
  assert.ok(Date.now() - begun >= 3 * 40 - 5, `four tries within ${Date.now() - begun} ms`);
  outbox.close();
});

test("a server that wants nothing for a while is asked earlier only by a person", async () => {
  const { text, outbox, sent } = setup([new HttpError(503, "busy", "", { retryAfterMs: 600_000 })], { againMs: 0 });
  type(text, "a");
  await new Promise((resolve) => setTimeout(resolve, 5));
  outbox.retryNow();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(sent.length, 1);
  outbox.retryNow({ asked: true });
  assert.equal(await outbox.whenSaved(1000), true);
});

test("what a line is too slow for is sent in pieces, whether the server says so or the connection breaks", async () => {
  const tooSlow = ({ bytes }) => Promise.reject(bytes.length > 6_000 ? new HttpError(408, "timed_out", "") : new Error("the test expects a large one"));
  const breaks = () => Promise.reject(new NetworkError("broken"));
  for (const answers of [[tooSlow], [breaks, breaks]]) {
    const { text, outbox, server, sent } = setup(answers, { dragMs: 0 });
    const long = "😀é".repeat(6000);
    type(text, long);
    assert.equal(await outbox.whenSaved(2000), true);
    assert.ok(sent.length > answers.length + 1, `${sent.length} requests`);
    assert.ok(sent.at(-1).bytes.length < 0.6 * sent[0].bytes.length);
    assert.equal(server.getText("body").toString(), long);
  }
});

test("a short outage cuts nothing: the very same bytes are sent again", async () => {
  const breaks = () => Promise.reject(new NetworkError("broken"));
  const { text, outbox, sent } = setup([breaks, breaks, breaks]);
  type(text, "😀é".repeat(6000));
  assert.equal(await outbox.whenSaved(2000), true);
  assert.deepEqual(new Set(sent.map(({ op }) => op)).size, 1);
});

test("a lost right is tried again later, and said", async () => {
  const { text, outbox, statuses } = setup([new HttpError(403, "forbidden", "")]);
  type(text, "a");
  assert.equal(await outbox.whenSaved(1000), true);
  assert.ok(statuses.includes("refused:forbidden"));
});

for (const code of ["forged", "broken_update"]) {
  test(`${code} is handed to the session, and edits are still taken`, async () => {
    const { text, outbox, refused, sent } = setup([new HttpError(code === "forged" ? 409 : 422, code, "")]);
    type(text, "a");
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(refused, [code]);
    type(text, "b");
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(sent.length, 1, "nothing goes out until the session resumes");
    assert.equal(outbox.unsaved, 2);
    outbox.close();
  });
}

test("the store holds what is unsent, and nothing once it is saved", async () => {
  let answer;
  const { text, outbox, store, request, ready } = setup([() => new Promise((resolve) => (answer = resolve))]);
  await ready;
  const first = request();
  type(text, "a");
  await first;
  type(text, "b");
  const { records } = await store.load(PAGE);
  assert.equal(records[0].entries.length, 2);
  assert.equal(records[0].flight.op, "op1");
  const again = toOutboxRecord(records[0]);
  assert.equal(again.nextSeq, 3);
  answer({ rev: 1, batch: null });
  await outbox.whenSaved(1000);
  const after = (await store.load(PAGE)).records[0];
  assert.deepEqual([after.entries.length, after.flight], [0, null]);
});

test("records of tabs that are gone are sent before new edits", async () => {
  const { outbox, record, sent, text } = setup();
  const older = new Y.Doc();
  older.clientID = 5;
  older.getText("body").insert(0, "old");
  outbox.pause();
  const orphan = {
    ...record,
    client: 5,
    entries: [{ seq: 1, bytes: Y.encodeStateAsUpdate(older) }],
    nextSeq: 2,
  };
  outbox.setRecords([orphan, record]);
  type(text, "new");
  outbox.resume();
  assert.equal(await outbox.whenSaved(1000), true);
  assert.deepEqual(
    sent.map((each) => insertedText(each.bytes)),
    ["old", "new"],
  );
  assert.deepEqual(
    outbox.records.map((each) => each.client),
    [CLIENT],
    "a record that is sent is forgotten",
  );
});

test("ids that were made up offline are never sent", async () => {
  const { outbox, record, sent, text } = setup();
  record.issued = false;
  type(text, "a");
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(sent.length, 0);
  assert.equal(outbox.unsaved, 1);
  outbox.close();
});

test("leaving sends what is unsent in requests that outlive the page", async () => {
  const { text, outbox, sent, request } = setup([() => new Promise(() => {})]);
  const first = request();
  type(text, "a");
  await first;
  type(text, "b");
  outbox.leave();
  assert.deepEqual(
    sent.slice(1).map((each) => [each.op, each.more.keepalive]),
    [
      ["op1", true],
      ["op2", true],
    ],
  );
  outbox.close();
});

test("pieces of an update apply in order and leave nothing pending", () => {
  const doc = new Y.Doc();
  const updates = [];
  doc.on("update", (bytes) => updates.push(bytes));
  const text = doc.getText("body");
  text.insert(0, "😀abc".repeat(5000));
  text.delete(6, 300);
  text.insert(3, "x");
  for (let i = 0; i < 300; i += 1) text.delete(i * 4 + (i % 2 ? 0 : 2), 1);
  const pieces = splitUpdate(mergeUpdates(updates), { bytes: 4000, structs: 60, ranges: 50 });
  assert.ok(pieces.length > 10);
  const other = new Y.Doc();
  for (const piece of pieces) {
    assert.ok(piece.length <= 4200, `${piece.length}`);
    Y.applyUpdate(other, piece);
    assert.equal(other.store.pendingStructs, null);
    assert.equal(other.store.pendingDs, null);
  }
  assert.equal(other.getText("body").toString(), text.toString());
});
