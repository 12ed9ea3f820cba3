/**
 * The two charts: how far behind each copy is over time, and how long each
 * change took to each screen. Colours are those of the theme, also after it
 * changes; a canvas knows no style sheet.
 * @module
 */

import uPlot from "../../vendor/uplot.js";
import { time } from "./words.js";

/** @typedef {{ text: string, soft: string, line: string, back: string, series: string[] }} Colours */
/** @typedef {(number | null)[][]} Columns the first is time in s */

/** Seconds of the run that are shown while it goes on: at first few, so that a short run fills its chart. */
const WINDOW_S = 60;
const FIRST_WINDOW_S = 20;
const STEP_S = 10;
const HEIGHT = 200;
const NARROW_HEIGHT = 180;
/** Lines are told apart without colour as well: solid, dashed, dotted, dash-dotted. */
const DASHES = [[], [8, 4], [2, 4], [10, 4, 2, 4]];

/**
 * What the style sheet's colours are now.
 * @param {HTMLElement} root has elements `.lab-c0` to `.lab-c3` somewhere, or makes none of its own
 * @param {number} count of series
 * @returns {Colours}
 */
export function readColours(root, count) {
  const probe = document.createElement("span");
  probe.hidden = true;
  root.append(probe);
  // `light-dark()` is worked out for a property that is in use, not for a custom one.
  const colour = (/** @type {string} */ value) => {
    probe.style.color = value;
    return getComputedStyle(probe).color;
  };
  const series = [];
  for (let i = 0; i < count; i += 1) series.push(colour(`var(--lab-${i})`));
  const colours = { text: colour("var(--text)"), soft: colour("var(--text-soft)"), line: colour("var(--line)"), back: colour("var(--bg)"), series };
  probe.remove();
  return colours;
}

/**
 * The part of the run that a chart shows.
 * @param {number} now s of the run
 * @param {boolean} whole from its beginning
 * @returns {[number, number]}
 */
export function windowOf(now, whole) {
  const end = Math.max(FIRST_WINDOW_S, Math.ceil(now / STEP_S) * STEP_S);
  return whole || end <= WINDOW_S ? [0, end] : [now - WINDOW_S, now];
}

/** @param {number | null} value s @returns {string} */
const seconds = (value) => (value === null ? "" : `${Math.floor(value / 60)}:${String(Math.floor(value % 60)).padStart(2, "0")}`);

/**
 * @param {HTMLElement} root
 * @param {object} options
 * @param {"staleness" | "delays"} options.kind
 * @param {() => string[]} options.names of the series
 * @param {() => Colours} options.colours
 */
export function createChart(root, options) {
  const delays = options.kind === "delays";
  /** @type {uPlot | null} */
  let plot = null;
  /** @type {Columns} */
  let data = [[]];
  /** @type {[number, number]} */
  let range = [0, WINDOW_S];
  let lines = 0;

  const font = `12px ${getComputedStyle(document.body).fontFamily}`;

  /** @returns {uPlot.Options} */
  function describe() {
    const axis = {
      stroke: () => options.colours().soft,
      grid: { stroke: () => options.colours().line, width: 1 },
      ticks: { stroke: () => options.colours().line, width: 1, size: 5 },
      font,
    };
    return {
      width: Math.max(200, root.clientWidth),
      height: root.clientWidth < 480 ? NARROW_HEIGHT : HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      padding: [8, 18, 0, 0],
      scales: {
        x: { time: false, range: () => range },
        y: delays
          ? { distr: 3, range: (_u, low, high) => logRange(low, high) }
          : { range: (_u, _low, high) => [0, Math.max(1, (high ?? 0) * 1.05)] },
      },
      axes: [
        { ...axis, space: 60, incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300], values: (_u, splits) => splits.map(seconds), size: 30 },
        {
          ...axis,
          size: 58,
          ...(delays
            ? { grid: { ...axis.grid, filter: decades }, ticks: { ...axis.ticks, filter: decades },  values: (/** @type {uPlot} */ _u, /** @type {number[]} */ splits) => splits.map((ms) => (ms === null ? null : round(ms))), filter: decades }
            : { values: (/** @type {uPlot} */ _u, /** @type {number[]} */ splits) => splits.map((s) => `${s} s`), space: 40 }),
        },
      ],
      series: [
        {},
        ...options.names().map((label, i) => ({
          label,
          stroke: () => options.colours().series[i],
          width: 2,
          ...(delays
            ? { paths: () => null, points: { show: true, size: 6, width: 1, fill: () => (i === 1 ? options.colours().back : options.colours().series[i]) } }
            : { dash: DASHES[i], points: { show: false } }),
        })),
      ],
    };
  }

  function make() {
    plot?.destroy();
    lines = options.names().length;
    plot = new uPlot(describe(), /** @type {any} */ (data), root);
  }

  const resize = new ResizeObserver(() => {
    const width = Math.max(200, root.clientWidth);
    if (plot && plot.width !== width) plot.setSize({ width, height: root.clientWidth < 480 ? NARROW_HEIGHT : HEIGHT });
  });

  return {
    /** @param {Columns} columns @param {[number, number]} window of time in s */
    show(columns, window) {
      data = columns;
      range = window;
      if (!plot || lines !== options.names().length) {
        make();
        resize.observe(root);
      }
      plot?.setData(/** @type {any} */ (data));
    },
    /** The theme changed. */
    recolour() {
      plot?.redraw(false, true);
    },
    get canvas() {
      return plot?.ctx.canvas ?? null;
    },
    /** The copies changed. */
    rebuild() {
      if (plot) make();
    },
  };
}

