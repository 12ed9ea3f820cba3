/**
 * What the ages in the frames of a stream tell: how late each comes, and whether
 * each waits for the next one.
 * @module
 */

/** @typedef {import("../ladder.js").Ladder} Ladder */
/** @typedef {import("../ladder.js").Try} Try */

/**
 * When frames came, and when they were written, as far as it tells networks apart.
 * @typedef {object} Pace
 * @property {number | null} at when the last read came, ms since the stream was asked for
 * @property {number} transit of the last frame of that read
 * @property {number} pairs reads that were followed by another
 * @property {[number, number]} own least and greatest transit of the last frames of reads
 * @property {[number, number]} pushed least and greatest time from the writing of a read's first frame back to the arrival of the read before it
 */

/** Frames closer than this came in one read, in ms. */
const TOGETHER = 5;
/** Fewer reads than this prove no habit. */
const PAIRS = 3;
/** Transits that differ by less than this are good enough, whatever their cause, in ms. */
const UNEVEN = 300;
/** How exactly arrivals must follow the writing of the next frame: in ms, or this share of how uneven the transits are. */
const EXACT = 60;
const EXACT_SHARE = 0.2;

/** @returns {Pace} */
export function newPace() {
  return { at: null, transit: 0, pairs: 0, own: [Infinity, -Infinity], pushed: [Infinity, -Infinity] };
}

/** @param {[number, number]} range @param {number} value */
function widen(range, value) {
  range[0] = Math.min(range[0], value);
  range[1] = Math.max(range[1], value);
}

/**
 * Notes a frame. `t` is the age of the stream when the server wrote it.
 * @param {Ladder} ladder
 * @param {Try} stream
 * @param {number | undefined} t ms
 * @returns {number} how much later than the quickest frame this one came, ms
 */
export function noteFrame(ladder, stream, t) {
  if (t === undefined || !Number.isFinite(t)) return 0;
  const { pace } = stream;
  const at = ladder.now - stream.openedAt;
  const transit = at - t;
  if (pace.at !== null && at - pace.at > TOGETHER) {
    pace.pairs += 1;
    widen(pace.own, pace.transit);
    widen(pace.pushed, pace.at - t);
  }
  pace.at = at;
  pace.transit = transit;
  stream.transit = Math.min(stream.transit, transit);
  return transit - stream.transit;
}

/**
 * Each frame came not when it was written, but when the next one was: something
 * on the way lets one push the other out. The last word of a burst would wait for
 * the next heartbeat.
 * @param {Ladder} ladder
 * @param {Try} stream
 */
export function oneBehind(ladder, stream) {
  const { pairs, transit, own, pushed } = stream.pace;
  if (stream.pad || pairs < PAIRS || ladder.hidden || ladder.forced === "stream") return false;
  const uneven = Math.max(own[1], transit) - Math.min(own[0], transit);
  return uneven >= UNEVEN && pushed[1] - pushed[0] <= Math.max(EXACT, uneven * EXACT_SHARE);
}

/**
 * Two late frames some time apart and none in time between: the network holds back. One burst of late frames is a
 * computer that slept.
 * @param {Ladder} ladder
 * @param {Try} stream
 * @param {number} behind ms
 */
export function staysLate(ladder, stream, behind) {
  if (behind <= ladder.timing.ahead || ladder.hidden || ladder.forced === "stream") {
    stream.lateAt = null;
    return false;
  }
  stream.lateAt ??= ladder.now;
  return ladder.now - stream.lateAt >= 1000;
}
