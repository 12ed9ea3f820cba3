/**
 * What the page says about itself: a status from the ladder's state.
 * @module
 */

import { CONNECTING, HOLD, OFF, OFFLINE, POLL, SENTENCES, STREAM, verdictSentence } from "../states.js";
import { interval } from "./requests.js";

/** @typedef {import("../ladder.js").Ladder} Ladder */
/** @typedef {import("../ladder.js").Status} Status */

const CHOSEN = "You chose this.";
const PORTAL = "The network answers with a page of its own. It may want you to sign in.";
const REFUSED = "The server gives no live updates for this page. It may have been deleted, or your rights have changed.";

/**
 * @param {Ladder} ladder
 * @returns {Pick<Status, "state" | "rung" | "reason" | "intervalMs">}
 */
export function describe(ladder) {
  const why = ladder.forced ? CHOSEN : ladder.verdict ? verdictSentence(ladder.verdict.kind, ladder.verdict) : "";
  /** @param {string} sentence */
  const say = (sentence) => (why ? `${sentence} ${why}` : sentence);
  if (ladder.mode === OFF) return { state: "off", rung: "off", reason: say(SENTENCES.off), intervalMs: 0 };
  if (ladder.mode === OFFLINE && ladder.refused) return { state: "off", rung: "off", reason: REFUSED, intervalMs: 0 };
  if (ladder.mode === OFFLINE && ladder.silentSince === null) {
    return { state: "connecting", rung: "stream", reason: "The server answers, but brings no news yet. Trying again.", intervalMs: 0 };
  }
  if (ladder.silentSince !== null) {
    const wanted = ladder.forced ?? (ladder.verdict ? ladder.verdict.rung : "stream");
    if (ladder.portal) return { state: "offline", rung: wanted, reason: PORTAL, intervalMs: 0 };
    // One lost connection is not yet "offline": the next try is less than a second away.
    if (ladder.failures <= 1) return { state: "connecting", rung: wanted, reason: "The connection was lost. Trying again.", intervalMs: 0 };
    return { state: "offline", rung: wanted, reason: SENTENCES.offline, intervalMs: 0 };
  }
  switch (ladder.mode) {
    case STREAM:
      return { state: "live", rung: "stream", reason: say(SENTENCES.stream), intervalMs: 0 };
    case HOLD:
      if (!ladder.rungOk && ladder.pollOkAt >= 0 && ladder.now - ladder.pollOkAt < ladder.timing.holdProof * 3) {
        return { state: "refreshing", rung: "hold", reason: say("Held requests are being tested."), intervalMs: ladder.timing.hedgeEvery };
      }
      return { state: ladder.rungOk ? "live" : "connecting", rung: "hold", reason: say(SENTENCES.hold), intervalMs: 0 };
    case POLL:
      return { state: ladder.rungOk ? "refreshing" : "connecting", rung: "poll", reason: say(SENTENCES.poll), intervalMs: interval(ladder) };
    case CONNECTING:
      if (ladder.pollOkAt >= ladder.modeAt) {
        return { state: "refreshing", rung: "poll", reason: "A stream is being tested; the page polls meanwhile.", intervalMs: ladder.timing.hedgeEvery };
      }
      return { state: "connecting", rung: "stream", reason: say(SENTENCES.connecting), intervalMs: 0 };
    default:
      return { state: "connecting", rung: "stream", reason: SENTENCES[ladder.mode], intervalMs: 0 };
  }
}
