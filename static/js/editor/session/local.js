// What this browser keeps of a page: the copy for opening it offline, and unsent edits, also those of tabs that are gone.

import { toOutboxRecord } from "../../outbox/outbox.js";
import { MemoryStore } from "../../outbox/store.js";
import { Y } from "../../../vendor/editor.js";

/** @typedef {import('../session.js').Session} Session */
/** @typedef {import('../../outbox/outbox.js').OutboxRecord} OutboxRecord */

/** Documents kept in the browser for opening offline. */
const KEEP_DOCS = 20;
/** Pause between a change and the copy that contains it; large documents are copied less often ... */
const COPY_AFTER_MS = 1000;
/** ... but no less often than this, also when the last copy took long because the machine was busy. */
const COPY_LATEST_MS = 5000;

/**
 * Opens the store and takes over what tabs that are gone left behind.
 * @param {Session} session
 */
export async function openLocal(session) {
  try {
    session.store = session.outbox.store = await session.options.store;
    const { doc, records } = await session.store.load(session.page);
    session.copy = doc;
    session.adopted = await takeOver(session, records);
  } catch (error) {
    giveStoreUp(session, error);
  }
}

/**
 * @param {Session} session
 * @param {import('../../outbox/store.js').StoredRecord[]} records
 * @returns {Promise<OutboxRecord[]>} those whose tab is gone, now ours
 */
export async function takeOver(session, records) {
  const { keeper, client } = session.options;
  const taken = [];
  let alive = 0;
  for (const record of records) {
    if (session.outbox.records.some((mine) => mine.client === record.client)) continue;
    if (!(await keeper.hold(session.page, record.client))) alive += 1;
    else if (!(await session.store.claim(session.page, record.client, record.owner, client))) {
      keeper.release(session.page, record.client);
    } else if (record.entries.length === 0) {
      await session.store.settle(session.page, record.client, 0);
      keeper.release(session.page, record.client);
    } else taken.push(toOutboxRecord({ ...record, owner: client }));
  }
  // A tab that is just being closed may still hold its lock; its edits must not wait for the next visit.
  if (alive > 0) lookAgain(session, session.options.adoptAgainMs ?? 1000);
  return taken;
}

/**
 * @param {Session} session
 * @param {number} afterMs
 */
export function lookAgain(session, afterMs) {
  if (session.adoptTimer || session.closed || afterMs > 60_000) return;
  session.adoptTimer = setTimeout(async () => {
    session.adoptTimer = null;
    try {
      await session.rebuilding;
      if (session.closed || !session.genuine) return lookAgain(session, afterMs * 4);
      const { records } = await session.store.load(session.page);
      const taken = await takeOver(session, records.filter((record) => record.entries.length > 0));
      const own = session.outbox.own;
      if (taken.length > 0 && own) {
        session.outbox.pause();
        session.adopted = taken;
        session.outbox.setRecords([...session.outbox.records.filter((record) => record !== own), ...taken, own]);
        await session.rebuild();
      }
    } catch (error) {
      giveStoreUp(session, error);
    }
    lookAgain(session, afterMs * 4);
  }, afterMs);
}

/**
 * Other pages of which this browser has unsent edits that no living tab takes care of.
 * @param {Session} session
 * @returns {Promise<string[]>} their paths
 */
export async function forsakenPages(session) {
  await session.local;
  const { keeper } = session.options;
  const paths = [];
  for (const { page, path } of await session.store.unsentPages()) {
    if (page === session.page) continue;
    const { records } = await session.store.load(page);
    for (const { client } of records.filter((record) => record.entries.length > 0)) {
      if (!(await keeper.hold(page, client))) continue;
      keeper.release(page, client);
      paths.push(path);
      break;
    }
  }
  return paths;
}

/**
 * Forgets text that was offered as a copy.
 * @param {Session} session
 * @param {OutboxRecord} record
 */
export function discard(session, record) {
  session.outbox.keep(session.store.remove(session.page, record.client));
  session.options.keeper.release(session.page, record.client);
}

/**
 * @param {Session} session
 * @param {unknown} error
 */
export function giveStoreUp(session, error) {
  if (!session.store.durable) return;
  console.warn("halley: session browser keeps no unsent changes", error);
  const memory = new MemoryStore();
  session.store = session.outbox.store = memory;
  session.emit("storeFailed", error);
  session.outbox.publish();
}

/** @param {Session} session */
export function scheduleCopy(session) {
  if (session.copyTimer || !session.store.durable) return;
  session.copyTimer = setTimeout(
    () => {
      session.copyTimer = null;
      saveCopy(session);
    },
    Math.min(COPY_LATEST_MS, Math.max(COPY_AFTER_MS, session.copyCostMs * 100)),
  );
}

/** @param {Session} session */
export function saveCopy(session) {
  if (session.copyTimer) clearTimeout(session.copyTimer);
  session.copyTimer = null;
  if (!session.doc || !session.store.durable || session.closed) return;
  const started = performance.now();
  const state = Y.encodeStateAsUpdate(session.doc);
  session.copyCostMs = performance.now() - started;
  const copy = { page: session.page, path: session.options.path, state, rev: session.rev, at: session.now() };
  session.outbox.keep(session.store.putDoc(copy, KEEP_DOCS));
}
