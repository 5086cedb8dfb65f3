// @ts-check
/** What is held by force or left out, and what the network would have said then. */

import { Latest, Problem, Unreachable } from "./api.js";
import { byId, element, percent, plain, verdictOf } from "./format.js";
import { signalOf } from "./signals.js";

/** @typedef {import("./trace.js").Trace} Trace */
/** @typedef {{layer: number, unit: number, signal: string, value: number}} Hold */
/** @typedef {{start: number, stop: number, text: string}} Cut */

const PAUSE = 150; // milliseconds without a new answer, after which the other one is asked for

export class WhatIf {
  /** @type {Hold[]} */
  holds = [];
  /** @type {Cut[]} */
  cuts = [];
  /** @type {number[] | null} P(negative) along the text as it would have been; null if nothing is held or words are out */
  otherwise = null;
  #latest = new Latest();
  /** @type {Trace | null} */
  #trace = null;
  /** @type {number | undefined} */
  #timer;

  /**
   * @param {{onChange: () => void, onAnswer: () => void}} told
   */
  constructor({ onChange, onAnswer }) {
    this.onChange = onChange;
    this.onAnswer = onAnswer;
    byId("changed-undo").addEventListener("click", () => this.clear());
    this.#list();
  }

  /** @param {Hold} hold in place of one of the same signal of the same unit */
  hold(hold) {
    const same = (/** @type {Hold} */ other) => other.layer === hold.layer && other.unit === hold.unit && other.signal === hold.signal;
    this.holds = [...this.holds.filter((other) => !same(other)), hold];
    this.#changed();
  }

  /** @param {Cut} word to leave out, or to put back */
  toggle(word) {
    const others = this.cuts.filter((cut) => cut.start !== word.start);
    this.cuts = others.length < this.cuts.length ? others : [...this.cuts, { start: word.start, stop: word.stop, text: word.text }];
    this.#changed();
  }

  clear() {
    this.holds = [];
    this.cuts = [];
    this.#changed();
  }

  /**
   * The text has another answer. Words that were left out of another text mean nothing in it.
   * @param {Trace | null} trace
   */
  follow(trace) {
    if (this.cuts.length && trace?.text !== this.#trace?.text) {
      this.cuts = [];
      this.#list();
    }
    if (trace && this.#trace && trace.layers.length !== this.#trace.layers.length) this.holds = [];
    this.#trace = trace;
    this.#askSoon();
  }

  #changed() {
    this.#list();
    this.onChange();
    this.#askSoon();
  }

  #askSoon() {
    clearTimeout(this.#timer);
    this.#latest.forget();
    if (!this.#trace || !(this.holds.length || this.cuts.length)) {
      this.#show(null);
      return;
    }
    this.#timer = setTimeout(() => this.#ask(), PAUSE);
  }

  async #ask() {
    const trace = this.#trace;
    if (!trace) return;
    const body = {
      text: trace.text,
      detail: "summary",
      signals: ["cell_state"],
      clamps: this.holds.map(({ signal, layer, unit, value }) => ({ signal, layer, units: [unit], steps: null, value })),
      cut: [...this.cuts].sort((one, other) => one.start - other.start).map(({ start, stop }) => ({ start, stop })),
    };
    try {
      const answer = await this.#latest.ask("gates", body);
      if (answer) this.#show(answer);
    } catch (error) {
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
      this.#show(null);
      byId("changed").replaceChildren(element("small", {}, error.message));
    }
  }

  /** @param {any} answer */
  #show(answer) {
    const line = byId("changed");
    byId("changed-bar").hidden = !answer;
    this.otherwise = answer && !this.cuts.length ? answer.probability_so_far : null;
    if (!answer || !this.#trace) line.replaceChildren();
    else {
      const before = this.#trace.negative;
      const after = answer.probabilities.negative;
      byId("changed-short").replaceChildren(...spoken(before), " → ", ...spoken(after));
      line.replaceChildren(
        ...spoken(before),
        " → ",
        ...spoken(after),
        element("small", {}, this.otherwise ? "The dotted line in the chart of the probability is how it would have gone." : "The text was read without those words."),
      );
    }
    this.onAnswer();
  }

  #list() {
    const entry = (/** @type {string} */ words, /** @type {() => void} */ remove) => {
      const button = element("button", { type: "button", class: "quiet", "aria-label": `Undo: ${words}` }, "Undo");
      button.addEventListener("click", remove);
      return element("li", {}, element("span", {}, words), button);
    };
    const entries = [
      ...this.holds.map((hold) =>
        entry(holdWords(hold), () => {
          this.holds = this.holds.filter((other) => other !== hold);
          this.#changed();
        }),
      ),
      ...this.cuts.map((cut) => entry(`without ‘${cut.text.trim()}’`, () => this.toggle(cut))),
    ];
    byId("held").replaceChildren(...(entries.length ? entries : [element("li", { class: "none" }, "Nothing is changed yet.")]));
  }
}

/** @param {Hold} hold */
function holdWords({ layer, unit, signal, value }) {
  const where = layer ? `unit ${unit} of layer ${layer}` : `unit ${unit}`;
  return `${signalOf(signal).title.toLowerCase()} of ${where} held at ${plain(value, Number.isInteger(value) ? 0 : 2)}`;
}

/** @param {number} negative */
function spoken(negative) {
  const { label, probability } = verdictOf(negative);
  return [element("span", { class: label }, `${label} ${percent(probability)}`)];
}
