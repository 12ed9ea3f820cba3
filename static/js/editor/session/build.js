// The remedy for everything: the server's state, what is unsent put back on top, and the documents swapped in one step.

import { HttpError } from "../../outbox/api.js";
import { insertedText } from "../../outbox/updates.js";
import { Y } from "../../../vendor/editor.js";
import { ROOT, bytesOf, docFrom, fits, isNetwork, rewrite, REMOTE } from "./document.js";
import { giveStoreUp, saveCopy } from "./local.js";

/** @typedef {import('../session.js').Session} Session */
/** @typedef {import('../../outbox/outbox.js').OutboxRecord} OutboxRecord */

/** @param {Session} session */
export async function build(session) {
  session.outbox.pause();
  session.held ??= [];
  for (;;) {
    try {
      // What is on its way must have arrived or failed, or the state below could miss what it brings.
      await session.outbox.idle();
      const answer = await session.options.api.session();
      const state = await session.options.api.doc(null);
      await session.local;
      if (session.closed) return;
      session.failures = 0;
      const union = session.unionWanted;
      session.unionWanted = false;
      await assemble(session, answer, state, union);
      return;
    } catch (error) {
      await session.local;
      if (session.closed) return;
      if (error instanceof HttpError) {
        session.outbox.slow = error.code;
        session.emit("refused", { code: error.code, message: error.message });
      } else {
        session.outbox.slow = "";
        if (!isNetwork(error)) console.error("halley: the document could not be built", error);
        session.outbox.noteOffline();
        session.options.onContact?.(false);
      }
      if (!session.doc) openOffline(session);
      await session.sleep(session.backoff(error instanceof HttpError ? error.retryAfterMs : null));
      if (session.closed) return;
    }
  }
}

/**
 * @param {Session} session
 * @param {import('../../outbox/api.js').SessionAnswer} answer
 * @param {import('../../outbox/api.js').DocAnswer} state
 * @param {boolean} union
 */
export async function assemble(session, answer, state, union) {
  // From here to `swap` nothing waits, so no edit falls between the two documents.
  const records = session.doc ? session.outbox.records : session.adopted;
  const unsent = records.filter((record) => record.entries.length > 0);
  const planned =
    (union && session.doc && session.genuine ? planUnion(session, answer, state, unsent) : null) ??
    plan(session, answer, state, unsent);
  const { doc, kept, moved, stuck } = planned;
  const continued = kept.find((record) => record.client === answer.client_id);
  const own = continued ?? newRecord(session, answer.client_id, answer.you.id, true);
  doc.clientID = answer.client_id;
  own.entries.push(...planned.written.map((bytes) => ({ seq: own.nextSeq++, bytes })));

  const gone = records.filter((record) => !kept.includes(record) && !stuck.includes(record));
  const foreign = moved.some((record) => record.issued);
  const changes = [...kept, ...moved]
    .filter((r) => session.adopted.includes(r))
    .reduce((n, r) => n + r.entries.length, 0);
  session.adopted = [];
  session.you = answer.you;
  session.rev = state.rev;
  session.acked = state.rev;
  session.genuine = true;
  session.rebuiltAt = session.now();
  session.refusedClients.clear();
  session.outbox.slow = "";
  session.outbox.noteOnline();
  session.options.onContact?.(true);
  swap(session, doc, [...kept.filter((record) => record !== own), own]);
  session.emit("session", {
    write: answer.rights?.write !== false,
    you: answer.you,
    textBytes: answer.limits?.text_bytes ?? 1024 * 1024,
  });
  if (changes > 0 || foreign) session.emit("recovered", { changes, moved: foreign });
  for (const record of stuck) {
    session.emit("aside", { text: insertedText(bytesOf(record)), why: "unknown_base", record });
  }

  // What was moved must be forgotten in the very transaction that keeps what it became, before any of it is sent:
  // otherwise a crash could leave both, and the text would come back twice.
  const olds = gone.map((record) => record.client).filter((client) => client !== own.client);
  try {
    const entries = [...own.entries];
    session.options.keeper.begin(session.page, own.client);
    await session.store.replace(session.page, olds, own, entries);
  } catch (error) {
    // A store that takes nothing more may still forget, and what was moved must not come back from it.
    for (const client of olds) await session.store.remove(session.page, client).catch(() => {});
    giveStoreUp(session, error);
  }
  for (const client of olds) session.options.keeper.release(session.page, client);
  if (session.closed) return;
  saveCopy(session);
  session.outbox.resume();
}

