// @ts-check
/** Two texts side by side: aligned, where they part, what turned the answer, and how far their memories are apart. */

import { askJson } from "./api.js";
import { baseLayout, palette, stepAxis } from "./charts.js";
import { byId, element, percent, side, signed, verdictOf, visible } from "./format.js";
import { signalOf } from "./signals.js";

/** @typedef {{start: number, stop: number, text: string, share: number}} Part */
/** @typedef {{kind: string, first: Part, second: Part, difference: number}} Segment */

/**
 * @param {string} first
 * @param {string} second
 */
export function compare(first, second) {
  return askJson("gates/compare", { first, second });
}

/** @param {any} answer */
export function showComparison(answer) {
  byId("comparison").hidden = false;
  byId("turned").replaceChildren(...sentence(answer));
  byId("alignment").replaceChildren(...answer.segments.map(segmentView));
}

/** @param {any} answer @returns {(string | Node)[]} */
function sentence(answer) {
  if (answer.parts_at === null) return ["The texts are the same to the network."];
  const said = (/** @type {any} */ { probabilities }) => {
    const { label, probability } = verdictOf(probabilities.negative);
    return element("span", { class: label }, `${label} ${percent(probability)}`);
  };
  const different = answer.segments.filter((/** @type {Segment} */ segment) => segment.kind !== "equal");
  const own = sum(different);
  const [turning] = answer.turned_by.map((/** @type {number} */ index) => answer.segments[index]).filter((/** @type {Segment} */ segment) => segment.kind !== "equal");
  return [
    said(answer.first),
    " here, ",
    said(answer.second),
    ` there: ${signed(answer.logit_difference)} log-odds. They part at character ${answer.parts_at.first + 1}. `,
    "What differs gives ",
    amount(own),
    turning && different.length > 1 ? ` (${about(turning)} alone ${signed(turning.difference)})` : turning ? ` (${about(turning)})` : "",
    "; what both have, read with another memory, ",
    amount(answer.logit_difference - own),
    ".",
  ];
}

/** @param {Segment[]} segments */
function sum(segments) {
  return segments.reduce((total, segment) => total + segment.difference, 0);
}

/** @param {number} share */
function amount(share) {
  return element("span", { class: side(share) }, signed(share));
}

/** @param {Segment} segment */
function about({ kind, first, second }) {
  const quoted = (/** @type {Part} */ part) => `‘${Array.from(part.text).map((letter) => (letter === "\n" ? "↵" : letter)).join("").trim() || "␣"}’`;
  if (kind === "inserted") return `${quoted(second)} more`;
  if (kind === "deleted") return `${quoted(first)} less`;
  return `${quoted(second)} in place of ${quoted(first)}`;
}

/** @param {Segment} segment */
function segmentView(segment) {
  const differs = segment.kind !== "equal";
  const line = (/** @type {Part} */ part, /** @type {string} */ name) =>
    element("span", { class: part.text ? name : `${name} gap` }, part.text || "–");
  return element(
    "div",
    { class: differs ? `segment differs ${side(segment.difference)}` : "segment" },
    line(segment.first, "first"),
    line(segment.second, "second"),
    element("span", { class: "share" }, signed(segment.difference)),
  );
}

/**
 * Where each step of either text stands when both are written in one line, equal steps above each other.
 * @param {Segment[]} segments
 */
export function columns(segments) {
  /** @type {number[]} */
  const first = [];
  /** @type {number[]} */
  const second = [];
  let at = 0;
  for (const segment of segments) {
    for (let step = segment.first.start; step < segment.first.stop; step++) first[step] = at + step - segment.first.start;
    for (let step = segment.second.start; step < segment.second.stop; step++) second[step] = at + step - segment.second.start;
    at += Math.max(segment.first.stop - segment.first.start, segment.second.stop - segment.second.start);
  }
  return { first, second, width: at };
}

/**
 * @param {any} answer
 * @param {string} signal
 * @returns {import("./charts.js").Figure}
 */
export function comparisonFigure(answer, signal) {
  const colours = palette();
  const { first, second, width } = columns(answer.segments);
  const line = (/** @type {any} */ read, /** @type {number[]} */ x, /** @type {string} */ name, /** @type {object} */ style) => ({
    type: "scatter",
    mode: "lines",
    name,
    x,
    y: read.probability_so_far,
    line: { shape: "hvh", width: 2, color: colours.ink, ...style },
    text: read.tokens.map((/** @type {string} */ token, /** @type {number} */ step) => `${name}: ‘${visible(token)}’ ${percent(read.probability_so_far[step])} negative`),
    hoverinfo: "text",
  });
  const apart = answer.signals.at(-1)[signal];
  const base = baseLayout(colours);
  return {
    steps: width,
    height: 340,
    data: [
      line(answer.first, first, "this text", {}),
      line(answer.second, second, "the other", { dash: "dot" }),
      {
        type: "bar",
        showlegend: false,
        x: answer.pairs.map((/** @type {[number, number]} */ [step]) => first[step]),
        y: apart,
        yaxis: "y2",
        marker: { color: colours.soft },
        hovertemplate: `apart by %{y:.3f}<extra></extra>`,
      },
    ],
    layout: {
      ...base,
      showlegend: true,
      legend: { orientation: "h", x: 0, y: 1.09, yanchor: "bottom", traceorder: "normal", font: { color: colours.ink } },
      margin: { ...base.margin, t: 30 },
      xaxis: { ...stepAxis(width), ...ticks(answer, second, first, width), anchor: "y2", tickangle: 0, tickfont: { family: colours.mono, size: 12, color: colours.ink } },
      yaxis: { domain: [0.44, 1], range: [0, 1], fixedrange: true, tickvals: [0, 0.5, 1], ticktext: ["0 %", "50 %", "100 %"], gridcolor: colours.line, zeroline: false, title: { text: "P(negative)", font: { size: 12 }, standoff: 6 } },
      yaxis2: { domain: [0, 0.28], fixedrange: true, nticks: 3, rangemode: "tozero", gridcolor: colours.line, zerolinecolor: colours.soft },
      annotations: [{ xref: "paper", yref: "paper", x: 0, y: 0.29, xanchor: "left", yanchor: "bottom", showarrow: false, text: `<b>How far apart</b>  ${signalOf(signal).title.toLowerCase()}, root mean square over the units, at characters that both have`, font: { size: 12.5, color: colours.ink } }],
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0.5, y1: 0.5, line: { color: colours.soft, width: 1, dash: "dot" } }],
    },
  };
}

/**
 * @param {any} answer
 * @param {number[]} second
 * @param {number[]} first
 * @param {number} width
 */
function ticks(answer, second, first, width) {
  if (width > 90) return { showticklabels: false };
  const labels = new Array(width).fill("");
  answer.second.tokens.forEach((/** @type {string} */ token, /** @type {number} */ step) => (labels[second[step]] = visible(token)));
  answer.first.tokens.forEach((/** @type {string} */ token, /** @type {number} */ step) => {
    const at = first[step];
    if (labels[at] !== visible(token)) labels[at] = labels[at] ? `${visible(token)}<br>${labels[at]}` : visible(token);
  });
  return { tickvals: labels.map((_, at) => at), ticktext: labels };
}
