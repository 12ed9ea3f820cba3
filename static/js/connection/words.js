/**
 * What was measured, in words: a sentence, rows of a table, and a letter to
 * whoever runs the network. Plain functions of what was measured.
 * @module
 */

import { bestRtt, clockOffset, median } from "./measured.js";
import { breaksOff, classify, heldBack, holdLimit, holdPassed, judge } from "./verdict.js";

/** @typedef {import("./measured.js").Measured} Measured */
/** @typedef {import("./measured.js").Trial} Trial */
/** @typedef {{ id: string, name: string, value: string, means: string, tone?: "good" | "fair" | "bad" }} Row */

/** What is read within this time was sent together. */
const SAME_BLOCK_MS = 20;

/** Held back for less than this, nobody notices. In ms. */
const NOTICED_MS = 150;

/** Clocks further apart than this are worth a word, in ms. */
const CLOCKS_MS = 2000;

/** @param {number} ms @returns {string} "0.8 ms", "12 ms", "3.4 s", "25 s" */
export function span(ms) {
  if (ms < 9.95) return `${Math.max(0, ms).toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  return seconds < 10 && Math.abs(seconds - Math.round(seconds)) >= 0.05 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
}

/** @param {number} ms @returns {string} for sentences: "8 s" */
const about = (ms) => (ms < 950 ? span(ms) : `${Math.max(1, Math.round(ms / 1000))} s`);

/** @param {number} bytes @returns {string} */
const size = (bytes) => (bytes < 1000 ? `${bytes} bytes` : `${(bytes / 1024).toFixed(bytes < 10000 && bytes % 1024 ? 1 : 0)} KB`);

const SOMETHING = "Something between you and the wiki";

/**
 * The verdict, in one sentence (two when sending fails as well).
 * @param {Measured} measured @returns {string}
 */
export function sentence(measured) {
  const verdict = judge(measured);
  const { ms, rung } = verdict;
  const instead = rung === "poll" ? "Halley asks for news every few seconds instead." : "Halley works by held requests instead.";
  const shorter = rung === "poll" ? instead : "Halley works by shorter held requests instead.";
  const { post } = measured;
  const noSending = post && !post.ok && verdict.kind !== "offline" && verdict.kind !== "portal" && verdict.kind !== "error"
    ? ` ${post.changed ? "What you send arrives changed" : "Sending does not get through"}: you can read here, but not save.`
    : "";
  const say = () => {
    switch (verdict.kind) {
      case "wait":
        return "Measuring…";
      case "stream":
        return "Your network lets live pages through.";
      case "padded":
        return `${SOMETHING} holds small pieces of data back; Halley fills them up, and live pages get through.`;
      case "threshold":
        return `${SOMETHING} holds data back until a few KB have gathered; ${instead.slice(0, -1)}, and by a stream that it fills up once that has proven itself.`;
      case "mute":
        return `${SOMETHING} holds responses back until they end; ${instead}`;
      case "lumped":
        return `${SOMETHING} holds data back for about ${about(ms ?? 0)} and passes it on in lumps; ${instead}`;
      case "late":
        return `${SOMETHING} passes data on about ${about(ms ?? 0)} late; ${instead}`;
      case "cut":
        return `${SOMETHING} breaks every response off after about ${about(ms ?? 0)}; ${shorter}`;
      case "idle":
        return `${SOMETHING} breaks a response off after about ${about(ms ?? 0)} of silence; ${shorter}`;
      case "blocked":
        return `${SOMETHING} refuses streams; ${instead}`;
      case "cached":
        return `${SOMETHING} answers with old copies in the wiki's place; Halley asks for news in a way that cannot be copied.`;
      case "portal":
        return "Something answers in the wiki's place. This network may want you to sign in.";
      case "full":
        return "This browser has as many live connections open as the wiki allows, so streams could not be tested. Close other tabs of this wiki, and measure again.";
      case "error":
        return `The wiki answers with an error (${measured.failure?.status ?? "unknown"}). Nothing can be said about your network.`;
      case "offline":
        return measured.probes.length === 0
          ? "You are offline, or the wiki is: it cannot be reached, so nothing could be measured."
          : "The wiki could no longer be reached while this was measured. Nothing is certain: measure again.";
    }
  };
  return say() + noSending;
}

