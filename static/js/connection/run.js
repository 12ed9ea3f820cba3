/**
 * One measurement from beginning to end. A bounded number of requests: at most
 * four at a time, since a browser has six connections without HTTP/2 and the
 * page's own live connection needs one of them.
 * @module
 */

import { watchHold } from "./hold.js";
import { nothingMeasured } from "./measured.js";
import { probe, send } from "./reach.js";
import { startTrial } from "./trial.js";
import { classify } from "./verdict.js";

/** @typedef {import("./measured.js").Measured} Measured */
/** @typedef {import("./measured.js").Trial} Trial */
/** @typedef {import("./trial.js").Watch} Watch */
/** @typedef {import("./reach.js").Net} Net */
/** @typedef {(measured: Measured, progress: { share: number, doing: string }) => void} Report */

/** Round trips at the beginning. */
const PROBES = 8;
const PROBE_GAP_MS = 60;

/** `hello` must be here by then, and `probe` so long after it: a little more than the ladder's own limits. */
const HELLO_MS = 4100;
const PROBE_MS = 3100;

/** The heartbeat comes after 15 s; one that is later than this does not come. */
const HEARTBEAT_MS = 19000;

/** Held requests that are tried, in ms. The longest is as long as the server holds any. */
const HOLDS = /** @type {const} */ ([5000, 10000, 25000]);

/** How long the whole takes when nothing breaks off, in ms: for the progress bar. */
const USUAL_MS = 28000;

/** The long test, in ms. */
export const LONG_MS = 120000;

/** This page stood still: what it saw late may have come on time. In ms. */
const STALL_MS = 300;

/**
 * @param {Net} net @param {AbortSignal} signal @param {Report} report
 * @returns {Promise<Measured>} not `done` when it was aborted
 */
export async function measure(net, signal, report) {
  const measured = nothingMeasured(net.clock.now());
  const begun = net.now();
  let doing = "Asking the wiki for the time";
  const tell = () => {
    if (!signal.aborted) report(measured, { share: Math.min(0.97, (net.now() - begun) / USUAL_MS), doing });
  };
  const say = (/** @type {string} */ next) => {
    doing = next;
    tell();
  };
  const pulse = watchStalls(net, measured);
  const ticking = every(net, 500, tell);
  try {
    tell();
    await reach(net, measured, signal, PROBES, PROBE_GAP_MS);
    if (measured.probes.length === 0 || signal.aborted) return finish();
    tell();
    say("Opening a stream, and watching when its signals come");
    const plain = await prove(net, measured, signal, tell);
    if (signal.aborted || !plain) return finish();
    if (measured.failure?.kind === "nonce") return finish();
    say("Watching how long connections may last");
    await Promise.all([lifetime(net, measured, plain, signal, tell), holds(net, measured, signal, tell)]);
    await reach(net, measured, signal, 2, PROBE_GAP_MS);
    return finish();
  } finally {
    ticking();
    pulse();
  }

  function finish() {
    measured.done = !signal.aborted;
    if (measured.done) report(measured, { share: 1, doing: "" });
    return measured;
  }
}

/**
 * Watches one stream for a long time.
 * @param {Net} net @param {Measured} measured @param {AbortSignal} signal @param {Report} report
 */
export async function measureLong(net, measured, signal, report) {
  const watch = startTrial(net, measured.padded !== null && !isProven(measured.plain) && isProven(measured.padded), signal, () => tell());
  measured.long = watch.trial;
  const tell = () => {
    if (signal.aborted) return;
    const { ageMs } = watch.trial;
    report(measured, { share: Math.min(1, ageMs / LONG_MS), doing: `A stream is being watched: ${Math.floor(ageMs / 1000)} of ${LONG_MS / 1000} s` });
  };
  const ticking = every(net, 1000, () => {
    if (!watch.over()) watch.trial.ageMs = net.now() - begun;
    tell();
  });
  const begun = net.now();
  await watch.until(() => false, LONG_MS);
  ticking();
  watch.close();
  if (!signal.aborted) report(measured, { share: 1, doing: "" });
}

/** @param {Trial | null} trial */
const isProven = (trial) => trial !== null && classify(trial) === "proven";

/**
 * @param {Net} net @param {Measured} measured @param {AbortSignal} signal @param {number} count @param {number} gapMs
 */
