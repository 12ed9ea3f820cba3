/**
 * Streams: opening, running, replacing and losing them.
 * @module
 */

import { CHECKING, CONNECTING, STREAM } from "../states.js";
import { shadowFailed, takeTimers } from "./around.js";
import { cached, clearAhead, takeAdvice } from "./faults.js";
import { newPace } from "./lag.js";
import { backoff, connect, enter, heard, lower, stayForced } from "./rungs.js";
import { pulse } from "./stalls.js";

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
    frameAt: ladder.now, newsAt: 0, transit: Infinity, pace: newPace(), lateAt: null, heartbeatMs: 15000, maxAgeMs: 0, excused: false,
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
 * Whoever has just waited for a network that was away must not be called mute in the moment of its return: a stream
 * that was asked for meanwhile has the time for its `hello` from then on, once.
 * @param {Ladder} ladder
 * @param {Try} stream
 */
export function excuse(ladder, stream) {
  if (stream.excused || stream.helloAt !== null || ladder.slowAt <= stream.openedAt) return false;
  stream.excused = true;
  ladder.judging = false;
  ladder.timers.set(`hello:${stream.id}`, ladder.slowAt + ladder.timing.hello);
  return true;
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
 * Stream and polls are out of step: begin one stream from our own cursor, alone.
 * @param {Ladder} ladder
 */
export function realign(ladder) {
  closeStreams(ladder);
  const stream = open(ladder, "first", ladder.usePad);
  ladder.main = stream;
  watch(ladder);
}