/** @param {Trial} trial @returns {string} why it is no proof, or that it is */
function outcomeWords(trial) {
  switch (classify(trial)) {
    case "proven":
      return "its signals came when they were sent";
    case "lumped":
      return "its signals came together, in one lump";
    case "late":
      return trial.probeMs === null ? "its second signal did not come" : "its second signal came too late";
    case "mute":
      return "it was opened, and nothing came";
    case "cut":
      return `it was broken off after ${span(trial.ended?.ms ?? 0)}`;
    case "blocked":
      return trial.failure?.kind === "type" ? "something else answered" : `it was refused (${trial.failure?.status})`;
    case "network":
      return "it could not be opened";
    case "cached":
      return "an old copy answered";
    case "full":
      return `it was not opened: ${trial.advice}`;
    default:
      return "being tested";
  }
}

/** @param {Measured} measured @returns {Row[]} */
function streamRows(measured) {
  const { plain, padded } = measured;
  if (!plain) return [];
  const rtt = bestRtt(measured.probes);
  /** @type {Row[]} */
  const rows = [];
  const proven = classify(plain) === "proven";
  const filled = padded !== null && classify(padded) === "proven";
  const times = plain.helloMs === null ? "" : `, the first after ${span(plain.helloMs)}${plain.probeMs === null ? "" : `, the second ${span(plain.probeMs - plain.helloMs)} later (sent ${span(plain.frames.find((frame) => frame.event === "probe")?.t ?? 700)} apart)`}`;
  const streaming = { id: "stream", name: "A stream", value: outcomeWords(plain) + times };
  if (proven) rows.push({ ...streaming, means: "Changes reach you as they happen.", tone: "good" });
  else if (filled) rows.push({ ...streaming, means: "Filled up with padding, it works.", tone: classify(plain) === "mute" ? "fair" : "good" });
  else rows.push({ ...streaming, means: classify(plain) === "waiting" ? "" : "No stream can be used here.", tone: classify(plain) === "waiting" ? undefined : "fair" });
  if (padded && !proven) rows.push({ id: "padded", name: "The same, with padding", value: outcomeWords(padded), means: "Each piece is followed by 4 KB that mean nothing, to push it through.", tone: filled ? "good" : "fair" });
  const row = heldRow(measured, plain, proven, filled, rtt);
  if (row) rows.push(row);
  return rows;
}

/**
 * @param {Measured} measured @param {Trial} plain @param {boolean} proven @param {boolean} filled @param {number} rtt
 * @returns {Row | null}
 */
function heldRow(measured, plain, proven, filled, rtt) {
  const base = { id: "held", name: "Data held back" };
  const held = heldBack(plain, rtt);
  if (proven && held !== null) {
    const little = held < NOTICED_MS;
    return { ...base, value: `for ${span(held)} at most`, means: little ? "Nobody notices." : "Changes come a little late.", tone: little ? "good" : "fair" };
  }
  if (["waiting", "blocked", "network", "cached", "full", "cut"].includes(classify(plain))) return null;
  if (filled && plain.helloMs !== null) return { ...base, value: "each piece until the next one comes", means: "Something waits for more before it passes on what it has.", tone: "fair" };
  // Several blocks may have been read at once, so the smallest says it best.
  const block = Math.min(...blocks(measured.padded?.pieces ?? []));
  if (filled) return { ...base, value: `until about ${size(Number.isFinite(block) ? block : 4096)} have gathered`, means: "Something fills a buffer before it passes it on.", tone: "fair" };
  if (held === null) return { ...base, value: `until the response ends: nothing came in ${span(plain.ageMs)}`, means: "Something collects the whole response first: a proxy that buffers, or a scanner.", tone: "fair" };
  return { ...base, value: `for up to ${span(held)}`, means: "Something passes data on only from time to time.", tone: "fair" };
}

/**
 * Sizes of what came together: a block may be read in two pieces.
 * @param {{ ms: number, bytes: number }[]} pieces @returns {number[]}
 */
function blocks(pieces) {
  /** @type {number[]} */
  const sizes = [];
  pieces.forEach(({ ms, bytes }, n) => {
    if (n > 0 && ms - pieces[n - 1].ms < SAME_BLOCK_MS) sizes[sizes.length - 1] += bytes;
    else sizes.push(bytes);
  });
  return sizes;
}

