/**
 * Polls and held requests: when the next goes out, and what an answer or its
 * absence means on each rung.
 * @module
 */

import { CONNECTING, HOLD, OFFLINE, POLL, STREAM, isRefusal } from "../states.js";
import { scheduleShadow } from "./around.js";
import { cached, check, clearAhead, doubt, lowerForCuts, settleDoubt, takeAdvice } from "./faults.js";
import { backoff, connect, enter, enterHold, goOffline, heard, lower } from "./rungs.js";
import { candidates, excuse } from "./streams.js";

/** @typedef {import("../ladder.js").Ladder} Ladder */
/** @typedef {import("../ladder.js").Input} Input */

/** @param {Ladder} ladder */
export function pollNow(ladder) {
  ladder.timers.delete("poll");
  if (ladder.polling) return;
  const id = (ladder.ids += 1);
  ladder.polling = { id, at: ladder.now };
  ladder.out.push({ do: "poll", id, timeoutMs: ladder.timing.pollTimeout, post: ladder.post });
}

/**
 * The pause between polls, without its variation.
 * @param {Ladder} ladder
 * @returns {number} ms
 */
export function interval(ladder) {
  let pause = ladder.company ? ladder.timing.pollCompany : ladder.timing.pollAlone;
  if (ladder.now - ladder.activeAt >= ladder.timing.idleAfter) pause = ladder.timing.pollIdle;
  if (ladder.hidden) pause = ladder.timing.pollHidden;
  return Math.max(pause, ladder.adviceMs);
}

/** @param {Ladder} ladder */
export function schedulePoll(ladder) {
  const vary = 1 + (ladder.random() * 2 - 1) * ladder.timing.pollJitter;
  ladder.timers.set("poll", Math.max(ladder.now + interval(ladder) * vary, ladder.notBefore));
}

/** @param {Ladder} ladder */
export function shortenPoll(ladder) {
  const before = ladder.timers.get("poll") ?? Infinity;
  schedulePoll(ladder);
  if ((ladder.timers.get("poll") ?? Infinity) > before) ladder.timers.set("poll", before);
}

/**
 * @param {Ladder} ladder
 * @param {Extract<Input, { type: "poll-ok" | "hold-ok" }>} input
 */
export function pollOk(ladder, input) {
  if (ladder.polling?.id !== input.id) return;
  const askedAt = ladder.polling.at;
  ladder.polling = null;
  ladder.pollOkAt = ladder.now;
  notePace(ladder, askedAt);
  heard(ladder);
  takeAdvice(ladder, input.advice);
  switch (ladder.mode) {
    case CONNECTING:
      return hedgeOk(ladder, input);
    case STREAM:
      if (ladder.doubting) settleDoubt(ladder);
      if (ladder.verifying) overtake(ladder, input.fresh > 0, askedAt);
      if (input.more) pollNow(ladder);
      break;
    case HOLD:
      steady(ladder);
      if (ladder.holdFailedAge !== null) return learnHold(ladder, ladder.holdFailedAge);
      if (!ladder.held && !ladder.timers.has("hold")) sendHold(ladder);
      break;
    case POLL:
      ladder.rungOk = true;
      steady(ladder);
      if (input.more) return pollNow(ladder);
      schedulePoll(ladder);
      break;
    case OFFLINE:
      ladder.timers.delete("reopen");
      if (ladder.resume === "stream") return connect(ladder);
      if (ladder.resume === "hold") enterHold(ladder);
      else {
        enter(ladder, POLL);
        ladder.rungOk = true;
        schedulePoll(ladder);
      }
      scheduleShadow(ladder);
      break;
    default:
      break;
  }
}

/**
 * The poll that looks after a head which the stream has not reached is answered.
 * News may have come about just now, and been quicker by the poll: only a
 * stream that does not bring any either is mute.
 * @param {Ladder} ladder
 * @param {boolean} news
 * @param {number} askedAt
 */
