/**
 * What a measurement means: first of one stream, then of the whole. Nothing is
 * said of the network that a request beside it does not prove.
 * @module
 */

import { TIMING } from "../sync/timing.js";
import { bestRtt } from "./measured.js";

/** @typedef {import("./measured.js").Measured} Measured */
/** @typedef {import("./measured.js").Trial} Trial */
/** @typedef {"waiting" | "proven" | "lumped" | "late" | "mute" | "cut" | "blocked" | "network" | "cached" | "full"} Outcome */

/**
 * - `wait`: not known yet
 * - `stream`: streams pass; `padded`: when small pieces are filled up; `threshold`: so they do, but without that nothing
 *   came at all: the ladder goes to held requests at once, and tries a filled-up stream later
 * - `late`, `lumped`, `mute`: held back; `cut`, `idle`: broken off at an age, or after a silence; `blocked`: refused
 * - `cached`: answered by a cache; `portal`: by a page that is not the wiki's
 * - `full`: the server gives this browser no more connections; `error`: it answers with an error
 * - `offline`: nobody answers
 * @typedef {"wait" | "stream" | "padded" | "threshold" | "late" | "lumped" | "mute" | "cut" | "idle" | "blocked" | "cached" | "portal" | "full" | "error" | "offline"} VerdictKind
 */

/**
 * @typedef {object} Verdict
 * @property {VerdictKind} kind
 * @property {"wait" | "good" | "fair" | "bad"} tone
 * @property {"stream" | "hold" | "poll" | null} rung what Halley does here
 * @property {number | null} ms what the kind is about: an age, a silence, how long data is held back
 */

/** Two ages that differ by less than this, or a quarter, have one reason. In ms. */
const SIMILAR_MS = 1500;

/**
 * What one stream has shown so far.
 * @param {Trial} trial
 * @returns {Outcome}
 */
export function classify(trial) {
  if (trial.advice !== null) return trial.nonceOk ? "full" : "cached";
  if (!trial.nonceOk || trial.failure?.kind === "nonce") return "cached";
  if (trial.failure) return trial.failure.kind === "type" || trial.failure.kind === "status" ? "blocked" : "network";
  if (trial.helloMs === null) {
    if (trial.ended) return "cut";
    return trial.ageMs >= TIMING.hello ? "mute" : "waiting";
  }
  if (trial.probeMs === null) {
    if (trial.ended) return "cut";
    return trial.ageMs - trial.helloMs >= TIMING.probeMax ? "late" : "waiting";
  }
  const gap = trial.probeMs - trial.helloMs;
  if (gap < TIMING.probeMin) return "lumped";
  // The server says in the frame when it sent it; the rest was spent on the way.
  const sent = trial.frames.find((frame) => frame.event === "probe")?.t ?? TIMING.probeSent;
  const latest = (trial.pad ? TIMING.probeMax : TIMING.punctual) - TIMING.probeSent;
  return gap - Math.max(sent, TIMING.probeSent) > latest ? "late" : "proven";
}

/**
 * The longest that anything was held back on this stream, in ms; null when nothing came.
 * @param {Trial} trial @param {number} rttMs
 * @returns {number | null}
 */
export function heldBack(trial, rttMs) {
  const times = trial.frames.filter((frame) => frame.t !== null).map((frame) => frame.ms - (frame.t ?? 0) - rttMs);
  return times.length === 0 ? null : Math.max(0, ...times);
}

/** @param {number} a @param {number} b */
const similar = (a, b) => Math.abs(a - b) <= Math.max(SIMILAR_MS, 0.25 * Math.max(a, b));

/** The age at which held requests are broken off, in ms. @param {Measured} measured @returns {number | null} */
export function holdLimit(measured) {
  const ages = measured.holds.filter((hold) => hold.state === "ended").map((hold) => hold.ageMs ?? 0);
  return ages.length === 0 ? null : Math.min(...ages);
}

/** The longest held request that lasted, in ms. @param {Measured} measured @returns {number} 0: none */
export function holdPassed(measured) {
  return Math.max(0, ...measured.holds.filter((hold) => hold.state === "passed").map((hold) => hold.waitMs));
}

