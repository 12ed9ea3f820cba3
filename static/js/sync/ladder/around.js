/**
 * Inputs from around (timers, network events, visibility) and the way back up by
 * shadow streams.
 * @module
 */

import { covers } from "../cursor.js";
import { CHECKING, CONNECTING, HOLD, OFF, OFFLINE, POLL, STREAM } from "../states.js";
import { check, clearAhead, doubt, mute, settleDoubt, takeBeat } from "./faults.js";
import { failProof, helloMissing, holdsBack, takeBatch, takeHello, takeProbe } from "./proof.js";
import { hedge, holdFailed, holdOk, pollFailed, pollNow, pollOk, schedulePoll, sendHold, shortenPoll } from "./requests.js";
import { active, connect, enter, goOffline, heard, retryNow, retrySooner } from "./rungs.js";
import { pulse } from "./stalls.js";
import { candidates, close, closeAll, closeHold, open, realign, streamAdvised, streamEnded, streamFailed, takeBye, takeBytes } from "./streams.js";

/** @typedef {import("../ladder.js").Ladder} Ladder */
/** @typedef {import("../ladder.js").Input} Input */

/**
 * @param {Ladder} ladder
 * @param {Input} input
 */
export function take(ladder, input) {
  switch (input.type) {
    case "stop":
      ladder.started = false;
      closeAll(ladder);
      ladder.timers.clear();
      enter(ladder, OFF);
      break;
    case "timer":
      takeTimers(ladder);
      break;
    case "hello":
      takeHello(ladder, input);
      break;
    case "probe":
      takeProbe(ladder, input);
      break;
    case "batch":
      takeBatch(ladder, input);
      break;
    case "bytes":
      takeBytes(ladder, input.id);
      break;
    case "bye":
      takeBye(ladder, input);
      break;
    case "end": {
      const ended = ladder.tries.get(input.id);
      if (ended) streamEnded(ladder, ended, false);
      break;
    }
    case "stream-fail":
      streamFailed(ladder, input);
      break;
    case "stream-advice":
      streamAdvised(ladder, input.id, input.advice);
      break;
    case "poll-ok":
      pollOk(ladder, input);
      break;
    case "poll-fail":
      pollFailed(ladder, input);
      break;
    case "hold-ok":
      holdOk(ladder, input);
      break;
    case "hold-fail":
      holdFailed(ladder, input);
      break;
    case "beat":
      takeBeat(ladder, input.ok, input.head ?? null);
      break;
    case "applied":
      ladder.cursor = input.cursor;
      if (input.events > 0) active(ladder);
      // The poll that looks after a head reaches it by itself: its answer is judged when it is whole.
      if (ladder.aheadTarget && !ladder.verifying && covers(ladder.cursor, ladder.aheadTarget)) clearAhead(ladder);
      break;
    case "gap":
      if (input.again && ladder.mode === STREAM) realign(ladder);
      else pollNow(ladder);
      break;
    case "topics":
      // Requests to come ask for the new ones by themselves; those that last are replaced.
      if (ladder.mode === STREAM && candidates(ladder, ladder.main ?? undefined).length === 0) open(ladder, "recycle", ladder.usePad);
      else if (ladder.mode === HOLD && ladder.held) {
        closeHold(ladder);
        sendHold(ladder);
      }
      break;
    case "online":
      takeOnline(ladder);
      break;
    case "offline":
      if (ladder.mode === STREAM) doubt(ladder);
      else if (ladder.mode === HOLD || ladder.mode === POLL) pollNow(ladder);
      break;
    case "hidden":
      ladder.hidden = true;
      if (ladder.started && ladder.mode === POLL && !ladder.polling) schedulePoll(ladder);
      break;
    case "visible":
      takeVisible(ladder);
      break;
    case "activity":
      active(ladder);
      break;
    case "heard":
      if (ladder.mode === OFFLINE) retrySooner(ladder);
      else heard(ladder);
      break;
    case "failed":
      if (ladder.mode === STREAM) doubt(ladder);
      else if (ladder.mode === HOLD || ladder.mode === POLL) pollNow(ladder);
      break;
    case "company": {
      const company = input.others > 0;
      if (company === ladder.company) break;
      ladder.company = company;
      // Somebody came: the pause that was fine alone is too long now.
      if (ladder.started && ladder.mode === POLL && !ladder.polling) shortenPoll(ladder);
      break;
    }
    default:
      break;
  }
}

/** @param {Ladder} ladder */
export function scheduleShadow(ladder) {
  if (ladder.forced || (ladder.mode !== HOLD && ladder.mode !== POLL)) return;
  const vary = 1 + (ladder.random() * 2 - 1) * ladder.timing.shadowJitter;
  ladder.timers.set("shadow", ladder.now + ladder.shadowDelay * vary);
}

/**
 * @param {Ladder} ladder
 * @param {boolean} [unsure] it may be this page that was slow: try again at once, if not for ever
 */
