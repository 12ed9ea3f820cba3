// Cutting and filtering Yjs updates (v1) without a document: what the outbox needs so that nothing it sends is
// too large for the server's gate, or carries another person's structs.

import { Y } from "../../vendor/editor.js";

/** @typedef {{ client: number, clock: number, length: number }} Run */

/** Most bytes of one request's update. The gate takes 256 KiB; the rest is room for what merging adds. */
export const MAX_UPDATE_BYTES = 160 * 1024;
/** Most structs of one request's update (the gate takes 20,000). */
export const MAX_UPDATE_STRUCTS = 6000;
/** Most deleted ranges of one request's update (the gate takes 50,000). */
export const MAX_UPDATE_RANGES = 12000;

/**
 * Joins updates in the order in which they were made.
 * @param {Uint8Array[]} updates at least one
 * @returns {Uint8Array}
 */
export function mergeUpdates(updates) {
  return updates.length === 1 ? updates[0] : Y.mergeUpdates(updates);
}

/**
 * Clock of the first struct under `client`, or null when the update has none.
 * @param {Uint8Array} update
 * @param {number} client
 * @returns {number | null}
 */
export function firstClock(update, client) {
  return Y.parseUpdateMeta(update).from.get(client) ?? null;
}

/**
 * Whether an update holds neither structs nor deletions.
 * @param {Uint8Array} update
 */
export function isEmpty(update) {
  return update.length <= 2;
}

/**
 * Cuts an update into pieces that each pass the server's limits, to be applied in order. A long inserted text is
 * cut between two code points.
 * @param {Uint8Array} update
 * @param {{ bytes?: number, structs?: number, ranges?: number }} [limits]
 * @returns {Uint8Array[]} the update itself when it is small enough
 */
export function splitUpdate(update, limits = {}) {
  const maxBytes = limits.bytes ?? MAX_UPDATE_BYTES;
  const maxStructs = limits.structs ?? MAX_UPDATE_STRUCTS;
  const maxRanges = limits.ranges ?? MAX_UPDATE_RANGES;
  // An update cannot hold more structs or ranges than it has bytes, so a small one needs no decoding.
  if (update.length <= Math.min(maxBytes, maxStructs, maxRanges)) return [update];
  const { structs, ds } = Y.decodeUpdate(update);
  const ranges = rangesOf(ds);
  if (update.length <= maxBytes && structs.length <= maxStructs && ranges.length <= maxRanges)
    return [update];

  /** @type {Uint8Array[]} */
  const pieces = [];
  /** @type {any[]} */
  let batch = [];
  let size = 0;
  const close = () => {
    if (batch.length > 0) pieces.push(encode(batch, []));
    batch = [];
    size = 0;
  };
  for (const struct of structs) {
    for (const part of cutStruct(struct, Math.max(16, Math.floor(maxBytes / 4)))) {
      const weight = weightOf(part);
      if (batch.length >= maxStructs || (size > 0 && size + weight > maxBytes)) close();
      batch.push(part);
      size += weight;
    }
  }
  close();
  const perPiece = Math.max(1, Math.min(maxRanges, Math.floor(maxBytes / 12)));
  for (let i = 0; i < ranges.length; i += perPiece) pieces.push(encode([], ranges.slice(i, i + perPiece)));
  return pieces;
}

/**
 * The update with only the structs of the given clients; deletions stay, they may touch anything.
 * @param {Uint8Array} update
 * @param {ReadonlySet<number>} clients
 * @returns {Uint8Array}
 */
export function onlyClients(update, clients) {
  const { structs, ds } = Y.decodeUpdate(update);
  return encode(
    structs.filter((struct) => clients.has(struct.id.client) && !(struct instanceof Y.Skip)),
    rangesOf(ds),
  );
}

/**
 * The texts that an update inserts, in clock order: the last resort when it cannot be applied to anything.
 * @param {Uint8Array} update
 * @returns {string}
 */
export function insertedText(update) {
  let text = "";
  for (const struct of Y.decodeUpdate(update).structs) {
    if (struct instanceof Y.Item && struct.content instanceof Y.ContentString) text += struct.content.str;
  }
  return text;
}

/**
 * @param {any} ds
 * @returns {Run[]}
 */
function rangesOf(ds) {
  /** @type {Run[]} */
  const ranges = [];
  for (const [client, items] of ds.clients) {
    for (const item of items) ranges.push({ client, clock: item.clock, length: item.len });
  }
  return ranges;
}

/** Bytes of a struct on the wire, at most. @param {any} struct */
function weightOf(struct) {
  const text = struct.content instanceof Y.ContentString ? struct.content.str.length * 3 : 8;
  return text + 40;
}

/**
 * @param {any} struct
 * @param {number} maxUnits most UTF-16 units of text in one part
 * @returns {any[]}
 */
function cutStruct(struct, maxUnits) {
  if (!(struct instanceof Y.Item) || !(struct.content instanceof Y.ContentString)) return [struct];
  const text = struct.content.str;
  if (text.length <= maxUnits) return [struct];
  const parts = [];
  const { client, clock } = struct.id;
  for (let from = 0; from < text.length;) {
    let to = Math.min(text.length, from + maxUnits);
    const last = text.charCodeAt(to - 1);
    if (to < text.length && last >= 0xd800 && last <= 0xdbff) to -= 1;
    parts.push(
      new Y.Item(
        Y.createID(client, clock + from),
        null,
        from === 0 ? struct.origin : Y.createID(client, clock + from - 1),
        null,
        struct.rightOrigin,
        struct.parent,
        struct.parentSub,
        new Y.ContentString(text.slice(from, to)),
      ),
    );
    from = to;
  }
  return parts;
}

/**
 * Writes an update: structs grouped by client in the order given, then the deleted ranges.
 * @param {any[]} structs
 * @param {Run[]} ranges
 * @returns {Uint8Array}
 */
function encode(structs, ranges) {
  const encoder = new Y.UpdateEncoderV1();
  // `writeClient` of the v1 encoder is a plain variable-length integer, the only number format that v1 has.
  const number = (/** @type {number} */ n) => encoder.writeClient(n);
  const byClient = group(structs, (struct) => struct.id.client);
  number(byClient.size);
  for (const [client, list] of byClient) {
    number(list.length);
    encoder.writeClient(client);
    number(list[0].id.clock);
    for (const struct of list) struct.write(encoder, 0);
  }
  const deleted = group(ranges, (range) => range.client);
  number(deleted.size);
  for (const [client, list] of deleted) {
    number(client);
    number(list.length);
    for (const range of list) {
      number(range.clock);
      number(range.length);
    }
  }
  return encoder.toUint8Array();
}

/**
 * @template T
 * @param {T[]} items
 * @param {(item: T) => number} key
 * @returns {Map<number, T[]>}
 */
function group(items, key) {
  /** @type {Map<number, T[]>} */
  const groups = new Map();
  for (const item of items) {
    const list = groups.get(key(item));
    if (list) list.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}
