"use strict";

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const byId = (id) => document.getElementById(id);
  const charts = { story: byId("story-chart"), memory: byId("memory-chart"), gates: byId("gates-chart") };
  const [signal, layer, order] = ["signal", "layer", "order"].map(byId);
  const top = data.layers.length - 1;
  const [PIXELS_A_TICK, MARGINS] = [8.5, 64];
  let shown = null; // the range of steps that all charts show; null is all

  /** Turn what Python packed into one Float32Array a unit. */
  function unpack({ shape: [units, steps], base64 }) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const numbers = Float32Array.from({ length: units * steps }, (_, index) => view.getFloat32(4 * index, true));
    return Array.from({ length: units }, (_, unit) => numbers.subarray(unit * steps, (unit + 1) * steps));
  }

  function variance(row) {
    const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
    return row.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  }

  /** Order the units; those of a lower layer have no share of their own. */
  function ordered(rows) {
    const units = rows.map((_, unit) => unit);
    const weights = { share: data.shares.map(Math.abs), spread: rows.map(variance), number: null };
    const weight = order.value === "share" && Number(layer.value) !== top ? null : weights[order.value];
    return weight ? units.sort((first, second) => weight[second] - weight[first]) : units;
  }

  /** Copy a figure, in the colours that the reader's system asks for. */
  function themed(figure) {
    let text = JSON.stringify(figure);
    if (dark.matches) {
      for (const [name, color] of Object.entries(data.colors.light)) text = text.replaceAll(color, data.colors.dark[name]);
    }
    return JSON.parse(text);
  }

  /** Name the steps below a chart if there is room for it. */
  function ticks(chart, range) {
    const [first, last] = range ?? [-0.5, data.tokens.length - 0.5];
    const room = (chart.clientWidth - MARGINS) / (last - first) >= PIXELS_A_TICK;
    return { tickvals: room ? data.ticks.map((_, step) => step) : [], ticktext: room ? themed(data.ticks) : [] };
  }

  function draw(chart, figure) {
    const { data: traces, layout } = figure;
    Object.assign(layout.xaxis, ticks(chart, shown), shown ? { range: shown } : {});
    return Plotly.react(chart, traces, layout, { responsive: true, displayModeBar: false, showTips: false });
  }

  function memory() {
    const { style, values } = data.layers[Number(layer.value)][signal.value];
    const rows = unpack(values);
    const units = ordered(rows);
    const figure = themed({ ...data.memory, data: [{ ...data.memory.data[0], ...style }] });
    Object.assign(figure.data[0], {
      z: units.map((unit) => rows[unit]),
      y: units.map(String),
      text: units.map(() => data.tokens.map(escaped)),
    });
    byId("meaning").textContent = data.signals[signal.value].meaning;
    return draw(charts.memory, figure);
  }

  function escaped(text) {
    return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  }

  async function all() {
    await draw(charts.story, themed(data.story));
    await memory();
    await draw(charts.gates, themed(data.gates[Number(layer.value)]));
  }

  /** Let all charts show the steps that one of them was asked to show. */
  function follow(change) {
    const [first, last] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    if (change["xaxis.autorange"] || change["xaxis.range"]) {
      shown = null;
    } else if (first !== undefined) {
      shown = [Math.max(first, -0.5), Math.min(last, data.tokens.length - 0.5)];
    } else if (!change.autosize) {
      return;
    }
    all();
  }

  byId("layer-field").hidden = data.layers.length === 1;
  all().then(() => Object.values(charts).forEach((chart) => chart.on("plotly_relayout", follow)));
  [signal, order].forEach((field) => field.addEventListener("change", memory));
  layer.addEventListener("change", all);
  dark.addEventListener("change", all);

  byId("text").addEventListener("pointerover", ({ target }) => {
    if (target.title) byId("inspector").textContent = `“${target.textContent.trim() || "space"}” ${target.title}`;
  });
})();
