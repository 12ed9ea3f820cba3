/**
 * Brings a deleted page back.
 * @module
 */

/** @param {string} path of a page @returns {string} as it stands in an address */
export const encodePath = (path) => path.split("/").map(encodeURIComponent).join("/");

/**
 * @param {string} path
 * @returns {Promise<void>} rejects when the server did not do it
 */
export async function restorePage(path) {
  const url = `/restore/${encodePath(path)}`;
  const response = await fetch(url, { method: "POST", credentials: "same-origin", redirect: "manual" });
  // The answer leads to the page, which is open already.
  if (response.type !== "opaqueredirect" && !response.ok) throw new Error(`restore: ${response.status}`);
}
