// @ts-check
/**
 * A heat map on a canvas: one row for each unit, one column for each step.
 *
 * Its colours are those of the style sheet: a strip is drawn from them, and each cell takes its colour out of the strip.
 * One can point at a cell, or move between the cells with the arrow keys, and is told what stands there.
 */

import { plain } from "./format.js";
import { scaleOf } from "./scale.js";
import { signalOf } from "./signals.js";
import { characterTicks } from "./ticks.js";

/** @typedef {import("./trace.js").Trace} Trace */

const LEFT = 30; // pixels for the units' numbers
const BOTTOM = 24; // for the characters
const ROW = 12;
const LEAST_ROWS = 4; // a network of one unit has a row that can be seen
const NARROWEST = 3; // that a step gets, even if the map has to scroll for it
const WIDEST = 34;
const COLOURS = 256;

export class HeatMap {
  /** @type {Trace | null} */
  #trace = null;
  #signal = "";
  /** @type {number[]} the unit of each row */
  #units = [];
  /** @type {{step: number, row: number} | null} the cell that is pointed at */
  #at = null;
  #width = 0; // of a step, in pixels
  #height = 0; // of a row

  /**
   * @param {{canvas: HTMLCanvasElement, cursor: HTMLElement, box: HTMLElement, strip: HTMLCanvasElement, stops: HTMLElement, readout: HTMLElement, onStep: (step: number | null) => void}} parts `box` holds canvas and cursor; `stops` has the strip's colours as backgrounds, 0 in the middle
   */
  constructor({ canvas, cursor, box, strip, stops, readout, onStep }) {
    this.canvas = canvas;
    this.cursor = cursor;
    this.box = box;
    this.strip = strip;
    this.stops = stops;
    this.readout = readout;
    this.onStep = onStep;
    new ResizeObserver(() => this.#draw()).observe(box);
    stops.addEventListener("transitionend", () => this.#draw()); // from light to dark, or whoever else changes a colour
    canvas.addEventListener("pointerdown", (event) => this.#point(event));
    canvas.addEventListener("pointermove", (event) => this.#point(event));
    canvas.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && this.#move(null)); // a finger leaves after each tap
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#move(null));
  }

  /**
   * @param {Trace} trace whose last layer has the signal, for the units that are to be seen
   * @param {string} signal
   * @param {number[]} units their numbers
   */
  show(trace, signal, units) {
    this.#trace = trace;
    this.#signal = signal;
    this.#units = units;
    this.#at = null;
    this.#draw();
    this.#tell();
  }

  get #rows() {
    return this.#trace?.layers.at(-1)?.[this.#signal] ?? [];
  }

  #draw() {
    const trace = this.#trace;
    const room = this.box.clientWidth - LEFT - 1;
    if (!trace || room <= 0) return;
    this.#width = Math.min(Math.max(room / trace.length, NARROWEST), WIDEST);
    this.#height = Math.max(this.#units.length, LEAST_ROWS) * ROW / this.#units.length;
    const pen = this.#paper(LEFT + this.#width * trace.length + 1, this.#height * this.#units.length + BOTTOM);
    if (!pen) return;
    this.#mix();
    this.#cells(pen);
    this.#letter(pen, trace);
    this.#mark();
  }

  /**
   * Size the canvas for the screen's pixels.
   * @param {number} width
   * @param {number} height
   */
  #paper(width, height) {
    const density = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * density);
    this.canvas.height = Math.round(height * density);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    const pen = this.canvas.getContext("2d");
    pen?.scale(density, density);
    return pen;
  }

  /** Draw the strip that the cells take their colours from. */
  #mix() {
    const pen = this.strip.getContext("2d");
    if (!pen) return;
    const colours = Array.from(this.stops.children, (stop) => getComputedStyle(stop).backgroundColor);
    const used = signalOf(this.#signal).signed ? colours : colours.slice((colours.length - 1) / 2); // what is never below 0
    this.strip.width = COLOURS;
    this.strip.height = 1;
    const gradient = pen.createLinearGradient(0, 0, COLOURS, 0);
    used.forEach((colour, index) => gradient.addColorStop(index / (used.length - 1), colour));
    pen.fillStyle = gradient;
    pen.fillRect(0, 0, COLOURS, 1);
  }

