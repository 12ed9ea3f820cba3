/**
 * The way to the hub in a SharedWorker.
 * @module
 */

/** The worker's address, in the form that the page's Trusted Types demand. */
function address() {
  const url = new URL("./worker.js", import.meta.url).href;
  const types = /** @type {any} */ (globalThis).trustedTypes;
  return types ? types.createPolicy("halley", { createScriptURL: () => url }).createScriptURL("") : url;
}

/** @param {any} env a window @returns {import("./connect.js").Way} */
export const byWorker = (env) => (on) => {
  /** @type {SharedWorker} */
  let worker;
  try {
    worker = new env.SharedWorker(address(), { type: "module", name: "halley-live" });
  } catch {
    queueMicrotask(on.lost);
    return { post() {}, seize() {}, close() {} };
  }
  worker.onerror = () => on.lost();
  worker.port.onmessage = ({ data }) => on.message(data);
  // Where the browser tells (Chromium 122 and later); elsewhere its silence does.
  worker.port.addEventListener?.("close", on.gone);
  return {
    post: (message) => worker.port.postMessage(message),
    // A worker that crashed is started again by whoever connects next.
    seize() {},
    close() {
      worker.onerror = null;
      worker.port.onmessage = null;
      worker.port.removeEventListener?.("close", on.gone);
      worker.port.close();
    },
  };
};
