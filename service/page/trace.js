// @ts-check
/**
 * One text's way through the network, as the page holds it: what `POST /gates` answers, or what the live answers of
 * `WS /gates/live` add up to. It is never changed; an answer to further characters makes a new one out of it.
 */

import { writtenToken } from "./format.js";
import { SIGNAL_NAMES } from "./signals.js";

/**
 * @typedef {{start: number, stop: number, text: string, share: number}} Word
 * @typedef {object} Contributions
 * @property {number} logit
 * @property {number} bias
 * @property {number} initial
 * @property {number[]} steps
 * @property {number} padding
 * @property {Word[]} words
 * @property {number[]} units
 * @property {number} residual
 */

export class Trace {
  /**
   * @param {string} text
   * @param {any} answer with every step of the text
   */
  constructor(text, answer) {
    this.text = text;
    /** @type {string[]} the characters of the text, as Unicode counts them */
    this.points = Array.from(text);
    /** @type {string[]} */
    this.tokens = answer.tokens;
    /** @type {(number | null)[]} where each step's token starts in the text; null for padding */
    this.offsets = answer.offsets;
    /** @type {number[]} P(negative) after each step */
    this.probabilities = answer.probability_so_far;
    /** @type {Contributions} */
    this.contributions = answer.contributions;
    /** @type {Record<string, number[][]>[]} for each layer, each signal's rows: steps x units */
    this.layers = answer.layers ?? [];
    /** @type {string} */
    this.label = answer.label;
    /** @type {number} */
    this.probability = answer.probability;
    /** @type {number} */
    this.negative = answer.probabilities.negative;
    /** @type {number} */
    this.characters = answer.characters;
    /** @type {number} */
    this.unknown = answer.unknown_characters;
    /** @type {boolean} */
    this.truncated = answer.truncated;
    /** @type {{name: string, version: string, precision: string}} */
    this.model = answer.model;
  }

  /**
   * Take what was valid of an earlier answer and put the steps of a live answer behind it.
   * @param {Trace | null} earlier
   * @param {string} text
   * @param {any} answer
   * @returns {Trace | null} null for an empty text
   */
  static after(earlier, text, answer) {
    if (answer.contributions === null) return null;
    const kept = answer.start;
    /** @param {any[]} before @param {any[]} behind */
    const joined = (before, behind) => (kept ? before.slice(0, kept).concat(behind) : behind);
    const layers = (answer.layers ?? []).map((/** @type {any} */ layer, /** @type {number} */ index) =>
      Object.fromEntries(
        SIGNAL_NAMES.filter((name) => layer[name]).map((name) => [
          name,
          joined(earlier?.layers[index]?.[name] ?? [], layer[name]),
        ]),
      ),
    );
    return new Trace(text, {
      ...answer,
      layers,
      tokens: joined(earlier?.tokens ?? [], answer.tokens),
      offsets: joined(earlier?.offsets ?? [], answer.offsets),
      probability_so_far: joined(earlier?.probabilities ?? [], answer.probability_so_far),
    });
  }

  get length() {
    return this.tokens.length;
  }

  /** How many steps read the text; those behind them are padding. */
  get read() {
    const padding = this.offsets.indexOf(null);
    return padding < 0 ? this.length : padding;
  }

  /** How many units the top layer has. */
  get units() {
    return this.contributions.units.length;
  }

  /**
   * What a step read, so that it can be seen.
   * @param {number} step
   */
  written(step) {
    return writtenToken(this, step);
  }

  /**
   * Where each character is read.
   * @returns {number[]} for each character of the text its last step so far; -1 for one that was not read
   */
  stepOfCharacter() {
    const steps = new Array(this.points.length).fill(-1);
    this.offsets.forEach((offset, step) => {
      if (offset !== null) steps[offset] = step;
    });
    for (let at = 1; at < steps.length; at++) {
      if (steps[at] < 0 && at < this.characters) steps[at] = steps[at - 1]; // a token of several characters
    }
    return steps;
  }
}

/**
 * One unit's values along the text.
 * @param {number[][]} rows steps x units
 * @param {number} unit
 */
export function along(rows, unit) {
  return rows.map((row) => row[unit]);
}

/**
 * The mean over the units at each step.
 * @param {number[][]} rows steps x units
 */
export function means(rows) {
  return rows.map((row) => row.reduce((sum, value) => sum + value, 0) / row.length);
}

/**
 * After how many steps half of the memory would be left, if every step kept as much as this one.
 * @param {number[]} kept the forget gate of each unit
 * @returns {number} in steps; infinite if nothing is lost
 */
export function halfLife(kept) {
  const rate = kept.reduce((sum, value) => sum + Math.log(Math.max(value, 1e-12)), 0) / kept.length;
  return rate < 0 ? -Math.LN2 / rate : Infinity;
}
