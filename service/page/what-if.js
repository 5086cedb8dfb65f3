// @ts-check
/** What is held by force or left out, and what the network would have said then. */

import { Latest } from "./api.js";
import { byId, element, percent, plain, verdictOf } from "./format.js";
import { Problem, Unreachable } from "./http.js";
import { wordsOf } from "./notices.js";
import { SIGNAL_NAMES, signalOf, whyNotHeldAt } from "./signals.js";

/** @typedef {import("./trace.js").Trace} Trace */
/** @typedef {{layer: number, unit: number, signal: string, value: number}} Hold */
/** @typedef {{start: number, stop: number, text: string}} Cut */
/** @typedef {{holds: Hold[], cuts: {start: number, stop: number}[]}} Changes */

const PAUSE = 150; // milliseconds without a new answer, after which the other one is asked for
const TWO_VERSIONS = "Two versions of the model are answering just now, so there is nothing to compare.";
const NOTHING_LEFT = "Nothing is left to read.";
const NOT_ALL = "Some of the changes that the link carries do not fit this text and model, and are left out.";

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
  /** @type {Set<Hold | Cut>} what the service has answered to */
  #answered = new Set();
  /** @type {{text: string, changes: Changes} | null} what is to be changed once a text is read */
  #awaited = null;
  /** The last two versions that have answered to the same text. */
  #differed = "";
  /** What is to be said of the link that the text came by. */
  #note = "";
  /** @type {number | undefined} */
  #timer;

  /**
   * @param {{onChange: () => void, onAnswer: () => void, onOutdated: () => void}} told `onOutdated`: the text has to be read anew, another model has taken the place of the one that read it
   */
  constructor({ onChange, onAnswer, onOutdated }) {
    this.onChange = onChange;
    this.onOutdated = onOutdated;
    this.onAnswer = onAnswer;
    byId("changed-undo").addEventListener("click", () => {
      this.clear();
      byId("held").focus({ preventScroll: true }); // the button is gone
    });
    this.#list();
  }

  get isEmpty() {
    return !(this.holds.length || this.cuts.length);
  }

  /** Whether so much is left out that there is nothing to ask the service for. */
  get leavesNothing() {
    const points = this.#trace?.points ?? [];
    const isLeft = (/** @type {number} */ at) => !this.cuts.some(({ start, stop }) => start <= at && at < stop);
    return this.cuts.length > 0 && !points.filter((_, at) => isLeft(at)).join("").trim();
  }

  /** The changes as `POST /gates` wants them. */
  get request() {
    return {
      clamps: this.holds.map(({ signal, layer, unit, value }) => ({ signal, layer, units: [unit], steps: null, value })),
      cut: [...this.cuts].sort((one, other) => one.start - other.start).map(({ start, stop }) => ({ start, stop })),
    };
  }

  /** What is changed, or is about to be, for a link to carry. @returns {Changes} */
  get carried() {
    return this.#awaited?.changes ?? this;
  }

  /** The changes in words. */
  get words() {
    return [...this.holds.map(holdWords), ...this.cuts.map(cutWords)].join("; ");
  }

  /**
   * Change something as soon as a text is read.
   * @param {string} text
   * @param {Changes} changes
   */
  await(text, changes) {
    this.#awaited = { text, changes };
  }

  /** Another text comes first. */
  awaitNothing() {
    this.#awaited = null;
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
    if (this.holds.length && trace && this.#trace && trace.layers.length !== this.#trace.layers.length) {
      this.holds = [];
      this.#list();
    }
    if (trace?.text !== this.#trace?.text) this.#note = "";
    this.#trace = trace;
    if (trace) this.#take(trace);
    this.#askSoon();
  }

  /**
   * Make the changes that were to wait for this text.
   * @param {Trace} trace
   */
  #take(trace) {
    const awaited = this.#awaited;
    if (awaited?.text !== trace.text) return; // an answer to a text before
    this.#awaited = null;
    const { holds, cuts } = awaited.changes;
    this.holds = holds.filter(
      ({ layer, unit, signal, value }) =>
        SIGNAL_NAMES.includes(signal) && trace.layers[layer] && unit < trace.layers[layer].cell_state[0].length && !whyNotHeldAt(signal, value),
    );
    this.cuts = trace.contributions.words.filter((word) => cuts.some((cut) => cut.start === word.start && cut.stop === word.stop));
    this.#list();
    this.#note = this.holds.length === holds.length && this.cuts.length === cuts.length ? "" : NOT_ALL;
  }

  #changed() {
    this.#note = "";
    this.#list();
    this.onChange();
    this.#askSoon();
  }

  #askSoon() {
    clearTimeout(this.#timer);
    this.#latest.forget();
    if (!this.#trace || this.isEmpty) this.#show(null);
    else if (this.leavesNothing) this.#say(NOTHING_LEFT);
    else this.#timer = setTimeout(() => this.#ask(), PAUSE);
  }

  async #ask() {
    const trace = this.#trace;
    if (!trace) return;
    const asked = [...this.holds, ...this.cuts];
    try {
      const answer = await this.#latest.ask("gates", { text: trace.text, detail: "summary", signals: ["cell_state"], ...this.request });
      if (!answer) return;
      if (answer.model.version !== trace.model.version) {
        this.#differ(trace.model.version, answer.model.version);
        return;
      }
      this.#answered = new Set(asked);
      this.#show(answer);
    } catch (error) {
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
      this.#refused(error);
    }
  }

  /**
   * The two answers are of two versions: one has taken the other's place, or both are served.
   * @param {string} one
   * @param {string} other
   */
  #differ(one, other) {
    const pair = [one, other].sort().join();
    if (this.#differed === pair) this.#say(TWO_VERSIONS);
    else {
      this.#differed = pair;
      this.onOutdated();
    }
  }

  /** @param {Problem | Unreachable} error */
  #refused(error) {
    if (error instanceof Unreachable || error.passes || error.status >= 500) {
      this.#say(wordsOf(error));
      if (error instanceof Problem && error.passes) this.#timer = setTimeout(() => this.#ask(), error.pause);
      return;
    }
    if (error.kind === "empty-text") {
      this.#say(NOTHING_LEFT);
      return;
    }
    const before = this.holds.length + this.cuts.length;
    this.holds = this.holds.filter((hold) => this.#answered.has(hold));
    this.cuts = this.cuts.filter((cut) => this.#answered.has(cut));
    if (this.holds.length + this.cuts.length === before) this.holds = this.cuts = []; // it took them once, and no more
    this.#changed();
    this.#say(`${wordsOf(error)} That change is undone.`);
  }

  /** @param {string} words what there is in place of an answer */
  #say(words) {
    this.otherwise = null;
    byId("changed-bar").hidden = this.isEmpty;
    byId("changed-short").textContent = words;
    byId("changed").replaceChildren(element("p", { class: "fault" }, words));
    this.onAnswer();
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
    if (this.#note) line.append(element("p", { class: "fault" }, this.#note));
    this.onAnswer();
  }

  #list() {
    const entry = (/** @type {string} */ words, /** @type {() => void} */ remove) => {
      const button = element("button", { type: "button", class: "quiet", "aria-label": `Undo: ${words}` }, "Undo");
      button.addEventListener("click", () => {
        remove();
        (byId("held").querySelector("button") ?? byId("held")).focus(); // this one is gone
      });
      return element("li", {}, element("span", {}, words), button);
    };
    const entries = [
      ...this.holds.map((hold) =>
        entry(holdWords(hold), () => {
          this.holds = this.holds.filter((other) => other !== hold);
          this.#changed();
        }),
      ),
      ...this.cuts.map((cut) => entry(cutWords(cut), () => this.toggle(cut))),
    ];
    byId("held").replaceChildren(...(entries.length ? entries : [element("li", { class: "none" }, "Nothing is changed yet.")]));
  }
}

/** @param {Cut} cut */
function cutWords(cut) {
  return `without ‘${cut.text.trim()}’`;
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
