// @ts-check
/** Puts the page together: what is typed goes to the session, what comes back goes to the views. */

import { Problem, askJson, keepKey } from "./api.js";
import { Chart, Pointer, loadPlotly } from "./charts.js";
import { compare, comparisonFigure, showComparison } from "./compare.js";
import { linkTo, savePicture, saveRecording, saveTrace, textOfLink } from "./download.js";
import { EXAMPLES } from "./examples.js";
import { byId, counted, element } from "./format.js";
import { gatesFigure, lastingOf } from "./gates.js";
import { LiveSession } from "./live.js";
import { memoryFigure, orderedUnits, scaleOf } from "./memory.js";
import { attempt, complain, showState } from "./notices.js";
import { Occlusion } from "./occlusion.js";
import { SIGNALS, signalOf } from "./signals.js";
import { numbersTable, storyFigure, storySummary } from "./story.js";
import { ColouredText } from "./text.js";
import { Trace } from "./trace.js";
import { UnitAtlas, atlasView, unitFacts, unitFigure } from "./units.js";
import { showStale, showVerdict } from "./verdict.js";
import { WhatIf } from "./what-if.js";

const SETTLED = 600; // milliseconds without typing, after which units are put in order anew

/** @type {HTMLTextAreaElement} */
const textBox = byId("text");
const field = (/** @type {string} */ id) => /** @type {HTMLInputElement | HTMLSelectElement} */ (byId(id));

/** @type {Trace | null} */
let trace = null;
/** @type {any} the recording that is shown in place of a live answer */
let recording = null;
/** @type {any} the answer of the last comparison */
let comparison = null;
/** @type {number[]} the heat map's rows */
let units = [];
/** @type {number | null} */
let chosen = null;
let orderedAs = "";
/** @type {number | undefined} */
let settling;
/** @type {number | undefined} */
let linking;

const pointer = new Pointer();
const atlas = new UnitAtlas();

// What there is to see

const whatIf = new WhatIf({
  onChange: () => trace && coloured.show(trace, whatIf.cuts, Boolean(recording)),
  onAnswer: () => storyChart.update(),
});
const coloured = new ColouredText({
  box: byId("coloured"),
  inspector: byId("inspector"),
  legend: byId("legend"),
  pointer,
  onWord: (word) => whatIf.toggle(word),
});
const occlusion = new Occlusion(byId("occlusion"));
const layer = () => Math.min(Number(field("layer").value) || 0, (trace?.layers.length ?? 1) - 1);

const storyChart = new Chart(byId("story-chart"), (width) => trace && storyFigure(trace, whatIf.otherwise, width), { pointer });
const memoryChart = new Chart(
  byId("memory-chart"),
  (width) => trace && memoryFigure(trace, { layer: layer(), signal: field("signal").value, units, chosen }, width),
  { pointer, onClick: (point) => chooseUnit(units[Math.round(point.y)], true) },
);
const gatesChart = new Chart(byId("gates-chart"), (width) => trace && gatesFigure(trace, layer(), width), { pointer });
const unitChart = new Chart(byId("unit-chart"), (width) => (trace && chosen !== null ? unitFigure(trace, layer(), chosen, width) : null), { pointer });
const compareChart = new Chart(byId("compare-chart"), () => comparison && comparisonFigure(comparison, field("signal").value), { pointer: new Pointer() });

/** Show the trace of the moment everywhere. */
function show() {
  showVerdict(trace);
  document.body.classList.toggle("recorded", recording !== null);
  byId("views").hidden = byId("take").hidden = !trace;
  whatIf.follow(recording ? null : trace);
  occlusion.follow(recording ? null : trace);
  if (!trace) return;
  coloured.show(trace, whatIf.cuts, Boolean(recording));
  showLayers(trace);
  orderUnits(false);
  clearTimeout(settling);
  settling = setTimeout(settle, SETTLED);
  updateCharts();
}

function updateCharts() {
  for (const chart of [storyChart, memoryChart, gatesChart, unitChart]) chart.update();
}

/** Do what would be restless while somebody types. */
function settle() {
  if (!trace) return;
  orderUnits(true);
  memoryChart.update();
  byId("gates-meaning").textContent = lastingOf(trace, layer());
  byId("story-chart").setAttribute("aria-label", `${storySummary(trace)} The numbers are in the table below.`);
  if (comparison && comparison.texts[0] !== trace.text) attempt(compareTexts);
  showUnitFacts();
  if (/** @type {HTMLDetailsElement} */ (byId("numbers")).open) showNumbers();
}