/** @param {number | null} low @param {number | null} high ms @returns {[number, number]} whole decades, at least 10 ms to 10 s */
function logRange(low, high) {
  const floor = 10 ** Math.floor(Math.log10(Math.max(1, low ?? 10)));
  const ceiling = 10 ** Math.ceil(Math.log10(Math.max(10, high ?? 10)));
  return [Math.min(10, floor), Math.max(10000, ceiling)];
}

/** Labels only at decades. @param {uPlot} _u @param {number[]} splits */
function decades(_u, splits) {
  return splits.map((value) => (Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9 ? value : /** @type {any} */ (null)));
}

/** @param {number} ms @returns {string} "10 ms", "1 s" */
function round(ms) {
  return ms < 1000 ? `${ms} ms` : `${ms / 1000} s`;
}

/**
 * Both charts, their legend and the figures as one picture.
 * @param {{ charts: { title: string, canvas: HTMLCanvasElement | null }[], names: string[], figures: import("./tally.js").Figures[], colours: Colours, title: string, foot: string }} picture
 * @returns {Promise<Blob>} PNG
 */
export function drawPicture({ charts, names, figures, colours, title, foot }) {
  const canvases = charts.flatMap((chart) => (chart.canvas ? [chart.canvas] : []));
  const scale = devicePixelRatio || 1;
  const width = Math.max(640 * scale, ...canvases.map((canvas) => canvas.width)) / scale;
  const gap = 24;
  const lineHeight = 22;
  const family = getComputedStyle(document.body).fontFamily;
  const head = 40 + names.length * lineHeight + gap;
  const height = head + canvases.reduce((sum, canvas) => sum + canvas.height / scale + gap + lineHeight, 0) + lineHeight;
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil((width + 2 * gap) * scale);
  canvas.height = Math.ceil((height + gap) * scale);
  const draw = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  draw.scale(scale, scale);
  draw.fillStyle = colours.back;
  draw.fillRect(0, 0, width + 2 * gap, height + gap);
  draw.textBaseline = "alphabetic";
  const write = (/** @type {string} */ text, /** @type {number} */ x, /** @type {number} */ y, bold = false, colour = colours.text) => {
    draw.font = `${bold ? "600 " : ""}14px ${family}`;
    draw.fillStyle = colour;
    draw.fillText(text, x, y);
  };
  let y = gap + 14;
  write(title, gap, y, true);
  y += lineHeight + 4;
  names.forEach((name, i) => {
    draw.strokeStyle = colours.series[i];
    draw.lineWidth = 3;
    draw.setLineDash(DASHES[i]);
    draw.beginPath();
    draw.moveTo(gap, y - 5);
    draw.lineTo(gap + 28, y - 5);
    draw.stroke();
    const { p50, p95, average } = figures[i];
    write(`${name}: ${time(p50)} from edit to screen (95 % within ${time(p95)}), on average ${time(average)} behind`, gap + 38, y);
    y += lineHeight;
  });
  draw.setLineDash([]);
  y += 8;
  for (const chart of charts) {
    if (!chart.canvas) continue;
    write(chart.title, gap, y + 8, true);
    y += lineHeight;
    draw.drawImage(chart.canvas, gap, y, chart.canvas.width / scale, chart.canvas.height / scale);
    y += chart.canvas.height / scale + gap;
  }
  write(foot, gap, y + 6, false, colours.soft);
  return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("no picture"))), "image/png"));
}
