// @ts-check
/** Texts that each teach one thing. What is said of them was seen with the committed model. */

/**
 * @typedef {object} Example
 * @property {string} name
 * @property {string} text
 * @property {string} lesson
 * @property {string} [other]     A text to compare it with.
 * @property {string} [recording] A file with the recorded trace of another model.
 */

/** @type {Example[]} */
export const EXAMPLES = [
  {
    name: "Negation",
    text: "not good",
    other: "good",
    lesson: "‘good’ alone is positive. Read with ‘not’ in memory, the same four letters hardly move an answer that stays negative: a share is never a letter’s own, it depends on what was remembered.",
  },
  {
    name: "A turn in the middle",
    text: "I hated the old map but I love the new one",
    lesson: "The answer stands at negative until the middle of ‘love’, which turns it within two letters; what comes after only keeps it there.",
  },
  {
    name: "An unknown alphabet",
    text: "最高のゲームだ",
    other: "最悪のゲームだ",
    lesson: "‘The best game’ in Japanese. The model knows none of these letters and reads the same stand-in for each, so ‘the worst game’ gets the very same answer: close to undecided.",
  },
  {
    name: "Lost in padding",
    text: "",
    recording: "article-trace.json",
    lesson: "A recording of the article’s network: one unit that reads every text as 200 steps. The letters take it to 72 %; the very first step of padding all but closes its output gate, every further one writes the same, and it ends at 53 %, as after most texts that we tried.",
  },
];
