// The outbox: takes every local edit, keeps it in the browser's store, and sends it to the server exactly once.
//
// Safety: an entry leaves the log only when the server has acknowledged bytes that contain it. What was sent once
// under an operation id is sent again byte for byte until there is a definite answer, so an acknowledgement that got
// lost doubles nothing; and should the id be lost as well (a crash before it was stored), the clocks in the bytes
// tell the server that it knows them. Liveness: unless it is told to wait for somebody (a rebuild, a full page), a
// timer or a request is always under way while something is unsent.

import { HttpError } from "./api.js";
import { firstClock, isEmpty, mergeUpdates, splitUpdate } from "./updates.js";
import { Y } from "../../vendor/editor.js";

/** @typedef {import('./store.js').StoredRecord} StoredRecord */
/** @typedef {import('./store.js').Store} Store */
/** @typedef {import('./api.js').Api} Api */
/** @typedef {StoredRecord & { nextSeq: number }} OutboxRecord a record and the number of its next entry */

/**
 * @typedef {object} Status what is true about saving right now
 * @property {'saved' | 'saving' | 'unsaved' | 'offline' | 'refused'} state
 * @property {number} count changes that are not acknowledged
 * @property {number | null} since ms since 1970 at which the server stopped answering
 * @property {string} code why it is `refused` or slow: the server's error code, or empty
 * @property {boolean} durable whether unsent changes survive the tab
 */

/**
 * @typedef {object} Timing all in ms
 * @property {number} gapMs shortest time between the starts of two requests; the server allows 20 a second
 * @property {number} patienceMs how long a request may take before "saving" would be a wish
 * @property {number} backoffMs first pause after a failure, doubled for each further one
 * @property {number} backoffMaxMs
 * @property {number} refusedMs pause after a refusal that only a person can end (rights)
 * @property {number} againMs shortest pause after a failure when the network is said to be back
 * @property {number} dragMs a large request that fails after so long was too large for its line
 */

/** @type {Timing} */
export const TIMING = {
  gapMs: 50,
  patienceMs: 3000,
  backoffMs: 500,
  backoffMaxMs: 30_000,
  refusedMs: 60_000,
  againMs: 1000,
  dragMs: 10_000,
};

/** Most entries joined into one request: merging costs about 10 µs each. */
const MAX_ENTRIES = 4000;
/** Bytes of entries joined into one request, below the limit of `splitUpdate`. */
const MAX_BYTES = 160 * 1024;
/** A request of this many bytes or fewer is worth sending again as it is, however slow the line. */
const DRAG_BYTES = 16 * 1024;
/** A record that is told its clocks are wrong this often in a row is handed to the session. */
const MAX_REBASES = 3;

/**
 * @typedef {object} OutboxOptions
 * @property {number} page
 * @property {Api} api
 * @property {Store} store
 * @property {() => string} newOp
 * @property {(record: OutboxRecord, error: HttpError) => void} onRefused the session must deal with it and `resume`
 * @property {(record: OutboxRecord, sv: Uint8Array) => Uint8Array | null} diffFor everything under the record's client
 *   id that a server with this state vector lacks, from the live document; null when the document does not have it
 * @property {(rev: number) => void} [onAcked]
 * @property {(record: OutboxRecord) => void} [onSettled] an adopted record has been sent completely
 * @property {() => { cursor: string, topics: string[] | string } | null} [piggyback]
 * @property {(batch: any) => void} [onBatch]
 * @property {(reached: boolean) => void} [onContact] the server was reached, or was not
 * @property {(status: Status) => void} [onStatus]
 * @property {(error: unknown) => void} [onStoreError]
 * @property {Partial<Timing>} [timing]
 * @property {() => number} [random] 0..1
 * @property {() => number} [now] ms since 1970
 */

export class Outbox {
  /** @param {OutboxOptions} options */
  constructor(options) {
    this.options = options;
    this.store = options.store;
    /** @type {Timing} */
    this.timing = { ...TIMING, ...options.timing };
    this.now = options.now ?? Date.now;
    this.random = options.random ?? Math.random;
    /** @type {OutboxRecord[]} in sending order; the own one is last */
    this.records = [];
    /** @type {OutboxRecord | null} */
    this.own = null;
    /** Held while the session rebuilds; edits are still taken. */
    this.paused = true;
    this.closed = false;
    this.busy = false;
    this.sentAt = 0;
    this.notBefore = 0;
    /** The server wants nothing before. */
    this.floor = 0;
    this.failures = 0;
    this.rebases = 0;
    /** Requests in a row that took long and came to nothing. */
    this.drags = 0;
    /** Bytes of entries joined into one request, fewer on a line that was too slow for as many. */
    this.packBytes = MAX_BYTES;
    /** @type {number | null} */
    this.offlineSince = null;
    /** Why nothing is sent until something changes; empty: nothing is in the way. */
    this.blocked = "";
    /** Why the last request was put off, although it will be repeated. */
    this.slow = "";
    /** @type {ReturnType<typeof setTimeout> | null} */
    this.timer = null;
    /** @type {ReturnType<typeof setTimeout> | null} */
    this.patience = null;
    /** @type {Set<() => void>} */
    this.waiters = new Set();
    /** @type {(() => void)[]} */
    this.idlers = [];
    this.lastStatus = "";
  }