async function reach(net, measured, signal, count, gapMs) {
  for (let n = 0; n < count && !signal.aborted; n += 1) {
    if (n > 0) await pause(net, gapMs, signal);
    const answer = await probe(net, signal);
    if (signal.aborted) return;
    if ("failure" in answer) {
      measured.failure = answer.failure;
      measured.lost += 1;
      // It takes seconds to find that nobody answers; twice is enough.
      if (measured.probes.length === 0 && measured.lost >= 2) return;
      continue;
    }
    measured.probes.push(answer.probe);
    if (answer.protocol) measured.protocol = answer.protocol;
  }
}

/**
 * Two streams beside each other, one with padding, and single requests beside them: they prove that a stream which
 * brings nothing is held back, and not this browser out of connections.
 * @param {Net} net @param {Measured} measured @param {AbortSignal} signal @param {() => void} tell
 */
async function prove(net, measured, signal, tell) {
  let plain = startTrial(net, false, signal, tell);
  measured.plain = plain.trial;
  const padded = startTrial(net, true, signal, tell);
  measured.padded = padded.trial;
  const known = (/** @type {Trial} */ trial) => classify(trial) !== "waiting";
  const judged = async (/** @type {Watch} */ watch) => {
    await watch.until((trial) => trial.helloMs !== null || known(trial), HELLO_MS);
    if (!known(watch.trial)) await watch.until(known, PROBE_MS);
    tell();
  };
  const sending = send(net, signal).then((post) => {
    if (!signal.aborted) measured.post = post;
    tell();
  });
  await Promise.all([judged(plain), judged(padded).then(() => padded.close()), sending.then(() => reach(net, measured, signal, 3, 1000))]);
  if (!signal.aborted && plain.trial.stalled && ["lumped", "late"].includes(classify(plain.trial))) {
    plain.close();
    plain = startTrial(net, false, signal, tell);
    measured.plain = plain.trial;
    await judged(plain);
  }
  return signal.aborted ? null : plain;
}

/**
 * How long a stream lives: to its first heartbeat, and once more when it broke off before.
 * @param {Net} net @param {Measured} measured @param {Watch} plain
 * @param {AbortSignal} signal @param {() => void} tell
 */
async function lifetime(net, measured, plain, signal, tell) {
  const left = HEARTBEAT_MS - plain.trial.ageMs;
  const silent = classify(plain.trial) !== "proven";
  // One that brings nothing is watched on: its bytes may come in lumps far apart.
  await plain.until((trial) => !silent && trial.frames.some((frame) => frame.event === "batch" && frame.ms > 14000), silent ? left + 6000 : left);
  const { ended, probeMs } = plain.trial;
  plain.close();
  if (signal.aborted || !ended || ended.bye || probeMs === null) return;
  // Once may be chance: a restart, a radio cell.
  const again = startTrial(net, false, signal, tell);
  measured.again = again.trial;
  await again.until(() => false, Math.min(HEARTBEAT_MS, ended.ms + 4000));
  again.close();
}

/**
 * @param {Net} net @param {Measured} measured @param {AbortSignal} signal @param {() => void} tell
 */
async function holds(net, measured, signal, tell) {
  const watch = (/** @type {number} */ waitMs) => {
    /** @type {import("./measured.js").Hold} */
    const hold = { waitMs, startedMs: net.now(), state: "running", ageMs: null, failure: null };
    measured.holds.push(hold);
    return watchHold(net, hold, signal, tell).then(() => hold);
  };
  const [short, middle, long] = HOLDS;
  // The longest takes longest, so it goes beside the others.
  await Promise.all([
    watch(short).then((hold) => (hold.state === "passed" && !signal.aborted ? watch(middle) : null)),
    watch(long),
  ]);
  measured.holds.sort((a, b) => a.waitMs - b.waitMs);
}

/**
 * Marks the streams under way when this page itself stood still.
 * @param {Net} net @param {Measured} measured
 */
function watchStalls(net, measured) {
  let last = net.now();
  return every(net, 100, () => {
    const gap = net.now() - last - 100;
    last = net.now();
    if (gap < STALL_MS) return;
    for (const trial of [measured.plain, measured.padded, measured.again]) if (trial && trial.probeMs === null) trial.stalled = true;
  });
}

/** @param {Net} net @param {number} ms @param {() => void} run @returns {() => void} ends it */
function every(net, ms, run) {
  let timer = net.clock.setTimeout(function again() {
    timer = net.clock.setTimeout(again, ms);
    run();
  }, ms);
  return () => net.clock.clearTimeout(timer);
}

/** @param {Net} net @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
function pause(net, ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      net.clock.clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = net.clock.setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