/** @param {Measured} measured @returns {Row[]} */
function lifeRows(measured) {
  /** @type {Row[]} */
  const rows = [];
  const { plain, long } = measured;
  const off = breaksOff(measured);
  const base = { id: "life", name: "Life of a stream" };
  if (off && typeof off === "object") {
    rows.push({ ...base, value: `broken off twice, after ${span(off.ageMs)}${off.byIdle ? ` (${span(off.silentMs)} of silence)` : ""}`, means: "A stream should live for minutes; it says something every 15 s.", tone: "fair" });
  } else if (off) {
    rows.push({ ...base, value: `broken off after ${span(plain?.ended?.ms ?? 0)}${off === "once" ? ", the next one was not" : ""}`, means: off === "once" ? "Once may be chance. Measure again to be sure." : "Looking whether it happens again.", tone: "fair" });
  } else if (plain && plain.probeMs !== null && plain.frames.some((frame) => frame.event === "batch" && frame.ms > 14000)) {
    rows.push({ ...base, value: `at least ${span(plain.ageMs)}, with its heartbeat on time`, means: "A heartbeat every 15 s keeps it open.", tone: "good" });
  }
  if (long) {
    const { ended, ageMs } = long;
    const beats = long.frames.filter((frame) => frame.event === "batch").length;
    const fault = ended && !ended.bye;
    rows.push({
      id: "long", name: "The long test",
      value: fault ? `broken off after ${span(ended.ms)}, after ${span(ended.silentMs)} of silence` : `a stream lived for ${span(ended?.ms ?? ageMs)}, with ${beats} heartbeats`,
      means: fault ? "Something ends connections at this age, or after this silence." : "Nothing broke it off.",
      tone: fault ? "fair" : "good",
    });
  }
  if (measured.holds.length > 0) {
    const limit = holdLimit(measured);
    const passed = holdPassed(measured);
    const running = measured.holds.some((hold) => hold.state === "running");
    const early = measured.holds.find((hold) => hold.state === "early");
    const name = "Held requests";
    if (limit !== null) rows.push({ id: "hold", name, value: `broken off after ${span(limit)}${passed > 0 ? `; ${span(passed)} passed` : ""}`, means: limit * 0.8 >= 5000 ? `Halley asks for ${span(limit * 0.8)} at most.` : "Too short to be of use.", tone: "fair" });
    else if (early) rows.push({ id: "hold", name, value: `answered after ${span(early.ageMs ?? 0)}, too early`, means: "Something answers in the wiki's place.", tone: "fair" });
    else if (passed > 0) rows.push({ id: "hold", name, value: `${span(passed)} passed${running ? " so far" : ""}`, means: running ? "Longer ones are being tested." : "So does a silence of that length.", tone: "good" });
    else if (measured.holds.some((hold) => hold.state === "full")) rows.push({ id: "hold", name, value: "not tested: too many connections, or too much going on", means: "Close other tabs of this wiki, and measure again." });
    else if (running) rows.push({ id: "hold", name, value: "being tested", means: "Requests that the wiki answers only when something happens." });
  }
  return rows;
}

/** @param {Measured} measured @returns {Row[]} */
function requestRows(measured) {
  /** @type {Row[]} */
  const rows = [];
  const { probes, post, plain, padded } = measured;
  if (post) {
    const failure = post.failure ? (post.failure.status ? `refused (${post.failure.status})` : "no answer") : "";
    rows.push({
      id: "post", name: "Sending (POST)",
      value: post.ok ? `${size(post.bytes)} arrived unchanged after ${span(post.ms)}` : post.changed ? "what was sent arrived changed" : failure,
      means: post.ok ? "You can write here." : "Changes cannot be saved from here.",
      tone: post.ok ? "good" : "bad",
    });
  }
  if (probes.length === 0) return rows;
  const cached = judge(measured).kind === "cached";
  const aged = probes.some((one) => one.aged);
  rows.push({ id: "cache", name: "Caches", value: cached ? "an old copy came in place of an answer" : `none answered: each of ${probes.length} questions came back with its own number`, means: cached ? "Halley asks by POST, which is not kept." : aged ? "One is on the way, though: an answer had an age." : "Nothing is served from a copy.", tone: cached ? "fair" : "good" });
  const onStream = plain?.encoding ?? padded?.encoding ?? null;
  const onAnswer = probes.find((one) => one.encoding)?.encoding ?? null;
  rows.push({
    id: "coding", name: "Compression on the way",
    value: onStream ? `${onStream}, of streams too` : onAnswer ? `${onAnswer}, of short answers only` : "none",
    means: onStream || onAnswer ? "The wiki asks for none on live answers (no-transform). It does no harm where data is still sent on at once." : "Live answers arrive as they were sent.",
    tone: onStream || onAnswer ? "fair" : "good",
  });
  const rtt = bestRtt(probes);
  rows.push({ id: "rtt", name: "Round trip", value: `${span(rtt)} at best, ${span(median(probes.map((one) => one.rttMs)))} in the middle, of ${probes.length}${measured.lost > 0 ? `; ${measured.lost} lost` : ""}`, means: "To the wiki and back.", tone: measured.lost > 0 ? "fair" : undefined });
  const clock = clockOffset(probes);
  if (clock) {
    const { offsetMs, errorMs } = clock;
    const far = Math.abs(offsetMs) > CLOCKS_MS;
    const value = Math.abs(offsetMs) <= errorMs ? `the same, ± ${span(errorMs)}` : `the wiki's is ${span(Math.abs(offsetMs))} ${offsetMs > 0 ? "ahead" : "behind"}, ± ${span(errorMs)}`;
    rows.push({ id: "clock", name: "Clocks", value, means: far ? "Times of changes look wrong by that much." : "Between this device and the wiki.", tone: far ? "fair" : undefined });
  }
  return rows;
}

