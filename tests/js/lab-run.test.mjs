// One run of the laboratory, without its page: what is opened is closed, and what is saved is what was seen.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createRun } from "../../static/js/lab/run.js";
import { createStopwatch } from "../../static/js/lab/stopwatch.js";
import { Tally } from "../../static/js/lab/tally.js";
import { wayOf } from "../../static/js/lab/ways.js";
import { Y } from "../../static/vendor/editor.js";
import { settle } from "./support/clock.mjs";

const before = { fetch: globalThis.fetch, navigator: Object.getOwnPropertyDescriptor(globalThis, "navigator") };
/** Requests that wait for their answer, by address. @type {Map<string, (answer: Response) => void>} */
let waiting;
/** What the laboratory gave back. @type {string[]} */
let given;

beforeEach(() => {
  waiting = new Map();
  given = [];
  globalThis.fetch = (url) => new Promise((done) => waiting.set(String(url), done));
  const sendBeacon = (url) => given.push(url) > 0;
  Object.defineProperty(globalThis, "navigator", { configurable: true, value: { sendBeacon } });
});

afterEach(() => {
  globalThis.fetch = before.fetch;
  if (before.navigator) Object.defineProperty(globalThis, "navigator", before.navigator);
  else delete globalThis.navigator;
});

async function answer(url, response) {
  // A module is read from the disk before the writer asks.
  for (const end = Date.now() + 20_000; Date.now() < end && !waiting.has(url); ) await sleep(1);
  assert.ok(waiting.has(url), `${url} is asked for`);
  waiting.get(url)(response);
  await settle();
}

const json = (value) => Response.json(value);
const opened = () => json({ page: 7, path: "Lab/x" });

function createPane(key) {
  const pane = {
    way: wayOf(key),
    tally: new Tally([], 0),
    counts: { requests: 0, bodyBytes: 0, headBytes: 0 },
    measured: 0,
    starts: [],
    running: false,
    resets: 0,
    notes: [],
    still: [],
    start: (_page, still) => {
      pane.running = true;
      pane.still.push(still);
      return new Promise((done, failed) => pane.starts.push({ done, failed }));
    },
    stop: () => void (pane.running = false),
    reset: () => {
      pane.resets += 1;
      pane.tally = new Tally([], 0);
    },
    pause: () => {},
    resume: () => {},
    noteEvent: (text) => pane.notes.push(text),
  };
  return pane;
}

function createField() {
  const heard = new Set();
  return { value: "", heard, addEventListener: (name) => heard.add(name), removeEventListener: (name) => heard.delete(name) };
}

function setUp(more = {}) {
  const panes = [createPane("stream"), createPane("poll-5")];
  const states = [];
  const paths = [];
  const run = createRun({
    panes,
    page: null,
    field: null,
    changes: [],
    watch: createStopwatch(),
    minutes: 10,
    onState: (state) => states.push(state),
    onDraw: () => {},
    onPage: (path) => paths.push(path),
    ...more,
  });
  return { run, panes, states, paths };
}

test("a laboratory that is stopped before the server has answered is given back as soon as it does", async () => {
  const { run, panes, states, paths } = setUp();
  const started = run.start();
  run.end("Stopped.");
  assert.deepEqual(given, [], "there is nothing yet");
  await answer("/lab", opened());
  await started;
  assert.deepEqual(given, ["/lab/7/end"]);
  assert.deepEqual(panes.map((pane) => pane.starts.length), [0, 0], "no copy is opened any more");
  assert.deepEqual(states, ["starting", "ended"]);
  assert.deepEqual(paths, [], "nobody is sent to a page that is gone");
});

test("a writer that opens only after the stop is closed, and opens no copy", async () => {
  const field = createField();
  const { run, panes } = setUp({ field });
  const started = run.start();
  await answer("/lab", opened());
  await answer("/_live/pages/7/session", json({ client_id: 5, you: { id: "a", name: "A", colour: 1 } }));
  run.end("Stopped.");
  assert.deepEqual(given, ["/lab/7/end"]);
  const bytes = Y.encodeStateAsUpdate(new Y.Doc());
  await answer("/_live/pages/7/doc", new Response(bytes, { headers: { "Content-Type": "application/octet-stream" } }));
  await started;
  assert.deepEqual([...field.heard], [], "nobody listens to the field");
  assert.deepEqual(panes.map((pane) => pane.starts.length), [0, 0]);
  assert.equal(given.length, 1, "once is enough");
});

