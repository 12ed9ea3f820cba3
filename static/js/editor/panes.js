// Two panes where there is room, one at a time where there is not: `body[data-pane]` says which.

/**
 * @param {HTMLElement} body
 * @param {HTMLElement | null} writeTab
 * @param {HTMLElement | null} previewTab
 * @param {(pane: 'write' | 'preview') => void} [onShow]
 * @returns {() => void} lets go
 */
export function createPanes(body, writeTab, previewTab, onShow = () => {}) {
  /** @param {'write' | 'preview'} pane */
  function show(pane) {
    body.dataset.pane = pane;
    for (const [tab, name] of /** @type {const} */ ([
      [writeTab, "write"],
      [previewTab, "preview"],
    ])) {
      tab?.setAttribute("aria-pressed", String(name === pane));
    }
    onShow(pane);
  }
  const write = () => show("write");
  const preview = () => show("preview");
  writeTab?.addEventListener("click", write);
  previewTab?.addEventListener("click", preview);
  show("write");
  return () => {
    writeTab?.removeEventListener("click", write);
    previewTab?.removeEventListener("click", preview);
    delete body.dataset.pane;
  };
}
