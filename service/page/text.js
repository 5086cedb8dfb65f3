// @ts-check
/** The text, coloured by what each character did to the answer; its words can be pointed at and left out. */

import { counted, element, percent, side, signed } from "./format.js";
import { legendOf, lettersOf, scaleFor } from "./letters.js";

/** @typedef {import("./trace.js").Trace} Trace */
/** @typedef {import("./trace.js").Word} Word */
/** @typedef {import("./charts.js").Pointer} Pointer */

const LONG = 220;

export class ColouredText {
  /** @type {Trace | null} */
  #trace = null;
  /** @type {Word[]} */
  #words = [];
  /** @type {HTMLElement[]} one for each word */
  #elements = [];
  /** @type {Map<number, HTMLElement>} */
  #letterOf = new Map();
  #focused = 0;

  /**
   * @param {{box: HTMLElement, inspector: HTMLElement, legend: HTMLElement, pointer: Pointer, onWord: (word: Word) => void}} told
   */
  constructor({ box, inspector, legend, pointer, onWord }) {
    this.box = box;
    this.inspector = inspector;
    this.legend = legend;
    this.pointer = pointer;
    this.onWord = onWord;
    box.addEventListener("pointerover", (event) => this.#point(event));
    box.addEventListener("pointerleave", () => pointer.at(null));
    box.addEventListener("click", (event) => this.#press(event.target));
    box.addEventListener("focusin", (event) => this.#focus(event.target));
    box.addEventListener("keydown", (event) => this.#key(event));
    pointer.addEventListener("move", () => this.#mark());
  }

  /**
   * @param {Trace} trace
   * @param {{start: number}[]} left words that are left out
   * @param {boolean} fixed whether words cannot be left out
   */
  show(trace, left, fixed) {
    this.#trace = trace;
    this.#words = trace.contributions.words;
    this.#letterOf.clear();
    this.box.classList.toggle("long", trace.points.length > LONG);
    const scale = scaleFor(trace.contributions.steps);
    const steps = trace.stepOfCharacter();
    this.#focused = Math.min(this.#focused, Math.max(this.#words.length - 1, 0));
    this.#elements = this.#words.map((word, index) => {
      const out = left.some((other) => other.start === word.start);
      const made = element("span", {
        class: "word",
        role: "button",
        tabindex: index === this.#focused ? "0" : "-1",
        "aria-pressed": String(out),
        "aria-label": `${word.text.trim() || "space"}, share ${signed(word.share)}, towards ${side(word.share)}`,
        "data-word": String(index),
      });
      if (fixed) made.setAttribute("aria-disabled", "true");
      for (const { letter, read } of lettersOf(word, trace, steps, scale)) {
        made.append(letter);
        for (const step of read) this.#letterOf.set(step, letter);
        if (read.length) letter.dataset.step = String(read[0]);
      }
      return made;
    });
    this.box.replaceChildren(...this.#elements, ...this.#paddingChip(trace));
    this.legend.replaceChildren(...legendOf(scale));
    this.#mark();
  }

  /** @param {Trace} trace */
  #paddingChip(trace) {
    const padding = trace.length - trace.read;
    if (!padding) return [];
    return [element("span", { class: "padding-chip" }, `then ${counted(padding, "step")} of padding: ${signed(trace.contributions.padding, 3)}`)];
  }

  #mark() {
    for (const marked of this.box.querySelectorAll(".at")) marked.classList.remove("at");
    const step = this.pointer.step;
    const trace = this.#trace;
    if (step === null || !trace || step >= trace.length) {
      this.inspector.textContent = trace ? "Point at a character, or move through the words with the keyboard, to see its share." : "";
      return;
    }
    this.#letterOf.get(step)?.classList.add("at");
    this.inspector.replaceChildren(...this.#about(step, trace));
  }

  /** @param {number} step @param {Trace} trace */
  #about(step, trace) {
    const share = trace.contributions.steps[step];
    const parts = [
      element("b", {}, `‘${trace.written(step)}’ ${signed(share)}`),
      trace.tokens[step] === "<UNK>" ? ", unknown to it," : "",
      ` towards ${side(share)}; ${percent(trace.probabilities[step])} negative so far`,
    ];
    const offset = trace.offsets[step];
    const word = offset === null ? undefined : this.#words.find(({ start, stop }) => start <= offset && offset < stop);
    if (word) parts.push(" · word ", element("b", {}, `${word.text.trim() || "␣"} ${signed(word.share)}`), ` towards ${side(word.share)}`);
    return parts;
  }

  /** @param {PointerEvent} event */
  #point(event) {
    const letter = event.target instanceof Element ? event.target.closest("[data-step]") : null;
    if (letter instanceof HTMLElement) this.pointer.at(Number(letter.dataset.step));
  }

  /** @param {EventTarget | null} target */
  #wordAt(target) {
    const found = target instanceof Element ? target.closest("[data-word]") : null;
    return found instanceof HTMLElement ? Number(found.dataset.word) : -1;
  }

  /** @param {EventTarget | null} target */
  #press(target) {
    const index = this.#wordAt(target);
    if (index < 0 || this.#elements[index].getAttribute("aria-disabled")) return;
    this.#focused = index;
    this.onWord(this.#words[index]);
    this.#elements[index].focus();
  }

  /** @param {EventTarget | null} target */
  #focus(target) {
    const index = this.#wordAt(target);
    const first = index < 0 ? undefined : this.#elements[index].querySelector("[data-step]");
    if (first instanceof HTMLElement) this.pointer.at(Number(first.dataset.step));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const index = this.#wordAt(event.target);
    if (index < 0) return;
    const last = this.#words.length - 1;
    const next = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: last }[event.key];
    if (event.key === "Enter" || event.key === " ") this.#press(event.target);
    else if (next === undefined) return;
    else {
      this.#focused = Math.min(Math.max(next, 0), last);
      this.#elements.forEach((made, at) => made.setAttribute("tabindex", at === this.#focused ? "0" : "-1"));
      this.#elements[this.#focused].focus();
    }
    event.preventDefault();
  }
}
