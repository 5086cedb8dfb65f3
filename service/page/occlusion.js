// @ts-check
/** What the answer would be without each word: the network asked again, where the shares only divide its one answer. */

import { Latest } from "./api.js";
import { element, percent, side, signed, verdictOf } from "./format.js";
import { Problem, Unreachable } from "./http.js";
import { wordsOf } from "./notices.js";

/** @typedef {import("./trace.js").Trace} Trace */
/** @typedef {{start: number, stop: number, text: string, probabilities: {negative: number} | null, change: number | null}} Left */

const PAUSE = 450; // milliseconds without a new answer, after which it is worth asking
const TOOK_TOO_LONG = 504; // it would take as long again
const MOST = 12;

export class Occlusion {
  #latest = new Latest();
  /** @type {Trace | null} */
  #wanted = null;
  /** What is shown is of this answer. @type {Trace | null} */
  #of = null;
  #seen = false;
  /** @type {number | undefined} */
  #timer;

  /** @param {HTMLElement} box */
  constructor(box) {
    this.box = box;
    new IntersectionObserver(([entry]) => {
      this.#seen = entry.isIntersecting;
      if (this.#seen) this.#askSoon(0);
    }, { rootMargin: "300px" }).observe(box);
  }

  /** @param {Trace | null} trace */
  follow(trace) {
    this.#wanted = trace;
    this.box.dataset.old = String(!trace || !this.#isOf(trace)); // it is not printed then
    this.#latest.forget();
    if (this.#seen) this.#askSoon(PAUSE);
  }

  /** @param {Trace} trace */
  #isOf(trace) {
    return this.#of?.text === trace.text && this.#of.model.version === trace.model.version;
  }

  /** @param {number} pause */
  #askSoon(pause) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), pause);
  }

  async #ask() {
    const trace = this.#wanted;
    if (!trace || this.#isOf(trace)) return;
    try {
      const answer = await this.#latest.ask("gates/occlusion", { text: trace.text });
      if (!answer) return;
      this.#of = trace;
      this.box.dataset.old = "false";
      this.box.replaceChildren(...wordsView(answer.words));
    } catch (error) {
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
      this.#of = null;
      this.box.dataset.old = "true";
      this.box.replaceChildren(element("p", { class: "fault" }, wordsOf(error)));
      if (error instanceof Problem && error.passes && error.status !== TOOK_TOO_LONG && this.#seen) this.#askSoon(error.pause);
    }
  }
}

/** @param {Left[]} words */
function wordsView(words) {
  const told = words.filter((word) => word.change !== null);
  if (!told.length) return [element("p", { class: "hint" }, "There is only one word, and nothing without it.")];
  const most = Math.max(0.05, ...told.map((word) => Math.abs(word.change ?? 0)));
  const kept = new Set([...told].sort((one, other) => Math.abs(other.change ?? 0) - Math.abs(one.change ?? 0)).slice(0, MOST));
  const list = element("ul", { class: "words" }, ...told.filter((word) => kept.has(word)).map((word) => row(word, most)));
  const more = told.length - kept.size;
  return more > 0 ? [list, element("p", { class: "hint" }, `The ${MOST} words that count most, of ${told.length}.`)] : [list];
}

/**
 * @param {Left} word
 * @param {number} most
 */
function row(word, most) {
  const change = word.change ?? 0;
  const bar = element("i", { class: side(change) });
  const size = (Math.abs(change) / most) * 50;
  bar.style.left = `${change < 0 ? 50 - size : 50}%`;
  bar.style.width = `${size}%`;
  const { label, probability } = verdictOf(word.probabilities?.negative ?? 0);
  return element(
    "li",
    {},
    element("span", { class: "name" }, word.text.trim() || "␣"),
    element("span", { class: "track", "aria-hidden": "true" }, bar),
    element("span", { class: "number" }, element("b", {}, `${signed(change * 100, 0)} points`), element("span", { class: "without" }, `without it ${label} ${percent(probability)}`)),
  );
}
