// @ts-check
/** Two texts side by side: aligned, where they part, what turned the answer, and how far their memories are apart. */

import { byWord } from "./alignment.js";
import { askJson } from "./api.js";
import { baseLayout, palette, stepAxis } from "./charts.js";
import { byId, element, percent, side, signed, verdictOf, writtenToken } from "./format.js";
import { signalOf } from "./signals.js";
import { fitting } from "./ticks.js";

/** @typedef {import("./alignment.js").Part} Part */
/** @typedef {import("./alignment.js").Segment} Segment */

const NARROWEST = 7; // pixels of a column that a character has room in
const HEIGHT = 340;
const LINE = 17; // pixels of a line of the title between the two plots
const LETTER = 7; // of a typical character in it

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
  const segments = byWord(answer);
  byId("turned").replaceChildren(...sentence(answer, segments));
  byId("alignment").replaceChildren(...segments.map(segmentView));
}

/**
 * @param {any} answer
 * @param {Segment[]} segments by word
 * @returns {(string | Node)[]}
 */
function sentence(answer, segments) {
  if (answer.parts_at === null) return ["The texts are the same to the network."];
  const said = (/** @type {any} */ { probabilities }) => {
    const { label, probability } = verdictOf(probabilities.negative);
    return element("span", { class: label }, `${label} ${percent(probability)}`);
  };
  const different = segments.filter((segment) => segment.kind !== "equal");
  const own = sum(different);
  const [turning] = [...different].sort((one, other) => Math.abs(other.difference) - Math.abs(one.difference));
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
 * @param {number} room in pixels
 * @returns {import("./charts.js").Figure}
 */
export function comparisonFigure(answer, signal, room) {
  const colours = palette();
  const { first, second, width } = columns(answer.segments);
  const line = (/** @type {any} */ read, /** @type {number[]} */ x, /** @type {string} */ name, /** @type {object} */ style) => ({
    type: "scatter",
    mode: "lines",
    name,
    x,
    y: read.probability_so_far,
    line: { shape: "hvh", width: 2, color: colours.ink, ...style },
    text: writtenTokens(read).map((token, /** @type {number} */ step) => `${name}: ‘${token}’ ${percent(read.probability_so_far[step])} negative`),
    hoverinfo: "text",
  });
  const apart = answer.signals.at(-1)[signal];
  const base = baseLayout(colours);
  const title = broken(`How far apart: ${signalOf(signal).title.toLowerCase()}, root mean square over the units, at characters that both have`, room);
  const height = HEIGHT + LINE * (title.length - 1);
  const between = (32 + LINE * title.length) / (height - 60); // of what the margins leave
  return {
    steps: width,
    height,
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
      xaxis: { ...stepAxis(width), ...ticks(answer, second, first, width, room), anchor: "y2", tickangle: 0, tickfont: { family: colours.mono, size: 12, color: colours.ink } },
      yaxis: { domain: [0.28 + between, 1], range: [-0.02, 1.02], fixedrange: true, tickvals: [0, 0.5, 1], ticktext: ["0 %", "50 %", "100 %"], gridcolor: colours.line, zeroline: false, title: { text: "P(negative)", font: { size: 12 }, standoff: 6 } },
      yaxis2: { domain: [0, 0.28], fixedrange: true, nticks: 3, rangemode: "tozero", gridcolor: colours.line, zerolinecolor: colours.soft },
      annotations: [{ xref: "paper", yref: "paper", x: 0, y: 0.29, xanchor: "left", yanchor: "bottom", showarrow: false, align: "left", text: title.join("<br>").replace("How far apart:", "<b>How far apart:</b>"), font: { size: 12.5, color: colours.ink } }],
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0.5, y1: 0.5, line: { color: colours.soft, width: 1, dash: "dot" } }],
    },
  };
}

/**
 * Break a title into lines that a chart has room for.
 * @param {string} title
 * @param {number} room in pixels
 */
function broken(title, room) {
  const most = Math.floor(room / LETTER);
  return title.split(" ").reduce((/** @type {string[]} */ lines, word) => {
    const longer = `${lines.at(-1) ?? ""} ${word}`.trim();
    return longer.length > most && lines.length ? [...lines, word] : [...lines.slice(0, -1), longer];
  }, []);
}

/** @param {any} read @returns {string[]} */
function writtenTokens(read) {
  const points = Array.from(read.text);
  return read.tokens.map((/** @type {string} */ _, /** @type {number} */ step) => writtenToken({ ...read, points }, step));
}

/**
 * @param {any} answer
 * @param {number[]} second
 * @param {number[]} first
 * @param {number} width in columns
 * @param {number} room in pixels
 */
function ticks(answer, second, first, width, room) {
  if (width > 90 || room / width < NARROWEST) return { showticklabels: false };
  const labels = new Array(width).fill("");
  const short = (/** @type {any} */ read) => writtenTokens(read).map((token) => fitting(token, room / width));
  short(answer.second).forEach((token, step) => (labels[second[step]] = token));
  short(answer.first).forEach((token, step) => {
    const at = first[step];
    if (labels[at] !== token) labels[at] = labels[at] ? `${token}<br>${labels[at]}` : token;
  });
  return { tickvals: labels.map((_, at) => at), ticktext: labels };
}