/**
 * Whether something breaks streams off, and by what rule: at an age whatever happens, or after a silence.
 * @param {Measured} measured
 * @returns {{ ageMs: number, silentMs: number, byIdle: boolean } | "once" | "looking" | null}
 */
export function breaksOff(measured) {
  const { plain, again } = measured;
  if (!plain?.ended || plain.ended.bye || plain.probeMs === null) return null;
  if (!again) return measured.done ? "once" : "looking";
  if (!again.ended) return measured.done ? "once" : "looking";
  if (again.ended.bye || !similar(again.ended.ms, plain.ended.ms)) return "once";
  const { ms, silentMs } = plain.ended;
  // A held request is silent all its life: it ends at the same age, or after the same silence.
  const limit = holdLimit(measured);
  const byIdle = limit !== null && Math.abs(limit - silentMs) < Math.abs(limit - ms);
  return { ageMs: ms, silentMs, byIdle };
}

/**
 * The rung below streams that works here.
 * @param {Measured} measured @param {number} [age] above which a held request is broken off, in ms
 * @returns {"hold" | "poll" | null} null: not known yet
 */
function lowerRung(measured, age) {
  const { holds } = measured;
  const limit = holdLimit(measured) ?? age ?? null;
  if (holds.some((hold) => hold.state === "early" || hold.state === "cached")) return "poll";
  if (limit !== null) return limit * 0.8 >= TIMING.holdMin ? "hold" : "poll";
  if (holdPassed(measured) >= TIMING.holdMin) return "hold";
  return measured.done ? "poll" : null;
}

/**
 * @param {Measured} measured
 * @returns {Verdict}
 */
export function judge(measured) {
  const { probes, plain, padded, failure, done } = measured;
  /** @type {Verdict} */
  const wait = { kind: "wait", tone: "wait", rung: null, ms: null };
  if (probes.length === 0) {
    if (!failure || (!done && measured.lost < 2)) return wait;
    if (failure.kind === "type") return { kind: "portal", tone: "bad", rung: null, ms: null };
    if (failure.kind === "nonce") return { kind: "cached", tone: "fair", rung: "poll", ms: null };
    return { kind: failure.kind === "status" ? "error" : "offline", tone: "bad", rung: null, ms: null };
  }
  const outcomes = [plain, padded].map((trial) => (trial ? classify(trial) : "waiting"));
  const [first, second] = outcomes;
  if (outcomes.includes("cached") || failure?.kind === "nonce" || measured.holds.some((hold) => hold.state === "cached")) {
    return { kind: "cached", tone: "fair", rung: "poll", ms: null };
  }
  if (measured.holds.some((hold) => hold.state === "lost")) return { kind: "offline", tone: "bad", rung: null, ms: null };
  if (first === "full" || (first !== "proven" && second === "full")) return { kind: "full", tone: "fair", rung: null, ms: null };
  if (first === "proven") {
    const off = breaksOff(measured);
    if (off === "looking") return wait;
    if (off && off !== "once") {
      const rung = lowerRung(measured, off.ageMs);
      if (!rung || !holdsSettled(measured)) return wait;
      return { kind: off.byIdle ? "idle" : "cut", tone: "fair", rung, ms: off.byIdle ? off.silentMs : off.ageMs };
    }
    return { kind: "stream", tone: "good", rung: "stream", ms: null };
  }
  if (first === "waiting" || second === "waiting") return wait;
  if (second === "proven" && first !== "mute") return { kind: "padded", tone: "good", rung: "stream", ms: null };
  const rung = lowerRung(measured);
  if (!rung) return wait;
  if (second === "proven") return { kind: "threshold", tone: "fair", rung, ms: null };
  /** @type {Verdict} */
  const held = { kind: "mute", tone: "fair", rung, ms: null };
  if (first === "blocked" || first === "network") return { ...held, kind: "blocked" };
  if (first === "cut") return { ...held, kind: "cut", ms: plain?.ended?.ms ?? null };
  if (first === "lumped" || first === "late") {
    return { ...held, kind: first, ms: Math.max(...[plain, padded].map((trial) => (trial && heldBack(trial, bestRtt(probes))) ?? 0)) };
  }
  return held;
}

/** @param {Measured} measured */
function holdsSettled(measured) {
  return measured.done || (measured.holds.length > 0 && measured.holds.every((hold) => hold.state !== "running"));
}
