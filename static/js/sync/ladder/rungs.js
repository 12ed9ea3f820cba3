/**
 * Entering and leaving rungs: the beginning, the person's choice, demotion with
 * proof, going offline and the distance of tries.
 * @module
 */

import { CONNECTING, HOLD, OFF, OFFLINE, POLL } from "../states.js";
import { scheduleShadow, takeTimers } from "./around.js";
import { clearAhead } from "./faults.js";
import { pollNow, schedulePoll, sendHold, shortenPoll } from "./requests.js";
import { closeAll, closeHold, closeStreams, open } from "./streams.js";

/** @typedef {import("../ladder.js").Ladder} Ladder */
/** @typedef {import("../ladder.js").Mode} Mode */
/** @typedef {import("../ladder.js").Rung} Rung */
/** @typedef {import("../ladder.js").VerdictKind} VerdictKind */

/**
 * Enters the rung that choice or memory name, or tries a stream.
 * @param {Ladder} ladder
 */
export function begin(ladder) {
  if (ladder.forced === "off") return enter(ladder, OFF);
  if (ladder.forced === "hold") return enterHold(ladder);
  if (ladder.forced === "poll") return enterPoll(ladder);
  const known = ladder.memory;
  ladder.memory = null;
  if (!ladder.forced && known && ladder.now - known.at < ladder.timing.memory && ladder.now >= known.at) {
    ladder.verdict = known;
    ladder.post = known.post ?? false;
    ladder.learnedWait = known.waitMs ?? null;
    if (known.rung === "hold") enterHold(ladder);
    else enterPoll(ladder);
    return scheduleShadow(ladder);
  }
  connect(ladder);
}

/**
 * @param {Ladder} ladder
 * @param {Rung | null} forced
 */
export function choose(ladder, forced) {
  ladder.forced = forced;
  ladder.memory = null;
  ladder.verdict = null;
  if (!ladder.started) return;
  closeAll(ladder);
  ladder.timers.clear();
  ladder.log.clear();
  ladder.post = false;
  ladder.nonceMisses = 0;
  ladder.adviceMs = 0;
  ladder.learnedWait = null;
  ladder.failures = 0;
  ladder.shadowDelay = ladder.timing.shadowFirst;
  if (forced === null) ladder.out.push({ do: "remember", verdict: null });
  begin(ladder);
}

/**
 * @param {Ladder} ladder
 * @param {Mode} mode
 */
export function enter(ladder, mode) {
  if (mode !== ladder.mode) {
    ladder.modeAt = ladder.now;
    ladder.doubting = false;
  }
  ladder.mode = mode;
}

/**
 * Opens a stream and, in a while, polls beside it.
 * @param {Ladder} ladder
 */
export function connect(ladder) {
  enter(ladder, CONNECTING);
  ladder.timers.delete("reopen");
  ladder.failedHow = null;
  ladder.judging = false;
  open(ladder, "first", ladder.usePad);
  if (ladder.forced !== "stream") ladder.timers.set("hedge", ladder.now + ladder.timing.hedge);
}

/** @param {Ladder} ladder */
export function enterHold(ladder) {
  enter(ladder, HOLD);
  // Proven beside the stream that failed just now.
  ladder.rungOk = ladder.holdOkAt >= 0 && ladder.now - ladder.holdOkAt <= ladder.timing.hello;
  ladder.holdFirst = true;
  ladder.instants = 0;
  sendHold(ladder);
}

/** @param {Ladder} ladder */
export function enterPoll(ladder) {
  enter(ladder, POLL);
  ladder.rungOk = false;
  pollNow(ladder);
}

/**
 * Goes down to a rung. Only called with proof that the server is reachable.
 * @param {Ladder} ladder
 * @param {"hold" | "poll"} rung
 * @param {VerdictKind} kind
 * @param {{ ageMs?: number, waitMs?: number, why?: string }} [detail]
 */