  /** Changes that the server has not acknowledged. */
  get unsaved() {
    let count = 0;
    for (const record of this.records) count += record.entries.length;
    return count;
  }

  /** @returns {Status} */
  get status() {
    const count = this.unsaved;
    const durable = this.store.durable;
    const base = { count, since: this.offlineSince, code: this.blocked || this.slow, durable };
    if (count === 0) return { ...base, code: "", state: "saved" };
    if (this.blocked || this.slow) return { ...base, state: "refused" };
    if (this.offlineSince !== null) return { ...base, state: "offline" };
    const late = this.busy && this.now() - this.sentAt >= this.timing.patienceMs;
    return { ...base, state: late || this.paused ? "unsaved" : "saving" };
  }

  /**
   * Puts records in the place of those it had. The last one takes the local edits.
   * @param {OutboxRecord[]} records
   */
  setRecords(records) {
    this.records = records;
    this.own = records[records.length - 1] ?? null;
    this.rebases = 0;
    this.publish();
  }

  /**
   * Takes one local edit. It is on its way to the browser's store when this returns.
   * @param {Uint8Array} update
   * @returns {void}
   */
  add(update) {
    const own = this.own;
    if (!own) throw new Error("the outbox has no record to add to");
    const entries = splitUpdate(update).map((bytes) => ({ seq: own.nextSeq++, bytes }));
    own.entries.push(...entries);
    this.keep(this.store.append(own, entries));
    if (this.blocked === "page_full") this.blocked = "";
    this.publish();
    this.kick();
  }

  /** Lets requests go out. */
  resume() {
    if (this.closed) return;
    this.paused = false;
    this.publish();
    this.kick();
  }

  /** No new request starts until `resume`. */
  pause() {
    this.paused = true;
    this.publish();
  }

  /**
   * Tries again before its time: the network came back, which may be said often and in vain, or a person asks for it.
   * @param {{ asked?: boolean }} [by] a person: at once, whatever the server has asked for
   */
  retryNow({ asked = false } = {}) {
    const soonest = asked ? 0 : Math.max(this.floor, this.sentAt + this.timing.againMs);
    this.notBefore = Math.min(this.notBefore, soonest);
    if (asked) this.failures = 0;
    if (this.blocked !== "page_full") this.blocked = "";
    // It may wait for the end of a long pause.
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    this.kick();
  }

  /** The session could not reach the server either. */
  noteOffline() {
    this.offlineSince ??= this.now();
    this.publish();
  }

  /** The session has reached the server. */
  noteOnline() {
    this.offlineSince = null;
    this.publish();
  }

