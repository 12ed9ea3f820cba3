/**
 * Every interval of the live protocol in one place, in milliseconds unless the
 * name says otherwise. The numbers are those of the ladder table of the protocol;
 * the ones marked "ours" fill in what the table leaves open.
 * @module
 */

/** @typedef {typeof TIMING} Timing */

export const TIMING = {
  /** `hello` must be here by then. */
  hello: 4000,
  /** No `hello` by then: poll beside the stream. */
  hedge: 1500,
  /** Ours: distance of these polls. */
  hedgeEvery: 1000,
  /** `probe` must come this long after `hello`, at least ... */
  probeMin: 300,
  /** ... and at most. */
  probeMax: 3000,
  /** `probe` is sent this long after `hello`; a server that is busy says in the frame how long it took. */
  probeSent: 700,
  /** Ours: and at most this long after it without padding, where it may have been pushed out by chance. */
  punctual: 1200,
  /** Ours: no `probe` this long after `hello` (it is sent after 700): begin the padded try beside. */
  suspect: 1200,
  /** Ours: time for the `hello` of a padded try, so that the verdict stands within 5 s in all. */
  retryHello: 1800,
  /** A running stream may be silent this long (heartbeats come every 15 s). */
  watchdog: 25000,
  /** Time for the beat that tells a mute stream from a dead network. */
  beatTimeout: 3000,
  /** The head may be ahead of us this long. */
  ahead: 3000,
  /** Ours: news of a poll that the stream does not bring within this time have not merely overtaken it. */
  overtaken: 1000,
  /** Ours: a probe this close to its time, with no events before it, was not pushed out by them. */
  exact: 100,
  /** Ours: so long after the last event a poll sees whether a stream that was proven among events holds any back. */
  quiet: 1000,
  /** Ours: a timer later than this means that this page itself stood still; what is late may have waited here. */
  stall: 250,
  /** Ours: time after that to take in what has arrived, before anybody is judged by a clock. */
  catchUp: 200,
  /** Ours: how often (not ms) a shadow stream whose proof failed then is tried again at once. */
  chances: 2,
  /** Ours: how finely this page watches itself while a stream is being proven. */
  pulse: 100,
  /** Ours: a timer later than this means that the computer slept, and connections with it. */
  asleep: 5000,
  /** A second mute within this time demotes. */
  muteWindow: 300000,
  /** An end without `bye` before this age is a cut ... */
  cutAge: 20000,
  /** ... and this many within the window demote. */
  cutCount: 3,
  cutWindow: 120000,
  /** First held request, later ones, and what is added for the client's own time-out. */
  holdFirst: 10000,
  hold: 25000,
  holdSlack: 10000,
  /** Ours: a short held request before the first, whose answer proves that they pass, and its slack. */
  holdProof: 1000,
  holdProofSlack: 3000,
  /** A learned wait below this is not worth holding. */
  holdMin: 5000,
  /** Ours: an empty held answer quicker than this was not held. */
  holdInstant: 400,
  pollCompany: 2000,
  pollAlone: 5000,
  pollIdle: 15000,
  pollHidden: 60000,
  /** Nothing happened and nobody touched the page for this long: idle. */
  idleAfter: 120000,
  /** Share of an interval by which it varies, so that clients do not march in step. */
  pollJitter: 0.1,
  /** Ours: time for one poll. */
  pollTimeout: 8000,
  shadowFirst: 60000,
  shadowMax: 1800000,
  shadowJitter: 0.2,
  /** Ours: a heartbeat may be this late and still be on time. */
  heartbeatSlack: 4000,
  backoffBase: 500,
  backoffMax: 30000,
  /** Ours: least time offline before another request's success brings the next try forward. */
  retrySooner: 2000,
  /** A connection that lasted this long is stable. */
  stable: 60000,
  /** How long a verdict is remembered. */
  memory: 1800000,
  /** Presence beats, and the least distance of two of them. */
  beat: 20000,
  beatGap: 250,
};

/**
 * The defaults with overrides. Unknown names and anything but finite,
 * non-negative numbers are passed over.
 * @param {unknown} overrides
 * @returns {Timing}
 */
export function withTiming(overrides) {
  const timing = { ...TIMING };
  if (overrides && typeof overrides === "object") {
    for (const [name, value] of Object.entries(overrides)) {
      if (name in timing && typeof value === "number" && Number.isFinite(value) && value >= 0) {
        timing[/** @type {keyof Timing} */ (name)] = value;
      }
    }
  }
  return timing;
}
