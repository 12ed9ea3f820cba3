// What the server says of a page, put into the session's document; and what to do when the two differ.

import { fromBase64 } from "../../lib/base64.js";
import { HttpError } from "../../outbox/api.js";
import { isEmpty } from "../../outbox/updates.js";
import { Y } from "../../../vendor/editor.js";
import { hashText } from "../text.js";
import { newRecord } from "./build.js";
import { REMOTE } from "./document.js";

/** @typedef {import('../session.js').Session} Session */

/** A document that was found to differ is not rebuilt more often than this. */
const REBUILD_PAUSE_MS = 5000;

/**
 * @param {Session} session
 * @param {{ kind: string, data: any }} event
 */
export function take(session, { kind, data }) {
  if (kind === "updated") {
    if (typeof data?.update !== "string" || !Number.isSafeInteger(data.rev)) return;
    applyRemote(session, fromBase64(data.update));
    if (data.rev === session.rev + 1) session.rev = data.rev;
    else if (data.rev > session.rev) void session.resync();
    session.acked = Math.max(session.acked, session.rev);
  } else if (kind === "checked") compare(session, data);
}

/**
 * @param {Session} session
 * @param {Uint8Array} bytes
 */
export function applyRemote(session, bytes) {
  const doc = session.doc;
  if (!doc || isEmpty(bytes)) return;
  try {
    Y.applyUpdate(doc, bytes, REMOTE);
  } catch (error) {
    console.error("halley: a remote update could not be applied", error);
    void session.report("apply_failed", String(error));
    void session.rebuild();
    return;
  }
  const own = session.outbox.own;
  if (own && doc.clientID !== own.client) {
    // Yjs saw somebody else write under our id and chose another: that one is not issued, so start again with one
    // that is. What is typed until then is kept under the made-up id.
    void session.report("client_clash", `${own.client}`);
    session.outbox.pause();
    const record = newRecord(session, doc.clientID, "", false);
    session.refusedClients.add(`${own.client}`);
    session.options.keeper.begin(session.page, record.client);
    session.outbox.keep(session.store.putClient(record));
    session.outbox.setRecords([...session.outbox.records, record]);
    void session.rebuild();
  }
}

/**
 * @param {Session} session
 * @param {{ rev: number, length: number, hash: string }} seen
 */
export function compare(session, seen) {
  // Only a document that has neither more nor less than session revision can be compared with it.
  if (!session.genuine || !session.text || session.rebuilding || session.syncing) return;
  if (session.outbox.unsaved > 0 || seen.rev !== session.rev || seen.rev < session.acked) return;
  if (seen.length === session.text.length && seen.hash === hashText(session.text.toString())) return;
  void onDiffers(session, seen);
}

/**
 * @param {Session} session
 * @param {{ rev: number, length: number, hash: string }} seen
 */
export async function onDiffers(session, seen) {
  const text = session.text?.toString() ?? "";
  void session.report(
    "diverged",
    JSON.stringify({ seen, length: text.length, hash: hashText(text), rev: session.rev }),
  );
  if (session.now() - session.rebuiltAt < REBUILD_PAUSE_MS) return;
  await session.resync();
  // The state vectors may agree and the texts still differ; only the server's whole state settles it.
  await session.rebuild();
}

/** @param {Session} session */
export async function fetchMissing(session) {
  const doc = session.doc;
  if (!doc) return;
  const known = Math.max(session.rev, session.acked);
  session.resyncWanted = true;
  session.held ??= [];
  try {
    const answer = await session.options.api.doc(Y.encodeStateVector(doc));
    if (session.doc !== doc || session.closed) return;
    session.resyncWanted = false;
    session.failures = 0;
    applyRemote(session, answer.bytes);
    session.rev = answer.rev;
    session.acked = Math.max(session.acked, answer.rev);
    if (answer.rev < known) {
      // The server has less than it once acknowledged (restored from a backup): give it back what we have.
      session.acked = answer.rev;
      void session.report("server_lost", `had ${known}, has ${answer.rev}`);
      void session.rebuild({ union: true });
    }
  } catch (error) {
    session.resyncTimer ??= setTimeout(() => {
      session.resyncTimer = null;
      if (session.resyncWanted) void session.resync();
    }, session.backoff());
    if (error instanceof HttpError) console.warn("halley: resynchronising was refused", error);
  } finally {
    session.syncing = null;
    if (!session.rebuilding) release(session, !session.resyncWanted);
  }
}

/**
 * Takes the events that had to wait.
 * @param {Session} session
 * @param {boolean} [settled] the document has just been completed from the server
 */
export function release(session, settled = false) {
  const events = session.held ?? [];
  session.held = null;
  for (const event of events) session.event(event);
  const store = /** @type {any} */ (session.doc?.store);
  const incomplete = Boolean(store?.pendingStructs || store?.pendingDs);
  if (!session.genuine || session.closed || session.resyncTimer) return;
  if (session.resyncWanted || (incomplete && !settled)) void session.resync();
  else if (incomplete) {
    // The server's own difference left a hole: session document cannot be completed, only replaced.
    void session.report("incomplete", `rev ${session.rev}`);
    setTimeout(
      () => session.genuine && void session.rebuild(),
      Math.max(0, session.rebuiltAt + REBUILD_PAUSE_MS - session.now()),
    );
  }
}