  /**
   * Resolves with true once nothing is unsent, with false after `ms`.
   * @param {number} ms
   * @returns {Promise<boolean>}
   */
  whenSaved(ms) {
    if (this.unsaved === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.waiters.delete(done);
        resolve(this.unsaved === 0);
      };
      const timer = setTimeout(done, ms);
      this.waiters.add(done);
    });
  }

  /** Resolves when no request is under way. @returns {Promise<void>} */
  idle() {
    if (!this.busy) return Promise.resolve();
    return new Promise((resolve) => this.idlers.push(resolve));
  }

  /**
   * The page is being left: sends what is unsent in requests that outlive it. Whether they arrive is not awaited;
   * the store still has the entries, and sending them again is harmless.
   */
  leave() {
    if (this.paused || this.blocked) return;
    let budget = 60 * 1024;
    for (const record of this.records) {
      if (!record.issued || record.entries.length === 0) continue;
      const resend = record.flight;
      const rest = record.entries.filter((entry) => entry.seq > (resend?.upto ?? 0));
      const flights = resend ? [resend] : [];
      if (rest.length > 0) flights.push(this.pack(record, rest));
      for (const flight of flights) {
        budget -= flight.bytes.length;
        if (budget < 0) return;
        this.options.api.update(flight.op, flight.bytes, { keepalive: true }).catch(() => {});
      }
    }
  }

  /** Ends for good; nothing that is stored is touched. */
  close() {
    this.closed = true;
    this.paused = true;
    if (this.timer) clearTimeout(this.timer);
    if (this.patience) clearTimeout(this.patience);
    this.timer = null;
    for (const waiter of [...this.waiters]) waiter();
  }

  /** Starts the next request now or when it may start. */
  kick() {
    if (this.closed || this.paused || this.busy || this.blocked || this.timer) return;
    if (!this.next()) return;
    const wait = Math.max(this.sentAt + this.timing.gapMs, this.notBefore) - this.now();
    // Even the first key waits for the end of this turn, so that one action with several edits is one request.
    this.timer = setTimeout(
      () => {
        this.timer = null;
        void this.send();
      },
      Math.max(0, wait),
    );
  }

  /** @returns {OutboxRecord | undefined} the record whose turn it is */
  next() {
    return this.records.find((record) => record.issued && record.entries.length > 0);
  }

  /**
   * @param {OutboxRecord} record
   * @param {{ seq: number, bytes: Uint8Array }[]} entries
   */
  pack(record, entries) {
    let size = 0;
    let count = 0;
    for (const entry of entries) {
      if (count > 0 && (count >= MAX_ENTRIES || size + entry.bytes.length > this.packBytes)) break;
      size += entry.bytes.length;
      count += 1;
    }
    const taken = entries.slice(0, count);
    const bytes = mergeUpdates(taken.map((entry) => entry.bytes));
    return { op: this.options.newOp(), bytes, upto: taken[count - 1].seq };
  }

  async send() {
    if (this.closed || this.paused || this.busy) return;
    const record = this.next();
    if (!record) return;
    if (!record.flight) {
      record.flight = this.pack(record, record.entries);
      this.keep(this.store.acknowledge(record, 0));
    }
    const flight = record.flight;
    this.busy = true;
    this.sentAt = this.now();
    this.patience = setTimeout(() => this.publish(), this.timing.patienceMs);
    this.publish();
    try {
      const accepted = await this.options.api.update(flight.op, flight.bytes, {
        piggyback: this.options.piggyback?.() ?? null,
      });
      this.accept(record, flight, accepted);
    } catch (error) {
      // A record that was replaced meanwhile (by a rebuild) is no longer ours to judge.
      if (this.records.includes(record) && record.flight === flight) this.refuse(record, error);
    } finally {
      this.busy = false;
      for (const idler of this.idlers.splice(0)) idler();
      if (this.patience) clearTimeout(this.patience);
      this.publish();
      this.kick();
    }
  }

  /**
   * @param {OutboxRecord} record
   * @param {import('./store.js').Flight} flight
   * @param {import('./api.js').Accepted} accepted
   */
  accept(record, flight, accepted) {
    this.reached();
    this.rebases = 0;
    this.slow = "";
    if (record.flight === flight) {
      record.flight = null;
      record.entries = record.entries.filter((entry) => entry.seq > flight.upto);
      if (record !== this.own && record.entries.length === 0) {
        this.records = this.records.filter((other) => other !== record);
        this.keep(this.store.settle(record.page, record.client, flight.upto));
        this.options.onSettled?.(record);
      } else this.keep(this.store.acknowledge(record, flight.upto));
    }
    this.options.onAcked?.(accepted.rev);
    if (accepted.batch) this.options.onBatch?.(accepted.batch);
  }

  /**
   * @param {OutboxRecord} record
   * @param {unknown} error
   */
  refuse(record, error) {
    if (!(error instanceof HttpError)) {
      this.offlineSince ??= this.sentAt;
      this.options.onContact?.(false);
      // A browser that still sends may never read the server's "that took too long", only a broken connection.
      const large = (record.flight?.bytes.length ?? 0) > DRAG_BYTES;
      this.drags = large && this.now() - this.sentAt >= this.timing.dragMs ? this.drags + 1 : 0;
      if (this.drags >= 2 && this.cutSlow(record)) this.drags = 0;
      this.wait(null);
      return;
    }
    this.reached();
    const { status, code } = error;
    if (status === 408 && this.cutSlow(record)) {
      // The line is too slow for so much at once. Should it have been taken all the same, the clocks tell.
      this.slow = "";
    } else if (status === 408 || status === 429 || status >= 500) {
      this.slow = code;
      this.wait(error.retryAfterMs);
    } else if (status === 409 && error.sv && this.rebases < MAX_REBASES && this.rebase(record, error.sv)) {
      this.rebases += 1;
    } else if (status === 413 && code === "page_full") {
      // Nothing was applied, so the operation is over; the next edit may be the deletion that makes room.
      record.flight = null;
      this.keep(this.store.acknowledge(record, 0));
      this.blocked = code;
    } else if (status === 413 && this.cut(record)) {
      this.slow = "";
    } else if (status === 410 || (status === 404 && code === "no_page")) {
      this.blocked = "page_deleted";
    } else if (status === 403) {
      this.slow = code;
      this.wait(this.timing.refusedMs);
    } else {
      this.paused = true;
      this.options.onRefused(record, error);
    }
  }

  /**
   * The server's clock of this client is not where these bytes begin: takes away what it knows, or adds what it lacks.
   * @param {OutboxRecord} record
   * @param {Uint8Array} sv
   * @returns {boolean} false: the bytes cannot be made to fit
   */
  rebase(record, sv) {
    const flight = record.flight;
    if (!flight) return false;
    const known = Y.decodeStateVector(sv).get(record.client) ?? 0;
    let bytes = Y.diffUpdate(flight.bytes, sv);
    let upto = flight.upto;
    const first = firstClock(bytes, record.client);
    if (first !== null && first > known) {
      const more = this.options.diffFor(record, sv);
      const start = more ? firstClock(more, record.client) : null;
      if (!more || isEmpty(more) || start !== known) return false;
      // The document is ahead of the log by nothing, so its difference covers every entry so far.
      const pieces = splitUpdate(more);
      if (pieces.length > 1) return this.relog(record, pieces, []);
      bytes = more;
      upto = record.nextSeq - 1;
    }
    record.flight = { op: this.options.newOp(), bytes, upto };
    this.keep(this.store.acknowledge(record, 0));
    return true;
  }

  /**
   * Cuts what was refused as too large into halves or less.
   * @param {OutboxRecord} record
   * @returns {boolean} false: there is nothing left to cut
   */
  cut(record) {
    const flight = record.flight;
    if (!flight || flight.bytes.length < 512) return false;
    const half = Math.floor(flight.bytes.length / 2);
    const pieces = splitUpdate(flight.bytes, { bytes: half, structs: 500, ranges: 1000 });
    if (pieces.length < 2) return false;
    return this.relog(
      record,
      pieces,
      record.entries.filter((entry) => entry.seq > flight.upto),
    );
  }

  /**
   * Cuts what the line is too slow for; what follows is sent in no larger pieces.
   * @param {OutboxRecord} record
   */
  cutSlow(record) {
    const size = record.flight?.bytes.length ?? 0;
    if (!this.cut(record)) return false;
    this.packBytes = Math.min(this.packBytes, Math.max(DRAG_BYTES / 2, size / 2));
    return true;
  }

  /**
   * Writes a record's log anew: pieces first, each to be sent alone, then the rest.
   * @param {OutboxRecord} record
   * @param {Uint8Array[]} pieces
   * @param {{ seq: number, bytes: Uint8Array }[]} rest
   */
  relog(record, pieces, rest) {
    record.entries = [...pieces, ...rest.map((entry) => entry.bytes)].map((bytes) => ({
      seq: record.nextSeq++,
      bytes,
    }));
    const first = record.entries[0];
    record.flight = { op: this.options.newOp(), bytes: first.bytes, upto: first.seq };
    this.keep(this.store.replace(record.page, [record.client], record, record.entries));
    return true;
  }

  /** @param {number | null} atLeastMs the server's own wish */
  wait(atLeastMs) {
    const ceiling = Math.min(
      this.timing.backoffMaxMs,
      this.timing.backoffMs * 2 ** Math.min(this.failures, 10),
    );
    this.failures += 1;
    this.floor = this.now() + (atLeastMs ?? 0);
    this.notBefore = Math.max(this.floor, this.now() + ceiling * (0.5 + this.random() / 2));
  }

  reached() {
    this.failures = 0;
    this.drags = 0;
    this.floor = 0;
    this.offlineSince = null;
    this.options.onContact?.(true);
  }

  /**
   * Waits for the store without holding anything up. A store that fails is given up, and the status says so.
   * @param {Promise<unknown>} work
   */
  keep(work) {
    work.catch((error) => this.options.onStoreError?.(error));
  }

  publish() {
    if (this.unsaved === 0) for (const waiter of [...this.waiters]) waiter();
    const status = this.status;
    const key = JSON.stringify(status);
    if (key === this.lastStatus) return;
    this.lastStatus = key;
    this.options.onStatus?.(status);
  }
}

/**
 * A stored record as the outbox uses it.
 * @param {StoredRecord} record
 * @returns {OutboxRecord}
 */
export function toOutboxRecord(record) {
  const last = record.entries[record.entries.length - 1]?.seq ?? 0;
  return { ...record, nextSeq: Math.max(last, record.flight?.upto ?? 0) + 1 };
}
