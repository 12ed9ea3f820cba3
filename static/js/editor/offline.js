// Registers the service worker that lets a visited edit page open while the server is out of reach.

import * as html from "../lib/html.js";

/**
 * Only after the editor runs: it is worth nothing before, and must not compete with the first load.
 * @param {string} staticRoot `/static/<hash>` of this page
 */
export async function register(staticRoot) {
  // Exists in secure contexts only (https, localhost). Elsewhere edits are kept all the same.
  if (!("serviceWorker" in navigator)) return;
  try {
    // The page demands Trusted Types, and the one policy it names lives in lib/html.js.
    const url = /** @type {any} */ (html).workerUrl?.("/sw.js") ?? "/sw.js";
    await navigator.serviceWorker.register(url, { scope: "/edit/" });
    const ready = await navigator.serviceWorker.ready;
    const files = performance
      .getEntriesByType("resource")
      .map((entry) => entry.name)
      .filter((name) => new URL(name).pathname.startsWith(`${staticRoot}/`));
    ready.active?.postMessage({ keep: location.href, staticRoot, files });
  } catch (error) {
    console.info("halley: edit pages will not open offline:", error);
  }
}
