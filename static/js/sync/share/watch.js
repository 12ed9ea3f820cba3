/**
 * Notices the death of tabs: each holds a Web Lock with its client id for as long
 * as it lives, and whoever waits for that lock gets it when the tab is gone,
 * however it went.
 * @module
 */

/** @typedef {import("./connect.js").Locks} Locks */

/** Most tabs watched: what a browser has open, and a few that died meanwhile. */
const MOST = 200;

/** The lock of a tab. @param {string} client */
export const tabLock = (client) => `halley-tab ${client}`;
/** The lock of a worker that has the connection. @param {string} id */
export const hubLock = (id) => `halley-hub ${id}`;

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
        .request(tabLock(client), { signal: abort.signal }, () => {
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
 * Holds a lock for as long as this tab or worker lives.
 * @param {Locks | null} locks
 * @param {string} name
 * @returns {{ held: Promise<boolean>, release: () => void }}
 */
export function holdLock(locks, name) {
  /** @type {() => void} */
  let release = () => {};
  if (!locks) return { held: Promise.resolve(false), release };
  const until = /** @type {Promise<void>} */ (new Promise((done) => (release = done)));
  const held = /** @type {Promise<boolean>} */ (
    new Promise((done) => {
      locks.request(name, () => (done(true), until)).catch(() => done(false));
    })
  );
  return { held, release };
}

/**
 * Notices the death of a hub, as any number of tabs may at once.
 * @param {Locks | null} locks
 * @param {string} id
 * @param {() => void} onDeath
 * @returns {() => void} looks no longer
 */
export function watchHub(locks, id, onDeath) {
  const abort = new AbortController();
  locks?.request(hubLock(id), { mode: "shared", signal: abort.signal }, () => {
    if (!abort.signal.aborted) onDeath();
  }).catch(() => {});
  return () => abort.abort();
}