export function shadowFailed(ladder, unsure = false) {
  if (unsure && ladder.chances < ladder.timing.chances) {
    ladder.chances += 1;
    ladder.timers.set("shadow", ladder.now + ladder.timing.catchUp);
    return;
  }
  ladder.chances = 0;
  ladder.shadowDelay = Math.min(ladder.shadowDelay * 2, ladder.timing.shadowMax);
  ladder.shadowPad = !ladder.shadowPad;
  scheduleShadow(ladder);
}

/** @param {Ladder} ladder */
export function openShadow(ladder) {
  if (ladder.forced || (ladder.mode !== HOLD && ladder.mode !== POLL)) return;
  if ([...ladder.tries.values()].some((stream) => stream.kind === "shadow")) return;
  // Nobody looks, and timers of hidden tabs are too coarse for a proof.
  if (ladder.hidden) return scheduleShadow(ladder);
  open(ladder, "shadow", ladder.shadowPad);
}

/** @param {Ladder} ladder */
export function takeOnline(ladder) {
  switch (ladder.mode) {
    case OFFLINE:
      return retryNow(ladder);
    case STREAM:
      // Another network, perhaps: the old connection may be dead without knowing it.
      if (candidates(ladder, ladder.main ?? undefined).length === 0) open(ladder, "recycle", ladder.usePad);
      return;
    case CHECKING:
      return;
    case HOLD:
      closeHold(ladder);
      sendHold(ladder);
      ladder.shadowDelay = ladder.timing.shadowFirst;
      return openShadow(ladder);
    case POLL:
      pollNow(ladder);
      ladder.shadowDelay = ladder.timing.shadowFirst;
      return openShadow(ladder);
    default:
      return;
  }
}

/** @param {Ladder} ladder */
export function takeVisible(ladder) {
  ladder.hidden = false;
  active(ladder);
  if (ladder.mode === OFFLINE) return retryNow(ladder);
  if (ladder.mode === POLL) return pollNow(ladder);
  takeTimers(ladder);
}

/** @param {Ladder} ladder */
export function takeTimers(ladder) {
  for (let guard = 0; guard < 64; guard += 1) {
    const next = [...ladder.timers].filter(([, at]) => at <= ladder.now).sort((a, b) => a[1] - b[1])[0];
    if (!next) return;
    ladder.timers.delete(next[0]);
    fire(ladder, next[0]);
  }
}

/**
 * @param {Ladder} ladder
 * @param {string} name
 */
export function fire(ladder, name) {
  const [what, id] = name.split(":");
  const stream = id ? ladder.tries.get(Number(id)) : undefined;
  switch (what) {
    case "hello":
      if (stream) helloMissing(ladder, stream);
      break;
    case "probe":
      if (stream) failProof(ladder, stream, "late");
      break;
    case "suspect":
      if (stream && stream.probeAt === null && ladder.forced !== "stream" && candidates(ladder, stream).length === 0) {
        ladder.failedHow = "late";
        open(ladder, "retry", true);
        if (ladder.mode === CONNECTING) pollNow(ladder);
      }
      break;
    case "beat":
      if (stream) {
        close(ladder, stream);
        shadowFailed(ladder);
      }
      break;
    case "hedge":
      if (ladder.mode === CONNECTING) hedge(ladder);
      break;
    case "reopen":
      if (ladder.mode === CONNECTING) {
        // The streams of before are gone; polls go on as they were.
        ladder.judging = false;
        ladder.failedHow = null;
        open(ladder, "first", ladder.usePad);
        if (ladder.forced !== "stream" && !ladder.polling && !ladder.held && !ladder.timers.has("hedge")) {
          ladder.timers.set("hedge", ladder.now + ladder.timing.hedge);
        }
      } else if (ladder.mode === OFFLINE) {
        if (ladder.resume === "stream") connect(ladder);
        else pollNow(ladder);
      }
      break;
    case "watchdog":
      if (ladder.mode === STREAM) check(ladder);
      break;
    case "check":
      if (ladder.mode === CHECKING || (ladder.doubting && !settleDoubt(ladder))) goOffline(ladder);
      break;
    case "overtaken":
      if (ladder.mode !== STREAM) break;
      if (ladder.main && !ladder.main.sure) holdsBack(ladder, ladder.main);
      else mute(ladder);
      break;
    case "quiet":
      if (ladder.mode === STREAM) {
        ladder.verifying = true;
        pollNow(ladder);
      }
      break;
    case "pulse":
      pulse(ladder);
      break;
    case "ahead":
      if (ladder.mode === STREAM && ladder.aheadTarget) {
        ladder.verifying = true;
        pollNow(ladder);
      }
      break;
    case "recycle":
    case "next":
      if (ladder.mode === STREAM && candidates(ladder, ladder.main ?? undefined).length === 0) open(ladder, "recycle", ladder.usePad);
      break;
    case "stable":
      ladder.failures = 0;
      if (ladder.mode === STREAM) ladder.shadowDelay = ladder.timing.shadowFirst;
      break;
    case "poll":
      pollNow(ladder);
      break;
    case "hold":
      sendHold(ladder);
      break;
    case "shadow":
      openShadow(ladder);
      break;
    default:
      break;
  }
}
