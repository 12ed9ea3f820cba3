// Puts the editor together: session, view, toolbar, carets, and what is said about saving. Only this module and what
// it imports need the vendor bundle; edit.js goes on without it.

import { randomId } from "../lib/id.js";
import { part } from "../lib/part.js";
import { createApi } from "../outbox/api.js";
import { createKeeper } from "../outbox/keeper.js";
import { MemoryStore, openStore } from "../outbox/store.js";
import { encodePath, restorePage } from "../page/restore.js";
import { notice } from "../ui/notice.js";
import { createEditorAuthors } from "./authors.js";
import { createCarets, toCaret } from "./carets.js";
import { offerCopy } from "./copy.js";
import { guardLeaving } from "./leave.js";
import { linkScrolling } from "./scroll.js";
import { Session } from "./session.js";
import { REMOTE } from "./session/document.js";
import { diffText } from "./text.js";
import { createToolbar } from "./toolbar.js";
import { createView } from "./view.js";
import { refusalWords, saveWords } from "./words.js";

/** @typedef {import('../sync/live.js').Live} Live */
/** @typedef {ReturnType<typeof createView>} Editor */

/**
 * @typedef {object} Place
 * @property {number} page
 * @property {string} path
 * @property {Live} live
 * @property {(you: import('../outbox/api.js').You) => void} [onYou] the login that edits now belong to
 * @property {() => void} [onWrite] something was written here, and is on its way
 * @property {HTMLElement} root `#editor`
 * @property {HTMLElement | null} toolbar
 * @property {HTMLElement | null} authors the button that shows who wrote what
 * @property {HTMLElement | null} saveStatus
 * @property {HTMLElement | null} preview
 * @property {HTMLFormElement} form
 * @property {HTMLTextAreaElement} area
 */

/**
 * Starts the editor. Resolves once it has a document and stands in the place of the form.
 * @param {Place} place
 */
export async function startEditor(place) {
  const { page, path, live } = place;
  const fileName = `${path.split("/").pop() || "page"}.md`;
  const session = new Session({
    page,
    path,
    client: live.client,
    api: createApi({ page, client: live.client }),
    store: globalThis.indexedDB ? openStore(globalThis.indexedDB) : new MemoryStore(),
    keeper: createKeeper(),
    newOp: randomId,
    piggyback: () => live.piggyback(),
    onBatch: (batch) => live.applyBatch(batch),
    onContact: (reached) => (reached ? live.heard() : live.failed()),
  });

  live.on("event", (event) => {
    if (event.topic === `doc:${page}`) session.event(event);
    else if (event.topic === `view:${page}` && event.kind === "deleted") tellDeleted(path, session);
    else if (event.topic === `view:${page}` && event.kind === "restored") {
      deletedNotice();
      session.retryNow({ asked: true });
    }
  });
  session.on("session", ({ you }) => place.onYou?.(you));
  session.on("status", ({ count }) => count > 0 && place.onWrite?.());
  live.on("reset", () => session.resync());
  // All at once in place of one by one; what each event brings is known then.
  live.on("crowd", ({ topic }) => void (topic === `doc:${page}` && session.resync()));
  live.on("status", (status) => {
    if (status.state === "live" || status.state === "refreshing") session.retryNow();
  });
  addEventListener("online", () => session.retryNow());

  showStatus(place.saveStatus, session);
  part("leaving", () => guardLeaving(session));
  tellPeople(session, place, fileName);

  /** @type {Editor | null} */
  let editor = null;
  /** @type {ReturnType<typeof createCarets> | null} */
  let carets = null;
  /** @type {ReturnType<typeof createEditorAuthors> | null} */
  let authors = null;
  /** @type {Map<string, any>} */
  let entries = new Map();

  let lastCaret = "";
  function beat() {
    if (!editor || !session.text) return;
    const caret = toCaret(session.text, editor.view.state.selection.main);
    const key = JSON.stringify(caret);
    if (key === lastCaret) return;
    lastCaret = key;
    live.beat({ page, mode: "writing", caret });
  }

  let caretFrame = 0;
  function refreshCarets() {
    cancelAnimationFrame(caretFrame);
    caretFrame = requestAnimationFrame(() => {
      part("the carets of others", () => session.text && carets?.show(entries, session.text));
    });
  }
  live.on("here", ({ topic, entries: now }) => {
    if (topic !== `here:${page}`) return;
    entries = now;
    refreshCarets();
  });

  let toldFull = 0;
  function onFull() {
    if (Date.now() - toldFull < 3000) return;
    toldFull = Date.now();
    notice("That would make the page larger than 1 MiB, so it was not put in.", { kind: "warn", id: "full" });
  }

  async function onSave() {
    session.retryNow({ asked: true });
    const saved = (await session.outbox.whenSaved(3000)) && session.genuine;
    notice(saved ? "Saved. Halley saves as you type." : saveWords(session.status, { fromCopy: !session.genuine }).text, {
      kind: saved ? "info" : "warn",
      id: "save",
    });
  }

  const ready = await new Promise((/** @type {(made: Editor) => void} */ resolve) => {
    session.on("document", ({ doc, text }) => {
      const first = editor === null;
      editor ??= createView({
        parent: place.root,
        label: `Text of ${path}`,
        nonce: document.querySelector('meta[name="csp-nonce"]')?.getAttribute("content") || null,
        // After the update that is being made: the selection must be that of the new state.
        onMove: () => queueMicrotask(() => part("the own caret", beat)),
        onSave: () => void onSave(),
        onFull,
      });
      editor.show(text);
      // The colours went with the document that was shown before.
      part("who wrote what", () => authors?.changed());
      // A caret may arrive before the text it stands in.
      doc.on("update", (/** @type {Uint8Array} */ _update, /** @type {unknown} */ origin) => {
        if (origin === REMOTE && carets?.unresolved) refreshCarets();
        part("who wrote what", () => authors?.changed());
      });
      lastCaret = "";
      beat();
      refreshCarets();
      if (first) resolve(editor);
    });
    void session.start();
  });

  carets = createCarets(ready.view, live.client);
  session.on("session", ({ write }) => ready.setWritable(write));
  takeForm(place, session, ready, fileName);
  const toggle = place.authors;
  if (toggle) authors = part("who wrote what", () => createEditorAuthors(ready.view, page, toggle));
  const bar = place.toolbar;
  if (bar) part("the toolbar", () => createToolbar(bar, ready));
  void tellForsaken(session);
  const preview = place.preview;
  const follow = preview && part("scrolling along", () => linkScrolling(ready.view, preview));
  // For tests and for the curious: the editor of an element, as `document.getElementById("editor").halley`.
  /** @type {any} */ (place.root).halley = { session, view: ready.view };
  return { session, editor: ready, follow: follow?.follow ?? (() => {}) };
}

