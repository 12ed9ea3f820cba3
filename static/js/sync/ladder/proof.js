/**
 * The proof of a stream: `hello`, then `probe`, each when it was sent; and what the
 * frames after them say about it.
 * @module
 */

import { CONNECTING, STREAM } from "../states.js";
import { shadowFailed, takeTimers } from "./around.js";
import { cached } from "./faults.js";
import { noteFrame, oneBehind, staysLate } from "./lag.js";
import { pollNow } from "./requests.js";
import { enter, heard, lower, stayForced } from "./rungs.js";
import { unsure } from "./stalls.js";
import { candidates, close, closeHold, excuse, open, planRecycle, watch } from "./streams.js";

/** @typedef {import("../ladder.js").Ladder} Ladder */
/** @typedef {import("../ladder.js").Input} Input */
/** @typedef {import("../ladder.js").Try} Try */

/**
 * @param {Ladder} ladder
 * @param {Extract<Input, { type: "hello" }>} input
 */
export function takeHello(ladder, input) {
  const stream = ladder.tries.get(input.id);
  if (!stream || stream.helloAt !== null) return;
  if (!input.nonceOk) return cached(ladder, stream);
  heard(ladder);
  stream.helloAt = ladder.now;
  stream.helloRead = input.read;
  stream.frameAt = ladder.now;
  noteFrame(ladder, stream, input.t);
  stream.heartbeatMs = input.heartbeatMs || 15000;
  stream.maxAgeMs = input.maxAgeMs;
  ladder.timers.delete(`hello:${stream.id}`);
  ladder.timers.set(`probe:${stream.id}`, ladder.now + ladder.timing.probeMax + 1);
  ladder.judging = false;
  if (!stream.pad && stream.kind !== "shadow") ladder.timers.set(`suspect:${stream.id}`, ladder.now + ladder.timing.suspect);
  if (stream.kind === "recycle") {
    if (ladder.main && ladder.main !== stream) close(ladder, ladder.main);
    ladder.main = stream;
    stream.kind = "first";
    watch(ladder);
  }
}

/**
 * @param {Ladder} ladder
 * @param {Extract<Input, { type: "probe" }>} input
 */
export function takeProbe(ladder, input) {
  const stream = ladder.tries.get(input.id);
  if (!stream || stream.helloAt === null || stream.probeAt !== null) return;
  const after = ladder.now - stream.helloAt;
  // A server that sent it late says so; that is no fault of the network.
  const behind = after - Math.max(input.t ?? 0, ladder.timing.probeSent) + ladder.timing.probeSent;
  ladder.timers.delete(`probe:${stream.id}`);
  ladder.timers.delete(`suspect:${stream.id}`);
  if (input.read === stream.helloRead || after < ladder.timing.probeMin) return failProof(ladder, stream, "lumped");
  // Where each event waits for the next one, any event may push the probe out in time by chance.
  // A try without padding must be punctual; a slow but honest network proves itself by the other.
  const latest = stream.pad || ladder.forced === "stream" ? ladder.timing.probeMax : ladder.timing.punctual;
  noteFrame(ladder, stream, input.t);
  if (behind > latest || oneBehind(ladder, stream)) return failProof(ladder, stream, "late");
  stream.probeAt = ladder.now;
  stream.frameAt = ladder.now;
  stream.sure = stream.newsAt === 0 && Math.abs(behind - ladder.timing.probeSent) <= ladder.timing.exact;
  if (stream.kind === "shadow") awaitHeartbeat(ladder, stream);
  else prove(ladder, stream);
}

/**
 * @param {Ladder} ladder
 * @param {Try} stream
 */
export function awaitHeartbeat(ladder, stream) {
  ladder.timers.set(`beat:${stream.id}`, ladder.now + stream.heartbeatMs + ladder.timing.heartbeatSlack);
}

/**
 * @param {Ladder} ladder
 * @param {Extract<Input, { type: "batch" }>} input
 */
export function takeBatch(ladder, input) {
  const stream = ladder.tries.get(input.id);
  if (!stream) return;
  const behind = noteFrame(ladder, stream, input.t);
  if (stream.probeAt !== null && oneBehind(ladder, stream)) return failProof(ladder, stream, "late");
  if (stream.kind === "shadow" && stream.probeAt !== null) {
    // Older than one heartbeat, and than the age at which streams were cut before.
    const needed = Math.max(stream.heartbeatMs * 0.9, (ladder.verdict?.kind === "cut" ? ladder.verdict.ageMs ?? 0 : 0) * 1.2);
    const onTime = ladder.now - stream.frameAt <= stream.heartbeatMs + ladder.timing.heartbeatSlack;
    if (onTime && ladder.now - stream.openedAt >= needed) return prove(ladder, stream);
    awaitHeartbeat(ladder, stream);
  }
  stream.frameAt = ladder.now;
  if (!input.empty) {
    stream.newsAt = ladder.now;
    // What came in one read with the probe may have pushed it out.
    if (stream.probeAt === ladder.now) stream.sure = false;
    if (stream === ladder.main) ladder.timers.delete("overtaken");
    lookWhenQuiet(ladder);
  }
  if (stream === ladder.main && stream.probeAt !== null && staysLate(ladder, stream, behind)) holdsBack(ladder, stream);
}

