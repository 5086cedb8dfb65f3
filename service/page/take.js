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

/**
 * @typedef {object} Change what is changed, of what is shown
 * @property {import("./what-if.js").Changes} changes as a link says it; none in a recording
 * @property {import("./what-if.js").WhatIf["request"] | null} change as a request says it; null if nothing is changed
 * @property {string} words
 * @property {boolean} leavesNothing whether so much is left out that nothing can be read
 *
 * @typedef {Shown & Change} Taken
 */

/** @type {import("./what-if.js").Changes} */
const UNCHANGED = { holds: [], cuts: [] };

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
    const { change, words } = this.#now();
    const note = byId("take-note");
    note.hidden = !change;
    note.textContent = change ? `Of the answer as it is changed: ${words}.` : "";
  }

  /** What is there to take along at this moment, whatever the reader does meanwhile. @returns {Taken} */
  #now() {
    const shown = this.#shown();
    const isChanged = !shown.recording && !this.#whatIf.isEmpty;
    const { holds, cuts, request, words, leavesNothing } = this.#whatIf;
    return { ...shown, changes: isChanged ? { holds, cuts } : UNCHANGED, change: isChanged ? request : null, words, leavesNothing };
  }

  /**
   * @param {string} form
   * @returns {Promise<string>} what to say when it is done
   */
  async #take(form) {
    const taken = this.#now();
    if (form === "link") return copyLink(taken);
    const name = await savedAs(form, taken);
    return taken.change ? `Saved as ${name}, of the changed answer: ${taken.words}.` : `Saved as ${name}.`;
  }
}

/**
 * @param {Taken} taken
 * @returns {Promise<string>} what to say when it is done
 */
async function copyLink({ recording, text, change, changes }) {
  const link = linkTo(recording ? "" : text, changes);
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    return link; // a page without https may not, and a reader can forbid it
  }
  return `The link is copied; it carries the text${change ? " and what is changed" : ""} behind the #, which no server sees.`;
}

/**
 * @param {string} form
 * @param {Taken} taken
 * @returns {Promise<string>} the name of the file
 */
async function savedAs(form, taken) {
  if (form === "json" && taken.recording) return saveRecording(taken.recording);
  if (taken.change && taken.leavesNothing) throw new Problem({ title: "Nothing left", detail: "Nothing is left to read, so there is nothing to take along. Put a word back first." });
  const trace = answered(taken.trace);
  return form === "png" ? takePicture(trace, taken) : saveTrace(form, trace.text, taken.change);
}

/**
 * Take a picture of the answer: of the changed one, if something is changed.
 * @param {Trace} before
 * @param {Taken} taken
 */
async function takePicture(before, taken) {
  const { change, words } = taken;
  if (!change) return savePicture(before, chartsOf(before, taken, null), null);
  const after = new Trace(before.text, await askJson("gates", { text: before.text, ...change }));
  const otherwise = change.cut.length ? null : before.probabilities;
  return savePicture(after, chartsOf(after, taken, otherwise), { negative: before.negative, words });
}

/**
 * @param {Trace} of
 * @param {Taken} taken
 * @param {number[] | null} otherwise P(negative) along the text before it was changed
 * @returns {{title: string, figure: (width: number) => import("./charts.js").Figure}[]}
 */
function chartsOf(of, { layer, units, chosen, ...taken }, otherwise) {
  const signal = signalOf(taken.signal);
  const view = { layer, signal: signal.name, units, chosen, printed: true };
  const dotted = otherwise ? " (dotted: unchanged)" : "";
  return [
    { title: `P(negative) so far${dotted}, and each character’s share in log-odds`, figure: (width) => storyFigure(of, otherwise, width) },
    { title: `${signal.title} (${signal.other}), units by characters`, figure: (width) => memoryFigure(of, view, width) },
    { title: "The gates, mean over the units", figure: (width) => gatesFigure(of, layer, width) },
    ...(chosen === null ? [] : [{ title: `Unit ${chosen}`, figure: (/** @type {number} */ width) => unitFigure(of, layer, chosen, width) }]),
  ];
}

/**
 * Return the trace, or say that there is none.
 * @param {Trace | null} trace
 */
export function answered(trace) {
  if (!trace) throw new Problem({ title: "Nothing to take yet", detail: "There is no answer yet." });
  return trace;
}
