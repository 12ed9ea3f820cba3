// The document session of one page in one tab: a Y.Doc that follows the server's, and an outbox for what is typed.
// No DOM, so that tests run it as it is.
//
// The document is always one of two kinds. Built from the server's state, under a client id that the server issued:
// everything typed goes out as it is. Or opened from the copy in this browser while the server is out of reach,
// under an id made up here: what is typed is kept, and written again as edits of an issued id once there is one.
// Whatever goes wrong (another login, a refused update, a document that differs) has one remedy, `rebuild`: take the
// server's state, put back on top what the server has not acknowledged, and swap the documents in one step.

import { Outbox } from "../outbox/outbox.js";
import { MemoryStore } from "../outbox/store.js";
import { onlyClients } from "../outbox/updates.js";
import { Y } from "../../vendor/editor.js";
import { build } from "./session/build.js";
import { ROOT } from "./session/document.js";
import { fetchMissing, release, take } from "./session/follow.js";
import { discard, forsakenPages, giveStoreUp, openLocal, saveCopy, scheduleCopy } from "./session/local.js";

/** @typedef {import('../outbox/outbox.js').OutboxRecord} OutboxRecord */
/** @typedef {import('../outbox/outbox.js').Status} Status */
/** @typedef {import('../outbox/api.js').Api} Api */
/** @typedef {import('../outbox/api.js').HttpError} HttpError */
/** @typedef {import('../outbox/api.js').You} You */
/** @typedef {import('../outbox/store.js').Store} Store */
/** @typedef {import('../outbox/keeper.js').Keeper} Keeper */

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
        if (!reached && this.reachable) saveCopy(this);
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
      onStoreError: (error) => giveStoreUp(this, error),
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
    this.local ??= openLocal(this);
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
    saveCopy(this);
    this.outbox.leave();
  }

  /** The network came back, or a person asks to try again. @param {{ asked?: boolean }} [by] */
  retryNow(by) {
    this.failures = 0;
    // Whoever refused may have been a filter that is gone: a few more rebuilds are due.
    this.refusals = 0;
    this.wakeUp?.();
    this.outbox.retryNow(by);
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
    else if (this.doc) take(this, event);
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
    this.syncing ??= fetchMissing(this);
    return this.syncing;
  }

  // ---- what is typed here -----------------------------------------------------------------------------------

  /**
   * @param {Uint8Array} update
   * @param {unknown} _origin
   * @param {import('../../vendor/editor.js').Y.Doc} _doc
   * @param {{ local: boolean }} transaction
   */
  onUpdate(update, _origin, _doc, transaction) {
    scheduleCopy(this);
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
    this.rebuilding ??= build(this).finally(() => {
      this.rebuilding = null;
      if (!this.closed) release(this);
    });
    return this.rebuilding;
  }

  // ---- the browser's store ----------------------------------------------------------------------------------

  /**
   * Other pages of which this browser has unsent edits that no living tab takes care of.
   * @returns {Promise<string[]>} their paths
   */
  forsakenPages() {
    return forsakenPages(this);
  }

  /**
   * Forgets text that was offered as a copy.
   * @param {OutboxRecord} record
   */
  discard(record) {
    discard(this, record);
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