function overtake(ladder, news, askedAt) {
  clearAhead(ladder);
  const { main } = ladder;
  if (!main) return;
  if (!news) main.sure = true;
  else if (main.newsAt < askedAt) ladder.timers.set("overtaken", ladder.now + ladder.timing.overtaken);
}

/**
 * @param {Ladder} ladder
 * @param {number} expectedAt when an answer might have come at the earliest
 */
function notePace(ladder, expectedAt) {
  if (ladder.now - expectedAt > ladder.timing.hedge) ladder.slowAt = ladder.now;
}

/**
 * The server is reachable beside the stream.
 * @param {Ladder} ladder
 * @param {{ more: boolean }} input
 */
export function hedgeOk(ladder, input) {
  if (ladder.judging && !candidates(ladder).some((stream) => excuse(ladder, stream))) return lower(ladder, "hold", ladder.failedHow ?? "mute");
  if (ladder.log.cuts(ladder.now).length >= ladder.timing.cutCount) return lowerForCuts(ladder);
  if (input.more) return pollNow(ladder);
  ladder.timers.set("hedge", ladder.now + ladder.timing.hedgeEvery);
}

/**
 * Counts the stable time of a lower rung.
 * @param {Ladder} ladder
 */
export function steady(ladder) {
  if (ladder.failures > 0 && !ladder.timers.has("stable")) ladder.timers.set("stable", ladder.now + ladder.timing.stable);
}

/**
 * @param {Ladder} ladder
 * @param {Extract<Input, { type: "poll-fail" | "hold-fail" }>} input
 */
export function pollFailed(ladder, input) {
  if (ladder.polling?.id !== input.id) return;
  ladder.polling = null;
  if (input.retryAfterMs) ladder.notBefore = ladder.now + input.retryAfterMs;
  if (input.status === 400) ladder.out.push({ do: "forget-cursor" });
  if (input.kind === "nonce" && !ladder.post) {
    // Answered, but not by the server: no proof of anything else.
    if (ladder.mode !== CONNECTING) return cached(ladder, null);
  }
  if (input.kind === "type") ladder.portal = true;
  ladder.refused = input.kind === "status" && isRefusal(input.status);
  switch (ladder.mode) {
    case CONNECTING:
      ladder.log.takeBackCut();
      if (ladder.judging || candidates(ladder).length === 0) return goOffline(ladder);
      ladder.timers.set("hedge", ladder.now + ladder.timing.hedgeEvery);
      break;
    case STREAM:
      if (ladder.doubting && !settleDoubt(ladder)) return goOffline(ladder);
      if (ladder.verifying) {
        const { aheadTarget } = ladder;
        clearAhead(ladder);
        // Without a head that it lacks, nothing speaks against the stream but this one request.
        if (aheadTarget) check(ladder);
        else doubt(ladder);
      }
      break;
    case HOLD:
    case POLL:
      // Asked to come later is an answer.
      if (input.status === 429) {
        heard(ladder);
        return ladder.mode === POLL ? schedulePoll(ladder) : holdSoon(ladder);
      }
      goOffline(ladder);
      break;
    case OFFLINE:
      ladder.timers.set("reopen", backoff(ladder));
      break;
    default:
      break;
  }
}

/**
 * News beside a stream that is slow to prove itself: polls, and once, when it
 * looks bad for the stream, a short held request, so that the next rung is
 * proven when it is needed.
 * @param {Ladder} ladder
 */
export function hedge(ladder) {
  if (ladder.held) return;
  const first = candidates(ladder)[0];
  const proven = first && ladder.holdOkAt >= first.openedAt;
  if (!first || proven || ladder.pollOkAt < first.openedAt || ladder.polling) return pollNow(ladder);
  ladder.rungOk = false;
  requestHold(ladder);
}

/** @param {Ladder} ladder */
export function sendHold(ladder) {
  ladder.timers.delete("hold");
  if (ladder.held || ladder.mode !== HOLD) return;
  requestHold(ladder);
}