/** @param {ReturnType<typeof setUp>} lab */
async function begin({ run, panes }) {
  const started = run.start();
  await answer("/lab", opened());
  for (const pane of panes) pane.starts.shift().done();
  await started;
  assert.equal(run.state, "running");
}

test("what is saved has the names of the ways that were measured, whatever is chosen after the end", async () => {
  const lab = setUp();
  const { run, panes } = lab;
  await begin(lab);
  const { shown } = panes[1].tally;
  run.end("Stopped.");
  panes[1].way = wayOf("hold");
  await run.change(1);
  assert.deepEqual(run.snapshot.names, ["Stream", "Poll every 5 s"]);
  assert.equal(run.snapshot.shown[1], shown);
  assert.deepEqual(panes.map((pane) => pane.starts.length), [0, 0]);
});

test("a way that is chosen in a pause has no part in what was measured before it", async () => {
  const lab = setUp();
  const { run, panes } = lab;
  await begin(lab);
  run.pause();
  const { shown } = panes[1].tally;
  panes[1].way = wayOf("hold");
  const changed = run.change(1);
  panes[1].starts.shift().done();
  await changed;
  assert.deepEqual([run.snapshot.names[1], run.snapshot.shown[1] === shown], ["Poll every 5 s", true]);
  run.resume();
  run.pause();
  assert.deepEqual([run.snapshot.names[1], run.snapshot.shown[1] === shown], ["Held requests", false]);
  run.end("Stopped.");
});

test("a copy that is opened in a pause stands still with the others", async () => {
  const lab = setUp();
  const { run, panes } = lab;
  await begin(lab);
  void run.change(0);
  run.pause();
  void run.change(1);
  assert.deepEqual(panes.map((pane) => pane.still), [[false, false], [false, true]]);
  run.end("Stopped.");
});

test("a writer that opens too late leaves the field to the run that came after it", async () => {
  const field = createField();
  const first = setUp({ field });
  const started = first.run.start();
  await answer("/lab", opened());
  await answer("/_live/pages/7/session", json({ client_id: 5, you: { id: "a", name: "A", colour: 1 } }));
  first.run.end("Stopped.");
  field.value = "of the next run";
  const bytes = Y.encodeStateAsUpdate(new Y.Doc());
  await answer("/_live/pages/7/doc", new Response(bytes, { headers: { "Content-Type": "application/octet-stream" } }));
  await started;
  assert.equal(field.value, "of the next run");
});

test("only the way that was chosen last begins its figures anew", async () => {
  const lab = setUp();
  const { run, panes } = lab;
  await begin(lab);
  const [, pane] = panes;
  const resets = pane.resets;
  const overtaken = [run.change(1), run.change(1)];
  const last = run.change(1);
  const [first, second, third] = pane.starts;
  third.done();
  await last;
  assert.equal(pane.resets, resets + 1);
  // The others wait for as long as a copy may take to come up, or fail late.
  first.done();
  second.failed(new Error("late"));
  await Promise.all(overtaken);
  assert.equal(pane.resets, resets + 1, "what the last one has measured stays");
  assert.deepEqual(pane.notes, []);
  run.end("Stopped.");
});

test("a way that comes up only after the end leaves the figures as they are", async () => {
  const lab = setUp();
  const { run, panes } = lab;
  await begin(lab);
  const resets = panes[0].resets;
  const changed = run.change(0);
  run.end("Stopped.");
  panes[0].starts.shift().done();
  await changed;
  assert.equal(panes[0].resets, resets);
});

test("a way that the server refuses is said in the copy's own events", async (t) => {
  t.mock.method(console, "warn", () => {});
  const lab = setUp();
  await begin(lab);
  const changed = lab.run.change(0);
  lab.panes[0].starts.shift().failed(new Error("the page answered 503"));
  await changed;
  assert.deepEqual(lab.panes[0].notes, ["The server could not be reached."]);
  lab.run.end("Stopped.");
});
