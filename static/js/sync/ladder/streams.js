/**
 * Streams: opening, proving, running, replacing and losing them.
 * @module
 */

import { CHECKING, CONNECTING, STREAM } from "../states.js";
import { shadowFailed, takeTimers } from "./around.js";
import { cached, clearAhead, takeAdvice } from "./faults.js";
import { newPace, noteFrame, oneBehind, staysLate } from "./lag.js";
import { pollNow } from "./requests.js";
import { backoff, connect, enter, heard, lower, stayForced } from "./rungs.js";
import { pulse, unsure } from "./stalls.js";

/** @typedef {import("../ladder.js").Ladder} Ladder */
/** @typedef {import("../ladder.js").Advice} Advice */
/** @typedef {import("../ladder.js").Input} Input */
/** @typedef {import("../ladder.js").Try} Try */

/**
 * @param {Ladder} ladder
 * @param {Try["kind"]} kind
 * @param {boolean} pad
 * @returns {Try}
 */
export function open(ladder, kind, pad) {
  const id = (ladder.ids += 1);
  /** @type {Try} */
  const stream = {
    id, kind, pad, openedAt: ladder.now, helloAt: null, helloRead: -1, probeAt: null, sure: false,
    frameAt: ladder.now, newsAt: 0, transit: Infinity, pace: newPace(), lateAt: null, heartbeatMs: 15000, maxAgeMs: 0,
  };
  ladder.tries.set(id, stream);
  ladder.timers.set(`hello:${id}`, ladder.now + (kind === "retry" ? ladder.timing.retryHello : ladder.timing.hello));
  pulse(ladder);
  ladder.out.push({ do: "stream", id, pad, shadow: kind === "shadow" });
  return stream;
}

/**
 * @param {Ladder} ladder
 * @param {Try} stream
 */
export function close(ladder, stream) {
  forgetTry(ladder, stream);
  ladder.out.push({ do: "close", id: stream.id });
}

/**
 * @param {Ladder} ladder
 * @param {Try} stream
 */
export function forgetTry(ladder, stream) {
  ladder.tries.delete(stream.id);
  for (const name of ["hello", "probe", "suspect", "beat"]) ladder.timers.delete(`${name}:${stream.id}`);
  if (ladder.main === stream) {
    ladder.main = null;
    ladder.timers.delete("watchdog");
    ladder.timers.delete("quiet");
  }
}

/** @param {Ladder} ladder */
export function closeStreams(ladder) {
  for (const stream of [...ladder.tries.values()]) close(ladder, stream);
}

/** @param {Ladder} ladder */
export function closeHold(ladder) {
  if (ladder.held) ladder.out.push({ do: "close", id: ladder.held.id });
  ladder.held = null;
  ladder.holdFailedAge = null;
}

/** @param {Ladder} ladder */
export function closeAll(ladder) {
  closeStreams(ladder);
  closeHold(ladder);
  if (ladder.polling) ladder.out.push({ do: "close", id: ladder.polling.id });
  ladder.polling = null;
  ladder.verifying = false;
}

/**
 * Streams other than `but` that may still become the one in use.
 * @param {Ladder} ladder
 * @param {Try} [but]
 */
export function candidates(ladder, but) {
  return [...ladder.tries.values()].filter((stream) => stream !== but && stream.kind !== "shadow");
}

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
 * @param {Ladder} ladder
 * @param {number} id
 */
export function takeBytes(ladder, id) {
  const stream = ladder.tries.get(id);
  if (!stream || stream !== ladder.main) return;
  ladder.bytesAt = ladder.now;
  heard(ladder);
  if (ladder.mode === CHECKING) {
    ladder.timers.delete("check");
    enter(ladder, STREAM);
  }
  watch(ladder);
}

