// @ts-check
/** What an element shows when it is opened: whose doing the answer is, and the heat map of one signal of the memory. */

import { counted, element, signed } from "./format.js";
import { HeatMap } from "./heat-map.js";
import { legendOf, scaleFor } from "./letters.js";
import { scaleOf } from "./scale.js";
import { SIGNALS, signalOf } from "./signals.js";

/** @typedef {import("./trace.js").Trace} Trace */

const FOREMOST = 3; // words that are named
const STOPS = ["below", "slightly-below", "middle", "slightly-above", "above"];

export class Memory {
  #words = element("p", { class: "words" });
  #legend = element("p", { class: "legend" });
  #select = /** @type {HTMLSelectElement} */ (element("select", { part: "signal" }));
  #meaning = element("p", { class: "meaning" });
  #canvas = /** @type {HTMLCanvasElement} */ (element("canvas", { part: "map", tabindex: "0", role: "application", "aria-roledescription": "heat map", "aria-describedby": "caption" }));
  #strip = /** @type {HTMLCanvasElement} */ (element("canvas", { class: "strip", "aria-hidden": "true" }));
  #least = element("span");
  #most = element("span");
  #rows = element("span");
  #map = element("div", { class: "map" });
  #model = element("p", { class: "model" });
  #shown = "";

  /**
   * @param {{onSignal: (name: string) => void, onStep: (step: number | null) => void, complaint: HTMLElement}} told where it is said why there is no map
   */
  constructor({ onSignal, onStep, complaint }) {
    this.#select.append(...SIGNALS.map(({ name, title, other }) => element("option", { value: name }, `${title} (${other})`)));
    this.#select.addEventListener("change", () => onSignal(this.#select.value));
    const cursor = element("div", { class: "cursor", hidden: "" });
    const scroll = element("div", { class: "scroll" }, this.#canvas, cursor);
    const readout = element("p", { class: "readout", role: "status" });
    const stops = element("span", { class: "stops", "aria-hidden": "true" }, ...STOPS.map((name) => element("i", { class: name })));
    const scale = element("span", { class: "scale-of-map" }, this.#least, this.#strip, this.#most, stops);
    const caption = element("p", { class: "caption", id: "caption", part: "caption" }, this.#rows, scale);
    this.#map.append(this.#meaning, scroll, readout, caption);
    const label = element("label", {}, element("span", {}, "Signal"), this.#select);
    this.box = element("div", { class: "inside" }, this.#words, this.#legend, label, this.#map, complaint, this.#model);
    this.heatMap = new HeatMap({ canvas: this.#canvas, cursor, box: scroll, strip: this.#strip, stops, readout, onStep });
    this.forget();
  }

  /** @param {string} signal */
  choose(signal) {
    this.#select.value = signal;
  }

  /**
   * Tell whether the map of a signal is shown; another one pales until it comes.
   * @param {string} signal
   */
  shows(signal) {
    this.#map.ariaBusy = String(this.#shown !== signal);
    return this.#shown === signal;
  }

  /** Show no map. */
  forget() {
    this.#shown = "";
    this.#map.hidden = true;
  }

  /**
   * Say whose doing the answer is.
   * @param {Trace} trace
   */
  explain(trace) {
    const words = [...trace.contributions.words].filter(({ text }) => text.trim()).sort((one, other) => Math.abs(other.share) - Math.abs(one.share));
    const named = words.slice(0, FOREMOST).flatMap(({ text, share }, index) => [index ? ", " : "", element("b", {}, text.trim()), ` ${signed(share)}`]);
    this.#words.replaceChildren("What weighs most, in log-odds of negative: ", ...named, ".");
    this.#legend.replaceChildren(...legendOf(scaleFor(trace.contributions.steps)));
    this.#model.textContent = `Model ${trace.model.name} ${trace.model.version}, ${counted(trace.characters, "character")} read.`;
  }

  /**
   * Show the map of a signal.
   * @param {Trace} trace
   * @param {string} signal
   * @param {number[]} units that its last layer holds
   */
  show(trace, signal, units) {
    const { title, meaning } = signalOf(signal);
    const rows = trace.layers[trace.layers.length - 1][signal];
    const { least, most } = scaleOf(signal, rows);
    this.#shown = signal;
    this.#map.hidden = false;
    this.#map.ariaBusy = "false";
    this.#meaning.textContent = meaning;
    this.#canvas.setAttribute("aria-label", `${title}: ${counted(trace.length, "step")} by ${counted(units.length, "unit")}`);
    this.#rows.textContent = captionOf(trace, units.length);
    this.#least.textContent = least;
    this.#most.textContent = most;
    this.heatMap.show(trace, signal, units);
  }
}

/**
 * @param {Trace} trace
 * @param {number} seen units
 */
function captionOf(trace, seen) {
  const padding = trace.length - trace.read;
  const columns = `Each column is a step that reads what stands below it${padding ? `; the last ${padding} read padding` : ""}.`;
  if (trace.units === 1) return `${columns} The row is the network’s one unit. The colours: `;
  const foremost = seen < trace.units ? `the ${seen} of ${trace.units} units` : `the ${seen} units`;
  return `${columns} Each row is a unit: ${foremost} with the largest share in this answer, the largest on top. The colours: `;
}
