// Blocks changed in place: the right ones, no others, and the reader's place kept.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createBlocks } from "../../static/js/page/blocks.js";
import { planBlocks } from "../../static/js/page/diff.js";
import { seeded } from "./support/clock.mjs";
import { FakeNode, installDom } from "./support/dom.mjs";

/** `enable` takes a list in Node 18 and an object from 20 on. @param {import("node:test").TestContext} context */
function stopClock(context) {
  const apis = ["setTimeout"];
  const before = Number(process.versions.node.split(".")[0]) < 20;
  context.mock.timers.enable(/** @type {any} */ (before ? apis : { apis }));
}

const block = (hash, html = `${hash}........`) => ({ hash, lines: 1, html });
const blocksOf = (text) => [...text].map((hash) => block(hash));

function page(text, options = {}) {
  const { article, root, undo } = installDom(options);
  for (const one of blocksOf(text)) {
    const node = new FakeNode();
    node.className = "block";
    node.dataset.hash = one.hash;
    node.html = one.html;
    article.insertBefore(node, null);
    node.moves = 0;
  }
  const news = [];
  const blocks = createBlocks(article, { rev: 1, pause: async () => {}, onChange: (one) => news.push(one), ...options });
  const shown = () => article.children.map((node) => node.dataset.hash).join("");
  const glowing = () => article.children.filter((node) => node.classList.contains("changed")).map((node) => node.dataset.hash).join("");
  return { article, root, undo, blocks, shown, glowing, news };
}

test("what one has written oneself does not glow, what others wrote does", (context) => {
  stopClock(context);
  let own = true;
  const { undo, blocks, glowing } = page("abc", { glow: () => !own });
  blocks.apply({ rev: 2, start: 1, end: 2, total: 3, blocks: blocksOf("X") });
  assert.equal(glowing(), "");
  own = false;
  blocks.apply({ rev: 3, start: 2, end: 3, total: 3, blocks: blocksOf("Y") });
  assert.equal(glowing(), "Y");
  undo();
});

test("a change replaces its range, reuses what is the same, and only what is new glows", (context) => {
  stopClock(context);
  const { article, undo, blocks, shown, glowing, news } = page("abcdef");
  const nodes = [...article.children];
  assert.equal(blocks.apply({ rev: 2, start: 1, end: 4, total: 7, blocks: blocksOf("bXcd"), title: "New" }), true);
  assert.equal(shown(), "abXcdef");
  assert.equal(glowing(), "X");
  for (const node of nodes) assert.equal(node.moves, 0, "a node that stays is never moved");
  assert.deepEqual(news, [{ rev: 2, title: "New", count: 7 }]);
  context.mock.timers.tick(2001);
  assert.equal(glowing(), "");
  undo();
});

test("reduced motion: nothing glows", (context) => {
  stopClock(context);
  const { undo, blocks, glowing } = page("abc", { reducedMotion: true });
  blocks.apply({ rev: 2, start: 0, end: 1, total: 3, blocks: blocksOf("X") });
  assert.equal(glowing(), "");
  undo();
});

test("a change that does not add up is refused and touches nothing; one that is known is passed over", () => {
  const { undo, blocks, shown } = page("abc");
  for (const change of [
    { rev: 2, start: 0, end: 4, total: 3, blocks: blocksOf("xyz") },
    { rev: 2, start: 2, end: 1, total: 5, blocks: blocksOf("x") },
    { rev: 2, start: 0, end: 1, total: 4, blocks: blocksOf("x") },
    { rev: 2, start: -1, end: 0, total: 3, blocks: [] },
    { rev: 2, start: 0.5, end: 1, total: 3, blocks: [] },
    { rev: 2, start: 0, end: 0, total: 3, blocks: null },
  ]) assert.equal(blocks.apply(change), false);
  assert.equal(blocks.apply({ was: 3, rev: 4, start: 0, end: 1, total: 3, blocks: blocksOf("x") }), false, "2 and 3 are missing");
  assert.equal(blocks.apply({ was: 0, rev: 1, start: 0, end: 0, total: 4, blocks: blocksOf("x") }), true);
  assert.equal(shown(), "abc");
  undo();
});

