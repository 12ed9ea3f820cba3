/**
 * Cursors and the interval cover.
 *
 * A cursor is `<epoch>.<seq>`. Every batch names the interval `(from, to]` it
 * covers, so batches may come twice, late, or from two transports at once: the
 * cover says for each whether its events are new, old, or not joined to what is
 * known yet. That, and nothing in the transports, is what makes "none lost, none
 * applied twice" true.
 * @module
 */

/** @typedef {{ epoch: string, seq: string }} Parts */
/** @typedef {{ from: string | null, to: string, events: unknown[] }} Interval */

/** What the cover says about a batch. */
export const APPLY = "apply";
/** All of the batch is behind the cursor already. */
export const SEEN = "seen";
/** Something between the cursor and the batch is missing: ask again. */
export const GAP = "gap";
/** The batch begins behind the cursor and ends ahead of it, so it cannot be split: ask again. */
export const OVERLAP = "overlap";

const CURSOR = /^([a-z2-7]{8})\.(0|[1-9][0-9]{0,18})$/;

/**
 * Splits a cursor; null when it is not one.
 * @param {unknown} cursor
 * @returns {Parts | null}
 */
export function parseCursor(cursor) {
  const match = typeof cursor === "string" ? CURSOR.exec(cursor) : null;
  return match ? { epoch: match[1], seq: match[2] } : null;
}

/**
 * Orders two decimal numbers without leading zeros, exactly, at any length.
 * @param {string} a
 * @param {string} b
 * @returns {number} negative, zero or positive
 */
function compareSeq(a, b) {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * True when everything up to `target` is behind `cursor`. A cursor of another
 * epoch covers nothing.
 * @param {string | null} cursor
 * @param {string | null} target
 * @returns {boolean}
 */
export function covers(cursor, target) {
  const own = parseCursor(cursor);
  const other = parseCursor(target);
  if (!own || !other || own.epoch !== other.epoch) return false;
  return compareSeq(own.seq, other.seq) >= 0;
}

/** @param {string | null} a @param {string | null} b @returns {boolean} */
export function sameEpoch(a, b) {
  const one = parseCursor(a);
  const two = parseCursor(b);
  return !!one && !!two && one.epoch === two.epoch;
}

/**
 * The position of one reader.
 *
 * `floor` is the oldest cursor from which nothing has happened up to `cursor`:
 * a batch that begins anywhere in between joins just as well, because the part
 * it repeats is known to be empty. Without it each empty poll beside a stream
 * would put the two out of step.
 */
export class Cover {
  /** @param {string | null} cursor null: begin wherever the server's head is */
  constructor(cursor) {
    /** @type {string | null} */
    this.cursor = parseCursor(cursor) ? cursor : null;
    /** @type {string | null} */
    this.floor = this.cursor;
  }

  /**
   * What to do with a batch. Changes nothing.
   * @param {Interval} batch
   * @returns {"apply" | "seen" | "gap" | "overlap"}
   */
  judge(batch) {
    if (this.cursor === null) return APPLY;
    if (!sameEpoch(this.cursor, batch.to)) return GAP;
    if (covers(this.cursor, batch.to)) return SEEN;
    // Also when `from` is of another epoch, or missing: nothing covers it.
    if (!covers(this.cursor, batch.from)) return GAP;
    return covers(batch.from, this.floor) || batch.events.length === 0 ? APPLY : OVERLAP;
  }

  /**
   * Moves past a batch that was judged `apply`.
   * @param {Interval} batch
   */
  advance(batch) {
    this.cursor = batch.to;
    if (batch.events.length > 0 || this.floor === null) this.floor = batch.to;
  }

  /**
   * Begins anew at `cursor`, after a reset.
   * @param {string | null} cursor
   */
  jump(cursor) {
    this.cursor = parseCursor(cursor) ? cursor : null;
    this.floor = this.cursor;
  }
}
