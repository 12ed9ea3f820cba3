// Completion of page names after `[[`.

import { autocompletion } from "../../vendor/editor.js";

/** @typedef {{ path: string, title?: string }} Name */

/** Pause after the last key before the server is asked. */
const PAUSE_MS = 120;

/**
 * @param {{ fetch?: typeof fetch, base?: string }} [options]
 * @returns {import('../../vendor/editor.js').Extension}
 */
export function wikiCompletion({ fetch: send = globalThis.fetch.bind(globalThis), base = "" } = {}) {
  /** @param {import('../../vendor/editor.js').CompletionContext} context */
  async function source(context) {
    const found = context.matchBefore(/\[\[[^[\]|\n]{0,200}$/);
    if (!found) return null;
    const typed = found.text.slice(2);
    if (!context.explicit) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      if (context.aborted) return null;
    }
    const abort = new AbortController();
    context.addEventListener("abort", () => abort.abort());
    /** @type {Name[]} */
    let pages = [];
    try {
      const response = await send(`${base}/_live/names?q=${encodeURIComponent(typed)}`, {
        credentials: "same-origin",
        signal: abort.signal,
      });
      if (response.ok) pages = (await response.json()).pages ?? [];
    } catch {
      return null;
    }
    return {
      from: found.from + 2,
      filter: false,
      options: pages
        .filter((page) => typeof page?.path === "string")
        .slice(0, 20)
        .map((page) => ({
          label: page.path,
          detail: page.title && page.title !== page.path ? String(page.title).slice(0, 80) : undefined,
          apply: accept,
        })),
    };
  }
  return autocompletion({
    override: [source],
    icons: false,
    activateOnTyping: true,
    maxRenderedOptions: 20,
    // Whoever typed two brackets wants a name: what is shown is taken, also by a quick Enter.
    interactionDelay: 0,
  });
}

/**
 * Puts the name in and closes the brackets, unless they are closed already.
 * @param {import('../../vendor/editor.js').EditorView} view
 * @param {{ label: string }} completion
 * @param {number} from
 * @param {number} to
 */
function accept(view, completion, from, to) {
  const after = view.state.doc.sliceString(to, Math.min(view.state.doc.length, to + 2));
  const closing = after === "]]" ? "" : "]]";
  const end = from + completion.label.length + 2;
  view.dispatch({
    changes: { from, to, insert: completion.label + closing },
    selection: { anchor: end },
    userEvent: "input.complete",
  });
}
