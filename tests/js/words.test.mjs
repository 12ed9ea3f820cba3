// The words of the page about itself and about people.

import assert from "node:assert/strict";
import { test } from "node:test";
import { arrange, asPeople, colourClass, initials } from "../../static/js/presence/here.js";
import { clockTime, heardWords, relativeTime, sinceTime, span, statusWords } from "../../static/js/ui/words.js";
import { fromBase64, toBase64, toBase64Url } from "../../static/js/lib/base64.js";
import { wikiPath } from "../../static/js/page/site.js";

const NOW = 1_700_000_000_000;

test("the status line says what is true", () => {
  const check = (status, expected) => assert.equal(statusWords({ reason: "", intervalMs: 0, since: NOW, lastHeard: NOW, forced: null, ...status }), expected);
  check({ state: "live", rung: "stream" }, "Live");
  check({ state: "live", rung: "hold" }, "Live by held requests");
  check({ state: "refreshing", rung: "poll", intervalMs: 2000 }, "Refreshed every 2 s");
  check({ state: "refreshing", rung: "poll", intervalMs: 60000 }, "Refreshed every 1 min");
  check({ state: "offline", rung: "stream" }, `Offline since ${clockTime(NOW)}`);
  check({ state: "connecting", rung: "stream" }, "Connecting…");
  check({ state: "off", rung: "off" }, "Not live");
  assert.equal(span(400), "1 s");
  assert.match(heardWords(0, NOW), /Nothing heard/);
  assert.match(heardWords(NOW - 5000, NOW), /5 s ago/);
});

test("times are said as people say them", () => {
  const ago = (seconds) => relativeTime(NOW - seconds * 1000, NOW);
  assert.equal(ago(-5), "just now");
  assert.equal(ago(10), "just now");
  assert.equal(ago(60), "a minute ago");
  assert.equal(ago(600), "10 minutes ago");
  assert.equal(ago(3600), "an hour ago");
  assert.equal(ago(7200), "2 hours ago");
  assert.equal(ago(86400), "yesterday");
  assert.equal(ago(5 * 86400), "5 days ago");
});

test("when somebody was here is said so that it goes on a sentence, by the reader's calendar", () => {
  const noon = new Date(2023, 10, 14, 12).getTime();
  const since = (then, now = noon) => sinceTime(new Date(...then).getTime(), now);
  assert.equal(since([2023, 10, 14, 11, 59, 30]), "a moment ago");
  assert.equal(since([2023, 10, 14, 11, 50]), "10 minutes ago");
  assert.equal(since([2023, 10, 14, 1]), "11 hours ago");
  assert.equal(since([2023, 10, 13, 13]), "yesterday");
  assert.equal(since([2023, 10, 13, 23], new Date(2023, 10, 14, 1).getTime()), "2 hours ago", "in one night");
  assert.equal(since([2023, 10, 12, 23]), "on Sunday");
  assert.equal(since([2023, 10, 8, 0]), "on Wednesday");
  assert.equal(since([2023, 10, 7, 23]), "on 7 November");
  assert.equal(since([2022, 10, 7, 23]), "on 7 November 2022");
});

test("people: initials of whole characters, colours from the palette, oneself first", () => {
  assert.equal(initials("Quiet Heron"), "QH");
  assert.equal(initials("ada"), "A");
  assert.equal(initials("  🪐 Zoë van Dyck "), "🪐D");
  assert.equal(initials(" "), "?");
  assert.equal(colourClass(11), "c11");
  assert.equal(colourClass(12), "c0");
  assert.equal(colourClass("red"), "c0");
  assert.equal(colourClass(-1), "c0");
  const entry = (client, name, mode) => ({ client, name, mode, colour: 0, guest: true, rung: "stream", caret: null });
  const people = [entry("a", "Zed", "away"), entry("b", "Bob", "reading"), entry("c", "Ada", "writing"), entry("me", "Me", "away"), entry("d", "Al", "odd")];
  assert.deepEqual(arrange(people, "me").map((one) => one.name), ["Me", "Ada", "Al", "Bob", "Zed"]);
});

test("base64 carries any bytes, also many", () => {
  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7919) & 255);
  assert.deepEqual(fromBase64(toBase64(bytes)), bytes);
  assert.deepEqual(fromBase64(toBase64Url(bytes.subarray(0, 4))), bytes.subarray(0, 4));
  assert.doesNotMatch(toBase64Url(Uint8Array.of(0xfb, 0xff, 0xfe)), /[+/=]/);
});

test("wiki paths are read from addresses", () => {
  assert.equal(wikiPath("/wiki/team/caf%C3%A9"), "team/café");
  assert.equal(wikiPath("/pages"), null);
  assert.equal(wikiPath("/wiki/%zz"), null);
});

test("whoever has a page open in several tabs is one person, who does what the busiest tab does", () => {
  const entry = (client, name, mode, colour = 1) => ({ client, name, colour, guest: true, mode, rung: "stream", caret: null });
  const people = asPeople(arrange([entry("b", "Ada", "writing"), entry("a", "Ada", "reading"), entry("c", "Ada", "away", 2), entry("d", "Bo", "away")], "a"));
  assert.deepEqual(people.map((each) => [each.client, each.name, each.mode, each.tabs]), [["a", "Ada", "writing", 2], ["c", "Ada", "away", 1], ["d", "Bo", "away", 1]]);
});
