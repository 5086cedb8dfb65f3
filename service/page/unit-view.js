// @ts-check
/** The view of one unit: which it is, what it holds, what the atlas knows of it, and holding it at a value. */

import { byId } from "./format.js";
import { faultIn } from "./notices.js";
import { whyNotHeldAt } from "./signals.js";
import { UnitAtlas, atlasView, unitFacts } from "./units.js";

const field = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id));

/**
 * @typedef {object} Shown what is on the page
 * @property {import("./trace.js").Trace | null} trace
 * @property {number} layer
 * @property {boolean} recorded whether it is a recording, of a model that is not served
 */

/** Opens one unit at a time. */
export class UnitView {
  #shown;
  #onOpen;
  #onHold;
  #atlas = new UnitAtlas();

  /** The unit that is open. @type {number | null} */
  chosen = null;

  /**
   * @param {object} page
   * @param {() => Shown} page.shown
   * @param {() => void} page.onOpen another unit is open, or none
   * @param {(hold: {layer: number, unit: number, signal: string, value: number}) => void} page.onHold
   */
  constructor({ shown, onOpen, onHold }) {
    this.#shown = shown;
    this.#onOpen = onOpen;
    this.#onHold = onHold;
    field("unit").addEventListener("input", () => this.#look());
    byId("unit-close").addEventListener("click", () => {
      this.choose(null);
      field("unit").focus();
    });
    byId("clamp-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#hold();
    });
  }

  /**
   * @param {number | null} unit one that there is
   * @param {boolean} [reveal]
   */
  choose(unit, reveal = false) {
    field("unit").value = unit === null ? "" : String(unit);
    faultIn(field("unit"), byId("unit-fault"), "");
    this.#open(unit);
    if (unit !== null && reveal) byId("unit-view").scrollIntoView({ block: "nearest" });
  }

  /** Close it if there is no such unit any more. */
  keepToThoseThere() {
    if (this.chosen !== null && this.chosen >= this.#count()) this.choose(null);
  }

  /** Say what the unit holds now, and what the atlas knows of it. */
  async showFacts() {
    const { trace, layer, recorded } = this.#shown();
    if (!trace || this.chosen === null) return;
    const unit = this.chosen;
    byId("unit-title").textContent = `Unit ${unit}`;
    byId("unit-facts").textContent = unitFacts(trace, layer, unit);
    byId("clamp-form").hidden = recorded;
    const record = recorded ? null : await this.#atlas.of(trace.model.version, layer, unit);
    if (unit !== this.chosen) return;
    byId("unit-atlas").hidden = !record;
    if (record) byId("unit-atlas").replaceChildren(...atlasView(record));
  }

  #count() {
    const { trace, layer } = this.#shown();
    return trace?.layers[layer]?.cell_state[0].length ?? 0;
  }

  /** Open the unit whose number was typed, or say which there are. */
  #look() {
    const input = field("unit");
    const last = this.#count() - 1;
    const isOne = /^\d+$/.test(input.value) && Number(input.value) <= last;
    const isNone = input.value === "" && !input.validity.badInput; // a number field tells no letters, only that they are bad
    const words = last ? `No such unit: there are 0 to ${last}.` : "No such unit: there is only 0.";
    faultIn(input, byId("unit-fault"), isOne || isNone ? "" : words);
    this.#open(isOne ? Number(input.value) : null);
  }

  /** @param {number | null} unit */
  #open(unit) {
    if (unit !== this.chosen) faultIn(field("clamp-value"), byId("clamp-fault"), "");
    this.chosen = unit;
    byId("unit-view").hidden = unit === null;
    this.showFacts();
    this.#onOpen();
  }

  /** Hold the unit at the value that was typed, or say why it cannot be. */
  #hold() {
    if (this.chosen === null) return;
    const input = field("clamp-value");
    const signal = field("clamp-signal").value;
    const value = input.value === "" ? NaN : Number(input.value);
    const words = whyNotHeldAt(signal, value);
    faultIn(input, byId("clamp-fault"), words);
    if (words) input.focus();
    else this.#onHold({ layer: this.#shown().layer, unit: this.chosen, signal, value });
  }
}
