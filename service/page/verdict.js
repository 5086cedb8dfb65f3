// @ts-check
/** The answer: whose probability it is, how large, and what it was read from. */

import { byId, counted, element, percent, verdictOf } from "./format.js";

/** @typedef {import("./trace.js").Trace} Trace */

const SETTLED = 700; // milliseconds without a new answer, after which it is read out

/** @type {number | undefined} */
let timer;

/** @param {Trace | null} trace */
export function showVerdict(trace) {
  const box = byId("verdict");
  box.dataset.state = trace ? "answered" : "empty";
  clearTimeout(timer);
  if (!trace) {
    byId("spoken").textContent = "";
    return;
  }
  const { label, probability } = verdictOf(trace.negative);
  box.dataset.label = label;
  byId("verdict-label").textContent = label;
  byId("verdict-number").textContent = percent(probability);
  byId("scale-mark").style.left = `${trace.negative * 100}%`;
  byId("facts").replaceChildren(...factsOf(trace).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  timer = setTimeout(() => {
    byId("spoken").textContent = `${label}, ${percent(probability)}. ${counted(trace.characters, "character")} read.`;
  }, SETTLED);
}

/** @param {Trace} trace @returns {[string, string][]} */
function factsOf(trace) {
  const { name, version, precision } = trace.model;
  return [
    ["Probability", `negative ${trace.negative.toFixed(3)}, positive ${(1 - trace.negative).toFixed(3)}`],
    ["Read", counted(trace.characters, "character") + (trace.truncated ? ", then the text was cut" : "")],
    ["Unknown to it", trace.unknown ? counted(trace.unknown, trace.read < trace.characters ? "word" : "character") : "none"],
    ["Model", `${name} ${version}, ${precision}`],
  ];
}

/**
 * Show that the answer is not the last text's.
 * @param {boolean} stale
 */
export function showStale(stale) {
  byId("verdict").dataset.stale = String(stale);
}
