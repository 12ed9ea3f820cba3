/**
 * Presence beats: they keep the lease, carry where this person is, and are the
 * out-of-band word with the server that tells a mute stream from a dead network.
 * The first goes out at once, later changes at most four a second.
 * @module
 */

import { setDeadline } from "./clock.js";

/** @typedef {"reading"|"writing"|"away"} PresenceMode */
/** @typedef {{ page: number | string, mode: PresenceMode, caret: null | { anchor: any, head: any } }} Here */
/** @typedef {{ client: string, name: string, colour: number, guest: boolean, mode: PresenceMode, rung: string, caret: Here["caret"] }} Entry */
/** @typedef {{ head?: string, you?: { id: string, name: string, colour: number, guest: boolean }, here?: Entry[] }} BeatAnswer */

/**
 * @param {object} options
 * @param {string} options.base
 * @param {string} options.client
 * @param {typeof fetch} options.fetch
 * @param {import("./clock.js").Clock} options.clock
 * @param {import("./timing.js").Timing} options.timing
 * @param {() => { cursor: string | null, rung: string, intervalMs: number, via?: string | null }} options.state `via`: id of the connection that brings this tab its news, when it is shared
 * @param {(ok: boolean, answer: BeatAnswer | null, here: Here | null) => void} options.onBeat
 * @param {() => string} [options.onTaken] the id belongs to an earlier login: gives another
 * @param {(url: string, body: string) => boolean} [options.beacon]
 */
export function createBeat(options) {
  const { clock, timing } = options;
  let client = options.client;
  /** @type {Here | null} */
  let here = null;
  let hidden = false;
  let running = false;
  let wantList = true;
  let inFlight = false;
  let changed = false;
  let sentAt = -Infinity;
  let notBefore = 0;
  /** Ids in a row that were all refused. */
  let renames = 0;
  /** @type {any} */
  let timer = null;
  let timerAt = Infinity;

  /** @param {number} at */
  function plan(at) {
    if (!running || !here) return;
    if (timer !== null && timerAt <= at) return;
    if (timer !== null) clock.clearTimeout(timer);
    timerAt = at;
    timer = clock.setTimeout(() => {
      timer = null;
      timerAt = Infinity;
      if (running) send(timing.beatTimeout * 2);
    }, Math.max(0, at - clock.now()));
  }

  /** @returns {Here | null} */
  function shown() {
    if (!here) return null;
    return hidden ? { ...here, mode: "away" } : here;
  }

  /** @param {number} timeoutMs */
  async function send(timeoutMs) {
    const now = shown();
    if (!now) return;
    if (inFlight) {
      changed = true;
      return;
    }
    inFlight = true;
    changed = false;
    sentAt = clock.now();
    const list = wantList;
    const abort = new AbortController();
    const answered = setDeadline(clock, () => abort.abort(), timeoutMs);
    let ok = false;
    /** @type {BeatAnswer | null} */
    let answer = null;
    try {
      const { cursor, rung, intervalMs, via } = options.state();
      const response = await options.fetch(`${options.base}/beat`, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "application/json" },
        body: JSON.stringify({ client, ...(via ? { via } : {}), cursor, rung, interval_ms: intervalMs, here: now, list }),
        cache: "no-store",
        credentials: "same-origin",
        redirect: "manual",
        signal: abort.signal,
      });
      const type = response.headers.get("content-type") ?? "";
      // A refusal by the server is an answer; a page of the network's is not.
      ok = type.startsWith("application/json");
      if (response.status === 429 || response.status === 503) {
        const seconds = Number(response.headers.get("retry-after"));
        notBefore = clock.now() + (seconds > 0 ? Math.min(seconds, 600) * 1000 : timing.beat);
      }
      if (ok) {
        const body = await response.json();
        if (response.ok) {
          answer = body;
          if (list) wantList = false;
        }
        ok = response.status < 500;
        if (response.ok) renames = 0;
        // Any other 403 (another origin, no right) would meet the next id as well.
        if (response.status === 403 && body?.error?.code === "not_yours" && options.onTaken) {
          client = options.onTaken();
          wantList = true;
          changed = true;
          renames += 1;
          if (renames > 1) notBefore = clock.now() + timing.beat;
        }
      }
    } catch {
      ok = false;
    }
    answered();
    inFlight = false;
    if (!running) return;
    options.onBeat(ok, answer, now);
    plan(Math.max(sentAt + (changed ? timing.beatGap : timing.beat), notBefore));
  }

  /** As soon as the least distance allows. */
  function soon() {
    changed = inFlight;
    if (!inFlight) plan(Math.max(sentAt + timing.beatGap, notBefore));
  }

  return {
    start() {
      if (running) return;
      running = true;
      wantList = true;
      if (here) soon();
    },
    stop() {
      running = false;
      if (timer !== null) clock.clearTimeout(timer);
      timer = null;
      timerAt = Infinity;
    },
    /** Where this person is and what they do. @param {Here} next */
    set(next) {
      if (here && JSON.stringify(here) === JSON.stringify(next)) return;
      if (here && String(here.page) !== String(next.page)) wantList = true;
      here = { ...next };
      if (running) soon();
    },
    /** @param {boolean} now */
    setHidden(now) {
      if (hidden === now) return;
      hidden = now;
      if (running && here) soon();
    },
    /** The rung changed, and with it the lease. */
    touch() {
      if (running && here) soon();
    },
    /** Another connection carries this tab. Without a timer, for those of hidden tabs may be a minute late. */
    moved() {
      if (!running || !here) return;
      if (!inFlight && clock.now() >= Math.max(sentAt + timing.beatGap, notBefore)) void send(timing.beatTimeout * 2);
      else soon();
    },
    /** Asks for the whole list of people with the next beat, now. */
    relist() {
      wantList = true;
      if (running && here) soon();
    },
    /**
     * One beat at once, as a question to the server. False: there is nothing to
     * beat for, ask another way.
     * @param {number} timeoutMs
     */
    probe(timeoutMs) {
      if (!running || !here) return false;
      if (inFlight) {
        // That one answers within its own time-out, which is no longer than twice this.
        return true;
      }
      send(timeoutMs);
      return true;
    },
    /** Says goodbye, also while the page goes away. */
    leave() {
      if (!here) return;
      const body = JSON.stringify({ client });
      const url = `${options.base}/leave`;
      wantList = true;
      sentAt = -Infinity;
      if (options.beacon?.(url, body)) return;
      options.fetch(url, { method: "POST", body, keepalive: true, headers: { "Content-Type": "application/json" } }).catch(() => {});
    },
  };
}