/** @param {Ladder} ladder */
export function requestHold(ladder) {
  // One short request first: only its answer proves that held requests pass.
  const long = ladder.holdFirst ? ladder.timing.holdFirst : ladder.timing.hold;
  const waitMs = Math.min(ladder.rungOk ? long : ladder.timing.holdProof, ladder.learnedWait ?? ladder.timing.hold);
  const timeoutMs = waitMs + (ladder.rungOk ? ladder.timing.holdSlack : ladder.timing.holdProofSlack);
  const id = (ladder.ids += 1);
  ladder.held = { id, at: ladder.now, waitMs, cursor: ladder.cursor };
  ladder.out.push({ do: "hold", id, waitMs, timeoutMs, post: ladder.post });
}

/** @param {Ladder} ladder */
export function holdSoon(ladder) {
  ladder.timers.set("hold", Math.max(ladder.now + 1000, ladder.notBefore));
}

/**
 * @param {Ladder} ladder
 * @param {Extract<Input, { type: "poll-ok" | "hold-ok" }>} input
 */
export function holdOk(ladder, input) {
  if (ladder.held?.id !== input.id) return;
  const { at, waitMs, cursor } = ladder.held;
  ladder.held = null;
  heard(ladder);
  if (ladder.rungOk) ladder.holdFirst = false;
  ladder.rungOk = true;
  steady(ladder);
  ladder.holdOkAt = ladder.now;
  notePace(ladder, at + waitMs);
  if (ladder.mode === CONNECTING) return hedgeOk(ladder, input);
  if (ladder.mode !== HOLD) return;
  takeAdvice(ladder, input.advice);
  if (input.advice?.mode === "poll") return lower(ladder, "poll", "advice", { why: input.advice.why });
  // What it brings may have come quicker with the answer to a save or by a shadow stream: then it was held as it should be.
  const idle = input.fresh === 0 && !input.more && ladder.cursor === cursor;
  const instant = idle && waitMs > ladder.timing.holdInstant && ladder.now - at < ladder.timing.holdInstant;
  ladder.instants = instant ? ladder.instants + 1 : 0;
  if (ladder.instants >= 3) return lower(ladder, "poll", "short", { ageMs: ladder.now - at });
  if (instant) holdSoon(ladder);
  else sendHold(ladder);
}

/**
 * @param {Ladder} ladder
 * @param {Extract<Input, { type: "poll-fail" | "hold-fail" }>} input
 */
export function holdFailed(ladder, input) {
  if (ladder.held?.id !== input.id) return;
  const age = ladder.now - ladder.held.at;
  ladder.held = null;
  if (ladder.mode === CONNECTING) return pollNow(ladder);
  if (ladder.mode !== HOLD) return;
  if (input.retryAfterMs) ladder.notBefore = ladder.now + input.retryAfterMs;
  if (input.kind === "nonce") return cached(ladder, null);
  if (input.status === 429) {
    heard(ladder);
    return holdSoon(ladder);
  }
  if (input.status === 400) ladder.out.push({ do: "forget-cursor" });
  ladder.holdFailedAge = age;
  pollNow(ladder);
}

/**
 * A held request failed at this age while the server is reachable.
 * @param {Ladder} ladder
 * @param {number} age
 */
export function learnHold(ladder, age) {
  ladder.holdFailedAge = null;
  ladder.holdFirst = false;
  const similar = ladder.log.holdFailure(ladder.now, age);
  if (similar === null) return holdSoon(ladder);
  const waitMs = Math.floor(similar * 0.8);
  if (waitMs < ladder.timing.holdMin) return lower(ladder, "poll", "short", { ageMs: similar });
  ladder.learnedWait = waitMs;
  if (ladder.verdict && !ladder.forced) {
    ladder.verdict = { ...ladder.verdict, waitMs };
    ladder.out.push({ do: "remember", verdict: ladder.verdict });
  }
  sendHold(ladder);
}
