// The document session of one page in one tab: a Y.Doc that follows the server's, and an outbox for what is typed.
// No DOM, so that tests run it as it is.
//
// The document is always one of two kinds. Built from the server's state, under a client id that the server issued:
// everything typed goes out as it is. Or opened from the copy in this browser while the server is out of reach,
// under an id made up here: what is typed is kept, and written again as edits of an issued id once there is one.
// Whatever goes wrong (another login, a refused update, a document that differs) has one remedy, `rebuild`: take the
// server's state, put back on top what the server has not acknowledged, and swap the documents in one step.

import { fromBase64 } from "../lib/base64.js";
import { HttpError } from "../outbox/api.js";
import { Outbox, toOutboxRecord } from "../outbox/outbox.js";
import { MemoryStore } from "../outbox/store.js";
import { insertedText, isEmpty, mergeUpdates, onlyClients, splitUpdate } from "../outbox/updates.js";
import { Y } from "../../vendor/editor.js";
import { hashText } from "./text.js";

/** @typedef {import('../outbox/outbox.js').OutboxRecord} OutboxRecord */
/** @typedef {import('../outbox/outbox.js').Status} Status */
/** @typedef {import('../outbox/api.js').Api} Api */
/** @typedef {import('../outbox/api.js').You} You */
/** @typedef {import('../outbox/store.js').Store} Store */
/** @typedef {import('../outbox/keeper.js').Keeper} Keeper */

/** Name of the shared text in every page's document. */
export const ROOT = "body";
/** Origin of everything that came from the server or the store: never sent back, never undone. */
export const REMOTE = Object.freeze({ name: "remote" });
/** Origin of edits that `rebuild` writes again under a new client id. */
export const MOVED = Object.freeze({ name: "moved" });

/** Documents kept in the browser for opening offline. */
const KEEP_DOCS = 20;
/** Longest pause between a change and the copy that contains it; large documents are copied less often. */
const COPY_AFTER_MS = 1000;
/** A document that was found to differ is not rebuilt more often than this. */
const REBUILD_PAUSE_MS = 5000;
/** Rebuilds because of refusals in a row, without one acknowledgement between them, before a person is asked. */
const MAX_REFUSALS = 4;

/**
 * @typedef {object} SessionOptions
 * @property {number} page
 * @property {string} path
 * @property {string} client tab id
 * @property {Api} api
 * @property {Promise<Store> | Store} store
 * @property {Keeper} keeper
 * @property {() => string} newOp
 * @property {() => { cursor: string, topics: string[] | string } | null} [piggyback]
 * @property {(batch: any) => void} [onBatch]
 * @property {(reached: boolean) => void} [onContact]
 * @property {Partial<import('../outbox/outbox.js').Timing>} [timing]
 * @property {() => number} [random]
 * @property {() => number} [now]
 * @property {number} [adoptAgainMs] first pause before records of other tabs are looked at again
 */

/**
 * @typedef {object} SessionEvents
 * @property {{ doc: import('../../vendor/editor.js').Y.Doc, text: import('../../vendor/editor.js').Y.Text }} document
 *   there is a (new) document to show and to type into
 * @property {Status} status
 * @property {{ write: boolean, you: You, textBytes: number }} session
 * @property {{ changes: number, moved: boolean }} recovered edits that an earlier tab, or an earlier login, left behind
 * @property {{ text: string, why: string, record: OutboxRecord | null }} aside text that cannot be applied: offer it as a copy
 * @property {{ code: string, message: string }} refused the server does not let this tab work on the page
 * @property {unknown} storeFailed
 */