test("one revision may come in several runs, and may be rendered again", () => {
  const { undo, blocks, shown } = page("abc");
  assert.equal(blocks.apply({ was: 1, rev: 2, last: false, start: 2, end: 3, total: 4, blocks: blocksOf("yz") }), true);
  assert.equal(blocks.apply({ was: 1, rev: 2, last: true, start: 0, end: 1, total: 4, blocks: blocksOf("x") }), true);
  assert.equal(shown(), "xbyz");
  assert.equal(blocks.apply({ was: 2, rev: 2, last: true, start: 1, end: 2, total: 4, blocks: blocksOf("B") }), true);
  assert.equal(shown(), "xByz");
  assert.equal(blocks.apply({ was: 1, rev: 2, last: true, start: 0, end: 0, total: 5, blocks: blocksOf("q") }), true);
  assert.equal(shown(), "xByz", "known already");
  undo();
});

test("what the reader looks at does not move when blocks above change height", (context) => {
  stopClock(context);
  const { article, root, undo, blocks } = page("abcdefghijklmnop");
  globalThis.window.scrollY = 500;
  const seen = article.children[8];
  const was = seen.getBoundingClientRect().top;
  blocks.apply({ rev: 2, start: 0, end: 2, total: 17, blocks: [block("X", "x".repeat(40)), block("Y"), block("Z")] });
  assert.equal(seen.getBoundingClientRect().top, was);
  blocks.apply({ rev: 3, start: 0, end: 3, total: 14, blocks: [] });
  assert.equal(seen.getBoundingClientRect().top, was);
  blocks.apply({ rev: 4, start: 12, end: 14, total: 14, blocks: [block("V"), block("W", "w".repeat(90))] });
  assert.equal(seen.getBoundingClientRect().top, was, "below: nothing moves either");
  assert.equal(root.style.set["overflow-anchor"], "none", "the browser does not correct a second time");
  undo();
});

test("at the very top the page shows what is new there", (context) => {
  stopClock(context);
  const { undo, blocks } = page("abc");
  blocks.apply({ rev: 2, start: 0, end: 0, total: 4, blocks: blocksOf("X") });
  assert.equal(globalThis.window.scrollY, 0);
  undo();
});

test("resync replaces only blocks that differ; changes that come meanwhile are applied after", async (context) => {
  stopClock(context);
  let answer;
  const { article, undo, blocks, shown, glowing } = page("abcdef", { fetch: () => new Promise((done) => (answer = done)) });
  const kept = [article.children[0], article.children[3], article.children[5]];
  const done = blocks.resync(42);
  assert.equal(blocks.apply({ rev: 5, start: 0, end: 0, total: 99, blocks: blocksOf("!") }), true);
  assert.equal(blocks.apply({ rev: 7, start: 5, end: 6, total: 6, blocks: blocksOf("Z") }), true);
  const blocksNow = blocksOf("aXdYfQ");
  answer(new Response(JSON.stringify({ cursor: "aaaaaaaa.9", rev: 6, title: "T", blocks: blocksNow, deleted: false })));
  assert.equal(await done, true);
  assert.equal(shown(), "aXdYfZ");
  assert.equal(glowing(), "XYZ");
  for (const node of kept) assert.ok(article.children.includes(node) && node.moves === 0);
  assert.equal(blocks.rev, 7);
  undo();
});

test("resync tries again, and says when the page is gone", async () => {
  const answers = [() => Promise.reject(new TypeError("network")), () => new Response("x", { status: 503 }), () => new Response("{}", { status: 404 })];
  const { undo, blocks, news } = page("abc", { fetch: async () => answers.shift()() });
  assert.equal(await blocks.resync(1), true);
  assert.deepEqual(news, [{ rev: 1, deleted: true, count: 3 }]);
  undo();
});

test("property: any list becomes any other, and nodes that stay keep their order", (context) => {
  stopClock(context);
  const seed = Number(process.env.TEST_SEED ?? Date.now() % 1e9);
  const random = seeded(seed);
  const word = () => Array.from({ length: Math.floor(random() * 9) }, () => "abcdef"[Math.floor(random() * 6)]).join("");
  for (let run = 0; run < 3000; run += 1) {
    const from = word();
    const to = word();
    const { article, undo, blocks, shown } = page(from);
    const nodes = new Set(article.children);
    blocks.replaceAll(blocksOf(to), 2);
    assert.equal(shown(), to, `seed ${seed}: ${from} -> ${to}`);
    for (const node of article.children) if (nodes.has(node)) assert.equal(node.moves, 0);
    const steps = planBlocks([...from], [...to]).steps.filter((step) => step !== null);
    assert.deepEqual(steps, [...steps].sort((a, b) => a - b));
    undo();
  }
});