  /** @param {CanvasRenderingContext2D} pen */
  #cells(pen) {
    const { signed, bound } = scaleOf(this.#signal, this.#rows);
    const least = signed ? -bound : 0;
    const gap = this.#width >= 8 ? 1 : 0;
    this.#rows.forEach((row, step) => {
      const [left, right] = [this.#left(step), this.#left(step + 1)];
      row.forEach((value, index) => {
        const share = Math.min(Math.max((value - least) / (bound - least), 0), 1);
        const colour = Math.round(share * (COLOURS - 1));
        const top = Math.round(index * this.#height);
        const height = Math.round((index + 1) * this.#height) - top - (gap && 1);
        pen.drawImage(this.strip, colour, 0, 1, 1, left, top, right - left - gap, height);
      });
    });
  }

  /** @param {number} step */
  #left(step) {
    return LEFT + Math.round(step * this.#width);
  }

  /**
   * Write the units' numbers and the characters beside the cells.
   * @param {CanvasRenderingContext2D} pen
   * @param {Trace} trace
   */
  #letter(pen, trace) {
    const style = getComputedStyle(this.canvas);
    pen.fillStyle = style.color;
    pen.font = `10px ${style.fontFamily}`;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    this.#units.forEach((unit, row) => pen.fillText(String(unit), LEFT - 6, (row + 0.5) * this.#height));
    pen.font = `12px ${style.fontFamily}`;
    pen.textAlign = "center";
    const { tickvals, ticktext } = characterTicks(trace, this.#width * trace.length);
    const line = this.#height * this.#units.length + BOTTOM / 2 + 1;
    tickvals.forEach((step, index) => pen.fillText(ticktext[index], LEFT + (step + 0.5) * this.#width, line));
  }

  /** @param {PointerEvent} event */
  #point(event) {
    const step = Math.floor((event.offsetX - LEFT) / this.#width);
    const row = Math.floor(event.offsetY / this.#height);
    this.#move(this.#rows[step]?.[row] === undefined ? null : { step, row });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!by || !this.#trace) return;
    const { step, row } = this.#at ?? { step: -by[0], row: -by[1] }; // the first key shows the first cell
    const within = (/** @type {number} */ wish, /** @type {number} */ count) => Math.min(Math.max(wish, 0), count - 1);
    this.#move({ step: within(step + by[0], this.#rows.length), row: within(row + by[1], this.#units.length) });
    event.preventDefault();
  }

  /** @param {{step: number, row: number} | null} at */
  #move(at) {
    if (at?.step === this.#at?.step && at?.row === this.#at?.row) return;
    this.#at = at;
    this.#mark();
    this.#tell();
    this.onStep(at?.step ?? null);
  }

  /** Frame the cell that is pointed at, and bring it into view. */
  #mark() {
    this.cursor.hidden = !this.#at;
    if (!this.#at) return;
    const [left, right] = [this.#left(this.#at.step), this.#left(this.#at.step + 1)];
    Object.assign(this.cursor.style, {
      left: `${left}px`,
      top: `${this.#at.row * this.#height}px`,
      width: `${right - left}px`,
      height: `${this.#height}px`,
    });
    this.box.scrollLeft = Math.min(Math.max(this.box.scrollLeft, right - this.box.clientWidth + 1), Math.max(left - LEFT, 0));
  }

  #tell() {
    if (!this.#at || !this.#trace) {
      this.readout.textContent = "Point at a cell, or move with the arrow keys, to see its value.";
      return;
    }
    const { step, row } = this.#at;
    const { title } = signalOf(this.#signal);
    this.readout.textContent = `${title} of unit ${this.#units[row]} at ‘${this.#trace.written(step)}’: ${plain(this.#rows[step][row], 3)}`;
  }
}