/**
 * Takes the form's place, with what was typed into it before the editor was there.
 * @param {Place} place
 * @param {Session} session
 * @param {Editor} editor
 * @param {string} fileName
 */
function takeForm({ form, area }, session, editor, fileName) {
  const focused = document.activeElement === area;
  const { selectionStart, selectionEnd } = area;
  const base = area.defaultValue.replace(/\r\n?/g, "\n");
  const typed = area.value;
  form.hidden = true;
  if (typed !== base) {
    const shared = editor.view.state.doc.sliceString(0, editor.view.state.doc.length, "\n");
    if (shared === base) {
      const edits = diffText(base, typed);
      editor.view.dispatch({
        changes: edits.map((edit) => ({ from: edit.at, to: edit.at + edit.remove, insert: edit.insert })),
      });
    } else if (shared !== typed) {
      offerCopy({
        text: typed,
        why: "You had begun to write before the editor was ready, and the page has changed since. This is your version.",
        fileName,
      });
    }
  }
  if (focused) {
    const end = editor.view.state.doc.length;
    editor.view.dispatch({
      selection: { anchor: Math.min(selectionStart, end), head: Math.min(selectionEnd, end) },
    });
  }
  if (focused || matchMedia("(pointer: fine)").matches) editor.view.focus();
}

/**
 * @param {HTMLElement | null} line
 * @param {Session} session
 */
function showStatus(line, session) {
  if (!line) return;
  let frame = 0;
  let opened = false;
  const say = announce(line);
  const show = () => {
    frame = 0;
    if (!opened && session.status.state === "saved") return;
    const { state, text } = saveWords(session.status, { fromCopy: !session.genuine });
    line.dataset.state = state;
    if (line.textContent !== text) line.textContent = text;
    say(state, text);
    line.title = session.status.durable ? "" : "This browser does not keep unsaved changes.";
  };
  // Before the document is there, "saved" would be said without proof.
  line.dataset.state = "saving";
  line.textContent = "Opening…";
  session.on("document", () => {
    opened = true;
    show();
  });
  session.on("status", (status) => {
    // Bad news at once, even in a tab that is not painted; the rest once per frame.
    if (status.state === "saving" || status.state === "saved") frame ||= requestAnimationFrame(show);
    else show();
  });
}

