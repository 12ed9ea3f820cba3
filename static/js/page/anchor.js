/**
 * Keeps what a reader looks at where it is while blocks around it change.
 * Reads layout first, writes after. The browser's own scroll anchoring is
 * switched off for the same element, or the two would correct twice.
 * @module
 */

/** @param {Element} element @returns {Element | null} the element that scrolls it; null: the window */
function scrollerOf(element) {
  for (let at = element.parentElement; at && at !== document.body && at !== document.documentElement; at = at.parentElement) {
    const flow = getComputedStyle(at).overflowY;
    if (flow === "auto" || flow === "scroll") return at;
  }
  return null;
}

/**
 * @param {HTMLElement} article
 * @returns {{ hold(stays: readonly Element[]): () => void }} `hold` notes where
 *   the first visible one of the blocks that stay is; the function it returns
 *   puts it back there
 */
export function createAnchor(article) {
  /** @type {Element | null | undefined} */
  let scroller;
  return {
    hold(stays) {
      if (scroller === undefined) {
        scroller = scrollerOf(article);
        const area = /** @type {HTMLElement} */ (scroller ?? document.documentElement);
        area.style.setProperty("overflow-anchor", "none");
      }
      const box = scroller;
      const scrolled = box ? box.scrollTop : window.scrollY;
      // Right at the top people wait for what is new at the top.
      if (scrolled < 1) return () => {};
      const bar = box ? null : document.querySelector(".page-bar");
      const top = box ? box.getBoundingClientRect().top : Math.max(0, bar?.getBoundingClientRect().bottom ?? 0);
      const bottom = box ? box.getBoundingClientRect().bottom : window.innerHeight;
      // Blocks are in order, so the first whose lower edge is below the top is found by halving.
      let low = 0;
      let high = stays.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (stays[middle].getBoundingClientRect().bottom > top) high = middle;
        else low = middle + 1;
      }
      const anchor = stays[low];
      if (!anchor) return () => {};
      const was = anchor.getBoundingClientRect().top;
      // Nothing that stays is in sight: there is nothing to hold on to.
      if (was >= bottom) return () => {};
      return () => {
        const moved = anchor.getBoundingClientRect().top - was;
        if (Math.abs(moved) < 0.5) return;
        if (box) box.scrollTop += moved;
        else window.scrollBy({ left: 0, top: moved, behavior: "instant" });
      };
    },
  };
}
