/**
 * Entry of the SharedWorker that has the one connection of all tabs.
 * @module
 */

import { createHub } from "./hub.js";
import { realClock } from "../clock.js";

const scope = /** @type {any} */ (globalThis);

const hub = createHub({
  net: { fetch: (input, init) => globalThis.fetch(input, init), clock: realClock },
  locks: scope.navigator?.locks ?? null,
  alone: true,
});

scope.onconnect = (/** @type {MessageEvent} */ event) => {
  const [port] = event.ports;
  const tab = hub.connect((message) => port.postMessage(message));
  port.onmessage = ({ data }) => tab.message(data);
  // Where the browser tells (Chromium 122 and later), also without locks.
  port.addEventListener("close", () => tab.gone());
};
