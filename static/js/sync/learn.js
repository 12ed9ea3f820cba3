/**
 * What faults teach: ends of streams, mutes, ages at which held requests fail.
 * Plain counting over windows of time; no clock of its own.
 * @module
 */

/** @typedef {{ at: number, ageMs: number, blocked: boolean }} Cut */

/** Two ages are alike within a quarter of the greater, or both under 1.5 s. @param {number} a @param {number} b */
export function similarAges(a, b) {
  return Math.abs(a - b) <= 0.25 * Math.max(a, b) || (a < 1500 && b < 1500);
}

/** Unlike failures of held requests in two minutes that are too many, whatever their cause. */
const HOLD_FAILURES = 4;

export class OutcomeLog {
  /** @param {import("./timing.js").Timing} timing */
  constructor(timing) {
    this.timing = timing;
    /** @type {Cut[]} */
    this.recent = [];
    /** @type {number[]} */
    this.mutes = [];
    /** @type {{ at: number, ageMs: number }[]} */
    this.holds = [];
    /** @type {number | null} age of the last long stream that ended without bye */
    this.lastLong = null;
    /** @type {number | null} age at which this network ends streams, if it does so regularly */
    this.learnedAge = null;
    this.takenBack = true;
  }

  clear() {
    this.recent = [];
    this.mutes = [];
    this.holds = [];
  }

  /**
   * A stream ended without bye.
   * @param {number} now @param {number} ageMs @param {boolean} blocked it never said hello
   */
  cut(now, ageMs, blocked) {
    if (ageMs < this.timing.cutAge) {
      this.recent = this.cuts(now);
      this.recent.push({ at: now, ageMs, blocked });
      this.takenBack = false;
      return;
    }
    if (this.lastLong !== null && similarAges(this.lastLong, ageMs)) this.learnedAge = Math.min(this.lastLong, ageMs);
    this.lastLong = ageMs;
  }

  /** The last cut was the server going away, not the network cutting: no evidence. */
  takeBackCut() {
    if (!this.takenBack) this.recent.pop();
    this.takenBack = true;
    this.lastLong = null;
  }

  /** Cuts within the window. @param {number} now @returns {Cut[]} */
  cuts(now) {
    return this.recent.filter((cut) => now - cut.at <= this.timing.cutWindow);
  }

  /** Counts a mute; returns how many there were in the window. @param {number} now @returns {number} */
  mute(now) {
    this.mutes = this.mutes.filter((at) => now - at <= this.timing.muteWindow);
    this.mutes.push(now);
    return this.mutes.length;
  }

  /**
   * A held request failed although the server is reachable.
   * @param {number} now @param {number} ageMs
   * @returns {number | null} the age at which two have failed alike, 0 when too many failed in any way, else null
   */
  holdFailure(now, ageMs) {
    this.holds = this.holds.filter((fail) => now - fail.at <= this.timing.cutWindow);
    const alike = this.holds.find((fail) => similarAges(fail.ageMs, ageMs));
    this.holds.push({ at: now, ageMs });
    if (alike) {
      this.holds = [];
      return Math.min(alike.ageMs, ageMs);
    }
    return this.holds.length >= HOLD_FAILURES ? 0 : null;
  }
}
