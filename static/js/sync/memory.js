/**
 * What the ladder remembers: the verdict about this network for half an hour in
 * this browser, and the person's choice for this tab. Storage may be missing or
 * full; then nothing is remembered and nothing breaks.
 * @module
 */

/** @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Store */
/** @typedef {import("./ladder.js").Verdict} Verdict */
/** @typedef {import("./states.js").Rung} Rung */

const VERDICT = "halley.verdict";
const CHOICE = "halley.live";
const TIMES = "halley.timing";
const RUNGS = ["stream", "hold", "poll", "off"];

/**
 * @template T
 * @param {() => T} run
 * @returns {T | null}
 */
function quietly(run) {
  try {
    return run();
  } catch {
    return null;
  }
}

/** @param {Store | null} store @returns {any} parsed JSON or null */
function readJson(store, /** @type {string} */ key) {
  return quietly(() => JSON.parse(store?.getItem(key) ?? "null"));
}

/** @param {any} env a window, or null @param {"localStorage" | "sessionStorage"} name @returns {Storage | null} */
export function storage(env, name) {
  return quietly(() => env?.[name] ?? null);
}

/** @param {Store | null} local @returns {Verdict | null} */
export function readVerdict(local) {
  const found = readJson(local, VERDICT);
  const fits = found && typeof found.at === "number" && typeof found.kind === "string" && (found.rung === "hold" || found.rung === "poll");
  return fits ? found : null;
}

/** @param {Store | null} local @param {Verdict | null} verdict */
export function writeVerdict(local, verdict) {
  quietly(() => (verdict ? local?.setItem(VERDICT, JSON.stringify(verdict)) : local?.removeItem(VERDICT)));
}

/**
 * The forced rung: the address wins and is kept for the tab; `auto` forgets it.
 * @param {Store | null} session
 * @param {string} search the query part of the page's address
 * @returns {Rung | null}
 */
export function readChoice(session, search) {
  const asked = new URLSearchParams(search).get("live");
  if (asked === "auto" || RUNGS.includes(asked ?? "")) writeChoice(session, asked === "auto" ? null : /** @type {Rung} */ (asked));
  if (asked === "auto") return null;
  if (RUNGS.includes(asked ?? "")) return /** @type {Rung} */ (asked);
  const kept = quietly(() => session?.getItem(CHOICE)) ?? "";
  return RUNGS.includes(kept) ? /** @type {Rung} */ (kept) : null;
}

/** @param {Store | null} session @param {Rung | null} choice */
export function writeChoice(session, choice) {
  quietly(() => (choice ? session?.setItem(CHOICE, choice) : session?.removeItem(CHOICE)));
}

/** Overrides of the intervals, for browser tests. @param {Store | null} session @returns {unknown} */
export function readTiming(session) {
  return readJson(session, TIMES);
}
