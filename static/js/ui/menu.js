/**
 * Menus made of `<details>`: they open by themselves, and this closes them as
 * menus are closed everywhere: by Escape, by a press elsewhere, by going on
 * with the keyboard, and when another one opens.
 * @module
 */

/**
 * @param {HTMLDetailsElement} menu
 * @returns {() => void} lets go
 */
export function closeAsMenu(menu) {
  const away = (/** @type {Event} */ event) => {
    if (menu.open && !menu.contains(/** @type {Node} */ (event.target))) menu.open = false;
  };
  const escape = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape" || event.defaultPrevented || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary")?.focus();
  };
  const left = (/** @type {FocusEvent} */ event) => {
    // Focus that goes nowhere (another window, a press on plain text inside) is no reason to close.
    const next = /** @type {Node | null} */ (event.relatedTarget);
    if (next && !menu.contains(next)) menu.open = false;
  };
  document.addEventListener("pointerdown", away);
  // Also where the focus is not inside: a press on the summary gives it none in some browsers.
  document.addEventListener("keydown", escape);
  menu.addEventListener("focusout", left);
  return () => {
    document.removeEventListener("pointerdown", away);
    document.removeEventListener("keydown", escape);
    menu.removeEventListener("focusout", left);
  };
}

/** Does so for the menus that the server rendered. @param {ParentNode} [root] */
export function closeMenus(root = document) {
  for (const menu of root.querySelectorAll("details.menu")) closeAsMenu(/** @type {HTMLDetailsElement} */ (menu));
}