export class Session {
  /** @param {SessionOptions} options */
  constructor(options) {
    this.options = options;
    this.page = options.page;
    this.now = options.now ?? Date.now;
    this.random = options.random ?? Math.random;
    /** @type {import('../../vendor/editor.js').Y.Doc | null} */
    this.doc = null;
    /** @type {You | null} */
    this.you = null;
    /** Every update up to this revision is in the document. */
    this.rev = 0;
    /** Newest revision that is known to exist. */
    this.acked = 0;
    /** The document was built from the server's state. */
    this.genuine = false;
    this.reachable = true;
    this.closed = false;
    /** @type {Store} */
    this.store = new MemoryStore();
    /** @type {Map<string, Set<(value: any) => void>>} */
    this.listeners = new Map();
    /** @type {OutboxRecord[]} records taken over from tabs that are gone, until the first document */
    this.adopted = [];
    /** @type {Set<string>} */
    this.refusedClients = new Set();
    this.refusals = 0;
    /** @type {Promise<void> | null} */
    this.rebuilding = null;
    /** @type {Promise<void> | null} */
    this.syncing = null;
    /** @type {{ kind: string, data: any }[] | null} events that wait for a document under way */
    this.held = null;
    this.resyncWanted = false;
    this.unionWanted = false;
    this.rebuiltAt = -Infinity;
    this.failures = 0;
    /** @type {(() => void) | null} */
    this.wakeUp = null;
    /** @type {ReturnType<typeof setTimeout> | null} */
    this.copyTimer = null;
    this.copyCostMs = 0;
    /** @type {ReturnType<typeof setTimeout> | null} */
    this.adoptTimer = null;
    /** @type {ReturnType<typeof setTimeout> | null} */
    this.resyncTimer = null;
    this.unionWanted = false;
    /** @type {Promise<void> | undefined} */
    this.local = undefined;
    /** @type {import('../outbox/store.js').StoredDoc | null} */
    this.copy = null;
    this.onUpdate = this.onUpdate.bind(this);
    this.outbox = this.createOutbox();
  }

  createOutbox() {
    const { options } = this;
    return new Outbox({
      page: options.page,
      api: options.api,
      store: this.store,
      newOp: options.newOp,
      timing: options.timing,
      random: this.random,
      now: this.now,
      piggyback: options.piggyback,
      onBatch: options.onBatch,
      onContact: (reached) => {
        // What is typed from now on may have to be shown again without the server, on top of just this document.
        if (!reached && this.reachable) this.saveCopy();
        this.reachable = reached;
        options.onContact?.(reached);
      },
      onAcked: (rev) => {
        this.acked = Math.max(this.acked, rev);
        this.refusals = 0;
      },
      onSettled: (record) => options.keeper.release(record.page, record.client),
      onRefused: (record, error) => this.onRefused(record, error),
      diffFor: (record, sv) =>
        this.doc && this.genuine
          ? onlyClients(Y.encodeStateAsUpdate(this.doc, sv), new Set([record.client]))
          : null,
      onStatus: (status) => this.emit("status", status),
      onStoreError: (error) => this.giveStoreUp(error),
    });
  }

