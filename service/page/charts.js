// @ts-check
/**
 * What all charts share: Plotly, loaded after the first paint; the page's colours; one place for each character, the
 * same in every chart; and restraint, so that drawing never holds up typing.
 *
 * A chart draws when it is seen, one chart at a time, in moments when the browser has nothing better to do; and the
 * longer a drawing took, the longer the chart waits before the next.
 */

import { element } from "./format.js";
import { Unreachable } from "./http.js";

/** @typedef {import("./trace.js").Trace} Trace */
/** @typedef {{data: object[], layout: Record<string, any>, steps: number, height: number}} Figure */

export const LEFT = 70;
export const RIGHT = 14;
const NARROWEST = 3; // pixels that a step gets, even if the chart has to scroll for it
const PAPER = 680; // pixels that A4 and Letter have room for between their margins
const REST = 4; // a chart rests this many times as long as its last drawing took

/** Plotly brings a style sheet for its maps, under this id, and leaves it out where it finds one; the page has no maps. */
const MAP_STYLES = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";

const RELOAD = 10_000; // milliseconds after which Plotly is tried again, if it could not be loaded

/** @type {Promise<any> | null} */
let plotly = null;

/** Load Plotly, once; if that fails, whatever is drawn some seconds later tries again. */
export function loadPlotly() {
  plotly ??= new Promise((resolve, reject) => {
    if (!document.getElementById(MAP_STYLES)) document.head.append(element("meta", { id: MAP_STYLES }));
    const script = document.createElement("script");
    script.src = new URL("plotly.min.js", import.meta.url).href;
    script.onload = () => resolve(/** @type {any} */ (window).Plotly);
    script.onerror = () => {
      script.remove();
      setTimeout(() => (plotly = null), RELOAD);
      reject(new Unreachable("The charts' library could not be loaded."));
    };
    document.head.append(script);
  });
  return plotly;
}

/** The page's colours of the moment, for Plotly, which knows no custom properties. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const value = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  const rgb = (/** @type {string} */ name) => value(name).split(/\s+/).join(",");
  return {
    paper: value("--paper"),
    sheet: value("--sheet"),
    ink: value("--ink"),
    soft: value("--soft"),
    line: value("--line"),
    negative: `rgb(${rgb("--negative-fill")})`,
    positive: `rgb(${rgb("--positive-fill")})`,
    negativeSoft: `rgba(${rgb("--negative-fill")},0.30)`,
    positiveSoft: `rgba(${rgb("--positive-fill")},0.30)`,
    signed: ["--below", "--slightly-below", "--middle", "--slightly-above", "--above"].map(value),
    shade: "rgba(128,128,128,0.16)",
    sans: value("--sans"),
    mono: value("--mono"),
  };
}

/**
 * The axis of the steps: the same in every chart, so that a character stands in one line through all of them.
 * @param {number} steps
 */
export function stepAxis(steps) {
  return { range: [-0.5, steps - 0.5], fixedrange: true, showgrid: false, zeroline: false, ticks: "" };
}

/**
 * The layout that every chart begins with.
 * @param {ReturnType<typeof palette>} colours
 */
export function baseLayout(colours) {
  return {
    margin: { l: LEFT, r: RIGHT, t: 14, b: 30 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: colours.sans, size: 12.5, color: colours.soft },
    hoverlabel: {
      bgcolor: colours.ink,
      bordercolor: colours.ink,
      font: { family: colours.sans, size: 13, color: colours.paper },
      align: "left",
    },
    showlegend: false,
    dragmode: false,
    hovermode: "x",
    bargap: 0.25,
  };
}

/** A band behind the steps that are padding, which say something of the network and nothing of the text.
 * @param {Trace} trace
 * @param {ReturnType<typeof palette>} colours
 */
