/**
 * Entry of the laboratory: puts copies, writer, charts, figures and buttons
 * together. The charts and the document are loaded with the first run.
 * @module
 */

import { el, setText } from "./lib/dom.js";
import { part } from "./lib/part.js";
import { changesCsv, figuresCsv, save } from "./lab/files.js";
import { createPane } from "./lab/pane.js";
import { createRun } from "./lab/run.js";
import { createStopwatch } from "./lab/stopwatch.js";
import { createTable } from "./lab/table.js";
import { DEFAULT_WAYS, wayOf } from "./lab/ways.js";
import { clock, time } from "./lab/words.js";
import { closeMenus } from "./ui/menu.js";
import { notice } from "./ui/notice.js";

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);

/** How often the words that stand for a chart are brought up to date, in ms. */
const TELL_MS = 5000;

function attach() {
  const root = /** @type {HTMLElement} */ (byId("lab"));
  const { pageId, pagePath, minutes } = root.dataset;
  const page = pageId ? { id: Number(pageId) } : null;
  const field = /** @type {HTMLTextAreaElement | null} */ (byId("lab-text"));
  const buttons = { start: byId("lab-start"), pause: byId("lab-pause"), stop: byId("lab-stop") };
  const message = byId("lab-message");
  const timer = byId("lab-clock");
  const speed = /** @type {HTMLSelectElement | null} */ (byId("lab-speed"));
  const whole = /** @type {HTMLInputElement} */ (byId("lab-whole"));
  const table = createTable(byId("lab-figures"));

  /** @type {import("./lab/tally.js").Change[]} */
  let changes = [];
  let watch = createStopwatch();
  /** @type {import("./lab/pane.js").Pane[]} */
  let panes = [];
  /** @type {import("./lab/run.js").Run} */
  let run;
  /** @type {typeof import("./lab/charts.js") | null} */
  let drawing = null;
  /** @type {import("./lab/charts.js").Colours | null} */
  let colours = null;
  /** @type {{ stale: any, delays: any } | null} */
  let charts = null;
  let toldAt = -TELL_MS;

  /** The name of each copy, beside its colour. @type {Element[]} */
  let legend = [];
  const names = () => panes.map((pane) => pane.way.name);
  const elapsed = () => watch.ms(performance.now());

  /** Copies, clock and run, all new. */
  function prepare() {
    const ways = panes.length > 0 ? panes.map((pane) => pane.way) : DEFAULT_WAYS.map(wayOf);
    changes = [];
    watch = createStopwatch();
    panes = ways.map((way, index) =>
      createPane({
        index,
        way,
        changes,
        measured: elapsed,
        isMeasuring: () => run.isMeasuring,
        onArrival: (rev, at) => run.arrived(rev, at),
        onWay: (next) => {
          panes[index].way = next;
          if (run.state === "ended") panes[index].outdate();
          else void run.change(index);
        },
      }),
    );
    byId("lab-panes").replaceChildren(...panes.map((pane) => pane.root));
    legend = ways.map((way) => el("span", {}, way.name));
    byId("lab-legend").replaceChildren(
      ...legend.map((name, i) => el("li", { class: `lab-c${i}` }, el("span", { class: "lab-key", "aria-hidden": "true" }), name)),
    );
    run = createRun({
      panes,
      page,
      field,
      changes,
      watch,
      minutes: Number(minutes),
      onState: showState,
      onDraw: draw,
      onPage: (path) => {
        const link = byId("lab-editor");
        link.href = `/edit/${path.split("/").map(encodeURIComponent).join("/")}`;
        link.hidden = false;
      },
    });
    run.type(wantedSpeed());
  }

  /** @returns {number} keys a second; 0: a person writes */
  function wantedSpeed() {
    const typist = /** @type {HTMLInputElement | null} */ (byId("lab-typist"));
    return typist?.checked ? Number(speed?.value ?? 0) : 0;
  }

  /** @param {import("./lab/run.js").State} state @param {string} why */
  function showState(state, why) {
    root.dataset.state = state;
    const pressed = Object.values(buttons).includes(document.activeElement);
    const active = state === "running" || state === "paused";
    buttons.start.hidden = active || state === "starting";
    buttons.pause.hidden = !active;
    buttons.stop.hidden = !active && state !== "starting";
    setText(buttons.start, state === "ended" ? "Start again" : "Start");
    setText(buttons.pause, state === "paused" ? "Go on" : "Pause");
    // A copy that is being opened keeps to the way it was begun with.
    for (const pane of panes) pane.choosable(state !== "starting");
    if (field) field.readOnly = state !== "running";
    if (state === "starting") setText(message, "Opening the copies…");
    else if (state === "paused") setText(message, "Paused. Nothing is written, and nothing is counted.");
    else setText(message, why);
    if (active) byId("lab-results").hidden = false;
    if (state === "ended" && !page) byId("lab-editor").hidden = true;
    // A button that goes away takes the focus with it.
    if (pressed) (active ? buttons.pause : state === "ended" ? buttons.start : buttons.stop).focus({ preventScroll: true });
  }

  /** @param {import("./lab/run.js").Snapshot} snapshot */
  function draw(snapshot) {
    setText(timer, `${clock(snapshot.measured)} of ${minutes}:00`);
    const reached = panes.some((pane) => pane.reaches);
    panes.forEach((pane, i) => pane.show(snapshot.figures[i], run.state === "running", reached));
    table.show(snapshot.names, snapshot.figures);
    snapshot.names.forEach((name, i) => setText(legend[i], name));
    drawCharts(snapshot.measured / 1000);
    const now = performance.now();
    if (snapshot.figures.every((each) => each.average !== null) && now - toldAt > TELL_MS) {
      toldAt = now;
      const told = (/** @type {(f: import("./lab/tally.js").Figures) => string} */ say) => snapshot.figures.map((f, i) => `${snapshot.names[i]}: ${say(f)}`).join("; ");
      byId("lab-stale").setAttribute("aria-label", `How far behind each copy is, over time. On average ${told((f) => time(f.average))}.`);
      byId("lab-delays").setAttribute("aria-label", `Time from edit to screen of each change. Half within ${told((f) => time(f.p50))}.`);
    }
  }

  /** @param {number} now s of the run */
  function drawCharts(now) {
    if (!charts || !drawing) return;
    const window = drawing.windowOf(now, whole.checked);
    const { t, y } = run.samples;
    let from = t.length;
    while (from > 0 && t[from - 1] >= window[0]) from -= 1;
    charts.stale.show([t.slice(from), ...y.map((values) => values.slice(from))], window);
    const first = changes.findIndex((change) => watch.at(change.at) / 1000 >= window[0]);
    const seen = first < 0 ? [] : changes.slice(first);
    const columns = panes.map((pane) => {
      /** @type {(number | null)[]} */
      const delays = new Array(seen.length).fill(null);
      for (let i = pane.tally.shown.length - 1; i >= 0 && pane.tally.shown[i].n >= first; i -= 1) {
        // A chart with powers of ten has no place for less than one.
        delays[pane.tally.shown[i].n - first] = Math.max(1, pane.tally.shown[i].delay);
      }
      return delays;
    });
    charts.delays.show([seen.map((change) => watch.at(change.at) / 1000), ...columns], window);
  }

  function readColours() {
    colours = drawing ? drawing.readColours(root, panes.length) : null;
  }

  async function loadCharts() {
    if (charts) {
      readColours();
      charts.stale.rebuild();
      charts.delays.rebuild();
      return;
    }
    drawing = await import("./lab/charts.js");
    readColours();
    const shared = { names, colours: () => /** @type {import("./lab/charts.js").Colours} */ (colours) };
    charts = {
      stale: drawing.createChart(byId("lab-stale"), { kind: "staleness", ...shared }),
      delays: drawing.createChart(byId("lab-delays"), { kind: "delays", ...shared }),
    };
  }

  function recolour() {
    if (!charts) return;
    readColours();
    charts.stale.recolour();
    charts.delays.recolour();
  }

  const stamp = () => new Date().toISOString().slice(0, 16).replaceAll(":", "").replace("T", "-");

  buttons.start.addEventListener("click", () => {
    if (run.state === "ended") prepare();
    void Promise.all([run.start(), loadCharts()]).catch((error) => {
      console.error("halley: the charts are switched off", error);
    });
  });
  buttons.pause.addEventListener("click", () => (run.state === "paused" ? run.resume() : run.pause()));
  buttons.stop.addEventListener("click", () => run.end("Stopped. The figures stay until you start again."));
  whole.addEventListener("change", () => drawCharts(run.snapshot.measured / 1000));
  for (const control of [byId("lab-typist"), byId("lab-self"), speed]) {
    control?.addEventListener("change", () => {
      run.type(wantedSpeed());
      if (control.id === "lab-self") field?.focus();
    });
  }
  // Whoever types takes over.
  field?.addEventListener("beforeinput", () => {
    byId("lab-self").checked = true;
    run.type(0);
  });

  byId("lab-save-figures").addEventListener("click", () => {
    const text = figuresCsv(run.snapshot.names, run.snapshot.figures, run.snapshot.measured);
    save(new Blob([text], { type: "text/csv" }), `halley-lab-${stamp()}-figures.csv`);
  });
  byId("lab-save-changes").addEventListener("click", () => {
    const text = changesCsv(run.snapshot.names, changes, run.snapshot.shown, (at) => watch.at(at));
    save(new Blob([text], { type: "text/csv" }), `halley-lab-${stamp()}-changes.csv`);
  });
  byId("lab-save-picture").addEventListener("click", async () => {
    if (!drawing || !charts || !colours) return;
    try {
      const blob = await drawing.drawPicture({
        charts: [
          { title: byId("lab-stale-title").textContent, canvas: charts.stale.canvas },
          { title: byId("lab-delays-title").textContent, canvas: charts.delays.canvas },
        ],
        names: run.snapshot.names,
        figures: run.snapshot.figures,
        colours,
        title: `Halley laboratory: ${pagePath || "a text of its own"}, ${clock(run.snapshot.measured)} measured`,
        foot: `${location.host}, ${new Date().toLocaleString()}`,
      });
      save(blob, `halley-lab-${stamp()}.png`);
    } catch (error) {
      console.warn("halley: the picture could not be made", error);
      notice("The picture could not be made.", { kind: "error" });
    }
  });

  addEventListener("halley-theme", recolour);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  // What is left behind is given back at once; a server that does not hear it does so by itself.
  addEventListener("pagehide", () => run.end("Stopped, because you left this page."));

  prepare();
  showState("idle", "");
  table.show(names(), panes.map(() => blank()));
  byId("lab-bench").hidden = false;
}

/** @returns {import("./lab/tally.js").Figures} */
function blank() {
  return {
    stale: 0, behind: 0, average: null, p50: null, p95: null, max: null, shown: 0, missed: 0,
    requests: 0, bytes: 0, requestsPerMinute: null, bytesPerMinute: null, bytesPerChange: null,
  };
}

part("the menus", () => closeMenus());
part("the laboratory", attach);
