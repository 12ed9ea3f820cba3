// Documents and updates of a session: nothing here knows the session, the network or the browser's store.

import { isEmpty, mergeUpdates, splitUpdate } from "../../outbox/updates.js";
import { Y } from "../../../vendor/editor.js";

/** @typedef {import('../../outbox/outbox.js').OutboxRecord} OutboxRecord */

/** Name of the shared text in every page's document. */
export const ROOT = "body";
/** Origin of everything that came from the server or the store: never sent back, never undone. */
export const REMOTE = Object.freeze({ name: "remote" });
/** Origin of edits that `rebuild` writes again under a new client id. */
export const MOVED = Object.freeze({ name: "moved" });

/** @param {unknown} error */
export const isNetwork = (error) => error instanceof Error && error.name === "NetworkError";

/**
 * All that a record has not had acknowledged, as one update.
 * @param {OutboxRecord} record
 */
export function bytesOf(record) {
  const parts = record.entries.map((entry) => entry.bytes);
  return mergeUpdates(record.flight ? [record.flight.bytes, ...parts] : parts);
}

/**
 * @param {Uint8Array[]} updates
 * @returns {import('../../../vendor/editor.js').Y.Doc}
 */
export function docFrom(updates) {
  const doc = new Y.Doc();
  doc.getText(ROOT);
  for (const bytes of updates) if (!isEmpty(bytes)) Y.applyUpdate(doc, bytes, REMOTE);
  return doc;
}

/**
 * Whether the updates leave nothing pending on top of a document, which is not touched.
 * @param {import('../../../vendor/editor.js').Y.Doc} doc
 * @param {Uint8Array[]} updates
 */
export function fits(doc, updates) {
  if (updates.length === 0) return true;
  try {
    const store = /** @type {any} */ (docFrom([Y.encodeStateAsUpdate(doc), ...updates]).store);
    return store.pendingStructs === null && store.pendingDs === null;
  } catch {
    return false;
  }
}

/**
 * Writes what some updates would do to a document's text as edits under a client id. Not a comparison of two texts:
 * that would take away and put back words in between, and two browsers doing so at once would double them.
 * @param {import('../../../vendor/editor.js').Y.Doc} doc
 * @param {number} client
 * @param {Uint8Array[]} updates
 * @returns {Uint8Array[]} the updates that these edits are
 */
export function rewrite(doc, client, updates) {
  doc.clientID = client;
  if (updates.length === 0) return [];
  const scratch = docFrom([Y.encodeStateAsUpdate(doc)]);
  /** @type {{ retain?: number, delete?: number, insert?: unknown }[]} */
  let steps = [];
  scratch.getText(ROOT).observe((event) => {
    steps = event.delta;
  });
  scratch.transact(() => {
    for (const bytes of updates) Y.applyUpdate(scratch, bytes, REMOTE);
  });
  /** @type {Uint8Array[]} */
  const written = [];
  const collect = (/** @type {Uint8Array} */ bytes) => written.push(...splitUpdate(bytes));
  const text = doc.getText(ROOT);
  doc.on("update", collect);
  doc.transact(() => {
    let at = 0;
    for (const step of steps) {
      if (step.retain) at += step.retain;
      else if (step.delete) text.delete(at, step.delete);
      else if (typeof step.insert === "string") {
        text.insert(at, step.insert);
        at += step.insert.length;
      }
    }
  }, MOVED);
  doc.off("update", collect);
  return written;
}
