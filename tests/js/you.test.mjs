// The name in the header, and tabs that tell each other of a new one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createYou, youKey } from "../../static/js/presence/you.js";

function stage(served) {
  const parts = { ".you-name": { textContent: "" }, ".avatar": { textContent: "", className: "" } };
  const link = { title: "", parts, querySelector: (name) => parts[name], setAttribute: (name, value) => (link[name] = value) };
  const live = { greeted: 0, greet: () => (live.greeted += 1), on: (_name, handler) => ((live.you = handler), () => (live.you = null)) };
  const channel = { sent: [], onmessage: null, closed: false, postMessage: (data) => channel.sent.push(data), close: () => (channel.closed = true) };
  const { take, stop } = createYou(link, live, JSON.stringify(served), channel);
  return { link, live, channel, take, stop };
}

test("a name that the server says is shown everywhere in the header", () => {
  const { link, live, take } = stage({ id: "g1", name: "Quiet Heron", colour: 3 });
  take({ id: "g2", name: "Other", colour: 5 });
  assert.equal(link.parts[".you-name"].textContent, "Other");
  live.you({ id: "g1", name: "Zoë Ångström", colour: 4, guest: true });
  assert.equal(link.parts[".you-name"].textContent, "Zoë Ångström");
  assert.equal(link.parts[".avatar"].textContent, "ZÅ");
  assert.equal(link.parts[".avatar"].className, "avatar c4");
  assert.match(link["aria-label"], /Zoë Ångström/);
});

test("a tab tells the others who it is, and asks the server when another tab is somebody else", () => {
  const me = { id: "g1", name: "Quiet Heron", colour: 3 };
  const { live, channel, stop } = stage(me);
  assert.deepEqual(channel.sent, [youKey(me)]);
  channel.onmessage({ data: youKey(me) });
  assert.equal(live.greeted, 0, "nothing is new");
  channel.onmessage({ data: youKey({ ...me, name: "Zoë" }) });
  assert.equal(live.greeted, 1);
  channel.onmessage({ data: { name: "<b>" } });
  assert.equal(live.greeted, 1);
  stop();
  assert.equal(channel.closed, true);
});
