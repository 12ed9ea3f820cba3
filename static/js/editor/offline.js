// Registers the service worker that lets a visited edit page open while the server is out of reach.

/**
 * Only after the editor runs: it is worth nothing before, and must not compete with the first load.
 * @param {string} staticRoot `/static/<hash>` of this page
 */
export async function register(staticRoot) {
  // Exists in secure contexts only (https, localhost). Elsewhere edits are kept all the same.
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register(workerUrl(), { scope: "/edit/" });
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

/** The worker's address, which is always the same, in the form that the page's Trusted Types demand. */
function workerUrl() {
  const types = /** @type {any} */ (globalThis).trustedTypes;
  if (!types) return "/sw.js";
  return types.createPolicy("halley", { createScriptURL: () => "/sw.js" }).createScriptURL("");
}