export function lower(ladder, rung, kind, detail = {}) {
  if (ladder.forced) return stayForced(ladder);
  closeStreams(ladder);
  closeHold(ladder);
  for (const name of ["hedge", "reopen", "watchdog", "recycle", "stable", "ahead", "check", "hold"]) ladder.timers.delete(name);
  ladder.log.clear();
  ladder.judging = false;
  ladder.chances = 0;
  ladder.verdict = { rung, kind, at: ladder.now, ...detail, ...(ladder.post ? { post: true } : {}) };
  ladder.learnedWait = detail.waitMs ?? null;
  // What the server asks for is its load of the moment, not a property of the network; nor is our own slowness.
  const timely = kind === "lumped" || kind === "late" || kind === "mute";
  const proven = !timely || ladder.now - ladder.stalledAt > ladder.timing.hello + ladder.timing.probeMax;
  if (proven && kind !== "cap" && kind !== "advice") ladder.out.push({ do: "remember", verdict: ladder.verdict });
  ladder.shadowPad = kind === "mute" || kind === "lumped" || kind === "late";
  if (rung === "hold") enterHold(ladder);
  else enterPoll(ladder);
  scheduleShadow(ladder);
}

/**
 * A rung that a person chose is kept, whatever the proof says.
 * @param {Ladder} ladder
 */
export function stayForced(ladder) {
  if (ladder.forced === "stream") {
    closeStreams(ladder);
    enter(ladder, CONNECTING);
    ladder.timers.set("reopen", backoff(ladder));
  } else if (ladder.forced === "hold") {
    ladder.learnedWait = Math.max(ladder.timing.holdMin / 2, ladder.learnedWait ?? ladder.timing.holdMin);
    enter(ladder, HOLD);
    ladder.timers.set("hold", ladder.now + 1000);
  } else {
    enter(ladder, POLL);
    schedulePoll(ladder);
  }
}

/**
 * Nothing reaches the server: wait, then try again the way we came.
 * @param {Ladder} ladder
 */
export function goOffline(ladder) {
  if (ladder.mode !== OFFLINE) {
    ladder.resume = ladder.mode === HOLD ? "hold" : ladder.mode === POLL ? "poll" : "stream";
  }
  // A try that a fault has scheduled already is not scheduled, nor counted, again.
  const scheduled = ladder.mode === CONNECTING ? ladder.timers.get("reopen") : undefined;
  closeAll(ladder);
  ladder.timers.clear();
  ladder.doubting = false;
  ladder.judging = false;
  clearAhead(ladder);
  if (ladder.silentSince === null) ladder.silentSince = ladder.lastHeard || ladder.now;
  enter(ladder, OFFLINE);
  ladder.timers.set("reopen", scheduled === undefined ? backoff(ladder) : Math.max(scheduled, ladder.notBefore));
}

/**
 * Tries again at once, except before the time that the server named.
 * @param {Ladder} ladder
 */
export function retryNow(ladder) {
  ladder.failures = 0;
  ladder.timers.set("reopen", Math.max(ladder.now, ladder.notBefore));
  takeTimers(ladder);
}

/**
 * Some other request has reached the server: try soon, but not in a loop where
 * only that other kind of request passes.
 * @param {Ladder} ladder
 */
export function retrySooner(ladder) {
  const refused = ladder.refused;
  heard(ladder);
  ladder.refused = refused;
  const at = Math.max(ladder.notBefore, ladder.modeAt + ladder.timing.retrySooner, ladder.now);
  if (at < (ladder.timers.get("reopen") ?? 0)) ladder.timers.set("reopen", at);
}

/**
 * When to try again after a fault, counting the fault.
 * @param {Ladder} ladder
 * @returns {number}
 */
export function backoff(ladder) {
  const grown = ladder.timing.backoffBase * 2 ** Math.min(ladder.failures, 16);
  // Who was told no asks again seldom.
  const most = ladder.refused ? ladder.timing.backoffMax : Math.min(ladder.timing.backoffMax, grown);
  ladder.failures += 1;
  ladder.timers.delete("stable");
  return Math.max(ladder.now + ladder.random() * most, ladder.notBefore);
}

/** @param {Ladder} ladder */
export function heard(ladder) {
  ladder.lastHeard = ladder.now;
  ladder.silentSince = null;
  ladder.portal = false;
  ladder.refused = false;
}

/** @param {Ladder} ladder */
export function active(ladder) {
  const wasIdle = ladder.now - ladder.activeAt >= ladder.timing.idleAfter;
  ladder.activeAt = ladder.now;
  if (wasIdle && ladder.started && ladder.mode === POLL && !ladder.polling) shortenPoll(ladder);
}