/**
 * The server's state, with what is unsent on top: as it is where the id is ours, written again where it is not.
 * @param {Session} session
 * @param {import('../../outbox/api.js').SessionAnswer} answer
 * @param {import('../../outbox/api.js').DocAnswer} state
 * @param {OutboxRecord[]} unsent
 */
export function plan(session, answer, state, unsent) {
  const doc = docFrom([state.bytes]);
  /** @type {OutboxRecord[]} */
  const kept = [];
  /** @type {OutboxRecord[]} */
  const moving = [];
  for (const record of unsent) {
    const ours =
      record.issued && record.user === answer.you.id && !session.refusedClients.has(`${record.client}`);
    const bytes = bytesOf(record);
    if (ours && fits(doc, [bytes])) {
      Y.applyUpdate(doc, bytes, REMOTE);
      kept.push(record);
    } else moving.push(record);
  }
  // Records of earlier reloads may build on each other, so they are tried together before each alone.
  /** @type {OutboxRecord[]} */
  let moved = moving;
  /** @type {OutboxRecord[]} */
  let stuck = [];
  if (!fits(doc, moving.map(bytesOf))) {
    moved = [];
    for (const record of moving) {
      if (fits(doc, [...moved, record].map(bytesOf))) moved.push(record);
      else stuck.push(record);
    }
  }
  if (stuck.length > 0 && session.doc && session.genuine) return planUnion(session, answer, state, unsent);
  const written = rewrite(doc, answer.client_id, moved.map(bytesOf));
  return { doc, kept, moved, stuck, written };
}

/**
 * The server's state, and everything that the present document has beyond it written again.
 * @param {Session} session
 * @param {import('../../outbox/api.js').SessionAnswer} answer
 * @param {import('../../outbox/api.js').DocAnswer} state
 * @param {OutboxRecord[]} unsent
 */
export function planUnion(session, answer, state, unsent) {
  const doc = docFrom([state.bytes]);
  const present = /** @type {import('../../../vendor/editor.js').Y.Doc} */ (session.doc);
  const written = rewrite(doc, answer.client_id, [Y.encodeStateAsUpdate(present), ...unsent.map(bytesOf)]);
  return {
    doc,
    kept: /** @type {OutboxRecord[]} */ ([]),
    moved: unsent,
    stuck: /** @type {OutboxRecord[]} */ ([]),
    written,
  };
}

/**
 * Shows the copy that this browser has, if any, and takes edits under a made-up id.
 * @param {Session} session
 */
export function openOffline(session) {
  if (!session.copy) return;
  const doc = docFrom([session.copy.state, ...session.adopted.filter((r) => r.entries.length > 0).map(bytesOf)]);
  const own = newRecord(session, doc.clientID, "", false);
  session.options.keeper.begin(session.page, own.client);
  session.outbox.keep(session.store.putClient(own));
  session.genuine = false;
  swap(session, doc, [...session.adopted, own]);
}

/**
 * @param {Session} session
 * @param {import('../../../vendor/editor.js').Y.Doc} doc
 * @param {OutboxRecord[]} records
 */
export function swap(session, doc, records) {
  session.doc?.off("update", session.onUpdate);
  session.doc = doc;
  doc.on("update", session.onUpdate);
  session.outbox.setRecords(records);
  session.emit("document", { doc, text: doc.getText(ROOT) });
}

/**
 * @param {Session} session
 * @param {number} client
 * @param {string} user
 * @param {boolean} issued
 * @returns {OutboxRecord}
 */
export function newRecord(session, client, user, issued) {
  return {
    page: session.page,
    client,
    user,
    issued,
    owner: session.options.client,
    created: session.now(),
    flight: null,
    entries: [],
    nextSeq: 1,
  };
}
