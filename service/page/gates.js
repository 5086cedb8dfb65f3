// @ts-check
/** Strips along the text, one above the other: the gates' means, or the six signals of one unit. */

import { baseLayout, paddingBand, palette, stepAxis, steppedLine } from "./charts.js";
import { plain } from "./format.js";
import { GATES, signalOf } from "./signals.js";
import { characterTicks } from "./ticks.js";
import { halfLife, means } from "./trace.js";

/** @typedef {import("./trace.js").Trace} Trace */
/** @typedef {{title: string, other: string, values: number[], range: [number, number]}} Strip */

const STRIP = 72; // pixels
const TALL_STRIP = 96;
const NARROW = 420; // pixels in which two names of a signal do not fit

/**
 * @param {Trace} trace
 * @param {Strip[]} strips from the top down
 * @param {number} width
 * @param {number} [strip] its height
 * @returns {import("./charts.js").Figure}
 */
export function stripsFigure(trace, strips, width, strip = STRIP) {
  const colours = palette();
  const base = baseLayout(colours);
  const band = paddingBand(trace, colours);
  /** @type {Record<string, any>} */
  const layout = { ...base, hovermode: "x", shapes: band.shapes, annotations: [...band.annotations] };
  /** @type {object[]} */
  const data = [];
  strips.forEach((shown, index) => {
    const axis = index ? `y${index + 1}` : "y";
    const top = 1 - index / strips.length;
    layout[index ? `yaxis${index + 1}` : "yaxis"] = {
      domain: [top - 0.78 / strips.length, top - 0.24 / strips.length],
      range: roomy(shown.range),
      tickvals: shown.range[0] < 0 ? [shown.range[0], 0, shown.range[1]] : shown.range,
      ticktext: (shown.range[0] < 0 ? [shown.range[0], 0, shown.range[1]] : shown.range).map(short),
      fixedrange: true,
      gridcolor: colours.line,
      zeroline: shown.range[0] < 0,
      zerolinecolor: colours.soft,
    };
    layout.annotations.push({ xref: "paper", yref: "paper", x: 0, y: top - 0.22 / strips.length, xanchor: "left", yanchor: "bottom", text: width < NARROW ? `<b>${shown.title}</b>` : `<b>${shown.title}</b>  ${shown.other}`, showarrow: false, font: { size: 12.5, color: colours.ink } });
    data.push({
      ...steppedLine(shown.values, shown.values.map((value, step) => `‘${trace.written(step)}’ ${plain(value, 3)}`)),
      yaxis: axis,
      line: { shape: "hvh", width: 1.6, color: colours.ink },
      fill: shown.range[0] <= 0 ? "tozeroy" : "none", // an area says something only if it begins at zero
      fillcolor: colours.shade,
    });
  });
  layout.xaxis = { ...stepAxis(trace.length), ...characterTicks(trace, width), anchor: strips.length > 1 ? `y${strips.length}` : "y", tickfont: { family: colours.mono, size: 12, color: colours.ink }, tickangle: 0 };
  return { data, layout, steps: trace.length, height: strips.length * strip + 42 };
}

/**
 * A little more than a range, so that a line at its end is seen in full.
 * @param {[number, number]} range
 */
function roomy([least, most]) {
  const room = (most - least) * 0.04;
  return [least - room, most + room];
}

/** @param {number} value */
function short(value) {
  return plain(value, Math.abs(value) >= 10 || Number.isInteger(value) ? 0 : 1);
}

/**
 * @param {Trace} trace
 * @param {number} layer
 * @param {number} width
 */
export function gatesFigure(trace, layer, width) {
  const found = GATES.map((name) => means(trace.layers[layer][name]));
  const values = found.flat();
  /** @type {[number, number]} */
  const range = [Math.floor(Math.min(...values) * 10) / 10, Math.ceil(Math.max(...values) * 10) / 10];
  const strips = GATES.map((name, index) => ({ ...signalOf(name), values: found[index], range }));
  return stripsFigure(trace, strips, width, TALL_STRIP);
}

/**
 * Say in a sentence how long the memory lasts.
 * @param {Trace} trace
 * @param {number} layer
 */
export function lastingOf(trace, layer) {
  const lives = trace.layers[layer].forget_gate.map(halfLife).sort((one, other) => one - other);
  const typical = lives[Math.floor(lives.length / 2)];
  const lasts = Number.isFinite(typical) ? `${typical < 10 ? typical.toFixed(1) : typical.toFixed(0)} steps` : "for good";
  return `The mean over the ${trace.layers[layer].forget_gate[0].length === 1 ? "layer’s one unit" : "layer’s units"} at each character. ` +
    `At this text’s typical step a memory halves in ${lasts}, if nothing is written.`;
}
