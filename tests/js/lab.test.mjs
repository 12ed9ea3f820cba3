// What the laboratory says is what happened: delays, staleness, what was missed, what it cost.

import assert from "node:assert/strict";
import { test } from "node:test";
import { changesCsv, figuresCsv } from "../../static/js/lab/files.js";
import { createMeter } from "../../static/js/lab/meter.js";
import { createStopwatch } from "../../static/js/lab/stopwatch.js";
import { Tally, figures, quantile } from "../../static/js/lab/tally.js";
import { rate, size, time } from "../../static/js/lab/words.js";
import { seeded, settle } from "./support/clock.mjs";

const counts = () => ({ requests: 0, bodyBytes: 0, headBytes: 0 });

test("a change is shown by the first arrival that has its revision, and is stale until then", () => {
  const changes = [];
  const tally = new Tally(changes, 0);
  changes.push({ at: 100, rev: null });
  assert.equal(tally.staleness(150), 50);
  // The screen may be quicker than the answer to the writer.
  tally.arrived(1, 160);
  assert.equal(tally.behind, 1, "nobody knows yet which revision has it");
  changes[0].rev = 1;
  tally.settle();
  assert.deepEqual(tally.shown, [{ n: 0, delay: 60, together: false }]);
  assert.equal(tally.staleness(500), 0);
  assert.equal(tally.areaAt(500), (60 * 60) / 2);
});

test("what comes together with a later change was never seen alone", () => {
  const changes = [1, 2, 3].map((rev) => ({ at: 100 * rev, rev }));
  const tally = new Tally([], 0);
  tally.changes = changes;
  tally.arrived(3, 1000);
  assert.equal(tally.missed, 2);
  assert.deepEqual(tally.shown.map((each) => [each.delay, each.together]), [[900, true], [800, true], [700, false]]);
  // 900 ms of age at its end: the oldest counts, and it was there all the time.
  assert.equal(tally.areaAt(2000), (900 * 900) / 2);
});

test("time-weighted staleness is that of a count by the millisecond", () => {
  const random = seeded(7);
  const changes = [];
  const tally = new Tally(changes, 0);
  const sent = [];
  const shownAt = [];
  let area = 0;
  let now = 0;
  for (let n = 0; n < 300; n += 1) {
    const at = now + Math.floor(random() * 40);
    sent.push(at);
    now = at;
  }
  let screen = 0;
  for (let n = 0; n < sent.length; n += 1) {
    screen = Math.max(screen, sent[n]) + Math.floor(random() * 60);
    shownAt.push(screen);
  }
  const end = screen + 100;
  for (let t = 0; t < end; t += 1) {
    for (let n = 0; n < sent.length; n += 1) {
      if (shownAt[n] <= t) continue;
      // At the middle of the millisecond, so that the count is exact for straight lines.
      if (sent[n] <= t) area += t + 0.5 - sent[n];
      break;
    }
  }
  sent.forEach((at, n) => changes.push({ at, rev: n + 1 }));
  shownAt.forEach((at, n) => tally.arrived(n + 1, at));
  assert.equal(tally.shown.length, 300);
  assert.ok(Math.abs(tally.areaAt(end) - area) < 1, `${tally.areaAt(end)} is ${area}`);
});

test("what is under way when the run pauses counts for nothing", () => {
  const changes = [{ at: 100, rev: 1 }];
  const tally = new Tally([], 0);
  tally.changes = changes;
  tally.next = 0;
  tally.skip(300);
  assert.equal(tally.areaAt(300), (200 * 200) / 2, "it was stale until then");
  tally.arrived(1, 5000);
  tally.resume(6000);
  assert.deepEqual([tally.shown.length, tally.behind, tally.staleness(6100)], [0, 0, 0]);
  changes.push({ at: 6200, rev: 2 });
  tally.arrived(2, 6260);
  assert.deepEqual(tally.shown, [{ n: 1, delay: 60, together: false }]);
});

test("quantiles are by nearest rank, and rates wait until there is something to say", () => {
  assert.equal(quantile([], 0.5), null);
  assert.equal(quantile([1, 2, 3, 4], 0.5), 2);
  assert.equal(quantile([1, 2, 3, 4, 5], 0.5), 3);
  assert.equal(quantile(Array.from({ length: 100 }, (_, i) => i + 1), 0.95), 95);
  assert.equal(quantile([7], 1), 7);
  const tally = new Tally([], 0);
  const spent = { requests: 6, bodyBytes: 1000, headBytes: 200 };
  assert.equal(figures(tally, spent, 1000, 1000).requestsPerMinute, null);
  const after = figures(tally, spent, 30000, 30000);
  assert.deepEqual([after.requestsPerMinute, after.bytesPerMinute, after.bytesPerChange], [12, 2400, null]);
});

