/**
 * A page that stood still: a busy computer, a long task, a lid that was closed.
 *
 * What arrived meanwhile is taken in late and all at once, and timers fire
 * before it. To a state machine that goes by the clock this looks like a network
 * that holds back or is dead. An overdue timer gives it away: deadlines are put
 * off until what waited has been taken in, and a proof that failed then is asked
 * for again.
 * @module
 */

/** @typedef {import("../ladder.js").Ladder} Ladder */
/** @typedef {import("../ladder.js").Try} Try */

/** Timers that judge somebody else; the others merely begin something. */
const DEADLINES = new Set(["hello", "probe", "suspect", "beat", "watchdog", "check", "ahead", "overtaken"]);

/**
 * Called with each input, before anything is made of it.
 * @param {Ladder} ladder
 */
export function noticeStall(ladder) {
  const due = ladder.due();
  const late = due === null ? 0 : ladder.now - due;
  if (late <= ladder.timing.stall) return;
  if (late > ladder.timing.asleep) ladder.sleptAt = ladder.now;
  // Timers of hidden tabs run seldom, while what arrives is taken in as ever.
  if (ladder.hidden) return;
  ladder.stalledAt = ladder.now;
  // Once in a while: a page that never comes to itself must judge some time.
  if (ladder.now - ladder.excusedAt < 5 * ladder.timing.catchUp) return;
  ladder.excusedAt = ladder.now;
  const until = ladder.now + ladder.timing.catchUp;
  for (const [name, at] of ladder.timers) {
    if (at < until && DEADLINES.has(name.split(":")[0])) ladder.timers.set(name, until);
  }
}

/**
 * Watches this page more closely while a stream is being proven.
 * @param {Ladder} ladder
 */
export function pulse(ladder) {
  if (ladder.hidden || ![...ladder.tries.values()].some((stream) => stream.probeAt === null)) return;
  ladder.timers.set("pulse", ladder.now + ladder.timing.pulse);
}

/**
 * Whether what is known of this stream may be this page's own slowness.
 * @param {Ladder} ladder
 * @param {Try} stream
 */
export function unsure(ladder, stream) {
  return ladder.stalledAt >= stream.openedAt;
}
