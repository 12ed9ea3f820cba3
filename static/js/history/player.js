/**
 * Plays edits at their own pace, faster, and without the pauses. It knows
 * nothing of the page it plays on.
 * @module
 */

import { lastNotAfter } from "./timeline.js";

/** @typedef {import("./timeline.js").Timeline} Timeline */

/** Where pauses are skipped, no two edits are further apart than this, in ms at normal speed. */
export const LONGEST_MS = 1500;
/** Before the first edit, in ms at normal speed: to see that there was nothing. */
const LEAD_MS = 500;
/** A frame that comes later than this was held up, and is not made up for, in ms. */
const LATE_MS = 250;

/**
 * When each edit is shown, in ms at normal speed since the beginning.
 * @param {Timeline} timeline @param {boolean} skip pauses
 * @returns {Float64Array} of revisions 0 to head; never falls
 */
export function showTimes(timeline, skip) {
  const times = new Float64Array(timeline.head + 1);
  const longest = skip ? LONGEST_MS : Infinity;
  for (let rev = 1; rev <= timeline.head; rev += 1) {
    // A clock that went back is no time at all.
    const pause = rev === 1 ? LEAD_MS : Math.max(0, timeline.at[rev] - timeline.at[rev - 1]);
    times[rev] = times[rev - 1] + Math.min(pause, longest);
  }
  return times;
}

/**
 * @typedef {object} PlayerOptions
 * @property {(rev: number) => void} onShow the revision to be shown has changed
 * @property {(playing: boolean) => void} onState
 * @property {(frame: (now: number) => void) => number} [frame] asks for the next frame
 * @property {(id: number) => void} [cancel]
 * @property {() => number} [leastMs] frames are not shown closer together than this
 */

/** @param {Timeline} timeline @param {PlayerOptions} options */
export function createPlayer(timeline, options) {
  const frame = options.frame ?? ((call) => requestAnimationFrame(call));
  const cancel = options.cancel ?? ((id) => cancelAnimationFrame(id));
  let rev = timeline.head;
  let speed = 1;
  let skip = true;
  let times = showTimes(timeline, skip);
  /** Of the running playback, in ms at normal speed. */
  let position = times[rev];
  let playing = false;
  let waiting = 0;
  let last = 0;
  let shownAt = -Infinity;

  /** @param {number} next */
  function show(next) {
    if (next === rev) return;
    rev = next;
    options.onShow(rev);
  }

  /** @param {number} now */
  function tick(now) {
    if (!playing) return;
    waiting = frame(tick);
    position += Math.min(Math.max(0, now - last), LATE_MS) * speed;
    last = now;
    if (now - shownAt < (options.leastMs?.() ?? 0)) return;
    const next = Math.max(rev, lastNotAfter(times, position, 0, timeline.head, 0));
    if (next !== rev) shownAt = now;
    show(next);
    if (rev >= timeline.head) pause();
  }

  function pause() {
    if (!playing) return;
    playing = false;
    cancel(waiting);
    options.onState(false);
  }

  return {
    get rev() {
      return rev;
    },
    get playing() {
      return playing;
    },
    pause,
    /** From where it stands; from the beginning when it stands at the end. */
    play() {
      if (playing || timeline.head === 0) return;
      if (rev >= timeline.head) show(0);
      position = times[rev];
      playing = true;
      options.onState(true);
      last = performance.now();
      shownAt = -Infinity;
      waiting = frame(tick);
    },
    /** Goes to a revision; a playback goes on from there. @param {number} to */
    seek(to) {
      show(timeline.clamp(to));
      position = times[rev];
    },
    /** @param {number} times faster than it was */
    setSpeed(times) {
      speed = times > 0 ? times : 1;
    },
    /** @param {boolean} yes */
    setSkip(yes) {
      skip = yes;
      times = showTimes(timeline, skip);
      position = times[rev];
    },
    /** The same life, grown meanwhile. @param {Timeline} next */
    grow(next) {
      timeline = next;
      times = showTimes(timeline, skip);
      rev = timeline.clamp(rev);
    },
  };
}
