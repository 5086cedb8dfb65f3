// @ts-check
/** The probability along the text, and below it what each character adds to the answer. */

import { baseLayout, paddingBand, palette, stepAxis, steppedLine } from "./charts.js";
import { element, percent, signed } from "./format.js";
import { characterTicks } from "./ticks.js";

/** @typedef {import("./trace.js").Trace} Trace */

const HEIGHT = 340;

/**
 * @param {Trace} trace
 * @param {number[] | null} otherwise P(negative) along the text with something held; null if nothing is
 * @param {number} width
 * @returns {import("./charts.js").Figure}
 */
export function storyFigure(trace, otherwise, width) {
  const colours = palette();
  const x = trace.tokens.map((_, step) => step);
  const shares = trace.contributions.steps;
  const told = trace.tokens.map((_, step) => `‘${trace.written(step)}’ at ${step}: ${percent(trace.probabilities[step])} negative so far, share ${signed(shares[step])}`);
  const edge = { shape: "hvh", width: 0 };
  const half = { ...steppedLine(x.map(() => 0.5), []), line: edge };
  const area = (/** @type {number[]} */ values, /** @type {string} */ colour) => ({ ...steppedLine(values, []), line: edge, fill: "tonexty", fillcolor: colour });
  const data = [
    half,
    area(trace.probabilities.map((p) => Math.max(p, 0.5)), colours.negativeSoft),
    half,
    area(trace.probabilities.map((p) => Math.min(p, 0.5)), colours.positiveSoft),
    { ...steppedLine(trace.probabilities, told), line: { shape: "hvh", width: 1.8, color: colours.ink } },
    ...(otherwise ? [{ ...steppedLine(otherwise, []), line: { shape: "hvh", width: 2.2, dash: "dot", color: colours.ink } }] : []),
    {
      x,
      y: shares,
      type: "bar",
      yaxis: "y2",
      marker: { color: shares.map((share) => (share < 0 ? colours.positive : colours.negative)), line: { width: 0 } },
      hoverinfo: "skip",
    },
  ];
  const band = paddingBand(trace, colours);
  const largest = Math.max(0.1, ...shares.map(Math.abs)) * 1.12;
  const base = baseLayout(colours);
  return {
    data,
    steps: trace.length,
    height: HEIGHT,
    layout: {
      ...base,
      xaxis: { ...stepAxis(trace.length), ...characterTicks(trace, width), anchor: "y2", tickfont: { family: colours.mono, size: 12, color: colours.ink }, tickangle: 0 },
      yaxis: { domain: [0.46, 1], range: [-0.02, 1.02], fixedrange: true, tickvals: [0, 0.5, 1], ticktext: ["0 %", "50 %", "100 %"], gridcolor: colours.line, zeroline: false, title: { text: "P(negative)", font: { size: 12 }, standoff: 6 } },
      yaxis2: { domain: [0, 0.38], range: [-largest, largest], fixedrange: true, nticks: 4, gridcolor: colours.line, zerolinecolor: colours.soft, title: { text: "log-odds", font: { size: 12 }, standoff: 6 } },
      shapes: [...band.shapes, { type: "line", xref: "paper", x0: 0, x1: 1, y0: 0.5, y1: 0.5, line: { color: colours.soft, width: 1, dash: "dot" } }],
      annotations: band.annotations,
    },
  };
}

/**
 * The chart in a sentence or two.
 * @param {Trace} trace
 */
export function storySummary(trace) {
  const shares = trace.contributions.steps;
  const most = shares.reduce((best, share, step) => (Math.abs(share) > Math.abs(shares[best]) ? step : best), 0);
  return (
    `P(negative) along the text: from ${percent(trace.probabilities[0])} at the first character to ${percent(trace.negative)} at the last. ` +
    `The largest share, ${signed(shares[most])} log-odds, is that of ‘${trace.written(most)}’ at ${most}.`
  );
}

/**
 * The same as a table, for whoever would rather read numbers.
 * @param {Trace} trace
 */
export function numbersTable(trace) {
  const row = (/** @type {number} */ step) =>
    element(
      "tr",
      {},
      element("td", {}, String(step)),
      element("td", { class: "token" }, trace.written(step)),
      element("td", {}, signed(trace.contributions.steps[step], 3)),
      element("td", {}, trace.probabilities[step].toFixed(3)),
    );
  const heads = ["Step", "Character", "Share (log-odds)", "P(negative) so far"];
  return element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
    element("tbody", {}, ...trace.tokens.map((_, step) => row(step))),
  );
}