/**
 * The stream in use brings things too late: by padding it may do better.
 * @param {Ladder} ladder
 * @param {Try} stream
 */
export function holdsBack(ladder, stream) {
  if (!stream.pad) return failProof(ladder, stream, "late");
  close(ladder, stream);
  lower(ladder, "hold", "late");
}

/**
 * Events may have pushed `hello` and `probe` out of a buffer: once they pause, a
 * poll sees whether the last of them is still in it.
 * @param {Ladder} ladder
 */
function lookWhenQuiet(ladder) {
  const { main } = ladder;
  if (!main || main.sure || main.probeAt === null || ladder.forced === "stream") return;
  ladder.timers.set("quiet", ladder.now + ladder.timing.quiet);
}

/**
 * A stream has proven itself: it is the one in use.
 * @param {Ladder} ladder
 * @param {Try} stream
 */
export function prove(ladder, stream) {
  for (const other of [...ladder.tries.values()]) if (other !== stream) close(ladder, other);
  closeHold(ladder);
  ladder.timers.delete(`beat:${stream.id}`);
  for (const name of ["hedge", "reopen", "poll", "hold", "shadow", "next", "check"]) ladder.timers.delete(name);
  const again = ladder.mode === STREAM;
  stream.kind = "first";
  ladder.main = stream;
  ladder.usePad = stream.pad;
  ladder.judging = false;
  ladder.nonceMisses = 0;
  ladder.chances = 0;
  enter(ladder, STREAM);
  if (!again) ladder.timers.set("stable", ladder.now + ladder.timing.stable);
  watch(ladder);
  lookWhenQuiet(ladder);
  planRecycle(ladder, stream);
  if (ladder.verdict) ladder.out.push({ do: "remember", verdict: null });
  ladder.verdict = null;
}

/**
 * hello and probe did not come as they were sent.
 * @param {Ladder} ladder
 * @param {Try} stream
 * @param {"lumped" | "late"} how
 */
export function failProof(ladder, stream, how) {
  const { kind, pad, probeAt } = stream;
  // It may be this page that was slow.
  const again = probeAt === null && unsure(ladder, stream);
  close(ladder, stream);
  if (kind === "shadow") return shadowFailed(ladder, again);
  if (ladder.forced === "stream") {
    ladder.usePad = !pad;
    return stayForced(ladder);
  }
  // Once more as it was, alone: a browser may have only so many streams, and those just closed count for a while.
  const repeat = again && !pad && ladder.chances === 0 && candidates(ladder).length === 0;
  if (pad) {
    if (candidates(ladder).length === 0) lower(ladder, "hold", ladder.failedHow ?? how);
    return;
  }
  ladder.failedHow = how;
  enter(ladder, CONNECTING);
  if (repeat) {
    ladder.chances += 1;
    open(ladder, "first", false);
  } else if (!candidates(ladder).some((other) => other.pad)) open(ladder, "retry", true);
  ladder.timers.set("hedge", ladder.now);
  takeTimers(ladder);
}

/**
 * @param {Ladder} ladder
 * @param {Try} stream
 */
export function helloMissing(ladder, stream) {
  if (stream.kind === "shadow") {
    close(ladder, stream);
    return shadowFailed(ladder);
  }
  if (stream.kind === "recycle" && ladder.main) {
    close(ladder, stream);
    if (ladder.main.maxAgeMs !== -1) ladder.timers.set("recycle", ladder.now + 10000);
    else ladder.timers.set("next", ladder.now + 1000);
    return;
  }
  if (ladder.forced === "stream") {
    if (ladder.silentSince === null) ladder.silentSince = ladder.lastHeard || ladder.now;
    return stayForced(ladder);
  }
  if (excuse(ladder, stream)) return;
  if (stream.kind === "retry") {
    close(ladder, stream);
    if (candidates(ladder).length > 0) return;
  }
  if (ladder.mode === STREAM) {
    // A replacement that never spoke, and the old stream is gone.
    enter(ladder, CONNECTING);
    for (const name of ["watchdog", "recycle", "next"]) ladder.timers.delete(name);
  }
  if (ladder.pollOkAt >= stream.openedAt) return lower(ladder, "hold", ladder.failedHow ?? "mute");
  ladder.judging = true;
  pollNow(ladder);
}
