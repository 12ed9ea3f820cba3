// Entry of the edit page. The form works before this runs and stays until the editor has its text; the live parts
// (people, status, preview) do not depend on the editor, nor it on them.

import { part } from "./lib/part.js";
import { createPanes } from "./editor/panes.js";
import { createPreviewNote } from "./editor/note.js";
import { createBlocks } from "./page/blocks.js";
import { createHere } from "./presence/here.js";
import { createYou } from "./presence/you.js";
import { createLive } from "./sync/live.js";
import { notice } from "./ui/notice.js";
import { createStatus } from "./ui/status.js";

/** For so long after a key of one's own a change of the preview is taken for one's own, in ms. */
const OWN_MS = 2000;

/** @param {string} id */
const byId = (id) => document.getElementById(id);

function attach() {
  const { pageId, pagePath = "", cursor, rev } = document.body.dataset;
  const root = byId("editor");
  const form = /** @type {HTMLFormElement | null} */ (byId("edit-form"));
  const area = /** @type {HTMLTextAreaElement | null} */ (byId("text"));
  if (!pageId || !root || !form || !area) return;

  // Numbers above 15 digits are not exact in JavaScript; as a string the id is passed on as it is.
  const page = /** @type {number} */ (
    /^\d{1,15}$/.test(pageId) ? Number(pageId) : /** @type {unknown} */ (pageId)
  );
  const live = createLive({ topics: [`doc:${page}`, `view:${page}`, `here:${page}`], cursor });

  part("the status line", () => {
    const line = byId("live-status");
    if (line) createStatus(line, live).start();
  });
  part("the list of people", () => {
    const people = byId("here");
    if (people) createHere(people, byId("here-count"), live, `here:${page}`).start();
  });
  /** @type {ReturnType<typeof createYou> | null} */
  let yourName = null;
  part("your name", () => {
    const link = byId("you");
    if (link) yourName = createYou(link, live, document.body.dataset.you);
  });

  let wrote = -Infinity;
  /** Set once editor and preview scroll along. */
  let follow = () => {};
  const preview = byId("preview");
  part("the preview", () => {
    if (!preview) return;
    const blocks = createBlocks(preview, {
      rev: Number(rev ?? 0),
      keepPosition: false,
      // What one has just written oneself is no news.
      glow: () => performance.now() - wrote > OWN_MS,
      onChange: () => follow(),
    });
    live.on("event", (event) => {
      if (event.topic !== `view:${page}` || event.kind !== "changed") return;
      part("the preview", () => {
        if (!blocks.apply(event.data)) void blocks.resync(pageId);
      });
    });
    live.on("reset", () => blocks.resync(pageId));
    // Fetched at once; what each event says is then known already.
    live.on("crowd", ({ topic }) => void (topic === `view:${page}` && blocks.resync(pageId)));
    createPreviewNote(preview, live);
  });
  part("the panes", () => {
    createPanes(document.body, byId("pane-write"), byId("pane-preview"), () => follow());
  });

  live.beat({ page, mode: "writing", caret: null });
  live.start();

  const saving = byId("save-status");
  // On a slow network the form may be all there is for a while.
  if (saving) saving.textContent = "Opening the editor…";

  import("./editor/compose.js")
    .then((compose) =>
      compose.startEditor({
        page,
        path: pagePath,
        live,
        onYou: (you) => yourName?.take(you),
        onWrite: () => {
          wrote = performance.now();
        },
        root,
        toolbar: byId("toolbar"),
        authors: byId("authors-toggle"),
        saveStatus: byId("save-status"),
        preview,
        form,
        area,
      }),
    )
    .then((started) => {
      follow = started.follow;
      return import("./editor/offline.js").then((offline) =>
        offline.register(document.body.dataset.static ?? ""),
      );
    })
    .catch((error) => {
      console.error("halley: the editor is switched off", error);
      if (!form.hidden) {
        notice("The editor could not be loaded. You can write and save with this form.", {
          kind: "warn",
          id: "editor",
          stay: true,
        });
        const line = byId("save-status");
        if (line) line.textContent = "";
      }
    });
}

attach();