/** @param {Measured} measured @returns {Row[]} */
function wayRows(measured) {
  const { probes, protocol } = measured;
  if (probes.length === 0) return [];
  /** @type {Row[]} */
  const rows = [];
  const names = /** @type {Record<string, string>} */ ({ "http/1.0": "HTTP/1.0", "http/1.1": "HTTP/1.1", h2: "HTTP/2", h3: "HTTP/3" });
  if (protocol) {
    const many = protocol === "h2" || protocol === "h3";
    rows.push({ id: "protocol", name: "Protocol", value: names[protocol] ?? protocol, means: many ? "All tabs share one connection." : "A browser has six connections to the wiki at most; HTTP/2 needs TLS.", tone: many ? "good" : undefined });
  }
  const { address, trusted, proxies, via } = probes[probes.length - 1];
  const seen = via ? `says of itself: ${via}` : proxies.length > 0 ? `shows itself by ${proxies.join(", ")}` : "none shows itself";
  const unheard = proxies.includes("X-Forwarded-For") && !trusted;
  rows.push({ id: "proxy", name: "Proxies", value: seen, means: unheard ? `The wiki does not believe it, and takes you for ${address}: it needs the setting trusted_proxy.` : `The wiki takes you for ${address}.`, tone: unheard ? "fair" : undefined });
  return rows;
}

/**
 * The table.
 * @param {Measured} measured
 * @param {{ rung: string, words: string, reason: string } | null} live how this page is kept fresh now
 * @returns {Row[]}
 */
export function rows(measured, live) {
  const all = [...streamRows(measured), ...lifeRows(measured), ...requestRows(measured), ...wayRows(measured)];
  if (live) all.push({ id: "now", name: "This page now", value: live.words, means: live.reason });
  return all;
}

/**
 * What whoever runs the network needs to know.
 * @param {Measured} measured @param {string} origin the wiki's address
 * @param {{ short?: boolean }} [options] `short`: without the figures, for a mail program that takes only so much
 * @returns {string}
 */
export function letter(measured, origin, { short = false } = {}) {
  const { kind } = judge(measured);
  const lines = short ? [] : rows(measured, null).map((row) => `- ${row.name}: ${row.value}.`);
  const wishes = {
    buffer: "Please let responses below /_live/ pass as they come: no buffering, no collecting for a scan, no waiting for a full block.",
    time: "Please let a response live for at least 6 minutes, and be silent for at least 30 s: the wiki sends a sign of life every 15 s, and ends each response by itself.",
    copy: "Please let no cache answer below /_live/, and change nothing there.",
    post: "Please let POST requests with bodies pass unchanged.",
  };
  /** @type {Record<string, string[]>} */
  const needed = {
    padded: [wishes.buffer], threshold: [wishes.buffer], mute: [wishes.buffer], lumped: [wishes.buffer], late: [wishes.buffer],
    cut: [wishes.time], idle: [wishes.time], blocked: ["Please let responses of the type text/event-stream pass below /_live/.", wishes.buffer],
    cached: [wishes.copy],
  };
  const brokenOff = measured.long?.ended && !measured.long.ended.bye && kind !== "cut" && kind !== "idle";
  const asked = [...(needed[kind] ?? []), ...(brokenOff ? [wishes.time] : []), ...(measured.post && !measured.post.ok ? [wishes.post] : [])];
  return [
    `The wiki at ${origin} shows changes as they happen, over plain HTTP responses that stay open (no WebSockets). Measured from a browser in this network on ${new Date(measured.at).toISOString().slice(0, 16).replace("T", " ")} UTC:`,
    "",
    sentence(measured),
    ...lines,
    "",
    ...(asked.length > 0 ? asked : ["Nothing has to be changed for it."]),
    "",
    "These responses carry the headers Cache-Control: no-store, no-transform; X-Accel-Buffering: no; and Incremental: ?1 (RFC 10036), which ask for the same.",
    `Lines for nginx, Caddy, Apache and HAProxy: ${origin}/connection#proxies`,
  ].join("\n");
}
