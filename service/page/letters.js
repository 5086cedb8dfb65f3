// @ts-check
/**
 * The characters of a text, each coloured by what it did to the answer.
 *
 * Colour is never alone: what speaks for negative has a bar below, what speaks for positive one above, and the bar is
 * the thicker the larger the share. What belongs together in writing, such as an emoji of several code points, is
 * coloured together.
 */

import { element, side, signed } from "./format.js";

/** @typedef {import("./trace.js").Trace} Trace */

const LADDER = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];
const segmenter = "Segmenter" in Intl ? new Intl.Segmenter(undefined, { granularity: "grapheme" }) : null;

/**
 * Make the letters of a part of the text.
 * @param {{start: number, stop: number}} part such as a word
 * @param {Trace} trace
 * @param {number[]} steps at which each character is read, as the trace says
 * @param {number} scale the share that gets the full colour
 * @returns {Generator<{letter: HTMLElement, read: number[]}>} each with the steps that read it
 */
export function* lettersOf({ start, stop }, trace, steps, scale) {
  let at = start;
  for (const segment of segments(trace.points.slice(start, stop))) {
    const end = at + Array.from(segment).length;
    const read = stepsBetween(trace, steps, at, end);
    const share = read.reduce((sum, step) => sum + trace.contributions.steps[step], 0);
    const letter = element("span", { class: "letter" }, segment === "\n" ? "↵\n" : segment);
    if (!read.length) letter.classList.add("unread");
    else paint(letter, share, scale);
    if (read.some((step) => trace.tokens[step] === "<UNK>")) letter.classList.add("unknown");
    yield { letter, read };
    at = end;
  }
}

/**
 * What is written as one, such as a letter and its accent.
 * @param {string[]} points
 * @returns {string[]}
 */
function segments(points) {
  return segmenter ? Array.from(segmenter.segment(points.join("")), ({ segment }) => segment) : points;
}

/**
 * Which steps read the characters from one to another; for the middle of a token, that token's.
 * @param {Trace} trace
 * @param {number[]} steps
 * @param {number} start
 * @param {number} stop
 */
function stepsBetween(trace, steps, start, stop) {
  const found = [];
  for (let step = Math.max(steps[start], 0); step < trace.read; step++) {
    const offset = trace.offsets[step] ?? stop;
    if (offset >= stop) break;
    if (offset >= start) found.push(step);
  }
  // Case folding can make several steps of one character: those before the last have the same offset.
  for (let step = (found[0] ?? 0) - 1; step >= 0 && trace.offsets[step] === start; step--) found.unshift(step);
  return found.length || steps[start] < 0 ? found : [steps[start]];
}

/**
 * @param {HTMLElement} letter
 * @param {number} share
 * @param {number} scale
 */
function paint(letter, share, scale) {
  const size = Math.min(Math.abs(share) / scale, 1);
  if (size < 0.03) return;
  letter.classList.add(side(share));
  letter.style.setProperty("--weight", (0.08 + 0.5 * size).toFixed(3));
  letter.style.setProperty("--bar", `${(1 + 3 * size).toFixed(1)}px`);
}

/**
 * The share that gets the full colour: a round number, so that it changes seldom while one types.
 * @param {number[]} shares
 */
export function scaleFor(shares) {
  const most = Math.max(...shares.map(Math.abs));
  return LADDER.find((rung) => rung >= most * 0.8) ?? LADDER[LADDER.length - 1];
}

/** @param {number} scale */
export function legendOf(scale) {
  const swatches = [-1, -0.5, 0, 0.5, 1].map((size) => {
    const swatch = element("span", { class: "letter" }, "a");
    paint(swatch, size * scale, scale);
    return swatch;
  });
  return [
    element("span", {}, `positive ${signed(-scale, decimals(scale))}`),
    element("span", { class: "swatches", "aria-hidden": "true" }, ...swatches),
    element("span", {}, `${signed(scale, decimals(scale))} negative`),
    element("span", {}, "log-odds; a bar above speaks for positive, a bar below for negative"),
  ];
}

/** @param {number} scale */
function decimals(scale) {
  return scale >= 1 ? 0 : scale >= 0.1 ? 1 : 2;
}
