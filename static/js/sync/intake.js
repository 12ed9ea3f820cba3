/**
 * Where news enters a tab: every batch, from whatever brought it, passes here.
 *
 * Safety: events reach the handlers in log order, each once; after a reset
 * nothing is delivered until every reset handler is done.
 * @module
 */

import { APPLY, Cover, SEEN, covers, sameEpoch } from "./cursor.js";

/** @typedef {import("./transports.js").Batch} Batch */
/** @typedef {import("./transports.js").LiveEvent} LiveEvent */

/**
 * Where a batch comes from. `pos` is where its reading stands: its next batch begins there.
 * @typedef {{ pos: string | null, abort?: AbortController }} Origin
 */

/** So many events of one topic in one batch: whoever can fetch the whole at once is quicker so. */
const CROWD = 50;

/**
 * Topics of which a batch brings very many events.
 * @param {readonly LiveEvent[]} events
 * @returns {string[]}
 */
function crowded(events) {
  if (events.length < CROWD) return [];
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const event of events) counts.set(event?.topic, (counts.get(event?.topic) ?? 0) + 1);
  return [...counts].filter(([, count]) => count >= CROWD).map(([topic]) => topic);
}

/**
 * @param {object} options
 * @param {string | null} options.cursor
 * @param {(event: LiveEvent) => void} options.onEvent
 * @param {(topic: string) => void} options.onCrowd very many events of this topic come now
 * @param {(cursor: string) => Promise<void>} options.onReset what was known does not join what comes
 * @param {(cursor: string | null, events: number) => void} options.onApplied
 * @param {() => void} options.onGap something is missing between what is known and a batch
 */
export function createIntake(options) {
  const cover = new Cover(options.cursor);
  let lost = false;
  /** Deliveries, strictly one after the other. @type {Promise<void>} */
  let line = Promise.resolve();
  let queued = 0;

  /**
   * @param {() => Promise<any>} work
   * @returns {Promise<void>} when it is done
   */
  function inLine(work) {
    queued += 1;
    line = line.then(work).catch((error) => console.error("halley: a delivery failed", error)).finally(() => {
      queued -= 1;
    });
    return line;
  }

  /**
   * Begins anew at `cursor`; events wait until everyone has caught up with it.
   * @param {string} cursor
   */
  async function begin(cursor) {
    const known = lost || cover.cursor !== null;
    lost = false;
    cover.jump(cursor);
    options.onApplied(cursor, 0);
    if (known) await options.onReset(cursor);
  }

  /**
   * @param {Batch} batch
   * @param {Origin | null} from null: it came with the answer to a POST
   * @returns {Promise<number>} how many events were new
   */
  async function deliver(batch, from) {
    if (from?.abort?.signal.aborted) return 0;
    const asked = from ? from.pos : batch.from;
    if (from) from.pos = batch.to;
    if (batch.reset) {
      // An answer to a position that we have left behind since resets nothing.
      const stale = cover.cursor !== null && asked !== cover.cursor && sameEpoch(cover.cursor, batch.to);
      if (!stale) await begin(batch.to);
      else if (!covers(cover.cursor, batch.to)) options.onGap();
      return 0;
    }
    if (cover.cursor === null) await begin(batch.from ?? batch.to);
    const verdict = cover.judge(batch);
    if (verdict === SEEN) return 0;
    if (verdict !== APPLY) {
      options.onGap();
      return 0;
    }
    const fresh = cover.advance(batch);
    options.onApplied(cover.cursor, fresh.length);
    for (const topic of crowded(fresh)) options.onCrowd(topic);
    for (const event of fresh) if (typeof event?.topic === "string") options.onEvent(event);
    return fresh.length;
  }

  return {
    get cursor() {
      return cover.cursor;
    },
    /** Deliveries that wait or run. */
    get queued() {
      return queued;
    },
    inLine,

    /** @param {Batch} batch @param {Origin | null} from @returns {Promise<number>} how many events were new */
    async take(batch, from) {
      let fresh = 0;
      await inLine(async () => void (fresh = await deliver(batch, from)));
      return fresh;
    },

    /** A stream that was opened without a cursor begins where hello says. @param {Origin} from @param {string | null} cursor */
    hello(from, cursor) {
      if (from.pos !== null || cursor === null) return;
      from.pos = cursor;
      void inLine(async () => {
        if (cover.cursor === null) await begin(cursor);
      });
    },

    /** The server would not read our cursor: begin at its head, as after a reset. */
    forget() {
      lost = true;
      cover.jump(null);
    },
  };
}

/** @typedef {ReturnType<typeof createIntake>} Intake */
