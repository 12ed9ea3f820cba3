/**
 * What faults mean: caches, mute streams, cuts, and what the server advises.
 * @module
 */

import { covers } from "../cursor.js";
import { CHECKING, HOLD, OFFLINE, POLL, STREAM } from "../states.js";
import { shadowFailed } from "./around.js";
import { pollNow, schedulePoll, sendHold } from "./requests.js";
import { connect, enter, goOffline, heard, lower, retrySooner } from "./rungs.js";
import { candidates, close, closeStreams } from "./streams.js";

/** @typedef {import("../ladder.js").Ladder} Ladder */
/** @typedef {import("../ladder.js").Advice} Advice */
/** @typedef {import("../ladder.js").Try} Try */

/**
 * @param {Ladder} ladder
 * @param {Advice} advice
 */
export function takeAdvice(ladder, advice) {
  if (typeof advice?.interval_ms === "number") ladder.adviceMs = Math.max(0, advice.interval_ms);
}

/**
 * A cache answered: a new path first, then polling by POST.
 * @param {Ladder} ladder
 * @param {Try | null} stream
 */
export function cached(ladder, stream) {
  if (stream) close(ladder, stream);
  if (stream?.kind === "shadow") return shadowFailed(ladder);
  ladder.nonceMisses += 1;
  if (ladder.nonceMisses < 2) {
    if (ladder.mode === HOLD) return sendHold(ladder);
    if (ladder.mode === POLL) return pollNow(ladder);
    if (candidates(ladder, stream ?? undefined).length === 0) connect(ladder);
    return;
  }
  ladder.post = true;
  if (ladder.forced) {
    if (ladder.mode === HOLD) return sendHold(ladder);
    if (ladder.mode === POLL) return schedulePoll(ladder);
  }
  lower(ladder, "poll", "cached");
}

/**
 * The running stream is silent: is it mute, or is the network gone?
 * @param {Ladder} ladder
 */
export function check(ladder) {
  ladder.doubting = false;
  enter(ladder, CHECKING);
  ladder.timers.delete("watchdog");
  ladder.timers.set("check", ladder.now + ladder.timing.beatTimeout + 500);
  ladder.out.push({ do: "beat", timeoutMs: ladder.timing.beatTimeout });
}

/**
 * Something else failed while the stream seems well: ask, without calling the
 * stream mute when there is an answer.
 * @param {Ladder} ladder
 */
export function doubt(ladder) {
  if (ladder.doubting) return;
  ladder.doubting = true;
  ladder.doubtAt = ladder.now;
  ladder.timers.set("check", ladder.now + ladder.timing.beatTimeout + 500);
  ladder.out.push({ do: "beat", timeoutMs: ladder.timing.beatTimeout });
}

/**
 * Ends the doubt; whether the stream itself has answered it.
 * @param {Ladder} ladder
 */
export function settleDoubt(ladder) {
  ladder.doubting = false;
  ladder.timers.delete("check");
  return ladder.mode === STREAM && ladder.bytesAt > ladder.doubtAt;
}

/**
 * The server is there and the stream is silent.
 * @param {Ladder} ladder
 */
export function mute(ladder) {
  // A stream that died while this computer slept says nothing about the network.
  const slept = ladder.main !== null && ladder.sleptAt >= ladder.main.frameAt;
  heard(ladder);
  clearAhead(ladder);
  if (ladder.forced !== "stream" && !slept && ladder.log.mute(ladder.now) >= 2) return lower(ladder, "hold", "mute");
  closeStreams(ladder);
  for (const name of ["recycle", "next", "check", "stable"]) ladder.timers.delete(name);
  connect(ladder);
}

/**
 * @param {Ladder} ladder
 * @param {boolean} ok
 * @param {string | null} head
 */
export function takeBeat(ladder, ok, head) {
  if (ladder.mode === CHECKING) {
    ladder.timers.delete("check");
    if (ok) mute(ladder);
    else goOffline(ladder);
    return;
  }
  if (ladder.doubting && !ok && ladder.mode === STREAM && ladder.bytesAt <= ladder.doubtAt) {
    // Some networks let nothing pass but GET: before all is given up, the same is asked by one.
    ladder.timers.set("check", ladder.now + ladder.timing.beatTimeout + 500);
    pollNow(ladder);
    return;
  }
  if (ladder.doubting) settleDoubt(ladder);
  if (!ok) return;
  if (ladder.mode === OFFLINE) {
    // A refusal is an answer, but no reason to try sooner.
    if (head) retrySooner(ladder);
    return;
  }
  heard(ladder);
  if (ladder.mode === STREAM && head && !ladder.aheadTarget && !covers(ladder.cursor, head)) {
    ladder.aheadTarget = head;
    ladder.timers.set("ahead", ladder.now + ladder.timing.ahead);
  }
}

/** @param {Ladder} ladder */
export function clearAhead(ladder) {
  ladder.aheadTarget = null;
  ladder.verifying = false;
  ladder.timers.delete("ahead");
  ladder.timers.delete("overtaken");
}

/** @param {Ladder} ladder */
export function lowerForCuts(ladder) {
  const cuts = ladder.log.cuts(ladder.now);
  const lived = cuts.filter((cut) => !cut.blocked);
  if (lived.length === 0) return lower(ladder, "hold", "blocked");
  const ageMs = Math.min(...lived.map((cut) => cut.ageMs));
  const waitMs = Math.floor(ageMs * 0.8);
  if (waitMs < ladder.timing.holdMin) lower(ladder, "poll", "cut", { ageMs });
  else lower(ladder, "hold", "cut", { ageMs, waitMs: Math.min(waitMs, ladder.timing.hold) });
}
