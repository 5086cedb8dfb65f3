// @ts-check
/** What is written under the steps of a chart: characters where there is room for them, or else words. */

/** @typedef {import("./trace.js").Trace} Trace */

const LETTER = 7.3; // pixels that a character of a tick label takes

/**
 * Which labels fit under the steps: every character, or else as many words as there is room for.
 * @param {Trace} trace
 * @param {number} width of the plot in pixels
 */
export function characterTicks(trace, width) {
  const step = width / trace.length;
  if (step >= LETTER + 1) {
    const label = (/** @type {number} */ at) => fitting(trace.written(at), step);
    return { tickvals: trace.tokens.map((_, index) => index), ticktext: trace.tokens.map((_, index) => label(index)) };
  }
  const tickvals = [];
  const ticktext = [];
  let free = -Infinity;
  for (const word of trace.contributions.words) {
    const start = trace.offsets.indexOf(word.start);
    const label = word.text.trim();
    if (start < 0 || !label) continue;
    const characters = Array.from(label);
    const middle = (start + (characters.length - 1) / 2) * step;
    const half = (characters.length * LETTER) / 2;
    if (middle - half < free || characters.length > 24) continue;
    tickvals.push(middle / step);
    ticktext.push(label);
    free = middle + half + LETTER;
  }
  return { tickvals, ticktext };
}

/**
 * A character as there is room for it: a sign in place of a wide one, and of one that is nothing by itself.
 * @param {string} character
 * @param {number} room in pixels
 */
export function fitting(character, room) {
  const narrow = /^[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\p{N}\p{P}\p{Sc}\p{Sm}\p{Sk}␣↵⇥·]$/u.test(character) && !/[\u2e80-\uffff]/.test(character);
  if (narrow) return character;
  return /^[^\p{M}\p{C}]$/u.test(character) && room >= 2 * LETTER + 1 ? character : "□";
}
