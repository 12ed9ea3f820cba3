// Who is alive: tells a record of a tab that still runs from one that a crash or a reload left behind.
//
// Web Locks answer that exactly. They exist only in secure contexts, and a wiki on a local network often is plain
// HTTP; there the tabs ask each other over a BroadcastChannel, and silence counts as dead: a frozen tab is silent too.
// So a wrong guess must cost nothing: claiming a record is a compare-and-set in the store, sending it twice changes
// nothing on the server, and the store forgets no entry that whoever claimed it has not seen.

/**
 * @typedef {object} Keeper
 * @property {(page: number, client: number) => Promise<boolean>} hold false: somebody else holds it
 * @property {(page: number, client: number) => void} begin holds what nobody else can: an id that is new, and one's own
 * @property {(page: number, client: number) => void} release
 * @property {() => void} close releases everything
 */

/** How long another tab may take to answer, without Web Locks. */
const ANSWER_MS = 300;

/**
 * @param {{ locks?: LockManager | null, Channel?: typeof BroadcastChannel | null, answerMs?: number }} [options]
 * @returns {Keeper}
 */
export function createKeeper(options = {}) {
  const locks = options.locks === undefined ? globalThis.navigator?.locks : options.locks;
  if (locks) return new LockKeeper(locks);
  const Channel = options.Channel === undefined ? globalThis.BroadcastChannel : options.Channel;
  return new ChannelKeeper(Channel ? new Channel("halley-outbox") : null, options.answerMs ?? ANSWER_MS);
}

/** @param {number} page @param {number} client */
const nameOf = (page, client) => `halley:${page}:${client}`;

/** @implements {Keeper} */
class LockKeeper {
  /** @param {LockManager} locks */
  constructor(locks) {
    this.locks = locks;
    /** @type {Map<string, () => void>} */
    this.held = new Map();
  }

  /** @param {number} page @param {number} client @returns {Promise<boolean>} */
  hold(page, client) {
    const name = nameOf(page, client);
    if (this.held.has(name)) return Promise.resolve(true);
    return new Promise((resolve, reject) => {
      this.locks
        .request(name, { ifAvailable: true }, (lock) => {
          resolve(lock !== null);
          if (lock === null) return undefined;
          return new Promise((/** @type {(value?: undefined) => void} */ release) =>
            this.held.set(name, () => release()),
          );
        })
        .catch(reject);
    });
  }

  /** @param {number} page @param {number} client */
  begin(page, client) {
    void this.hold(page, client);
  }

  /** @param {number} page @param {number} client */
  release(page, client) {
    this.held.get(nameOf(page, client))?.();
    this.held.delete(nameOf(page, client));
  }

  close() {
    for (const release of this.held.values()) release();
    this.held.clear();
  }
}

/** @implements {Keeper} */
class ChannelKeeper {
  /** @param {BroadcastChannel | null} channel @param {number} answerMs */
  constructor(channel, answerMs) {
    this.channel = channel;
    this.answerMs = answerMs;
    /** @type {Set<string>} */
    this.held = new Set();
    /** @type {Map<string, (alive: boolean) => void>} */
    this.asking = new Map();
    channel?.addEventListener("message", (event) => {
      const { ask, alive } = event.data ?? {};
      if (typeof ask === "string" && this.held.has(ask)) channel.postMessage({ alive: ask });
      if (typeof alive === "string") this.asking.get(alive)?.(true);
    });
  }

  /** @param {number} page @param {number} client @returns {Promise<boolean>} */
  async hold(page, client) {
    const name = nameOf(page, client);
    if (this.held.has(name)) return true;
    const channel = this.channel;
    if (channel) {
      const alive = await new Promise((resolve) => {
        this.asking.set(name, resolve);
        channel.postMessage({ ask: name });
        setTimeout(() => resolve(false), this.answerMs);
      });
      this.asking.delete(name);
      if (alive) return false;
    }
    this.held.add(name);
    return true;
  }

  /** Without asking: until the answer others would be told that nobody is there. @param {number} page @param {number} client */
  begin(page, client) {
    this.held.add(nameOf(page, client));
  }

  /** @param {number} page @param {number} client */
  release(page, client) {
    this.held.delete(nameOf(page, client));
  }

  close() {
    this.held.clear();
    this.channel?.close();
  }
}