export function paddingBand(trace, colours) {
  if (trace.read === trace.length) return { shapes: [], annotations: [] };
  const common = { xref: "x", yref: "paper" };
  return {
    shapes: [
      { ...common, type: "rect", x0: trace.read - 0.5, x1: trace.length - 0.5, y0: 0, y1: 1, line: { width: 0 }, fillcolor: colours.shade, layer: "below" },
    ],
    annotations: [
      { ...common, x: (trace.read + trace.length) / 2, y: 1, yanchor: "top", text: "padding", showarrow: false, font: { color: colours.soft } },
    ],
  };
}

/**
 * A line that keeps its height for the whole width of each step, the first and the last among them.
 * @param {number[]} values one for each step
 * @param {string[]} told what to say of each
 */
export function steppedLine(values, told) {
  const wide = (/** @type {any[]} */ all) => [all[0], ...all, all[all.length - 1]];
  return {
    type: "scatter",
    mode: "lines",
    x: [-0.5, ...values.map((_, step) => step), values.length - 0.5],
    y: wide(values),
    text: wide(told),
    hoverinfo: told.length ? "text" : "skip",
  };
}

/** Which step the reader points at, in whatever view; all the others show it too. */
export class Pointer extends EventTarget {
  /** @type {number | null} */
  step = null;

  /** @param {number | null} step */
  at(step) {
    if (step === this.step) return;
    this.step = step;
    this.dispatchEvent(new Event("move"));
  }
}

/** @type {Set<Chart>} */
const dirty = new Set();
let waiting = false;
const idle = window.requestIdleCallback ?? ((/** @type {() => void} */ draw) => setTimeout(draw, 16));

function drawNext() {
  waiting = false;
  const now = performance.now();
  const due = [...dirty].find((chart) => chart.restsUntil <= now);
  if (due) {
    dirty.delete(due);
    due.draw();
  }
  if (dirty.size) scheduleDrawing();
}

function scheduleDrawing() {
  if (waiting) return;
  waiting = true;
  const wait = Math.min(...[...dirty].map((chart) => chart.restsUntil)) - performance.now();
  if (wait > 4) setTimeout(() => idle(drawNext, { timeout: 200 }), wait);
  else idle(drawNext, { timeout: 200 });
}

/** @type {Set<Chart>} */
const charts = new Set();
let printing = false;

// A browser lets a page run until the listener returns, and prints what is there then: nothing can be waited for.
addEventListener("beforeprint", () => {
  printing = true;
  for (const chart of charts) chart.drawNow();
});
addEventListener("afterprint", () => {
  printing = false;
  for (const chart of charts) chart.update();
});

export class Chart {
  restsUntil = 0;
  #seen = false;
  #stale = true;
  #steps = 0;
  #hasHandlers = false;
  /** @type {any} */
  #plot;
  /** @type {HTMLElement} */
  #cursor;
  /** @type {Promise<void> | null} */
  #drawing = null;

