/**
 * What a copy of the page has shown, and when: from the times of changes and
 * the times of revisions on the screen come delays, staleness and what was never
 * seen. Pure: time goes in as milliseconds of one clock.
 *
 * A copy is *stale* from the moment a change is made until it shows that change;
 * its staleness is the age of the oldest change that it does not show.
 * @module
 */

/**
 * A change of the text. `rev` is null until the server has said which revision has it.
 * @typedef {{ at: number, rev: number | null }} Change
 */

/** @typedef {{ n: number, delay: number, together: boolean }} Shown a change on the screen: its number, ms, and whether another one came with it after it */

/**
 * The value below which a share of the values lies (nearest rank).
 * @param {readonly number[]} sorted ascending
 * @param {number} share 0..1
 * @returns {number | null} null when there are none
 */
export function quantile(sorted, share) {
  if (sorted.length === 0) return null;
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

export class Tally {
  /**
   * @param {readonly Change[]} changes of all copies; revisions never go down in it. Those made so far do not count
   * @param {number} now
   */
  constructor(changes, now) {
    this.changes = changes;
    /** The first change that is not shown. */
    this.next = changes.length;
    /** @type {Shown[]} */
    this.shown = [];
    /** Changes that came on the screen together with a later one, so nobody saw them by themselves. */
    this.missed = 0;
    /** Staleness over time, ms². */
    this.area = 0;
    /** When the last change was shown: before that a later one adds no staleness of its own. */
    this.freshAt = now;
    /** @type {{ rev: number, at: number }[]} revisions on the screen, not yet used up */
    this.arrivals = [];
    /** The arrival that showed the last change. @type {{ rev: number, at: number } | null} */
    this.lastArrival = null;
  }

  /** The copy shows this revision. @param {number} rev @param {number} at */
  arrived(rev, at) {
    const last = this.arrivals.at(-1) ?? this.lastArrival;
    if (last && rev <= last.rev) return;
    this.arrivals.push({ rev, at });
    this.settle();
  }

  /** Books what is known to be shown. Called also when the revision of a change becomes known. */
  settle() {
    for (let change = this.changes[this.next]; change && change.rev !== null; change = this.changes[this.next]) {
      const { rev } = change;
      const last = this.lastArrival;
      let arrival = last;
      if (!last || last.rev < rev) {
        while (this.arrivals.length > 0 && this.arrivals[0].rev < rev) this.arrivals.shift();
        arrival = this.arrivals.shift() ?? null;
        if (!arrival) return;
      }
      if (!arrival) return;
      if (arrival === last && this.shown.length > 0) {
        this.missed += 1;
        this.shown[this.shown.length - 1].together = true;
      }
      this.lastArrival = arrival;
      // The answer to the request may take longer than the change to the screen, never the key.
      const at = Math.max(arrival.at, change.at);
      this.area += this.staleBetween(change, at);
      this.shown.push({ n: this.next, delay: at - change.at, together: false });
      this.freshAt = Math.max(this.freshAt, at);
      this.next += 1;
    }
  }

  /** Staleness that a change adds until `until`, ms². @param {Change} change @param {number} until */
  staleBetween(change, until) {
    const from = Math.max(change.at, this.freshAt) - change.at;
    const to = until - change.at;
    return to > from ? (to * to - from * from) / 2 : 0;
  }

  /** Age of the oldest change that is not shown, ms. @param {number} now @returns {number} 0: up to date */
  staleness(now) {
    const change = this.changes[this.next];
    return change ? Math.max(0, now - change.at) : 0;
  }

  /** How many changes are not shown. */
  get behind() {
    return this.changes.length - this.next;
  }

  /** Staleness over time so far, ms². @param {number} now */
  areaAt(now) {
    const change = this.changes[this.next];
    return this.area + (change ? this.staleBetween(change, now) : 0);
  }

  /**
   * The run pauses: what is under way counts neither as shown nor as missed.
   * @param {number} now
   */
  skip(now) {
    this.area = this.areaAt(now);
    this.next = this.changes.length;
    this.freshAt = now;
  }

  /** Time goes on after a pause. @param {number} now */
  resume(now) {
    this.next = this.changes.length;
    this.freshAt = now;
  }

  /** Delays in ms, ascending. @returns {number[]} */
  sortedDelays() {
    return this.shown.map((shown) => shown.delay).sort((a, b) => a - b);
  }
}

/**
 * @typedef {object} Figures what the page and the CSV say about a copy; null: nothing to say yet
 * @property {number} stale ms
 * @property {number} behind changes
 * @property {number | null} average staleness over the run, ms
 * @property {number | null} p50 time from edit to screen, ms
 * @property {number | null} p95
 * @property {number | null} max
 * @property {number} shown changes
 * @property {number} missed changes
 * @property {number} requests
 * @property {number} bytes
 * @property {number | null} requestsPerMinute
 * @property {number | null} bytesPerMinute
 * @property {number | null} bytesPerChange
 */

/** No rate is told before this much time has been measured, in ms. */
const SOON = 3000;

/**
 * @param {Tally} tally
 * @param {import("./meter.js").Counts} counts
 * @param {number} now
 * @param {number} measured ms that were measured
 * @returns {Figures}
 */
export function figures(tally, counts, now, measured) {
  const delays = tally.sortedDelays();
  const bytes = counts.bodyBytes + counts.headBytes;
  const perMinute = (/** @type {number} */ count) => (measured < SOON ? null : (count * 60000) / measured);
  return {
    stale: tally.staleness(now),
    behind: tally.behind,
    average: measured < SOON ? null : tally.areaAt(now) / measured,
    p50: quantile(delays, 0.5),
    p95: quantile(delays, 0.95),
    max: quantile(delays, 1),
    shown: delays.length,
    missed: tally.missed,
    requests: counts.requests,
    bytes,
    requestsPerMinute: perMinute(counts.requests),
    bytesPerMinute: perMinute(bytes),
    bytesPerChange: delays.length === 0 ? null : bytes / delays.length,
  };
}
