// Registers the service worker that lets a visited edit page open while the server is out of reach.

/**
 * Only after the editor runs: it is worth nothing before, and must not compete with the first load.
 * @param {string} staticRoot `/static/<hash>` of this page
 */
export async function register(staticRoot) {
  // Exists in secure contexts only (https, localhost). Elsewhere edits are kept all the same.
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("/sw.js", { scope: "/edit/" });
    const ready = await navigator.serviceWorker.ready;
    const files = performance
      .getEntriesByType("resource")
      .map((entry) => entry.name)
      .filter((url) => new URL(url).pathname.startsWith(`${staticRoot}/`));
    ready.active?.postMessage({ keep: location.href, staticRoot, files });
  } catch (error) {
    console.info("halley: edit pages will not open offline", error);
  }
}
