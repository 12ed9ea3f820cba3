/**
 * The way to the hub in a tab that leads the others: whoever holds the lock has
 * the connection, and all talk by one BroadcastChannel. A tab that dies loses the
 * lock, and the next in the queue leads at once; a hidden one, whose timers the
 * browser slows down, gives way to one that is looked at.
 * @module
 */

import { randomId } from "../../lib/id.js";
import { createHub } from "./hub.js";

/** @typedef {import("./connect.js").Locks} Locks */
/** @typedef {import("../clock.js").Clock} Clock */
/** @typedef {{ up: string, body: any } | { down: string | null, hub: string, hidden: boolean, body: any }} Envelope `down` null: to all */

/** Scripts of another version have another address, and another hub. */
const NAME = `halley-live ${new URL(".", import.meta.url).pathname}`;

/** Several that want to take over do not do so at once, in ms. */
const TAKE_OVER = 60;

/** @param {any} env a window @param {Locks} locks @param {Clock} clock @returns {import("./connect.js").Way} */
export const byLeader = (env, locks, clock) => (on) => {
  const own = randomId();
  /** @type {BroadcastChannel} */
  const channel = new env.BroadcastChannel(NAME);
  let closed = false;
  let hub = "";
  /** @type {any} */
  let taking = null;
  /** @type {AbortController | null} */
  let waiting = null;
  /** @type {(() => void) | null} stops leading */
  let leading = null;

  const hidden = () => env.document?.visibilityState === "hidden";

  channel.onmessage = ({ data }) => {
    if (closed || !("down" in data) || (data.down !== null && data.down !== own)) return;
    if (data.hidden && !hidden() && !leading) takeOverSoon();
    else if (!data.hidden) forgetTaking();
    if (data.hub !== hub) {
      hub = data.hub;
      on.hub();
    }
    if (data.body) on.message(data.body);
  };

  function forgetTaking() {
    clock.clearTimeout(taking);
    taking = null;
  }

  function takeOverSoon() {
    taking ??= clock.setTimeout(() => {
      taking = null;
      if (!closed && !leading && !hidden()) request({ steal: true });
    }, Math.random() * TAKE_OVER);
  }

  /** Leads as soon as nobody else does; with `steal` now. @param {{ steal?: boolean }} how */
  function request(how = {}) {
    waiting?.abort();
    waiting = null;
    // A request that steals cannot be called off, nor need it be.
    const abort = how.steal ? null : new AbortController();
    waiting = abort;
    /** @type {(() => void) | null} */
    let mine = null;
    const held = () =>
      closed
        ? Promise.resolve()
        : /** @type {Promise<void>} */ (
            new Promise((release) => {
              const stop = lead(env, locks, clock, hidden);
              leading = mine = () => {
                stop();
                release();
              };
            })
          );
    locks.request(NAME, abort ? { signal: abort.signal } : { steal: true }, held).catch(() => {
      // Called off, or somebody has taken over.
      if (!mine) return;
      mine();
      if (leading === mine) leading = null;
      if (!closed) request();
    });
  }

  request();
  return {
    post: (body) => channel.postMessage({ up: own, body }),
    seize() {
      if (!closed && !leading && !hidden()) request({ steal: true });
    },
    close() {
      closed = true;
      forgetTaking();
      waiting?.abort();
      leading?.();
      leading = null;
      channel.onmessage = null;
      channel.close();
    },
  };
};

/**
 * Has the connection, for all tabs.
 * @param {any} env @param {Locks} locks @param {Clock} clock @param {() => boolean} hidden
 * @returns {() => void} stops
 */
function lead(env, locks, clock, hidden) {
  /** @type {BroadcastChannel} */
  const channel = new env.BroadcastChannel(NAME);
  const id = randomId();
  /** @type {Map<string, ReturnType<import("./hub.js").Hub["connect"]>>} */
  const tabs = new Map();
  /** @param {string | null} down @param {any} body */
  const post = (down, body) => channel.postMessage({ down, hub: id, hidden: hidden(), body });
  const hub = createHub({
    net: { fetch: (/** @type {any} */ input, /** @type {any} */ init) => env.fetch(input, init), clock },
    locks,
    toAll: (body) => post(null, body),
  });
  channel.onmessage = ({ data }) => {
    if (!("up" in data)) return;
    let tab = tabs.get(data.up);
    if (!tab) tabs.set(data.up, (tab = hub.connect((body) => post(data.up, body), () => tabs.delete(data.up))));
    tab.message(data.body);
  };
  const turned = () => post(null, null);
  env.document?.addEventListener("visibilitychange", turned);
  turned();
  return () => {
    env.document?.removeEventListener("visibilitychange", turned);
    hub.stop();
    channel.onmessage = null;
    channel.close();
  };
}
