// The stream parser, cut at every byte.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createSseParser } from "../../static/js/sync/sse.js";
import { seeded } from "./support/clock.mjs";

const encoder = new TextEncoder();

function parse(chunks) {
  const frames = [];
  const parser = createSseParser((frame) => frames.push({ ...frame }));
  for (const chunk of chunks) parser.push(chunk);
  return frames;
}

const TEXT = 'event: hello\nid: aaaaaaaa.1\ndata: {"nonce":"n"}\n\n: comment 🐦\n\nevent: batch\nid: aaaaaaaa.2\ndata: {"text":"käse 🪐 ‍👩‍🚀"}\n\ndata: a\ndata:b\ndata:  c\ndata\n\nevent: nothing\n\nretry: 5\nunknown: x\ndata: last\n\n';
const WANT = [
  { event: "hello", data: '{"nonce":"n"}', id: "aaaaaaaa.1" },
  { event: "batch", data: '{"text":"käse 🪐 ‍👩‍🚀"}', id: "aaaaaaaa.2" },
  { event: "message", data: "a\nb\n c\n", id: "aaaaaaaa.2" },
  { event: "message", data: "last", id: "aaaaaaaa.2" },
];

for (const [name, end] of [["LF", "\n"], ["CR LF", "\r\n"], ["CR", "\r"]]) {
  const bytes = encoder.encode(TEXT.replaceAll("\n", end));
  test(`${name}: any one cut and any two cuts give the same frames`, () => {
    assert.deepEqual(parse([bytes]), WANT);
    for (let a = 0; a <= bytes.length; a += 1) {
      assert.deepEqual(parse([bytes.subarray(0, a), bytes.subarray(a)]), WANT, `cut at ${a}`);
    }
    for (let a = 0; a <= bytes.length; a += 7) {
      for (let b = a; b <= bytes.length; b += 1) {
        assert.deepEqual(parse([bytes.subarray(0, a), bytes.subarray(a, b), bytes.subarray(b)]), WANT, `cuts at ${a}, ${b}`);
      }
    }
  });
  test(`${name}: byte by byte`, () => {
    assert.deepEqual(parse([...bytes].map((byte) => Uint8Array.of(byte))), WANT);
  });
}

test("mixed line ends, random cuts", () => {
  const seed = Number(process.env.TEST_SEED ?? Date.now() % 1e9);
  const random = seeded(seed);
  for (let run = 0; run < 500; run += 1) {
    const text = TEXT.replace(/\n/g, () => ["\n", "\r\n", "\r"][Math.floor(random() * 3)]).replaceAll("\r\n\n", "\r\n\r\n");
    // A CR followed by a separate LF is one line end, so such texts are compared with themselves uncut.
    const bytes = encoder.encode(text);
    const chunks = [];
    for (let at = 0; at < bytes.length; ) {
      const next = at + 1 + Math.floor(random() * 12);
      chunks.push(bytes.subarray(at, next));
      at = next;
    }
    assert.deepEqual(parse(chunks), parse([bytes]), `seed ${seed}, run ${run}`);
  }
});

test("a byte order mark at the start is no part of the first field; an endless line is refused", () => {
  assert.deepEqual(parse([Uint8Array.of(0xef, 0xbb), Uint8Array.of(0xbf), encoder.encode("data: x\n\n")]), [{ event: "message", data: "x", id: null }]);
  assert.throws(() => parse(Array.from({ length: 6 }, () => encoder.encode("x".repeat(1024 * 1024)))));
});

test("an unfinished frame is not delivered", () => {
  assert.deepEqual(parse([encoder.encode("data: x\n")]), []);
});
