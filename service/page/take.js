// @ts-check
/** Taking the answer along: as a link, a picture or a file; of the changed answer, if something is changed. */

import { askJson } from "./api.js";
import { linkTo, savePicture, saveRecording, saveTrace } from "./download.js";
import { byId } from "./format.js";
import { gatesFigure } from "./gates.js";
import { Problem } from "./http.js";
import { memoryFigure } from "./memory.js";
import { attempt } from "./notices.js";
import { signalOf } from "./signals.js";
import { storyFigure } from "./story.js";
import { Trace } from "./trace.js";
import { unitFigure } from "./units.js";

/**
 * @typedef {object} Shown what is on the page
 * @property {Trace | null} trace
 * @property {any} recording shown in place of a live answer, or null
 * @property {string} text in the box
 * @property {number} layer
 * @property {string} signal in the heat map
 * @property {number[]} units the heat map's rows
 * @property {number | null} chosen the unit that is open
 */

/** The buttons that take something along, and the line that says of what. */
export class Taking {
  #shown;
  #whatIf;

  /**
   * @param {() => Shown} shown
   * @param {import("./what-if.js").WhatIf} whatIf
   */
  constructor(shown, whatIf) {
    this.#shown = shown;
    this.#whatIf = whatIf;
    for (const button of document.querySelectorAll("[data-take]")) {
      const form = /** @type {HTMLElement} */ (button).dataset.take ?? "";
      button.addEventListener("click", () => {
        byId("taken").textContent = "";
        attempt(async () => {
          byId("taken").textContent = await this.#take(form);
        }, byId("take-fault"));
      });
    }
  }

  /** Say beforehand what it is that one would take along. */
  showNote() {
    const note = byId("take-note");
    note.hidden = !this.#changed();
    note.textContent = this.#changed() ? `Of the answer as it is changed: ${this.#whatIf.words}.` : "";
  }

  /**
   * @param {string} form
   * @returns {Promise<string>} what to say when it is done
   */
  async #take(form) {
    if (form === "link") return this.#copyLink();
    const { recording } = this.#shown();
    if (form === "png") return this.#saved(await this.#takePicture());
    if (form === "json" && recording) return this.#saved(saveRecording(recording));
    return this.#saved(await saveTrace(form, this.#takenText(), this.#changed()));
  }

  async #copyLink() {
    const { recording, text } = this.#shown();
    const link = linkTo(recording ? "" : text, this.#changed() ? this.#whatIf : { holds: [], cuts: [] });
    if (!navigator.clipboard) return link; // a page without https may not
    await navigator.clipboard.writeText(link);
    return `The link is copied; it carries the text${this.#changed() ? " and what is changed" : ""} behind the #, which no server sees.`;
  }

  /** What is changed, as a request says it; null if nothing is. */
  #changed() {
    return this.#shown().recording || this.#whatIf.isEmpty ? null : this.#whatIf.request;
  }

  /** The text whose answer can be taken along, with what is changed. */
  #takenText() {
    if (this.#changed() && this.#whatIf.leavesNothing) throw new Problem({ title: "Nothing left", detail: "Nothing is left to read, so there is nothing to take along. Put a word back first." });
    return answered(this.#shown().trace).text;
  }

  /** Take a picture of the answer: of the changed one, if something is changed. */
  async #takePicture() {
    const [text, change, before] = [this.#takenText(), this.#changed(), answered(this.#shown().trace)];
    if (!change) return savePicture(before, this.#charts(before, null), null);
    const words = this.#whatIf.words;
    const after = new Trace(text, await askJson("gates", { text, ...change }));
    const otherwise = change.cut.length ? null : before.probabilities;
    return savePicture(after, this.#charts(after, otherwise), { negative: before.negative, words });
  }

  /** @param {string} name */
  #saved(name) {
    return this.#changed() ? `Saved as ${name}, of the changed answer: ${this.#whatIf.words}.` : `Saved as ${name}.`;
  }

  /**
   * @param {Trace} of
   * @param {number[] | null} otherwise P(negative) along the text before it was changed
   * @returns {{title: string, figure: (width: number) => import("./charts.js").Figure}[]}
   */
  #charts(of, otherwise) {
    const { layer, units, chosen, ...shown } = this.#shown();
    const signal = signalOf(shown.signal);
    const view = { layer, signal: signal.name, units, chosen, printed: true };
    const dotted = otherwise ? " (dotted: unchanged)" : "";
    return [
      { title: `P(negative) so far${dotted}, and each character’s share in log-odds`, figure: (width) => storyFigure(of, otherwise, width) },
      { title: `${signal.title} (${signal.other}), units by characters`, figure: (width) => memoryFigure(of, view, width) },
      { title: "The gates, mean over the units", figure: (width) => gatesFigure(of, layer, width) },
      ...(chosen === null ? [] : [{ title: `Unit ${chosen}`, figure: (/** @type {number} */ width) => unitFigure(of, layer, chosen, width) }]),
    ];
  }
}

/**
 * Return the trace, or say that there is none.
 * @param {Trace | null} trace
 */
export function answered(trace) {
  if (!trace) throw new Problem({ title: "Nothing to take yet", detail: "There is no answer yet." });
  return trace;
}
