/**
 * The states of the ladder and the sentences a person reads about them.
 * @module
 */

/** Live updates are switched off; the page is what it was when it was loaded. */
export const OFF = "off";
/** A stream is being opened or proven; polls bring the news meanwhile if it takes long. */
export const CONNECTING = "connecting";
/** A proven stream delivers. */
export const STREAM = "stream";
/** The stream has been silent too long; the server is being asked by another way. */
export const CHECKING = "checking";
/** Held requests deliver: each is answered when something happens. */
export const HOLD = "hold";
/** The page asks at intervals. */
export const POLL = "poll";
/** The server cannot be reached; the next try is scheduled. */
export const OFFLINE = "offline";

/** @typedef {"off"|"connecting"|"stream"|"checking"|"hold"|"poll"|"offline"} Mode */
/** @typedef {"stream"|"hold"|"poll"|"off"} Rung */
/** @typedef {"mute"|"lumped"|"late"|"cut"|"blocked"|"short"|"cached"|"cap"|"advice"} VerdictKind */

/** @type {Record<Mode, string>} */
export const SENTENCES = {
  [OFF]: "Live updates are switched off.",
  [CONNECTING]: "A connection is being opened and tested.",
  [STREAM]: "A stream is open, and the server's signals come through it on time.",
  [CHECKING]: "The stream has gone quiet. The server is being asked another way.",
  [HOLD]: "Requests are held open by the server until something happens.",
  [POLL]: "The page asks for news at intervals.",
  [OFFLINE]: "The server cannot be reached. The page keeps trying.",
};

/** Answers that mean no, not "not now": the page is gone, or rights are. @param {number | undefined} status */
export function isRefusal(status) {
  return status === 401 || status === 403 || status === 404 || status === 410;
}

/**
 * Why a lower rung is in use.
 * @param {VerdictKind} kind
 * @param {{ ageMs?: number, why?: string }} [detail]
 * @returns {string}
 */
export function verdictSentence(kind, detail = {}) {
  const seconds = Math.max(1, Math.round((detail.ageMs ?? 0) / 1000));
  switch (kind) {
    case "mute":
      return "The network holds streamed data back.";
    case "lumped":
      return "The network passes streamed data on only in lumps.";
    case "late":
      return "The network passes streamed data on too late.";
    case "cut":
      return `The network ends streams after about ${seconds} s.`;
    case "blocked":
      return "The network refuses streams.";
    case "short":
      return `The network ends held requests after about ${seconds} s.`;
    case "cached":
      return "A cache in the network answers in the server's place.";
    case "cap":
    case "advice":
      return detail.why ? `The server asked for it: ${detail.why}.` : "The server asked for it.";
  }
}
