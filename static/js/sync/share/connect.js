/**
 * What this browser offers for one connection of all its tabs: a SharedWorker
 * that has it, else a tab that leads the others. One version of the wiki's
 * scripts shares among itself: the address of these files carries their hash.
 * @module
 */

import { byLeader } from "./by-leader.js";
import { byWorker } from "./by-worker.js";

/**
 * A way to a hub. Opening it twice gives two channels.
 * @callback Way
 * @param {ChannelEvents} on
 * @returns {Channel}
 */

/**
 * @typedef {object} ChannelEvents
 * @property {(message: any) => void} message from the hub
 * @property {() => void} hub another hub than before listens: join it
 * @property {() => void} gone the hub has died: there may be another
 * @property {() => void} lost there is none, and there will be none this way
 */

/**
 * @typedef {object} Channel
 * @property {(message: any) => void} post to the hub
 * @property {() => void} seize the hub is silent: take its place, where that is possible
 * @property {() => void} close
 */

/** @typedef {Pick<LockManager, "request">} Locks */
/** @typedef {{ ways: readonly Way[], locks: Locks | null }} Sharing */

/**
 * @param {any} env a window, or null
 * @param {import("../clock.js").Clock} clock
 * @returns {Sharing | null} null: nothing can be shared here
 */
export function sharedBy(env, clock) {
  // Web Locks exist in secure contexts only (https, localhost).
  /** @type {Locks | null} */
  const locks = env?.navigator?.locks ?? null;
  const ways = [];
  if (typeof env?.SharedWorker === "function") ways.push(byWorker(env));
  if (typeof env?.BroadcastChannel === "function" && locks) ways.push(byLeader(env, locks, clock));
  return ways.length > 0 ? { ways, locks } : null;
}
