// What a browser keeps of unsent edits: an IndexedDB database shared by all tabs, or plain memory where there is
// none. Nothing here knows Yjs or the network.
//
//   clients  [page, client] -> StoredClient     who writes under a Yjs client id, and what is being sent
//   log      [page, client, seq] -> bytes       its updates that the server has not acknowledged, one per edit
//   docs     page -> StoredDoc                  a copy of the document, so that an edit page opens offline

/**
 * @typedef {object} Flight bytes that were or may have been sent; a retry sends the very same ones
 * @property {string} op
 * @property {Uint8Array} bytes
 * @property {number} upto last entry of the log that is in them
 */
/**
 * @typedef {object} StoredClient
 * @property {number} page
 * @property {number} client Yjs client id
 * @property {string} user login that it was issued to, empty when the server has issued nothing yet
 * @property {boolean} issued false: made up while offline, to be written again under an issued id
 * @property {string} owner tab that holds it
 * @property {number} created ms since 1970; records are sent in this order
 * @property {Flight | null} flight
 */
/** @typedef {{ seq: number, bytes: Uint8Array }} Entry */
/** @typedef {StoredClient & { entries: Entry[] }} StoredRecord */
/**
 * @typedef {object} StoredDoc
 * @property {number} page
 * @property {string} path
 * @property {Uint8Array} state whole document as a Yjs update (v1)
 * @property {number} rev
 * @property {number} at ms since 1970
 */
/**
 * @typedef {object} Store
 * @property {boolean} durable whether it survives the tab
 * @property {(page: number) => Promise<{ doc: StoredDoc | null, records: StoredRecord[] }>} load
 * @property {(client: StoredClient) => Promise<void>} putClient
 * @property {(client: StoredClient, entries: Entry[]) => Promise<void>} append
 *   also who wrote them, should another tab have taken this one for dead and forgotten it
 * @property {(client: StoredClient, upto: number) => Promise<void>} acknowledge
 *   forgets the log up to an entry and keeps the flight
 * @property {(page: number, client: number, expected: string, owner: string) => Promise<boolean>} claim
 *   takes a record over if its owner is still the one that was found dead
 * @property {(page: number, client: number) => Promise<void>} remove
 * @property {(page: number, client: number, upto: number) => Promise<void>} settle
 *   forgets the log up to an entry, and the client if nothing is left: its tab may live after all and have written more
 * @property {(page: number, olds: number[], client: StoredClient, entries: Entry[]) => Promise<void>} replace
 *   puts one record in the place of others, all at once, so that a crash leaves either the one or the others
 * @property {(doc: StoredDoc, keep: number) => Promise<void>} putDoc stores a copy and drops all but the `keep` newest
 * @property {() => Promise<{ page: number, path: string }[]>} unsentPages pages of which something is unsent
 * @property {() => void} close
 */

const VERSION = 1;

/**
 * Opens the browser's store.
 * @param {IDBFactory} factory
 * @param {string} [name]
 * @returns {Promise<Store>} rejects where the browser refuses (private mode, quota, blocked by policy)
 */
export async function openStore(factory, name = "halley") {
  const db = await new Promise((/** @type {(db: IDBDatabase) => void} */ resolve, reject) => {
    const request = factory.open(name, VERSION);
    request.onupgradeneeded = () => {
      const fresh = request.result;
      fresh.createObjectStore("clients", { keyPath: ["page", "client"] });
      fresh.createObjectStore("log", { keyPath: ["page", "client", "seq"] });
      fresh.createObjectStore("docs", { keyPath: "page" });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("the store is held open by an older tab"));
  });
  // A newer version of Halley in another tab must be able to upgrade.
  db.onversionchange = () => db.close();
  return new BrowserStore(db);
}

/** @param {IDBRequest} request @returns {Promise<any>} */
const answer = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** @param {number} page @param {number} client @param {number} [upto] */
const logRange = (page, client, upto = Infinity) =>
  globalThis.IDBKeyRange.bound([page, client, 0], [page, client, upto]);

/** @implements {Store} */
class BrowserStore {
  /** @param {IDBDatabase} db */
  constructor(db) {
    this.db = db;
    this.durable = true;
  }

