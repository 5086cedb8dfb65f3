// @ts-check
/** One unit's own view: its six signals along the text, its share in the answer, and what the atlas knows of it. */

import { askJson } from "./api.js";
import { element, percent, plain, side, signed, visible } from "./format.js";
import { stripsFigure } from "./gates.js";
import { Problem } from "./http.js";
import { signalOf } from "./signals.js";
import { along } from "./trace.js";

/** @typedef {import("./trace.js").Trace} Trace */

const IN_ORDER = ["forget_gate", "input_gate", "candidate", "cell_state", "output_gate", "hidden_state"];

/**
 * @param {Trace} trace
 * @param {number} layer
 * @param {number} unit
 * @param {number} width
 */
export function unitFigure(trace, layer, unit, width) {
  const strips = IN_ORDER.map((name) => {
    const signal = signalOf(name);
    const values = along(trace.layers[layer][name], unit);
    const limit = signal.limit ?? Math.max(1, ...values.map(Math.abs));
    /** @type {[number, number]} */
    const range = [signal.signed ? -limit : 0, limit];
    return { ...signal, values, range };
  });
  return stripsFigure(trace, strips, width);
}

/**
 * Say what a unit does in this answer.
 * @param {Trace} trace
 * @param {number} layer
 * @param {number} unit
 */
export function unitFacts(trace, layer, unit) {
  if (layer < trace.layers.length - 1) return "The answer is read from the top layer alone, so this unit has no share of its own in it.";
  const shares = trace.contributions.units;
  const share = shares[unit];
  const rank = shares.filter((other) => Math.abs(other) > Math.abs(share)).length + 1;
  const place = shares.length === 1 ? "the only unit" : `number ${rank} of ${shares.length} by size`;
  return `Its share in this answer is ${signed(share, 3)} log-odds, towards ${side(share)}: ${place}.`;
}

/** What the atlas says of each unit. */
export class UnitAtlas {
  /** @type {Map<string, any>} */
  #known = new Map();
  #missing = "";

  /**
   * @param {string} version of the model
   * @param {number} layer
   * @param {number} unit
   * @returns {Promise<any | null>} null if there is no atlas
   */
  async of(version, layer, unit) {
    if (this.#missing === version) return null;
    const name = `${version}/${layer}/${unit}`;
    if (!this.#known.has(name)) {
      try {
        const record = await askJson(`units/${unit}?layer=${layer}`);
        if (record.model.version !== version) return null; // the model has been replaced since the trace
        this.#known.set(name, record);
      } catch (error) {
        if (error instanceof Problem && error.status === 404) this.#missing = version;
        return null;
      }
    }
    return this.#known.get(name);
  }
}

/**
 * Show an atlas record.
 * @param {any} record
 * @returns {Node[]}
 */
export function atlasView(record) {
  const parts = [element("h3", {}, "Over many texts")];
  const sentences = [];
  if (typeof record.separation === "number") sentences.push(separationOf(record.separation));
  if (typeof record.share_spread === "number") sentences.push(`Its share in the answers spreads by ${plain(record.share_spread, 3)} log-odds.`);
  if (typeof record.half_life === "number") sentences.push(`If nothing is written, half of its memory is typically gone after ${plain(record.half_life, 1)} steps.`);
  parts.push(element("p", { class: "explain" }, sentences.join(" ")));
  const columns = element("div", { class: "two-columns" });
  const letters = element("div", {});
  if (record.raised_by?.length) letters.append(element("p", { class: "hint" }, "Characters that raise its long-term memory most"), effects(record.raised_by));
  if (record.lowered_by?.length) letters.append(element("p", { class: "hint" }, "Characters that lower it most"), effects(record.lowered_by));
  columns.append(letters);
  if (record.histogram?.positive) columns.append(histogram(record.histogram));
  parts.push(columns);
  return parts;
}

/** @param {number} separation */
function separationOf(separation) {
  const [chance, one, other] = separation >= 0.5 ? [separation, "negative", "positive"] : [1 - separation, "positive", "negative"];
  return `Of a ${one} and a ${other} text, the ${one} one leaves its short-term memory higher ${percent(chance)} of the time; 50 % would tell nothing.`;
}

/** @param {{token: string, change: number}[]} found */
function effects(found) {
  return element(
    "ul",
    { class: "letters" },
    ...found.slice(0, 10).map(({ token, change }) => element("li", {}, `${visible(token)} `, element("small", {}, signed(change)))),
  );
}

/** @param {{positive: number[], negative: number[]}} counts */
function histogram({ positive, negative }) {
  const sums = [positive, negative].map((values) => values.reduce((sum, value) => sum + value, 0) || 1);
  const most = Math.max(...positive.map((n) => n / sums[0]), ...negative.map((n) => n / sums[1]));
  const bars = positive.map((_, bin) => {
    const pair = element("span", {});
    for (const [label, count, sum] of /** @type {[string, number, number][]} */ ([["positive", positive[bin], sums[0]], ["negative", negative[bin], sums[1]]])) {
      const bar = element("i", { class: label });
      bar.style.height = `${(count / sum / most) * 100}%`;
      pair.append(bar);
    }
    return pair;
  });
  return element(
    "div",
    {},
    element("p", { class: "hint" }, "Its short-term memory at the end of a text, from −1 to 1: blue in positive texts, orange in negative ones"),
    element("div", { class: "histogram", role: "img", "aria-label": "Histogram by label" }, ...bars),
  );
}