test("the meter counts every byte of a body as it is read, and leaves the answer as it was", async () => {
  const spent = counts();
  let on = true;
  const body = new Uint8Array(10_000).fill(120);
  const send = async () => new Response(body, { status: 200, headers: { "Content-Type": "text/event-stream", ETag: '"x"' } });
  const fetch = createMeter(spent, { isOn: () => on, fetch: send });
  const answer = await fetch("http://wiki.test/_live/events?mode=stream", { headers: { Accept: "text/event-stream" } });
  assert.equal(spent.bodyBytes, 0, "nothing was read yet");
  assert.equal(answer.headers.get("etag"), '"x"');
  assert.equal((await answer.arrayBuffer()).byteLength, 10_000);
  assert.deepEqual([spent.requests, spent.bodyBytes], [1, 10_000]);
  assert.ok(spent.headBytes > 300 && spent.headBytes < 1500, `${spent.headBytes}`);
  on = false;
  await (await fetch("http://wiki.test/x")).arrayBuffer();
  assert.deepEqual([spent.requests, spent.bodyBytes], [1, 10_000], "a pause costs nothing");
});

test("an answer without a body, and one that is cancelled, come through the meter", async () => {
  const spent = counts();
  let cancelled = false;
  const unchanged = createMeter(spent, { isOn: () => true, fetch: async () => new Response(null, { status: 304 }) });
  assert.equal((await unchanged("http://wiki.test/a")).status, 304);
  const endless = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(10)),
    cancel: () => void (cancelled = true),
  });
  const stream = createMeter(spent, { isOn: () => true, fetch: async () => new Response(endless) });
  const reader = /** @type {ReadableStream} */ ((await stream("http://wiki.test/b")).body).getReader();
  await reader.read();
  await reader.cancel();
  await settle();
  assert.ok(cancelled);
  const aborted = createMeter(spent, { isOn: () => true, fetch: async () => Promise.reject(new TypeError("network")) });
  await assert.rejects(aborted("http://wiki.test/c"), TypeError);
  assert.equal(spent.requests, 3);
});

test("the time of a run stands still in a pause", () => {
  const watch = createStopwatch();
  watch.start(1000);
  watch.stop(3000);
  assert.equal(watch.ms(9000), 2000);
  watch.start(10_000);
  assert.equal(watch.ms(10_500), 2500);
  assert.deepEqual([watch.at(1500), watch.at(10_250)], [500, 2250]);
});

test("CSV has the figures as the table has them, and text stays text in a spreadsheet", () => {
  const tally = new Tally([], 0);
  const one = { ...figures(tally, counts(), 60_000, 60_000), p50: 63.6, requestsPerMinute: 12.34 };
  const [head, line] = figuresCsv(['=cmd|"x", y'], [one], 60_000.4).trimEnd().split("\r\n");
  const columns = head.split(",");
  assert.equal(columns.slice(0, 6).join(), "copy,way,measured_ms,stale_ms,average_ms,p50_ms");
  assert.ok(columns.includes("bytes_per_change_bytes"));
  assert.ok(line.startsWith(`1,"'=cmd|""x"", y",60000,0,0,64,`), line);
  assert.ok(line.includes(",12.3,"));
  const each = changesCsv(["A", "B"], [{ at: 100 }, { at: 250 }], [[{ n: 0, delay: 61.26, together: true }], []], (at) => at - 100);
  assert.equal(each, "change,made_ms,A: delay_ms,A: came_with_a_later_one,B: delay_ms,B: came_with_a_later_one\r\n1,0,61.3,1,,\r\n2,150,,,,\r\n");
});

test("figures are said in words that fit", () => {
  assert.deepEqual([time(null), time(63.7), time(999.6), time(2513), time(12340)], ["–", "64 ms", "1.00 s", "2.51 s", "12.3 s"]);
  assert.deepEqual([size(812), size(12_400), size(123_456), size(2_500_000)], ["812 B", "12.4 KB", "123 KB", "2.5 MB"]);
  assert.deepEqual([rate(0), rate(12.06), rate(532.4)], ["0", "12.1", "532"]);
});