function showNumbers() {
  if (trace) byId("numbers").querySelector(".table-scroll")?.replaceChildren(numbersTable(trace));
}

/** @param {Trace} shown */
function showLayers(shown) {
  const select = field("layer");
  const count = shown.layers.length;
  if (select.children.length === count) return;
  const name = (/** @type {number} */ index) => `${index}${index === count - 1 ? ", at the top" : index ? "" : ", at the bottom"}`;
  select.replaceChildren(...shown.layers.map((_, index) => element("option", { value: String(index) }, name(index))));
  select.value = String(count - 1);
  byId("layer-field").hidden = count < 2;
}

/**
 * Choose the rows of the heat map; while somebody types, rows stay where they are.
 * @param {boolean} anew
 */
function orderUnits(anew) {
  if (!trace) return;
  const there = trace.layers[layer()][field("signal").value][0].length;
  const wish = [field("sort").value, field("shown").value, layer(), there, recording ? "recorded" : "live"].join();
  if (!anew && wish === orderedAs) return;
  orderedAs = wish;
  const order = /** @type {import("./memory.js").Order} */ (field("sort").value);
  const most = field("shown").value === "all" ? there : Number(field("shown").value);
  units = orderedUnits(trace, layer(), field("signal").value, order).slice(0, most);
  byId("shown-field").hidden = there <= 32;
  const { title, other, meaning } = signalOf(field("signal").value);
  const scale = scaleOf(trace, layer(), field("signal").value, units);
  byId("signal-meaning").replaceChildren(
    element("b", {}, title),
    `, the ${other}: ${meaning} `,
    element("span", { class: "legend inline" }, scale.least, element("span", { class: scale.signed ? "ramp signed" : "ramp", "aria-hidden": "true" }), scale.most),
  );
}

// One unit

/**
 * @param {number | null} unit
 * @param {boolean} [reveal]
 */
function chooseUnit(unit, reveal = false) {
  const there = trace?.layers[layer()]?.cell_state[0].length ?? 0;
  chosen = unit !== null && unit >= 0 && unit < there ? unit : null;
  field("unit").value = chosen === null ? "" : String(chosen);
  byId("unit-view").hidden = chosen === null;
  showUnitFacts();
  memoryChart.update();
  unitChart.update();
  if (chosen !== null && reveal) byId("unit-view").scrollIntoView({ block: "nearest" });
}

async function showUnitFacts() {
  if (!trace || chosen === null) return;
  const unit = chosen;
  byId("unit-title").textContent = `Unit ${unit}`;
  byId("unit-facts").textContent = unitFacts(trace, layer(), unit);
  byId("clamp-form").hidden = Boolean(recording);
  const record = recording ? null : await atlas.of(trace.model.version, layer(), unit);
  if (unit !== chosen) return;
  byId("unit-atlas").hidden = !record;
  if (record) byId("unit-atlas").replaceChildren(...atlasView(record));
}

// The session
const session = new LiveSession({
  onTrace: (found, text) => {
    if (recording) return;
    trace = found;
    complain(null);
    show();
    showStale(text !== textBox.value);
  },
  onProblem: (problem) => {
    complain(problem, problem.passes);
    showStale(true);
  },
  onState: (state) => {
    showState(state);
    if (["lost", "not-ready", "key"].includes(state)) showStale(textBox.value !== "");
  },
});

// What the reader does

/** @param {string} text */
function read(text) {
  const recorded = recording !== null;
  recording = null;
  textBox.readOnly = false;
  textBox.value = text;
  typed();
  if (recorded) session.repeat();
}

function typed() {
  const text = textBox.value;
  byId("counts").textContent = text ? counted(Array.from(text).length, "character") : "";
  clearTimeout(linking);
  linking = setTimeout(() => history.replaceState(null, "", linkTo(text)), SETTLED); // browsers ration this
  showStale(text !== (trace?.text ?? ""));
  session.read(text);
}

/** @param {number} index of the example, or -1 for none */
async function teach(index) {
  const example = EXAMPLES[index];
  [...byId("examples").children].forEach((chip, at) => chip.setAttribute("aria-pressed", String(at === index)));
  byId("lesson").hidden = !example;
  if (!example) return;
  byId("lesson").textContent = example.lesson;
  chooseUnit(null);
  if (example.recording) await playRecording(example.recording);
  else {
    read(example.text);
    field("second").value = example.other ?? "";
    forgetComparison();
  }
}

