// @ts-check
/** Texts that each teach one thing, and what is said of them: only of a model with which it was seen to be so. */

import { byId, element, goTo } from "./format.js";

/**
 * @typedef {object} Example
 * @property {string} name
 * @property {string} text
 * @property {string} look        What to look at, whichever model reads.
 * @property {string} lesson      What is seen then, with the model that it was checked on, or in the recording.
 * @property {string} [other]     A text to compare it with.
 * @property {string} [recording] A file with the recorded trace of another model.
 */

/** The version of the model that the lessons were checked on: where another is committed, look at each of them again. */
export const CHECKED_ON = "487466d4b554";
const CHECKED_IN = "float32"; // in another precision, figures may differ a little

/** @type {Example[]} */
export const EXAMPLES = [
  {
    name: "Negation",
    text: "not good",
    other: "good",
    look: "Look at the share of ‘good’ here, after ‘not’, and in ‘good’ alone.",
    lesson: "‘good’ alone is positive, 84 %. After ‘not’ the same four letters together still speak for positive, but less (−1.00 in place of −1.63), and the answer is negative, 76 %: a share is never a letter’s own, it depends on what was remembered.",
  },
  {
    name: "A turn in the middle",
    text: "I hated the old map but I love the new one",
    look: "Look at how the answer stands before ‘love’, and after it.",
    lesson: "From the end of ‘hated’ the answer stands at negative, until two letters in the middle of ‘love’ turn it: ‘ve’ takes P(negative) from 76 % to 37 %. What comes after only keeps it below half; it ends at positive, 80 %.",
  },
  {
    name: "An unknown alphabet",
    text: "最高のゲームだ",
    other: "最悪のゲームだ",
    look: "‘The best game’ in Japanese, and beside it ‘the worst game’. Look at which letters are unknown to the model: it reads the same stand-in for each.",
    lesson: "‘The best game’ in Japanese. The model knows none of these letters and reads the same stand-in for each, so ‘the worst game’ gets the very same answer: positive, 69 %. A probability does not tell whether anything could be read.",
  },
  {
    name: "Lost in padding",
    text: "",
    recording: "article-trace.json",
    look: "A recording of a network that reads every text as 200 steps, most of them padding.",
    lesson: "A recording of another run of the article’s network (seed 0), not of a model that can be chosen here: one unit that reads every text as 200 steps. The letters leave it at 65 % negative; the very first step of padding takes its output gate from 0.90 to 0.15 and the answer to 53 %, and there the rest of the padding keeps it.",
  },
];

/** What is said below the chips of the example that was chosen. */
export class Lesson {
  /** @type {Example | null} */
  #example = null;
  #words = element("span");

  /** @param {Example | null} example */
  choose(example) {
    this.#example = example;
    byId("lesson").hidden = !example;
    if (example) byId("lesson").replaceChildren(this.#words, ...(example.other ? [" ", linkToComparison(example)] : []));
  }

  /**
   * Say what is so of the model whose answer is in view.
   * @param {import("./trace.js").Trace | null} trace
   */
  follow(trace) {
    if (!this.#example) return;
    const { look, lesson, recording } = this.#example;
    this.#words.textContent = recording || isCheckedOn(trace) ? lesson : look;
  }
}

/** @param {import("./trace.js").Trace | null} trace */
function isCheckedOn(trace) {
  return trace?.model.version === CHECKED_ON && trace.model.precision === CHECKED_IN;
}

/** @param {Example} example */
function linkToComparison({ text, other }) {
  const link = element("a", { href: "#compare" }, `See ‘${text}’ beside ‘${other}’`);
  link.addEventListener("click", (event) => goTo(event, byId("compare"), byId("compare-title")));
  return link;
}