/** A state shorter than this is not read out, in ms. */
const SETTLED_MS = 2000;

/**
 * Reads out when changes stay unsaved, and when they are saved after all. "Saving" and "Saved" come with every word
 * that is typed: a screen reader would never be silent.
 * @param {HTMLElement} line
 * @returns {(state: string, text: string) => void}
 */
function announce(line) {
  line.setAttribute("role", "group");
  line.setAttribute("aria-label", "Saving");
  const voice = document.createElement("span");
  voice.className = "visually-hidden";
  voice.setAttribute("role", "status");
  line.after(voice);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let next = "";
  let said = "saved";
  return (state, text) => {
    if (state === "saving") return;
    if (state !== next) clearTimeout(timer);
    else if (timer !== undefined) return;
    next = state;
    timer = setTimeout(() => {
      timer = undefined;
      if (state !== said) voice.textContent = text;
      said = state;
    }, SETTLED_MS);
  };
}

/**
 * @param {Session} session
 * @param {Place} place
 * @param {string} fileName
 */
function tellPeople(session, place, fileName) {
  const { path } = place;
  session.on("recovered", ({ changes, moved }) => {
    if (moved) {
      notice("Changes that were kept in this browser under an earlier name have been added as yours.", {
        id: "recovered",
      });
    } else if (changes > 0) {
      notice("Changes that had not been saved were found in this browser and have been put back.", {
        id: "recovered",
      });
    }
  });
  session.on("aside", ({ text, why, record }) => {
    offerCopy({
      text,
      why:
        why === "unknown_base"
          ? "This text was kept in this browser, but the page it belonged to has changed so much that it cannot be put in its place."
          : `The server keeps refusing the last changes (${why}). They stay in this browser; a copy is safer.`,
      fileName,
      onDiscard: record ? () => session.discard(record) : undefined,
    });
  });
  session.on("storeFailed", () => {
    notice(
      "This browser does not keep unsaved changes (private window or full disk). Leave only when it says “Saved”.",
      {
        kind: "warn",
        id: "store",
        stay: true,
      },
    );
  });
  session.on("refused", ({ code }) => {
    if (!session.doc) notice(refusalWords(code), { kind: "error", id: "refused", stay: true });
  });
  let told = "";
  session.on("status", ({ state, code }) => {
    if (state !== "refused" || code === told) {
      if (state !== "refused") told = "";
      return;
    }
    told = code;
    const copy = {
      label: "Keep a copy",
      run: () => offerCopy({ text: session.text?.toString() ?? "", why: refusalWords(code), fileName }),
    };
    if (code === "page_deleted") tellDeleted(path, session);
    else
      notice(`${refusalWords(code)}. Your changes are kept here.`, {
        kind: "warn",
        id: "refused",
        action: copy,
      });
  });
}

/**
 * Says where else edits wait for somebody to open their page.
 * @param {Session} session
 */
async function tellForsaken(session) {
  try {
    const [path] = await session.forsakenPages();
    if (!path) return;
    notice(`Changes to “${path}” have not been saved yet. They are kept in this browser.`, {
      kind: "warn",
      id: "forsaken",
      action: { label: "Open that page", run: () => location.assign(`/edit/${encodePath(path)}`) },
    });
  } catch (error) {
    console.warn("halley: the store could not be looked through", error);
  }
}

/** Takes the notice of the deletion away. */
let deletedNotice = () => {};

/**
 * Whoever writes must learn of it before the next key, which will not be saved.
 * @param {string} path @param {Session} session
 */
function tellDeleted(path, session) {
  deletedNotice = notice("This page has been deleted. What you write stays in this browser until it is restored.", {
    kind: "warn",
    id: "deleted",
    action: { label: "Restore the page", run: () => void restore(path, session) },
  });
}

/** @param {string} path @param {Session} session */
async function restore(path, session) {
  try {
    await restorePage(path);
    session.retryNow({ asked: true });
  } catch (error) {
    console.warn("halley: the page could not be restored", error);
    notice("The page could not be restored. Try again from its page.", { kind: "error", id: "refused" });
  }
}
