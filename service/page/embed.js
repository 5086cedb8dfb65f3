// @ts-check
/**
 * An element for any web page: `<charlstm-gates text="Worst update ever"></charlstm-gates>` shows how a text is judged,
 * and whose doing that is; opened, it shows the memory.
 *
 * It asks once it is nearly in view. What it asked before its text changed is given up.
 */

import { Complaint, wrongWith } from "./complaint.js";
import { element, percent, side, signed, verdictOf } from "./format.js";
import { Memory } from "./gates-memory.js";
import { STYLE } from "./gates-style.js";
import { lettersOf, scaleFor } from "./letters.js";
import { askService } from "./reach.js";
import { SIGNAL_NAMES } from "./signals.js";
import { Trace } from "./trace.js";

const MOST_UNITS = 24;
const DECIMALS = 4;
const NEARLY = "300px"; // from the edge of what is in view
const HOME = new URL("..", import.meta.url).href; // the service that this file came from
const WORDS = ["text", "model", "signal", "service"];

const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLE);

class CharlstmGates extends HTMLElement {
  static observedAttributes = [...WORDS, "open"];

  static #sight = new IntersectionObserver(
    (seen) => {
      for (const { target, isIntersecting } of seen) if (isIntersecting && target instanceof CharlstmGates) target.#come();
    },
    { rootMargin: NEARLY },
  );

  #card = element("article", { part: "card" });
  #spoken = element("span", { class: "spoken" });
  #letters = element("span", { "aria-hidden": "true" });
  #verdict = element("p", { class: "verdict", part: "verdict" });
  #mark = element("i");
  #note = element("p", { class: "note" });
  #details = /** @type {HTMLDetailsElement} */ (element("details", { part: "memory" }));
  #complaint = new Complaint(() => this.#ask());
  #mapComplaint = new Complaint(() => this.#askMap());
  #memory = new Memory({
    onSignal: (name) => this.setAttribute("signal", name),
    onStep: (step) => this.#point(step),
    complaint: this.#mapComplaint.box,
  });
  /** @type {Map<number, HTMLElement>} */
  #letterOf = new Map();
  /** @type {Trace | null} */
  #trace = null;
  #asking = new AbortController();
  #askingMap = new AbortController();
  #near = false;
  #due = false;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    const scale = element("span", { class: "scale", "aria-hidden": "true" }, this.#mark);
    const answer = element("div", { class: "answer" }, this.#verdict, scale);
    const text = element("p", { class: "text", part: "text" }, this.#spoken, this.#letters);
    this.#details.append(element("summary", { part: "summary" }, "See the memory behind it"), this.#memory.box);
    this.#details.addEventListener("toggle", () => this.toggleAttribute("open", this.#details.open));
    this.#card.append(element("div", { class: "head" }, text, answer), this.#note, this.#complaint.box, this.#details);
    root.append(this.#card);
  }

  connectedCallback() {
    for (const name of CharlstmGates.observedAttributes) this.#takeOver(name);
    this.#forget();
    CharlstmGates.#sight.observe(this);
  }

  disconnectedCallback() {
    CharlstmGates.#sight.unobserve(this);
    this.#near = false;
    this.#asking.abort();
    this.#askingMap.abort();
  }

  /** @param {string} name @param {string | null} before @param {string | null} now */
  attributeChangedCallback(name, before, now) {
    if (before === now) return;
    if (name === "open") this.#details.open = this.hasAttribute("open");
    if (name === "signal") this.#memory.choose(this.#signal);
    if (name === "open" || name === "signal") this.#askMap();
    else this.#forget();
  }

  /**
   * Take over what a script gave an element before this file was there.
   * @param {string} name of a property
   */
  #takeOver(name) {
    if (!Object.hasOwn(this, name)) return;
    const self = /** @type {any} */ (this);
    const given = self[name];
    delete self[name];
    self[name] = given;
  }

  get #signal() {
    const name = this.getAttribute("signal") ?? "";
    return SIGNAL_NAMES.includes(name) ? name : SIGNAL_NAMES[0];
  }

  /** The address of the service that is asked, with a slash at its end; it may be none. */
  get #service() {
    return (this.getAttribute("service") || HOME).replace(/\/?$/, "/");
  }

  #come() {
    CharlstmGates.#sight.unobserve(this);
    this.#near = true;
    this.#ask();
  }

  /** Show the text that there is now, and nothing of the answer to another. */
  #forget() {
    this.#asking.abort();
    this.#askingMap.abort();
    this.#trace = null;
    this.#letterOf.clear();
    const text = this.getAttribute("text") ?? "";
    this.#spoken.textContent = text;
    this.#letters.replaceChildren(text);
    this.#complaint.hide();
    this.#mapComplaint.hide();
    this.#memory.forget();
    this.#show(text ? "reading" : "empty");
    if (this.#due || !this.#near) return;
    this.#due = true; // several attributes may change at once
    queueMicrotask(() => {
      this.#due = false;
      this.#ask();
    });
  }

  /** @param {"empty" | "reading" | "answered" | "problem"} state */
  #show(state) {
    this.#card.dataset.state = state;
    this.#card.ariaBusy = String(state === "reading");
    if (state === "answered") return;
    this.#verdict.textContent = { empty: "no text yet", reading: "reading…", problem: "no answer" }[state];
    this.#note.textContent = "";
  }

  async #ask() {
    const text = this.getAttribute("text");
    if (!this.#near || !text) return;
    this.#asking.abort();
    const mine = (this.#asking = new AbortController());
    this.#complaint.hide();
    this.#show("reading");
    const question = { text, detail: "summary", signals: [this.#signal] };
    const answer = await this.#answerTo(question, mine.signal, this.#complaint, (trace) => {
      this.#showAnswer(trace);
      this.#trace = trace;
    });
    if (mine.signal.aborted) return;
    if (!answer) return this.#show("problem");
    this.dispatchEvent(new CustomEvent("charlstm-answer", { bubbles: true, composed: true, detail: answer }));
    this.#askMap();
  }

  async #askMap() {
    const trace = this.#trace;
    const signal = this.#signal;
    this.#askingMap.abort();
    this.#mapComplaint.hide();
    if (!trace || !this.hasAttribute("open") || this.#memory.shows(signal)) return;
    const mine = (this.#askingMap = new AbortController());
    const part = { signals: [signal], layers: [trace.layers.length - 1], units: { top: Math.min(trace.units, MOST_UNITS) } };
    const answer = await this.#answerTo({ text: trace.text, ...part }, mine.signal, this.#mapComplaint, (found, { layers }) =>
      this.#memory.show(found, signal, layers[0].units),
    );
    if (!answer && !mine.signal.aborted) this.#memory.forget();
  }

  /**
   * Ask for a trace and show it. What cannot be shown is no answer of the service.
   * @param {{text: string}} question
   * @param {AbortSignal} signal
   * @param {Complaint} complaint where it is said why there is none
   * @param {(trace: Trace, answer: any) => void} show
   * @returns {Promise<any | null>} the answer; null if there is none
   */
  async #answerTo(question, signal, complaint, show) {
    const model = this.getAttribute("model");
    const body = { ...question, truncate: true, precision: DECIMALS, ...(model ? { model } : {}) };
    const service = this.#service;
    try {
      const answer = await askService(new URL(service, document.baseURI), body, signal);
      signal.throwIfAborted();
      show(new Trace(question.text, answer), answer);
      return answer;
    } catch (error) {
      if (!signal.aborted) complaint.show(wrongWith(error, service));
      return null;
    }
  }

  /** @param {Trace} trace */
  #showAnswer(trace) {
    const { label, probability } = verdictOf(trace.negative);
    this.#memory.explain(trace);
    this.#colour(trace);
    this.#show("answered");
    this.#card.dataset.label = label;
    this.#verdict.replaceChildren(element("span", { part: "label" }, label), " ", element("b", { part: "probability" }, percent(probability)));
    this.#mark.style.left = `${trace.negative * 100}%`;
    this.#note.textContent = trace.truncated ? "Longer than the model reads: what is pale was not read." : "";
  }

  /** @param {Trace} trace */
  #colour(trace) {
    const steps = trace.stepOfCharacter();
    const scale = scaleFor(trace.contributions.steps);
    const shown = [];
    for (const { letter, read } of lettersOf({ start: 0, stop: trace.points.length }, trace, steps, scale)) {
      shown.push(letter);
      for (const step of read) this.#letterOf.set(step, letter);
      if (!read.length) continue;
      const share = read.reduce((sum, step) => sum + trace.contributions.steps[step], 0);
      letter.title = `${signed(share)} towards ${side(share)}; ${percent(trace.probabilities[read[read.length - 1]])} negative so far`;
    }
    this.#letters.replaceChildren(...shown);
  }

  /** @param {number | null} step that is pointed at in the map */
  #point(step) {
    for (const marked of this.#letters.querySelectorAll(".at")) marked.classList.remove("at");
    if (step !== null) this.#letterOf.get(step)?.classList.add("at");
  }
}

for (const name of WORDS) {
  Object.defineProperty(CharlstmGates.prototype, name, {
    get() {
      return this.getAttribute(name) ?? "";
    },
    set(value) {
      if (value === null || value === undefined) this.removeAttribute(name);
      else this.setAttribute(name, value);
    },
  });
}

Object.defineProperty(CharlstmGates.prototype, "open", {
  get() {
    return this.hasAttribute("open");
  },
  set(value) {
    this.toggleAttribute("open", Boolean(value));
  },
});

if (!customElements.get("charlstm-gates")) customElements.define("charlstm-gates", CharlstmGates);
