/**
 * What one measurement of a connection has found so far: plain values, so that
 * judging and wording can be tested without a network.
 * @module
 */

/** @typedef {import("../sync/transports.js").Failure} Failure */

/**
 * One answer to a probe.
 * @typedef {object} Probe
 * @property {number} rttMs
 * @property {number} offsetMs how far the server's clock is ahead of this browser's
 * @property {string | null} encoding a compression that was added on the way
 * @property {boolean} aged a cache says that it kept the answer
 * @property {string} address whom the wiki takes this browser for
 * @property {boolean} trusted it believes what a proxy says about that
 * @property {string[]} proxies headers by which proxies showed themselves
 * @property {string | null} via what they call themselves
 */

/**
 * One stream that is watched. Times are ms since it was asked for.
 * @typedef {object} Trial
 * @property {boolean} pad
 * @property {number} ageMs how long it has been watched
 * @property {number | null} headMs
 * @property {number | null} helloMs
 * @property {number | null} probeMs
 * @property {boolean} nonceOk
 * @property {{ event: string, ms: number, t: number | null }[]} frames `t`: when it was sent, ms after hello
 * @property {{ ms: number, bytes: number }[]} pieces
 * @property {{ ms: number, silentMs: number, bye: boolean } | null} ended
 * @property {Failure | null} failure
 * @property {string | null} advice why the server would rather have this browser poll
 * @property {string | null} encoding
 * @property {boolean} stalled this page itself stood still meanwhile
 */

/**
 * One held request. `passed`: held to its end; `early`: answered empty before that; `ended`: broken off while the
 * server could be reached; `lost`: and so could not the server.
 * @typedef {object} Hold
 * @property {number} waitMs
 * @property {number} startedMs
 * @property {"running" | "passed" | "early" | "ended" | "lost" | "full" | "cached"} state
 * @property {number | null} ageMs
 * @property {Failure | null} failure
 */

/**
 * @typedef {object} Measured
 * @property {number} at ms since the epoch
 * @property {boolean} done
 * @property {Probe[]} probes
 * @property {Failure | null} failure the last probe that failed
 * @property {number} lost probes that failed
 * @property {string} protocol as the browser calls it: `http/1.1`, `h2`, `h3`; empty when it does not say
 * @property {{ ok: boolean, ms: number, bytes: number, changed: boolean, failure: Failure | null } | null} post
 * @property {Trial | null} plain
 * @property {Trial | null} padded
 * @property {Trial | null} again the one after a stream that broke off
 * @property {Trial | null} long
 * @property {Hold[]} holds
 */

/** @returns {Measured} */
export function nothingMeasured(/** @type {number} */ at) {
  return { at, done: false, probes: [], failure: null, lost: 0, protocol: "", post: null, plain: null, padded: null, again: null, long: null, holds: [] };
}

/** @param {Probe[]} probes @returns {number} the quickest round trip in ms, 0 before the first */
export function bestRtt(probes) {
  return probes.length === 0 ? 0 : Math.min(...probes.map((probe) => probe.rttMs));
}

/** @param {number[]} values @returns {number} */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? 0 : sorted[Math.floor((sorted.length - 1) / 2)];
}

/**
 * The server's clock against this browser's, by the quickest round trip: where in it the server looked at its clock is
 * not known, so half of it is the error, and a millisecond for the grain of both.
 * @param {Probe[]} probes
 * @returns {{ offsetMs: number, errorMs: number } | null}
 */
export function clockOffset(probes) {
  const best = bestRtt(probes);
  const probe = probes.find((one) => one.rttMs === best);
  return probe ? { offsetMs: probe.offsetMs, errorMs: probe.rttMs / 2 + 1 } : null;
}