/** @param {string} file */
async function playRecording(file) {
  await attempt(async () => {
    recording = await askJson(`page/${file}`);
    textBox.value = recording.text;
    textBox.readOnly = true;
    trace = new Trace(recording.text, recording);
    byId("counts").textContent = "A recording: type, or choose a text, to go on";
    history.replaceState(null, "", linkTo(""));
    forgetComparison();
    show();
    showStale(false);
  });
}

async function compareTexts() {
  const texts = [shownTrace().text, field("second").value];
  comparison = { texts, ...(await compare(texts[0], texts[1])) };
  showComparison(comparison);
  compareChart.update();
}

function forgetComparison() {
  comparison = null;
  byId("comparison").hidden = true;
}

/** @type {Record<string, () => Promise<string>>} */
const TAKE = {
  link: async () => {
    const link = linkTo(recording ? "" : textBox.value);
    if (!navigator.clipboard) return link; // a page without https may not
    await navigator.clipboard.writeText(link);
    return "The link is copied; it carries the text behind the #, which no server sees.";
  },
  png: async () => saved(await savePicture(shownTrace(), picturedCharts())),
  json: async () => saved(recording ? saveRecording(recording) : await saveTrace("json", shownTrace().text)),
  npz: async () => saved(await saveTrace("npz", shownTrace().text)),
  html: async () => saved(await saveTrace("html", shownTrace().text)),
};

function shownTrace() {
  if (!trace) throw new Problem({ title: "Nothing to take yet", detail: "There is no answer yet." });
  return trace;
}

/** @param {string} name */
function saved(name) {
  return `Saved as ${name}.`;
}

function picturedCharts() {
  const signal = signalOf(field("signal").value);
  return [
    { title: "P(negative) so far, and each character’s share in log-odds", chart: storyChart },
    { title: `${signal.title} (${signal.other}), units by characters`, chart: memoryChart },
    { title: "The gates, mean over the units", chart: gatesChart },
    ...(chosen === null ? [] : [{ title: `Unit ${chosen}`, chart: unitChart }]),
  ];
}

function wire() {
  for (const select of [field("signal"), field("clamp-signal")]) {
    select.replaceChildren(...SIGNALS.map(({ name, title, other }) => element("option", { value: name }, select.id === "signal" ? `${title} (${other.startsWith("percentage") ? shortened(other) : other})` : title.toLowerCase())));
  }
  byId("examples").replaceChildren(
    ...EXAMPLES.map((example, index) => {
      const chip = element("button", { type: "button", "aria-pressed": "false", title: example.lesson }, example.name);
      chip.addEventListener("click", () => teach(index));
      return chip;
    }),
  );
  textBox.addEventListener("input", () => {
    teach(-1);
    typed();
  });
  textBox.addEventListener("keydown", (event) => {
    if (recording && event.key.length === 1 && !event.ctrlKey && !event.metaKey) read(""); // typing ends a recording
    if (recording && (event.key === "Backspace" || event.key === "Delete" || event.key === "Escape")) read("");
    if (!recording && textBox.readOnly) textBox.readOnly = false;
  });
  for (const id of ["signal", "layer", "sort", "shown"]) {
    field(id).addEventListener("change", () => {
      if (id === "layer") chooseUnit(null);
      orderUnits(true);
      updateCharts();
      if (id === "signal") compareChart.update();
      if (id === "layer") settle();
    });
  }
  field("unit").addEventListener("input", () => chooseUnit(field("unit").value === "" ? null : Number(field("unit").value)));
  byId("unit-close").addEventListener("click", () => {
    chooseUnit(null);
    field("unit").focus();
  });
  byId("clamp-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (chosen === null) return;
    whatIf.hold({ layer: layer(), unit: chosen, signal: field("clamp-signal").value, value: Number(field("clamp-value").value) });
  });
  byId("numbers").addEventListener("toggle", showNumbers);
  byId("compare-form").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(compareTexts);
  });
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    keepKey(field("key").value);
    field("key").value = "";
    byId("key-form").hidden = true;
    complain(null);
    session.connect();
  });
  for (const button of document.querySelectorAll("[data-take]")) {
    button.addEventListener("click", () => attempt(async () => {
      const name = /** @type {HTMLElement} */ (button).dataset.take ?? "";
      byId("taken").textContent = await TAKE[name]();
    }));
  }
  addEventListener("hashchange", () => textOfLink() !== textBox.value && read(textOfLink()));
}

/** @param {string} other */
function shortened(other) {
  return other.replace("percentage of the ", "% of the ");
}

wire();
const linked = textOfLink();
if (linked) read(linked);
else session.connect();
requestAnimationFrame(() => setTimeout(() => loadPlotly().catch(() => undefined), 300)); // when the page has been painted