  /**
   * @param {HTMLElement} box
   * @param {(width: number) => Figure | null} figure makes what is to be drawn; null is nothing
   * @param {{pointer: Pointer, onClick?: (point: any) => void}} told
   */
  constructor(box, figure, { pointer, onClick }) {
    this.box = box;
    this.figure = figure;
    this.pointer = pointer;
    this.onClick = onClick;
    this.#plot = document.createElement("div");
    this.#plot.className = "plot";
    this.#cursor = document.createElement("div");
    this.#cursor.className = "cursor";
    this.#cursor.hidden = true;
    box.append(this.#plot);
    charts.add(this);
    new IntersectionObserver(([entry]) => this.#see(entry.isIntersecting), { rootMargin: "250px" }).observe(box);
    let width = 0;
    new ResizeObserver(([entry]) => {
      if (Math.abs(entry.contentRect.width - width) < 1) return;
      width = entry.contentRect.width;
      this.update();
    }).observe(box);
    document.addEventListener("themechange", () => this.update());
    pointer.addEventListener("move", () => this.#showCursor());
    box.addEventListener("scroll", () => this.#takeAlong(), { passive: true });
  }

  /** Charts of the same steps, which share a pointer, scroll together. */
  #takeAlong() {
    for (const { pointer, box } of charts) {
      if (box !== this.box && pointer === this.pointer && box.scrollWidth > box.clientWidth) box.scrollLeft = this.box.scrollLeft;
    }
  }

  /** Have it drawn anew, soon. */
  update() {
    this.#stale = true;
    if (this.#seen) this.#queue();
  }

  #queue() {
    dirty.add(this);
    scheduleDrawing();
  }

  /** @param {boolean} seen */
  #see(seen) {
    this.#seen = seen;
    if (seen && this.#stale) this.#queue();
  }

  /** Draw what is to be seen now. */
  async draw() {
    const Plotly = await loadPlotly().catch((error) => this.#say(error.message));
    await this.#drawing;
    if (Plotly) await this.#drawWith(Plotly);
  }

  /** Draw what is to be seen before this returns, if the charts' library is there. */
  drawNow() {
    const Plotly = /** @type {any} */ (window).Plotly;
    if (Plotly) this.#drawWith(Plotly);
  }

  /** How many pixels it has. */
  get #room() {
    return printing ? PAPER : this.box.clientWidth;
  }

  /** @param {any} Plotly */
  async #drawWith(Plotly) {
    if (!this.box.clientWidth) return;
    this.#stale = false;
    const started = performance.now();
    const room = this.#room;
    const figure = this.figure(room - LEFT - RIGHT);
    if (!figure) {
      Plotly.purge(this.#plot);
      this.#hasHandlers = false;
      return;
    }
    this.#steps = figure.steps;
    this.box.style.minHeight = `${figure.height}px`;
    const width = widthFor(figure.steps, room);
    const layout = { ...figure.layout, width, height: figure.height };
    if (this.#plot.classList.contains("waiting")) {
      this.#plot.textContent = "";
      this.#plot.classList.remove("waiting");
    }
    this.#drawing = Plotly.react(this.#plot, figure.data, layout, { displayModeBar: false, doubleClick: false });
    await this.#drawing;
    this.#attach();
    this.box.dataset.drawn = String(Number(this.box.dataset.drawn ?? 0) + 1);
    this.restsUntil = performance.now() + REST * (performance.now() - started);
  }

  /** @param {string} message */
  #say(message) {
    if (this.#hasHandlers) return; // what was drawn stays
    this.#plot.textContent = message;
    this.#plot.className = "plot waiting";
  }

  #attach() {
    if (this.#hasHandlers) return;
    this.#hasHandlers = true;
    this.#plot.append(this.#cursor);
    this.#plot.on("plotly_hover", (/** @type {any} */ event) => {
      this.pointer.at(Math.min(Math.max(Math.round(event.points[0].x), 0), this.#steps - 1));
    });
    this.#plot.on("plotly_unhover", () => this.pointer.at(null));
    if (this.onClick) this.#plot.on("plotly_click", (/** @type {any} */ event) => this.onClick?.(event.points[0]));
  }

  #showCursor() {
    const step = this.pointer.step;
    this.#cursor.hidden = step === null || step >= this.#steps;
    if (step === null) return;
    const width = widthFor(this.#steps, this.#room) - LEFT - RIGHT;
    this.#cursor.style.left = `${LEFT + ((step + 0.5) / this.#steps) * width}px`;
  }
}

/**
 * Draw a figure for a file.
 * @param {(width: number) => Figure} figure
 * @param {number} width
 */
export async function pictureOf(figure, width) {
  const Plotly = await loadPlotly();
  const { data, layout, height } = figure(width - LEFT - RIGHT);
  const url = await Plotly.toImage({ data, layout: { ...layout, width, height } }, { format: "png", width, height, scale: 2 });
  return { url, height };
}

/**
 * @param {number} steps
 * @param {number} room
 */
function widthFor(steps, room) {
  return printing ? room : Math.max(room, LEFT + RIGHT + steps * NARROWEST); // paper does not scroll
}