  /**
   * Runs `work` in one transaction and waits until it is committed.
   * @template T
   * @param {string[]} stores
   * @param {IDBTransactionMode} mode
   * @param {(tx: IDBTransaction) => T | Promise<T>} work
   * @returns {Promise<T>}
   */
  async run(stores, mode, work) {
    const tx = this.db.transaction(stores, mode);
    const done = new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
      tx.oncomplete = () => resolve();
      tx.onabort = () => reject(tx.error ?? new Error("the browser gave the transaction up"));
    });
    done.catch(() => {});
    const result = await work(tx);
    await done;
    return result;
  }

  /** @param {number} page */
  load(page) {
    return this.run(["clients", "log", "docs"], "readonly", async (tx) => {
      const range = globalThis.IDBKeyRange.bound([page, 0], [page, Infinity]);
      const [clients, entries, doc] = await Promise.all([
        answer(tx.objectStore("clients").getAll(range)),
        answer(
          tx
            .objectStore("log")
            .getAll(globalThis.IDBKeyRange.bound([page, 0, 0], [page, Infinity, Infinity])),
        ),
        answer(tx.objectStore("docs").get(page)),
      ]);
      return {
        doc: doc ?? null,
        records: clients
          .map((/** @type {StoredClient} */ client) => ({
            ...client,
            entries: entries
              .filter((/** @type {any} */ entry) => entry.client === client.client)
              .map((/** @type {any} */ entry) => ({ seq: entry.seq, bytes: entry.bytes })),
          }))
          .sort((/** @type {StoredClient} */ a, /** @type {StoredClient} */ b) => a.created - b.created),
      };
    });
  }

  /** @param {StoredClient} client */
  putClient(client) {
    return this.run(["clients"], "readwrite", (tx) => {
      tx.objectStore("clients").put(plain(client));
    });
  }

  /** @param {StoredClient} record @param {Entry[]} entries */
  append(record, entries) {
    const { page, client } = record;
    const known = plain(record);
    return this.run(["clients", "log"], "readwrite", async (tx) => {
      for (const entry of entries)
        tx.objectStore("log").put({ page, client, seq: entry.seq, bytes: entry.bytes });
      if (!(await answer(tx.objectStore("clients").getKey([page, client])))) tx.objectStore("clients").put(known);
    });
  }

  /** @param {StoredClient} record @param {number} upto */
  acknowledge(record, upto) {
    const { page, client, flight } = record;
    const known = plain(record);
    return this.run(["clients", "log"], "readwrite", async (tx) => {
      if (upto > 0) tx.objectStore("log").delete(logRange(page, client, upto));
      const found = await answer(tx.objectStore("clients").get([page, client]));
      if (found || flight) tx.objectStore("clients").put({ ...(found ?? known), flight });
    });
  }

  /** @param {number} page @param {number} client @param {string} expected @param {string} owner */
  claim(page, client, expected, owner) {
    return this.run(["clients"], "readwrite", async (tx) => {
      const found = await answer(tx.objectStore("clients").get([page, client]));
      if (!found || found.owner !== expected) return false;
      tx.objectStore("clients").put({ ...found, owner });
      return true;
    });
  }

  /** @param {number} page @param {number} client */
  remove(page, client) {
    return this.run(["clients", "log"], "readwrite", (tx) => {
      tx.objectStore("clients").delete([page, client]);
      tx.objectStore("log").delete(logRange(page, client));
    });
  }

  /** @param {number} page @param {number} client @param {number} upto */
  settle(page, client, upto) {
    return this.run(["clients", "log"], "readwrite", async (tx) => {
      const [clients, log] = [tx.objectStore("clients"), tx.objectStore("log")];
      if (upto > 0) log.delete(logRange(page, client, upto));
      const [left, found] = await Promise.all([answer(log.count(logRange(page, client))), answer(clients.get([page, client]))]);
      if (left === 0) clients.delete([page, client]);
      else if (found) clients.put({ ...found, flight: null });
    });
  }

  /** @param {number} page @param {number[]} olds @param {StoredClient} client @param {Entry[]} entries */
  replace(page, olds, client, entries) {
    return this.run(["clients", "log"], "readwrite", (tx) => {
      for (const old of olds) {
        tx.objectStore("clients").delete([page, old]);
        tx.objectStore("log").delete(logRange(page, old));
      }
      tx.objectStore("clients").put(plain(client));
      for (const entry of entries) {
        tx.objectStore("log").put({ page, client: client.client, seq: entry.seq, bytes: entry.bytes });
      }
    });
  }

  /** @param {StoredDoc} doc @param {number} keep */
  putDoc(doc, keep) {
    return this.run(["docs", "log"], "readwrite", async (tx) => {
      const docs = tx.objectStore("docs");
      docs.put(doc);
      const keys = await answer(docs.getAllKeys());
      if (keys.length <= keep) return;
      // Reading whole documents only to learn their age is fine for two dozen of them, and it happens rarely. A
      // page with unsent edits keeps its copy whatever its age.
      const all = /** @type {StoredDoc[]} */ (await answer(docs.getAll()));
      const unsent = new Set(
        (await answer(tx.objectStore("log").getAllKeys())).map((/** @type {any} */ key) => key[0]),
      );
      all.sort((a, b) => b.at - a.at);
      for (const old of all.slice(keep)) if (!unsent.has(old.page)) docs.delete(old.page);
    });
  }

  unsentPages() {
    return this.run(["docs", "log"], "readonly", async (tx) => {
      const pages = new Set(
        (await answer(tx.objectStore("log").getAllKeys())).map((/** @type {any} */ key) => key[0]),
      );
      const found = [];
      for (const page of pages) {
        const doc = await answer(tx.objectStore("docs").get(page));
        if (doc) found.push({ page, path: doc.path });
      }
      return found;
    });
  }

  close() {
    this.db.close();
  }
}

