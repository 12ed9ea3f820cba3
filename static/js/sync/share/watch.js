/**
 * Notices the death of tabs: each holds a Web Lock with its client id for as long
 * as it lives, and whoever waits for that lock gets it when the tab is gone,
 * however it went.
 * @module
 */

/** @typedef {import("./connect.js").Locks} Locks */

/** Most tabs watched: what a browser has open, and a few that died meanwhile. */
const MOST = 200;

/** @param {string} client */
const lockName = (client) => `halley-tab ${client}`;

/**
 * @param {Locks | null} locks
 * @param {(client: string) => void} onDeath
 */
export function createWatch(locks, onDeath) {
  /** @type {Map<string, AbortController>} */
  const watched = new Map();
  return {
    /** @param {string} client */
    begin(client) {
      if (!locks || watched.has(client) || watched.size >= MOST) return;
      const abort = new AbortController();
      watched.set(client, abort);
      locks
        .request(lockName(client), { signal: abort.signal }, () => {
          if (abort.signal.aborted) return;
          watched.delete(client);
          onDeath(client);
        })
        .catch(() => {});
    },
    /** It says goodbye itself. @param {string} client */
    end(client) {
      watched.get(client)?.abort();
      watched.delete(client);
    },
    /** @returns {string[]} who is watched: another hub must watch them too */
    known: () => [...watched.keys()],
    stop() {
      for (const abort of watched.values()) abort.abort();
      watched.clear();
    },
  };
}

/**
 * Holds a tab's lock.
 * @param {Locks | null} locks
 * @param {string} client
 * @returns {{ held: Promise<boolean>, release: () => void }}
 */
export function holdLock(locks, client) {
  /** @type {() => void} */
  let release = () => {};
  if (!locks) return { held: Promise.resolve(false), release };
  const until = /** @type {Promise<void>} */ (new Promise((done) => (release = done)));
  const held = /** @type {Promise<boolean>} */ (
    new Promise((done) => {
      locks.request(lockName(client), () => (done(true), until)).catch(() => done(false));
    })
  );
  return { held, release };
}
