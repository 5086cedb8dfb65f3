// @ts-check
/** The six signals of a layer: both names of each, what it is in one sentence, and the range it lives in. */

/**
 * @typedef {object} Signal
 * @property {string} name       As the service calls it.
 * @property {string} title      As people read it.
 * @property {string} other      The other name, in the words of the article that the service grew out of.
 * @property {string} meaning    One sentence on what it is.
 * @property {boolean} signed    Whether it can be below 0.
 * @property {number | null} limit  The most it can be in size; null if nothing bounds it.
 */

/** @type {Signal[]} */
export const SIGNALS = [
  {
    name: "cell_state",
    title: "Cell state",
    other: "long-term memory",
    meaning: "What a unit has stored so far: what it kept of its memory, plus what it has just written.",
    signed: true,
    limit: null,
  },
  {
    name: "hidden_state",
    title: "Hidden state",
    other: "short-term memory",
    meaning: "What a unit shows of its long-term memory: all that the next step, and at the end the answer, get to see.",
    signed: true,
    limit: 1,
  },
  {
    name: "forget_gate",
    title: "Forget gate",
    other: "percentage of the long-term memory to keep",
    meaning: "How much of its memory a unit keeps while it reads this character: 1 keeps everything, 0 nothing.",
    signed: false,
    limit: 1,
  },
  {
    name: "input_gate",
    title: "Input gate",
    other: "percentage of the potential memory to remember",
    meaning: "How much of the potential memory is written into the long-term one.",
    signed: false,
    limit: 1,
  },
  {
    name: "candidate",
    title: "Candidate",
    other: "potential memory",
    meaning: "What this character would have a unit write, if the input gate lets it.",
    signed: true,
    limit: 1,
  },
  {
    name: "output_gate",
    title: "Output gate",
    other: "percentage of the long-term memory to show",
    meaning: "How much of its long-term memory a unit shows after this character.",
    signed: false,
    limit: 1,
  },
];

export const SIGNAL_NAMES = SIGNALS.map((signal) => signal.name);

/** The gates, in the order in which they act. */
export const GATES = ["forget_gate", "input_gate", "output_gate"];

const LARGEST_MEMORY = 1_000_000; // of a cell state; a step adds 1 at most, so no text brings one there

/**
 * Say why a signal cannot be held at a value.
 * @param {string} name
 * @param {number} value
 * @returns {string} nothing if it can
 */
export function whyNotHeldAt(name, value) {
  const { title, signed, limit } = signalOf(name);
  if (!Number.isFinite(value)) return "Write a number to hold it at.";
  const most = limit ?? LARGEST_MEMORY;
  const least = signed ? -most : 0;
  if (least <= value && value <= most) return "";
  const [low, high] = [least, most].map((end) => end.toLocaleString("en").replace("-", "\u2212"));
  return `The ${title.toLowerCase()} lies between ${low} and ${high}, so it cannot be held at ${String(value).replace("-", "\u2212")}.`;
}

/**
 * @param {string} name
 * @returns {Signal}
 */
export function signalOf(name) {
  const found = SIGNALS.find((signal) => signal.name === name);
  if (!found) throw new Error(`no signal is called ${name}`);
  return found;
}
