// What the tests of the ladder say about a tab.

import assert from "node:assert/strict";

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;

/** Everything published has arrived, once, in order. */
export function whole(tab) {
  assert.deepEqual(tab.got, tab.server.log.map((event) => event.data));
}

/** What the browser remembers about its network. */
export function verdict(tab) {
  return JSON.parse(tab.env.localStorage.getItem("halley.verdict"));
}
