// Editor and preview scroll along with each other, by blocks: each block of the preview says how many lines of the
// text it stands for. Only the pane that a person touches leads, so the two never push each other.

/**
 * @param {import('../../vendor/editor.js').EditorView} view
 * @param {HTMLElement} preview the article with the blocks
 * @returns {{ follow: () => void, stop: () => void }} `follow`: after the preview has changed
 */
export function linkScrolling(view, preview) {
  const found = scrollParent(preview);
  if (!found) return { follow: () => {}, stop: () => {} };
  const pane = found;
  const editor = view.scrollDOM;
  /** @type {HTMLElement | null} */
  let leader = null;
  let frame = 0;

  const lead = (/** @type {HTMLElement} */ element) => () => {
    leader = element;
  };
  const leadEditor = lead(editor);
  const leadPane = lead(pane);

  /** The first visible line of the text, with its hidden part as a fraction. 1 is the first line. */
  function editorLine() {
    const height =
      editor.scrollTop - (view.documentTop - editor.getBoundingClientRect().top + editor.scrollTop);
    if (height <= 0) return 1;
    const block = view.lineBlockAtHeight(height);
    const line = view.state.doc.lineAt(block.from).number;
    return line + Math.min(1, Math.max(0, (height - block.top) / Math.max(1, block.height)));
  }

  /** Position of every block in the pane and the line at which it begins. */
  function blocks() {
    const top = pane.getBoundingClientRect().top - pane.scrollTop;
    let line = 1;
    const list = [];
    for (const child of preview.children) {
      const lines = Number(/** @type {HTMLElement} */ (child).dataset?.lines ?? NaN);
      if (!Number.isFinite(lines)) continue;
      const box = child.getBoundingClientRect();
      list.push({ line, lines, top: box.top - top, height: box.height });
      line += lines;
    }
    return list;
  }

  function follow() {
    frame = 0;
    if (leader === editor) {
      const line = editorLine();
      const list = blocks();
      const block = list.findLast((each) => each.line <= line);
      if (!block) return;
      const part = block.lines > 0 ? Math.min(1, (line - block.line) / block.lines) : 0;
      const start = list[0]?.top ?? 0;
      // The ends go together, however different the panes are in height.
      if (editor.scrollTop <= 0) pane.scrollTop = 0;
      else if (atEnd(editor)) pane.scrollTop = pane.scrollHeight;
      else pane.scrollTop = block.top - start + block.height * part;
    } else if (leader === pane) {
      const list = blocks();
      const start = list[0]?.top ?? 0;
      const y = pane.scrollTop + start;
      const block = list.findLast((each) => each.top <= y);
      if (!block) return;
      const part = block.height > 0 ? Math.min(1, Math.max(0, (y - block.top) / block.height)) : 0;
      const exact = Math.min(view.state.doc.lines, Math.max(1, block.line + block.lines * part));
      const line = view.state.doc.line(Math.floor(exact));
      const box = view.lineBlockAt(line.from);
      const padding = view.documentTop - editor.getBoundingClientRect().top + editor.scrollTop;
      if (pane.scrollTop <= 0) editor.scrollTop = 0;
      else if (atEnd(pane)) editor.scrollTop = editor.scrollHeight;
      else editor.scrollTop = padding + box.top + box.height * (exact - Math.floor(exact));
    }
  }

  const onScroll = (/** @type {HTMLElement} */ element) => () => {
    if (leader === element && frame === 0) frame = requestAnimationFrame(follow);
  };
  const editorScrolled = onScroll(editor);
  const paneScrolled = onScroll(pane);
  const touches = ["wheel", "pointerdown", "touchstart", "keydown", "focusin", "pointerenter"];
  for (const name of touches) {
    editor.addEventListener(name, leadEditor, { passive: true });
    pane.addEventListener(name, leadPane, { passive: true });
  }
  editor.addEventListener("scroll", editorScrolled, { passive: true });
  pane.addEventListener("scroll", paneScrolled, { passive: true });
  const stop = () => {
    cancelAnimationFrame(frame);
    for (const name of touches) {
      editor.removeEventListener(name, leadEditor);
      pane.removeEventListener(name, leadPane);
    }
    editor.removeEventListener("scroll", editorScrolled);
    pane.removeEventListener("scroll", paneScrolled);
  };
  return {
    follow() {
      if (leader === editor && frame === 0) frame = requestAnimationFrame(follow);
    },
    stop,
  };
}

/** @param {HTMLElement} element */
const atEnd = (element) => element.scrollTop + element.clientHeight >= element.scrollHeight - 1;

/**
 * The nearest ancestor that scrolls by itself; null when that is the page, which must not be moved about.
 * @param {HTMLElement} element
 * @returns {HTMLElement | null}
 */
function scrollParent(element) {
  for (
    let node = /** @type {HTMLElement | null} */ (element);
    node && node !== document.body;
    node = node.parentElement
  ) {
    if (/auto|scroll/.test(getComputedStyle(node).overflowY)) return node;
  }
  return null;
}
