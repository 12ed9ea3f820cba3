/**
 * Cursors and the interval cover.
 *
 * A cursor is `<epoch>.<seq>`. Every batch names the interval `(from, to]` it
 * covers and each event its own position, so batches may come twice, late, or
 * from several transports at once: the cover says for each which of its events
 * are new, or that it is not joined to what is known yet. That, and nothing in
 * the transports, is what makes "none lost, none applied twice" true.
 * @module
 */

/** @typedef {{ epoch: string, seq: string }} Parts */
/** @typedef {{ from: string | null, to: string, events: readonly { seq?: number }[] }} Interval */

/** What the cover says about a batch. */
export const APPLY = "apply";
/** All of the batch is behind the cursor already. */
export const SEEN = "seen";
/** Something between the cursor and the batch is missing: ask again. */
export const GAP = "gap";
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

/** The position of one reader. */
export class Cover {
  /** @param {string | null} cursor null: begin wherever the server's head is */
  constructor(cursor) {
    /** @type {string | null} */
    this.cursor = parseCursor(cursor) ? cursor : null;
  }

  /**
   * What to do with a batch. Changes nothing.
   * @param {Interval} batch
   * @returns {"apply" | "seen" | "gap"}
   */
  judge(batch) {
    if (this.cursor === null) return APPLY;
    if (!sameEpoch(this.cursor, batch.to)) return GAP;
    if (covers(this.cursor, batch.to)) return SEEN;
    // Also when `from` is of another epoch, or missing: nothing covers it.
    if (!covers(this.cursor, batch.from)) return GAP;
    // A batch that begins behind is split by the positions of its events; without them it cannot be.
    return batch.from === this.cursor || batch.events.every((event) => Number.isInteger(event?.seq)) ? APPLY : GAP;
  }

  /**
   * Moves past a batch that was judged `apply`.
   * @template {{ seq?: number }} E
   * @param {{ from: string | null, to: string, events: readonly E[] }} batch
   * @returns {readonly E[]} the events that are new, in order
   */
  advance(batch) {
    const own = batch.from === this.cursor ? null : parseCursor(this.cursor);
    this.cursor = batch.to;
    return own ? batch.events.filter((event) => compareSeq(String(event.seq), own.seq) > 0) : batch.events;
  }

  /**
   * Begins anew at `cursor`, after a reset.
   * @param {string | null} cursor
   */
  jump(cursor) {
    this.cursor = parseCursor(cursor) ? cursor : null;
  }
}
