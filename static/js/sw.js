// The service worker of edit pages: lets a page that was visited before be opened while the server is out of reach.
//
// It answers only when the network fails, and then only with the page's own HTML and the static files that came with
// it. The text shown is the one the editor keeps itself; nothing of the live API or of any other page is ever stored.
// A cache holds what one version of the wiki needs; older versions are thrown away.

const PREFIX = "halley-edit:";
/** Pages kept: as many as the editor keeps documents of. */
const KEEP_PAGES = 20;

const worker = /** @type {any} */ (globalThis);

worker.addEventListener("install", () => worker.skipWaiting());
worker.addEventListener("activate", (/** @type {any} */ event) => event.waitUntil(worker.clients.claim()));

/** @param {URL} url */
const isEditPage = (url) => url.origin === worker.location.origin && url.pathname.startsWith("/edit/");
/** @param {URL} url */
const isStatic = (url) => url.origin === worker.location.origin && url.pathname.startsWith("/static/");

worker.addEventListener("message", (/** @type {any} */ event) => {
  const { keep, staticRoot, files } = event.data ?? {};
  if (typeof keep !== "string" || typeof staticRoot !== "string" || !Array.isArray(files)) return;
  event.waitUntil(store(new URL(keep), staticRoot, files).catch(() => {}));
});

worker.addEventListener("fetch", (/** @type {any} */ event) => {
  const { request } = event;
  if (request.method !== "GET") return;
  const url = new URL(request.url);
  if (request.mode === "navigate" && isEditPage(url)) event.respondWith(orKept(request, pageKey(url)));
  else if (isStatic(url)) event.respondWith(orKept(request, url.href));
});

/** A page's address without what does not choose the page. @param {URL} url */
const pageKey = (url) => url.origin + url.pathname;

/**
 * The network's answer; what was kept, when there is none.
 * @param {Request} request
 * @param {string} key
 */
async function orKept(request, key) {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await caches.match(key);
    if (kept) return kept;
    throw error;
  }
}

/**
 * Keeps an edit page and the static files of its version.
 * @param {URL} page
 * @param {string} staticRoot `/static/<hash>`
 * @param {unknown[]} files
 */
async function store(page, staticRoot, files) {
  if (!isEditPage(page) || !/^\/static\/[A-Za-z0-9_-]+$/.test(staticRoot)) return;
  const name = PREFIX + staticRoot;
  const cache = await caches.open(name);
  // All at once: the server may be gone in a second, and the page without one of its files is of no use.
  const wanted = files
    .map((file) => new URL(String(file), page))
    .filter((url) => isStatic(url) && url.pathname.startsWith(`${staticRoot}/`));
  const each = wanted.map(async ({ href }) => {
    if (!(await cache.match(href))) await keep(cache, href, href);
  });
  await Promise.all([keep(cache, page.href, pageKey(page)), ...each]);

  // Each page carries the hash of its files, so pages and files of another version are of no use to this one.
  for (const other of await caches.keys()) {
    if (other.startsWith(PREFIX) && other !== name) await caches.delete(other);
  }
  const pages = (await cache.keys()).filter((/** @type {Request} */ request) =>
    isEditPage(new URL(request.url)),
  );
  for (const old of pages.slice(0, Math.max(0, pages.length - KEEP_PAGES))) await cache.delete(old);
}

/**
 * @param {Cache} cache
 * @param {string} from
 * @param {string} key
 */
async function keep(cache, from, key) {
  const response = await fetch(from, { credentials: "same-origin" });
  if (!response.ok || response.redirected) return;
  // Deleting first moves the page to the end, so that the oldest are the first to go.
  await cache.delete(key);
  await cache.put(key, response);
}
