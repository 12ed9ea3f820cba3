/**
 * Writes the laboratory's text the way the editor does: a Yjs document, an
 * outbox that sends one request at a time, and an answer only once the edit is
 * on the server's disk. Each key is one change with the time it was pressed.
 * @module
 */

import { randomId } from "../lib/id.js";
import { HttpError, createApi } from "../outbox/api.js";
import { Outbox } from "../outbox/outbox.js";
import { MemoryStore } from "../outbox/store.js";
import { Y } from "../../vendor/editor.js";

/** @typedef {import("./tally.js").Change} Change */

/** The name of the text in the document, as in the editor. */
const ROOT = "body";
/** A revision that is not ours by then is somebody else's, in ms. */
const OURS_MS = 300;

/**
 * @param {object} options
 * @param {number} options.page
 * @param {Change[]} options.changes added to
 * @param {HTMLTextAreaElement} options.field
 * @param {() => void} options.onSaved revisions of changes became known
 * @param {(message: string) => void} options.onTrouble the text cannot be written any more
 * @param {() => boolean} options.isWanted false: the run was given up, and the field may be another one's by now
 */
export async function openWriter(options) {
  const { page, changes, field } = options;
  const client = randomId();
  const api = createApi({ page, client });
  const session = await api.session();
  const doc = new Y.Doc();
  doc.clientID = session.client_id;
  const text = doc.getText(ROOT);
  const first = await api.doc(null);
  Y.applyUpdate(doc, first.bytes, "server");
  let newest = first.rev;
  /** Revisions that are ours. @type {Set<number>} */
  const own = new Set();
  let closed = false;
  /** When the key was pressed whose change is being made. */
  let pressedAt = 0;
  /** How many changes a request carries, by operation: a repetition carries no more than the first. @type {Map<string, number>} */
  const carried = new Map();
  let sent = changes.length;

  const outbox = new Outbox({
    page,
    store: new MemoryStore(),
    newOp: () => randomId(),
    api: {
      ...api,
      update: async (op, bytes, more) => {
        const upto = carried.get(op) ?? changes.length;
        carried.set(op, upto);
        const accepted = await api.update(op, bytes, more);
        carried.delete(op);
        for (; sent < upto; sent += 1) changes[sent].rev = accepted.rev;
        newest = Math.max(newest, accepted.rev);
        own.add(accepted.rev);
        options.onSaved();
        return accepted;
      },
    },
    diffFor: (_record, sv) => Y.encodeStateAsUpdate(doc, sv),
    onRefused: (_record, error) => trouble(error),
    onStatus: (status) => {
      if (status.code === "page_deleted" || status.code === "page_full") trouble(new HttpError(410, status.code, ""));
    },
  });
  outbox.setRecords([
    { page, client: session.client_id, user: session.you.id, issued: true, owner: client, created: Date.now(), flight: null, entries: [], nextSeq: 1 },
  ]);
  outbox.resume();

  doc.on("update", (/** @type {Uint8Array} */ update, /** @type {unknown} */ origin) => {
    if (origin === "server") return;
    changes.push({ at: pressedAt, rev: null });
    outbox.add(update);
  });

  /** @param {HttpError} error */
  function trouble(error) {
    if (closed) return;
    close();
    options.onTrouble(error.code === "page_full" ? "The text is full." : "The server has given this laboratory up. Start another one.");
  }

  /** Brings the field in line with the document, the caret where it was. */
  function show() {
    const now = text.toString();
    if (field.value === now) return;
    const { selectionStart, selectionEnd } = field;
    field.value = now;
    field.setSelectionRange(selectionStart, selectionEnd);
  }

  /** Makes the document what the field says. @param {number} at when that was done */
  function take(at) {
    const was = text.toString();
    const now = field.value;
    let start = 0;
    while (start < was.length && start < now.length && was[start] === now[start]) start += 1;
    let same = 0;
    while (same < was.length - start && same < now.length - start && was[was.length - 1 - same] === now[now.length - 1 - same]) same += 1;
    const gone = was.length - start - same;
    const come = now.slice(start, now.length - same);
    if (gone === 0 && come === "") return;
    pressedAt = at;
    doc.transact(() => {
      if (gone > 0) text.delete(start, gone);
      if (come !== "") text.insert(start, come);
    });
  }

  const input = (/** @type {Event} */ event) => take(event.timeStamp);
  if (options.isWanted()) {
    field.addEventListener("input", input);
    field.value = text.toString();
  }

  function close() {
    closed = true;
    field.removeEventListener("input", input);
    outbox.close();
  }

  /** @type {any} */
  let looking = null;

  return {
    /** Puts text at the end, as one key would. @param {string} letters */
    type(letters) {
      if (closed) return;
      pressedAt = performance.now();
      doc.transact(() => text.insert(text.length, letters));
      show();
      field.scrollTop = field.scrollHeight;
    },
    /** A copy shows this revision: if it is not ours, somebody else writes here too. @param {number} rev */
    seen(rev) {
      if (rev <= newest || looking !== null || closed) return;
      looking = setTimeout(async () => {
        looking = null;
        if (closed || rev <= newest || outbox.busy) return;
        try {
          const more = await api.doc(Y.encodeStateVector(doc));
          Y.applyUpdate(doc, more.bytes, "server");
          newest = Math.max(newest, more.rev);
          show();
        } catch {
          // The next revision asks again; the text in the field is only a view.
        }
      }, OURS_MS);
    },
    /** Whether somebody else made this revision; null: not known while a request is under way. @param {number} rev */
    isForeign(rev) {
      if (own.has(rev)) return false;
      return outbox.busy ? null : true;
    },
    close,
  };
}

/** @typedef {Awaited<ReturnType<typeof openWriter>>} Writer */
