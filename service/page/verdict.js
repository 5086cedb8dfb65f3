// @ts-check
/** The answer: whose probability it is, how large, and what it was read from. */

import { byId, counted, element, fillFacts, percent, verdictOf } from "./format.js";

/** @typedef {import("./trace.js").Trace} Trace */

const SETTLED = 700; // milliseconds without a new answer, after which it is read out

/** @type {number | undefined} */
let timer;

/**
 * @param {Trace | null} trace
 * @param {boolean} recorded whether it is a recording, of a model that is not served
 */
export function showVerdict(trace, recorded) {
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
  fillFacts(byId("facts"), factsOf(trace, recorded));
  timer = setTimeout(() => {
    byId("spoken").textContent = `${label}, ${percent(probability)}. ${counted(trace.characters, "character")} read.`;
  }, SETTLED);
}

/**
 * @param {Trace} trace
 * @param {boolean} recorded
 * @returns {[string, string][]}
 */
function factsOf(trace, recorded) {
  const { name, version, precision } = trace.model;
  return [
    ["Probability", `negative ${trace.negative.toFixed(3)}, positive ${(1 - trace.negative).toFixed(3)}`],
    ["Read", counted(trace.characters, "character") + (trace.truncated ? ", then the text was cut" : "")],
    ["Unknown to it", trace.unknown ? counted(trace.unknown, trace.read < trace.characters ? "word" : "character") : "none"],
    [recorded ? "Recorded of" : "Model", `${name} ${version}, ${precision}${recorded ? ": another run (seed 0), not a model of this service" : ""}`],
  ];
}

/**
 * Show that the answer is not the last text's.
 * @param {boolean} stale
 */
export function showStale(stale) {
  byId("verdict").dataset.stale = String(stale);
}

/**
 * Say that all that is seen is of another text than the one in the box, and why; or that it is not.
 * @param {string} why nothing if it is of the one in the box
 */
export function showOutdated(why) {
  const line = byId("of-before");
  document.body.classList.toggle("outdated", why !== "");
  line.hidden = !why;
  if (why) line.replaceChildren(element("b", {}, "What follows is of the text before."), ` ${why}`);
}
