// @ts-check
/** The heat map of one signal: units by characters, in an order of the reader's choice. */

import { baseLayout, palette, paddingBand, stepAxis } from "./charts.js";
import { boundOf } from "./scale.js";
import { GATES, signalOf } from "./signals.js";
import { characterTicks } from "./ticks.js";
import { along } from "./trace.js";

/** @typedef {import("./trace.js").Trace} Trace */
/** @typedef {"share" | "variance" | "saturation" | "index"} Order */

const LEAST_HEIGHT = 130;
const MOST_HEIGHT = 620;
const SCALE = 26; // pixels of the scale above a printed heat map
const ROW = 13; // pixels of a unit while there is room

/**
 * Put the units of a layer in order, the most telling first.
 * @param {Trace} trace
 * @param {number} layer
 * @param {string} signal
 * @param {Order} order
 * @returns {number[]} unit numbers
 */
export function orderedUnits(trace, layer, signal, order) {
  const rows = trace.layers[layer][signal];
  const units = rows[0].map((_, unit) => unit);
  if (order === "index") return units;
  const top = layer === trace.layers.length - 1;
  const score =
    order === "share" && top
      ? (/** @type {number} */ unit) => Math.abs(trace.contributions.units[unit])
      : order === "saturation"
        ? (/** @type {number} */ unit) => saturation(trace, layer, unit)
        : (/** @type {number} */ unit) => variance(along(rows, unit));
  const scores = units.map(score);
  return units.sort((one, other) => scores[other] - scores[one] || one - other);
}

/** @param {number[]} values */
function variance(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
}

/**
 * The share of a unit's gates, over all steps, that are all but closed or all but open.
 * @param {Trace} trace
 * @param {number} layer
 * @param {number} unit
 */
function saturation(trace, layer, unit) {
  const values = GATES.flatMap((gate) => along(trace.layers[layer][gate], unit));
  return values.filter((value) => value < 0.1 || value > 0.9).length / values.length;
}

/**
 * @param {Trace} trace
 * @param {{layer: number, signal: string, units: number[], chosen: number | null, printed?: boolean}} view what is printed has its scale beside it
 * @param {number} width
 * @returns {import("./charts.js").Figure}
 */
export function memoryFigure(trace, { layer, signal, units, chosen, printed = false }, width) {
  const colours = palette();
  const { signed, limit, title } = signalOf(signal);
  const rows = trace.layers[layer][signal];
  const z = units.map((unit) => along(rows, unit));
  const height = Math.min(MOST_HEIGHT, Math.max(LEAST_HEIGHT, units.length * ROW)) + 46 + (printed ? SCALE : 0);
  const bound = limit ?? boundOf(z);
  const every = Math.ceil((units.length * 12.5) / (height - 46 - (printed ? SCALE : 0)));
  const labelled = units.map((_, row) => row).filter((row) => row % every === 0);
  const base = baseLayout(colours);
  const band = paddingBand(trace, colours);
  const at = chosen === null ? -1 : units.indexOf(chosen);
  return {
    steps: trace.length,
    height,
    data: [
      {
        type: "heatmap",
        z,
        zmin: signed ? -bound : 0,
        zmax: bound,
        colorscale: signed
          ? colours.signed.map((colour, index) => [index / 4, colour])
          : [[0, colours.sheet], [1, colours.ink]],
        showscale: printed,
        colorbar: { orientation: "h", lenmode: "pixels", len: 260, thickness: 9, outlinewidth: 0, nticks: 5, tickfont: { size: 11 }, x: 1, xanchor: "right", xpad: 0, y: 1, yanchor: "bottom", ypad: 4 },
        customdata: units.map((unit) => trace.tokens.map((_, step) => [unit, trace.written(step)])),
        hovertemplate: `unit %{customdata[0]} at ‘%{customdata[1]}’<br>${title.toLowerCase()} %{z:.3f}<extra></extra>`,
      },
    ],
    layout: {
      ...base,
      ...(printed ? { margin: { ...base.margin, t: base.margin.t + SCALE } } : {}),
      hovermode: "closest",
      xaxis: { ...stepAxis(trace.length), ...characterTicks(trace, width), tickfont: { family: colours.mono, size: 12, color: colours.ink }, tickangle: 0 },
      yaxis: { range: [units.length - 0.5, -0.5], fixedrange: true, tickvals: labelled, ticktext: labelled.map((row) => String(units[row])), zeroline: false, showgrid: false, tickfont: { size: 10.5 }, title: { text: "unit", font: { size: 12 }, standoff: 6 } },
      shapes: at < 0 ? [] : [{ type: "rect", xref: "paper", x0: 0, x1: 1, y0: at - 0.5, y1: at + 0.5, line: { color: colours.ink, width: 1.5 } }],
      annotations: band.annotations,
    },
  };
}