  /**
   * @template {keyof SessionEvents} K
   * @param {K} name
   * @param {(value: SessionEvents[K]) => void} listener
   * @returns {() => void} takes the listener off
   */
  on(name, listener) {
    const set = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, set);
    set.add(listener);
    return () => set.delete(listener);
  }

  /**
   * @template {keyof SessionEvents} K
   * @param {K} name
   * @param {SessionEvents[K]} value
   */
  emit(name, value) {
    for (const listener of [...(this.listeners.get(name) ?? [])]) {
      try {
        listener(value);
      } catch (error) {
        // A part of the page that fails must not stop the saving of text.
        console.error(`halley: a listener of "${name}" failed`, error);
      }
    }
  }

  /** @returns {import('../../vendor/editor.js').Y.Text | null} */
  get text() {
    return this.doc?.getText(ROOT) ?? null;
  }

  /** @returns {Status} */
  get status() {
    return this.outbox.status;
  }

  /**
   * Opens the page. Resolves when there is a document, from the server or from this browser.
   * @returns {Promise<void>}
   */
  start() {
    this.local ??= this.openLocal();
    return new Promise((resolve) => {
      const off = this.on("document", () => {
        off();
        resolve();
      });
      void this.rebuild();
    });
  }

  /** Ends the session; what is unsent stays in the store for the next tab. */
  stop() {
    if (this.closed) return;
    this.closed = true;
    this.outbox.close();
    this.doc?.off("update", this.onUpdate);
    for (const timer of [this.copyTimer, this.adoptTimer, this.resyncTimer]) if (timer) clearTimeout(timer);
    this.wakeUp?.();
    this.options.keeper.close();
    this.store.close();
  }

  /** The page is being hidden or left: the last chance to keep and to send. */
  leave() {
    if (this.closed) return;
    this.saveCopy();
    this.outbox.leave();
  }

  /** The network came back, or a person asks to try again. */
  retryNow() {
    this.failures = 0;
    this.wakeUp?.();
    this.outbox.retryNow();
    if (this.resyncWanted) {
      if (this.resyncTimer) clearTimeout(this.resyncTimer);
      this.resyncTimer = null;
      void this.resync();
    }
  }

  // ---- what the server says -------------------------------------------------------------------------------

  /**
   * Takes an event of this page's `doc` topic.
   * @param {{ kind: string, data: any }} event
   */
  event(event) {
    if (this.closed) return;
    if (this.held) this.held.push(event);
    else if (this.doc) this.take(event);
  }

  /** @param {{ kind: string, data: any }} event */
  take({ kind, data }) {
    if (kind === "updated") {
      if (typeof data?.update !== "string" || !Number.isSafeInteger(data.rev)) return;
      this.applyRemote(fromBase64(data.update));
      if (data.rev === this.rev + 1) this.rev = data.rev;
      else if (data.rev > this.rev) void this.resync();
      this.acked = Math.max(this.acked, this.rev);
    } else if (kind === "checked") this.compare(data);
  }

  /** @param {Uint8Array} bytes */
  applyRemote(bytes) {
    const doc = this.doc;
    if (!doc || isEmpty(bytes)) return;
    try {
      Y.applyUpdate(doc, bytes, REMOTE);
    } catch (error) {
      console.error("halley: a remote update could not be applied", error);
      void this.report("apply_failed", String(error));
      void this.rebuild();
      return;
    }
    const own = this.outbox.own;
    if (own && doc.clientID !== own.client) {
      // Yjs saw somebody else write under our id and chose another: that one is not issued, so start again with one
      // that is. What is typed until then is kept under the made-up id.
      void this.report("client_clash", `${own.client}`);
      this.outbox.pause();
      const record = this.newRecord(doc.clientID, "", false);
      this.refusedClients.add(`${own.client}`);
      this.outbox.keep(this.store.putClient(record));
      this.outbox.setRecords([...this.outbox.records, record]);
      void this.rebuild();
    }
  }

  /** @param {{ rev: number, length: number, hash: string }} seen */
  compare(seen) {
    // Only a document that has neither more nor less than this revision can be compared with it.
    if (!this.genuine || !this.text || this.rebuilding || this.syncing) return;
    if (this.outbox.unsaved > 0 || seen.rev !== this.rev || seen.rev < this.acked) return;
    if (seen.length === this.text.length && seen.hash === hashText(this.text.toString())) return;
    void this.onDiffers(seen);
  }

  /** @param {{ rev: number, length: number, hash: string }} seen */
  async onDiffers(seen) {
    const text = this.text?.toString() ?? "";
    void this.report(
      "diverged",
      JSON.stringify({ seen, length: text.length, hash: hashText(text), rev: this.rev }),
    );
    if (this.now() - this.rebuiltAt < REBUILD_PAUSE_MS) return;
    await this.resync();
    // The state vectors may agree and the texts still differ; only the server's whole state settles it.
    await this.rebuild();
  }

  /** @param {string} kind @param {string} detail */
  async report(kind, detail) {
    try {
      await this.options.api.report(kind, detail);
    } catch {
      // The report is a courtesy to the operator; the remedy does not depend on it.
    }
  }

  /**
   * Fetches what this document lacks. Needed after a reset, after a gap, and whenever events may have been missed.
   * @returns {Promise<void>} resolves also when the server cannot be reached; it is tried again then
   */
  resync() {
    if (this.rebuilding) {
      // Its answer may be older than what was missed; and nobody may be kept waiting for a server out of reach.
      this.resyncWanted = true;
      return Promise.resolve();
    }
    if (!this.doc || this.closed) return Promise.resolve();
    this.syncing ??= this.fetchMissing();
    return this.syncing;
  }

  async fetchMissing() {
    const doc = this.doc;
    if (!doc) return;
    const known = Math.max(this.rev, this.acked);
    this.resyncWanted = true;
    this.held ??= [];
    try {
      const answer = await this.options.api.doc(Y.encodeStateVector(doc));
      if (this.doc !== doc || this.closed) return;
      this.resyncWanted = false;
      this.failures = 0;
      this.applyRemote(answer.bytes);
      this.rev = answer.rev;
      this.acked = Math.max(this.acked, answer.rev);
      if (answer.rev < known) {
        // The server has less than it once acknowledged (restored from a backup): give it back what we have.
        this.acked = answer.rev;
        void this.report("server_lost", `had ${known}, has ${answer.rev}`);
        void this.rebuild({ union: true });
      }
    } catch (error) {
      this.resyncTimer ??= setTimeout(() => {
        this.resyncTimer = null;
        if (this.resyncWanted) void this.resync();
      }, this.backoff());
      if (error instanceof HttpError) console.warn("halley: resynchronising was refused", error);
    } finally {
      this.syncing = null;
      if (!this.rebuilding) this.release(!this.resyncWanted);
    }
  }

  /**
   * Takes the events that had to wait.
   * @param {boolean} [settled] the document has just been completed from the server
   */
  release(settled = false) {
    const events = this.held ?? [];
    this.held = null;
    for (const event of events) this.event(event);
    const store = /** @type {any} */ (this.doc?.store);
    const incomplete = Boolean(store?.pendingStructs || store?.pendingDs);
    if (!this.genuine || this.closed || this.resyncTimer) return;
    if (this.resyncWanted || (incomplete && !settled)) void this.resync();
    else if (incomplete) {
      // The server's own difference left a hole: this document cannot be completed, only replaced.
      void this.report("incomplete", `rev ${this.rev}`);
      setTimeout(
        () => this.genuine && void this.rebuild(),
        Math.max(0, this.rebuiltAt + REBUILD_PAUSE_MS - this.now()),
      );
    }
  }

  // ---- what is typed here -----------------------------------------------------------------------------------

  /**
   * @param {Uint8Array} update
   * @param {unknown} _origin
   * @param {import('../../vendor/editor.js').Y.Doc} _doc
   * @param {{ local: boolean }} transaction
   */
  onUpdate(update, _origin, _doc, transaction) {
    this.scheduleCopy();
    if (transaction.local) this.outbox.add(update);
  }

  /**
   * @param {OutboxRecord} record
   * @param {HttpError} error
   */
  onRefused(record, error) {
    console.warn(`halley: the server refused an update: ${error.status} ${error.code}`);
    this.refusals += 1;
    if (this.refusals > MAX_REFUSALS) {
      // Something is wrong that trying does not cure. The text stays here, and a person decides.
      this.outbox.blocked = error.code;
      this.outbox.resume();
      this.emit("aside", { text: this.text?.toString() ?? "", why: error.code, record: null });
      return;
    }
    this.refusedClients.add(`${record.client}`);
    void this.rebuild({ union: error.code === "missing" || error.code === "behind" });
  }

  // ---- building the document --------------------------------------------------------------------------------

  /**
   * Builds the document anew from the server, as soon as the server can be reached.
   * @param {{ union?: boolean }} [how] union: everything the present document has is put back, not only what is unsent
   * @returns {Promise<void>}
   */
  rebuild(how = {}) {
    if (how.union) this.unionWanted = true;
    this.rebuilding ??= this.build().finally(() => {
      this.rebuilding = null;
      if (!this.closed) this.release();
    });
    return this.rebuilding;
  }

  async build() {
    this.outbox.pause();
    this.held ??= [];
    for (;;) {
      try {
        // What is on its way must have arrived or failed, or the state below could miss what it brings.
        await this.outbox.idle();
        const answer = await this.options.api.session();
        const state = await this.options.api.doc(null);
        await this.local;
        if (this.closed) return;
        this.failures = 0;
        const union = this.unionWanted;
        this.unionWanted = false;
        await this.assemble(answer, state, union);
        return;
      } catch (error) {
        await this.local;
        if (this.closed) return;
        if (error instanceof HttpError) {
          this.outbox.slow = error.code;
          this.emit("refused", { code: error.code, message: error.message });
        } else {
          this.outbox.slow = "";
          if (!isNetwork(error)) console.error("halley: the document could not be built", error);
          this.outbox.noteOffline();
          this.options.onContact?.(false);
        }
        if (!this.doc) this.openOffline();
        await this.sleep(this.backoff(error instanceof HttpError ? error.retryAfterMs : null));
        if (this.closed) return;
      }
    }
  }

  /**
   * @param {import('../outbox/api.js').SessionAnswer} answer
   * @param {import('../outbox/api.js').DocAnswer} state
   * @param {boolean} union
   */
  async assemble(answer, state, union) {
    // From here to `swap` nothing waits, so no edit falls between the two documents.
    const records = this.doc ? this.outbox.records : this.adopted;
    const unsent = records.filter((record) => record.entries.length > 0);
    const plan =
      (union && this.doc && this.genuine ? this.planUnion(answer, state, unsent) : null) ??
      this.plan(answer, state, unsent);
    const { doc, kept, moved, stuck } = plan;
    const continued = kept.find((record) => record.client === answer.client_id);
    const own = continued ?? this.newRecord(answer.client_id, answer.you.id, true);
    doc.clientID = answer.client_id;
    own.entries.push(...plan.written.map((bytes) => ({ seq: own.nextSeq++, bytes })));

    const gone = records.filter((record) => !kept.includes(record) && !stuck.includes(record));
    const foreign = moved.some((record) => record.issued);
    const changes = [...kept, ...moved]
      .filter((r) => this.adopted.includes(r))
      .reduce((n, r) => n + r.entries.length, 0);
    this.adopted = [];
    this.you = answer.you;
    this.rev = state.rev;
    this.acked = state.rev;
    this.genuine = true;
    this.rebuiltAt = this.now();
    this.refusedClients.clear();
    this.outbox.slow = "";
    this.outbox.noteOnline();
    this.options.onContact?.(true);
    this.swap(doc, [...kept.filter((record) => record !== own), own]);
    this.emit("session", {
      write: answer.rights?.write !== false,
      you: answer.you,
      textBytes: answer.limits?.text_bytes ?? 1024 * 1024,
    });
    if (changes > 0 || foreign) this.emit("recovered", { changes, moved: foreign });
    for (const record of stuck) {
      this.emit("aside", { text: insertedText(bytesOf(record)), why: "unknown_base", record });
    }

    // What was moved must be forgotten in the very transaction that keeps what it became, before any of it is sent:
    // otherwise a crash could leave both, and the text would come back twice.
    const olds = gone.map((record) => record.client).filter((client) => client !== own.client);
    try {
      const entries = [...own.entries];
      const stored = this.store.replace(this.page, olds, own, entries);
      void this.options.keeper.hold(this.page, own.client);
      await stored;
    } catch (error) {
      // A store that takes nothing more may still forget, and what was moved must not come back from it.
      for (const client of olds) await this.store.remove(this.page, client).catch(() => {});
      this.giveStoreUp(error);
    }
    for (const client of olds) this.options.keeper.release(this.page, client);
    if (this.closed) return;
    this.saveCopy();
    this.outbox.resume();
  }

  /**
   * The server's state, with what is unsent on top: as it is where the id is ours, written again where it is not.
   * @param {import('../outbox/api.js').SessionAnswer} answer
   * @param {import('../outbox/api.js').DocAnswer} state
   * @param {OutboxRecord[]} unsent
   */
  plan(answer, state, unsent) {
    const doc = docFrom([state.bytes]);
    /** @type {OutboxRecord[]} */
    const kept = [];
    /** @type {OutboxRecord[]} */
    const moving = [];
    for (const record of unsent) {
      const ours =
        record.issued && record.user === answer.you.id && !this.refusedClients.has(`${record.client}`);
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
    if (stuck.length > 0 && this.doc && this.genuine) return this.planUnion(answer, state, unsent);
    const written = rewrite(doc, answer.client_id, moved.map(bytesOf));
    return { doc, kept, moved, stuck, written };
  }

  /**
   * The server's state, and everything that the present document has beyond it written again.
   * @param {import('../outbox/api.js').SessionAnswer} answer
   * @param {import('../outbox/api.js').DocAnswer} state
   * @param {OutboxRecord[]} unsent
   */
  planUnion(answer, state, unsent) {
    const doc = docFrom([state.bytes]);
    const present = /** @type {import('../../vendor/editor.js').Y.Doc} */ (this.doc);
    const written = rewrite(doc, answer.client_id, [Y.encodeStateAsUpdate(present), ...unsent.map(bytesOf)]);
    return {
      doc,
      kept: /** @type {OutboxRecord[]} */ ([]),
      moved: unsent,
      stuck: /** @type {OutboxRecord[]} */ ([]),
      written,
    };
  }

  /** Shows the copy that this browser has, if any, and takes edits under a made-up id. */
  openOffline() {
    if (!this.copy) return;
    const doc = docFrom([this.copy.state, ...this.adopted.filter((r) => r.entries.length > 0).map(bytesOf)]);
    const own = this.newRecord(doc.clientID, "", false);
    this.outbox.keep(this.store.putClient(own));
    void this.options.keeper.hold(this.page, own.client);
    this.genuine = false;
    this.swap(doc, [...this.adopted, own]);
  }

  /**
   * @param {import('../../vendor/editor.js').Y.Doc} doc
   * @param {OutboxRecord[]} records
   */
  swap(doc, records) {
    this.doc?.off("update", this.onUpdate);
    this.doc = doc;
    doc.on("update", this.onUpdate);
    this.outbox.setRecords(records);
    this.emit("document", { doc, text: doc.getText(ROOT) });
  }

  /**
   * @param {number} client
   * @param {string} user
   * @param {boolean} issued
   * @returns {OutboxRecord}
   */
  newRecord(client, user, issued) {
    return {
      page: this.page,
      client,
      user,
      issued,
      owner: this.options.client,
      created: this.now(),
      flight: null,
      entries: [],
      nextSeq: 1,
    };
  }

  // ---- the browser's store ----------------------------------------------------------------------------------

  /** Opens the store and takes over what tabs that are gone left behind. */
  async openLocal() {
    try {
      this.store = this.outbox.store = await this.options.store;
      const { doc, records } = await this.store.load(this.page);
      this.copy = doc;
      this.adopted = await this.takeOver(records);
    } catch (error) {
      this.giveStoreUp(error);
    }
  }

  /**
   * @param {import('../outbox/store.js').StoredRecord[]} records
   * @returns {Promise<OutboxRecord[]>} those whose tab is gone, now ours
   */
  async takeOver(records) {
    const { keeper, client } = this.options;
    const taken = [];
    let alive = 0;
    for (const record of records) {
      if (this.outbox.records.some((mine) => mine.client === record.client)) continue;
      if (!(await keeper.hold(this.page, record.client))) alive += 1;
      else if (!(await this.store.claim(this.page, record.client, record.owner, client))) {
        keeper.release(this.page, record.client);
      } else if (record.entries.length === 0) {
        await this.store.remove(this.page, record.client);
        keeper.release(this.page, record.client);
      } else taken.push(toOutboxRecord({ ...record, owner: client }));
    }
    // A tab that is just being closed may still hold its lock; its edits must not wait for the next visit.
    if (alive > 0) this.lookAgain(this.options.adoptAgainMs ?? 1000);
    return taken;
  }

  /** @param {number} afterMs */
  lookAgain(afterMs) {
    if (this.adoptTimer || this.closed || afterMs > 60_000) return;
    this.adoptTimer = setTimeout(async () => {
      this.adoptTimer = null;
      try {
        await this.rebuilding;
        if (this.closed || !this.genuine) return this.lookAgain(afterMs * 4);
        const { records } = await this.store.load(this.page);
        const taken = await this.takeOver(records.filter((record) => record.entries.length > 0));
        const own = this.outbox.own;
        if (taken.length > 0 && own) {
          this.outbox.pause();
          this.adopted = taken;
          this.outbox.setRecords([...this.outbox.records.filter((record) => record !== own), ...taken, own]);
          await this.rebuild();
        }
      } catch (error) {
        this.giveStoreUp(error);
      }
      this.lookAgain(afterMs * 4);
    }, afterMs);
  }

  /**
   * Other pages of which this browser has unsent edits that no living tab takes care of.
   * @returns {Promise<string[]>} their paths
   */
  async forsakenPages() {
    await this.local;
    const { keeper } = this.options;
    const paths = [];
    for (const { page, path } of await this.store.unsentPages()) {
      if (page === this.page) continue;
      const { records } = await this.store.load(page);
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
   * @param {OutboxRecord} record
   */
  discard(record) {
    this.outbox.keep(this.store.remove(this.page, record.client));
    this.options.keeper.release(this.page, record.client);
  }

  /** @param {unknown} error */
  giveStoreUp(error) {
    if (!this.store.durable) return;
    console.warn("halley: this browser keeps no unsent changes", error);
    const memory = new MemoryStore();
    this.store = this.outbox.store = memory;
    this.emit("storeFailed", error);
    this.outbox.publish();
  }

  scheduleCopy() {
    if (this.copyTimer || !this.store.durable) return;
    this.copyTimer = setTimeout(
      () => {
        this.copyTimer = null;
        this.saveCopy();
      },
      Math.max(COPY_AFTER_MS, this.copyCostMs * 100),
    );
  }

  saveCopy() {
    if (this.copyTimer) clearTimeout(this.copyTimer);
    this.copyTimer = null;
    if (!this.doc || !this.store.durable || this.closed) return;
    const started = performance.now();
    const state = Y.encodeStateAsUpdate(this.doc);
    this.copyCostMs = performance.now() - started;
    const copy = { page: this.page, path: this.options.path, state, rev: this.rev, at: this.now() };
    this.outbox.keep(this.store.putDoc(copy, KEEP_DOCS));
  }

  // ---- time -------------------------------------------------------------------------------------------------

  /** @param {number | null} [atLeastMs] */
  backoff(atLeastMs = null) {
    const { backoffMs, backoffMaxMs } = this.outbox.timing;
    const ceiling = Math.min(backoffMaxMs, backoffMs * 2 ** Math.min(this.failures, 10));
    this.failures += 1;
    return Math.max(atLeastMs ?? 0, ceiling * (0.5 + this.random() / 2));
  }

  /** @param {number} ms @returns {Promise<void>} resolves early on `retryNow` and `stop` */
  sleep(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      const session = this;
      function done() {
        clearTimeout(timer);
        session.wakeUp = null;
        resolve();
      }
      this.wakeUp = done;
    });
  }
}

/** @param {unknown} error */
const isNetwork = (error) => error instanceof Error && error.name === "NetworkError";

/**
 * All that a record has not had acknowledged, as one update.
 * @param {OutboxRecord} record
 */
function bytesOf(record) {
  const parts = record.entries.map((entry) => entry.bytes);
  return mergeUpdates(record.flight ? [record.flight.bytes, ...parts] : parts);
}

/**
 * @param {Uint8Array[]} updates
 * @returns {import('../../vendor/editor.js').Y.Doc}
 */
function docFrom(updates) {
  const doc = new Y.Doc();
  doc.getText(ROOT);
  for (const bytes of updates) if (!isEmpty(bytes)) Y.applyUpdate(doc, bytes, REMOTE);
  return doc;
}

/**
 * Whether the updates leave nothing pending on top of a document, which is not touched.
 * @param {import('../../vendor/editor.js').Y.Doc} doc
 * @param {Uint8Array[]} updates
 */
function fits(doc, updates) {
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
 * @param {import('../../vendor/editor.js').Y.Doc} doc
 * @param {number} client
 * @param {Uint8Array[]} updates
 * @returns {Uint8Array[]} the updates that these edits are
 */
function rewrite(doc, client, updates) {
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
