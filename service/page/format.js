// @ts-check
/** How numbers, characters and labels are written, so that no number leaves a reader guessing whose it is. */

const MINUS = "\u2212";
const SPACE = "\u00a0"; // one at which no line breaks

/**
 * @param {number} value
 * @param {number} [digits]
 */
export function signed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return (value < 0 ? MINUS : "+") + text;
}

/**
 * @param {number} value
 * @param {number} [digits]
 */
export function plain(value, digits = 2) {
  return value < 0 ? MINUS + (-value).toFixed(digits) : value.toFixed(digits);
}

/**
 * A share between 0 and 1 in percent; nothing short of certain is written as such.
 * @param {number} share
 */
export function percent(share) {
  const rounded = Math.round(share * 100);
  if (rounded >= 100 && share < 1) return `>${SPACE}99${SPACE}%`;
  if (rounded <= 0 && share > 0) return `<${SPACE}1${SPACE}%`;
  return `${rounded}${SPACE}%`;
}

/** @param {number} share that may speak for either label */
export function side(share) {
  return share < 0 ? "positive" : "negative";
}

/**
 * Say what P(negative) means: the more probable label and its probability.
 * @param {number} negative
 */
export function verdictOf(negative) {
  const label = negative >= 0.5 ? "negative" : "positive";
  return { label, probability: Math.max(negative, 1 - negative) };
}

const WRITTEN = new Map([
  [" ", "␣"],
  ["\n", "↵"],
  ["\t", "⇥"],
  ["<PAD>", "·"],
]);

/**
 * Write a token so that it can be seen.
 * @param {string} token
 */
export function visible(token) {
  return WRITTEN.get(token) ?? token;
}

/**
 * Write what a step read: for a token that stands for all unknown ones, what the text has there.
 * @param {{points: string[], tokens: string[], offsets: (number | null)[]}} read
 * @param {number} step
 */
export function writtenToken({ points, tokens, offsets }, step) {
  const start = offsets[step];
  if (tokens[step] !== "<UNK>" || start === null || start === undefined) return visible(tokens[step]);
  const stop = offsets.find((offset, at) => at > step && offset !== null && offset > start) ?? points.length;
  return visible(stop - start > 1 ? points.slice(start, stop).join("").trim() : points[start]);
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/**
 * Fill a list of facts.
 * @param {HTMLElement} list a `dl`
 * @param {[string, string][]} facts their names, and what is so
 */
export function fillFacts(list, facts) {
  list.replaceChildren(...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

/**
 * Make an element: `element("li", {class: "none"}, "text", child)`.
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(string | Node)} children
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/**
 * Follow a link to a place of the page, and leave the address alone, whose fragment is the text's.
 * @param {Event} event
 * @param {HTMLElement} place
 * @param {HTMLElement} [focused] in it
 */
export function goTo(event, place, focused = place) {
  event.preventDefault();
  place.scrollIntoView();
  focused.focus({ preventScroll: true });
}

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return /** @type {T} */ (found);
}