/** @param {Ladder} ladder */
export function watch(ladder) {
  ladder.timers.set("watchdog", ladder.now + ladder.timing.watchdog);
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
 * Replaces a stream before its end, be that the server's or the network's.
 * @param {Ladder} ladder
 * @param {Try} stream
 */
export function planRecycle(ladder, stream) {
  let age = Infinity;
  if (stream.maxAgeMs >= 30000) age = stream.maxAgeMs - 5000 - ladder.random() * 10000;
  if (ladder.log.learnedAge !== null) age = Math.min(age, ladder.log.learnedAge * 0.8);
  if (age < Infinity) ladder.timers.set("recycle", Math.max(ladder.now + 1000, stream.openedAt + age));
  else ladder.timers.delete("recycle");
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
  if (again && ladder.chances < ladder.timing.chances && candidates(ladder).length === 0) {
    ladder.chances += 1;
    open(ladder, "first", false);
  }
  if (pad) {
    if (candidates(ladder).length === 0) lower(ladder, "hold", ladder.failedHow ?? how);
    return;
  }
  ladder.failedHow = how;
  enter(ladder, CONNECTING);
  if (!candidates(ladder).some((other) => other.pad)) open(ladder, "retry", true);
  ladder.timers.set("hedge", ladder.now);
  takeTimers(ladder);
}

/**
 * @param {Ladder} ladder
 * @param {Extract<Input, { type: "bye" }>} input
 */
export function takeBye(ladder, input) {
  const stream = ladder.tries.get(input.id);
  if (!stream) return;
  if (stream.kind === "shadow") {
    close(ladder, stream);
    return shadowFailed(ladder);
  }
  const other = candidates(ladder, stream).length > 0;
  const wait = ladder.random() * Math.max(0, input.afterMs);
  if (input.why === "recycle" && ladder.mode === STREAM && stream === ladder.main) {
    // The old one stays until the new one says hello, or the server ends it.
    ladder.timers.delete("recycle");
    if (!other) ladder.timers.set("next", ladder.now + wait);
    stream.maxAgeMs = -1;
    return;
  }
  close(ladder, stream);
  if (other) return;
  enter(ladder, CONNECTING);
  ladder.timers.set("reopen", Math.max(ladder.now + wait, ladder.notBefore));
}

/**
 * @param {Ladder} ladder
 * @param {Try} stream
 * @param {boolean} blocked it never was a stream: refused, or another kind of answer
 */
export function streamEnded(ladder, stream, blocked) {
  const wasMain = stream === ladder.main;
  const saidBye = stream.maxAgeMs === -1;
  forgetTry(ladder, stream);
  if (stream.kind === "shadow") return shadowFailed(ladder);
  const others = candidates(ladder);
  if (saidBye) {
    // `next` or the stream already being opened takes over.
    if (!ladder.timers.has("next") && others.length === 0) connect(ladder);
    return;
  }
  ladder.log.cut(ladder.now, ladder.now - stream.openedAt, stream.helloAt === null || blocked);
  if (stream.kind === "recycle" && ladder.main) {
    ladder.timers.set("recycle", ladder.now + 5000);
    return;
  }
  if (others.length > 0 && !wasMain) return;
  for (const name of ["watchdog", "recycle", "next", "check"]) ladder.timers.delete(name);
  clearAhead(ladder);
  if (others.length > 0) return enter(ladder, CONNECTING);
  enter(ladder, CONNECTING);
  ladder.timers.set("reopen", backoff(ladder));
  if (ladder.forced !== "stream") {
    ladder.timers.set("hedge", ladder.now);
    takeTimers(ladder);
  } else if (stream.helloAt === null) {
    ladder.silentSince ??= ladder.lastHeard || ladder.now;
  }
}

/**
 * @param {Ladder} ladder
 * @param {Extract<Input, { type: "stream-fail" }>} input
 */
export function streamFailed(ladder, input) {
  const stream = ladder.tries.get(input.id);
  if (!stream) return;
  if (input.kind === "nonce") return cached(ladder, stream);
  if (input.retryAfterMs) ladder.notBefore = ladder.now + input.retryAfterMs;
  if (input.status === 400) ladder.out.push({ do: "forget-cursor" });
  if (input.kind === "type" && ladder.forced === "stream") ladder.portal = true;
  streamEnded(ladder, stream, input.kind === "status" || input.kind === "type");
}

/**
 * @param {Ladder} ladder
 * @param {number} id
 * @param {Advice} advice
 */
export function streamAdvised(ladder, id, advice) {
  const stream = ladder.tries.get(id);
  if (!stream) return;
  heard(ladder);
  forgetTry(ladder, stream);
  if (stream.kind === "shadow") return shadowFailed(ladder);
  // A padded or replacing stream that is refused leaves the one that runs alone.
  if (candidates(ladder).length > 0) return;
  if (ladder.forced === "stream") return stayForced(ladder);
  takeAdvice(ladder, advice);
  lower(ladder, advice?.mode === "hold" ? "hold" : "poll", "cap", { why: advice?.why });
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

/**
 * Stream and polls are out of step: begin one stream from our own cursor, alone.
 * @param {Ladder} ladder
 */
export function realign(ladder) {
  closeStreams(ladder);
  const stream = open(ladder, "first", ladder.usePad);
  ladder.main = stream;
  watch(ladder);
}