/** Only the fields that belong into the store. @param {StoredClient} client @returns {StoredClient} */
function plain({ page, client, user, issued, owner, created, flight }) {
  return { page, client, user, issued, owner, created, flight };
}

/**
 * The same in memory: for browsers that keep nothing, and for tests.
 * @implements {Store}
 */
export class MemoryStore {
  constructor() {
    this.durable = false;
    /** @type {Map<string, StoredRecord>} */
    this.records = new Map();
    /** @type {Map<number, StoredDoc>} */
    this.docs = new Map();
  }

  /** @param {number} page */
  async load(page) {
    const records = [...this.records.values()].filter((record) => record.page === page);
    return {
      doc: this.docs.get(page) ?? null,
      records: records
        .map((record) => ({ ...record, entries: [...record.entries] }))
        .sort((a, b) => a.created - b.created),
    };
  }

  /** @param {StoredClient} client */
  async putClient(client) {
    const key = `${client.page}/${client.client}`;
    this.records.set(key, { ...plain(client), entries: this.records.get(key)?.entries ?? [] });
  }

  /** @param {StoredClient} client @param {Entry[]} entries */
  async append(client, entries) {
    const key = `${client.page}/${client.client}`;
    if (!this.records.has(key)) this.records.set(key, { ...plain(client), entries: [] });
    this.records.get(key)?.entries.push(...entries);
  }

  /** @param {StoredClient} client @param {number} upto */
  async acknowledge(client, upto) {
    const key = `${client.page}/${client.client}`;
    if (!this.records.has(key) && client.flight) this.records.set(key, { ...plain(client), entries: [] });
    const record = this.records.get(key);
    if (!record) return;
    record.entries = record.entries.filter((entry) => entry.seq > upto);
    record.flight = client.flight;
  }

  /** @param {number} page @param {number} client @param {string} expected @param {string} owner */
  async claim(page, client, expected, owner) {
    const record = this.records.get(`${page}/${client}`);
    if (!record || record.owner !== expected) return false;
    record.owner = owner;
    return true;
  }

  /** @param {number} page @param {number} client */
  async remove(page, client) {
    this.records.delete(`${page}/${client}`);
  }

  /** @param {number} page @param {number} client @param {number} upto */
  async settle(page, client, upto) {
    const record = this.records.get(`${page}/${client}`);
    if (!record) return;
    record.entries = record.entries.filter((entry) => entry.seq > upto);
    record.flight = null;
    if (record.entries.length === 0) this.records.delete(`${page}/${client}`);
  }

  /** @param {number} page @param {number[]} olds @param {StoredClient} client @param {Entry[]} entries */
  async replace(page, olds, client, entries) {
    for (const old of olds) this.records.delete(`${page}/${old}`);
    this.records.set(`${page}/${client.client}`, { ...plain(client), entries: [...entries] });
  }

  /** @param {StoredDoc} doc @param {number} keep */
  async putDoc(doc, keep) {
    this.docs.set(doc.page, doc);
    const old = [...this.docs.values()].sort((a, b) => b.at - a.at).slice(keep);
    for (const each of old) this.docs.delete(each.page);
  }

  async unsentPages() {
    const pages = new Set([...this.records.values()].filter((r) => r.entries.length > 0).map((r) => r.page));
    return [...pages].map((page) => ({ page, path: this.docs.get(page)?.path ?? "" }));
  }

  close() {}
}
