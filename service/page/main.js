// @ts-check
/** Puts the page together: what is typed goes to the session, what comes back goes to the views. */

import { askJson, keepKey } from "./api.js";
import { Chart, Pointer, loadPlotly } from "./charts.js";
import { compare, comparisonFigure, showComparison } from "./compare.js";
import { linkTo, readLink } from "./download.js";
import { EXAMPLES, Lesson } from "./examples.js";
import { byId, counted, element, goTo } from "./format.js";
import { gatesFigure, lastingOf } from "./gates.js";
import { Problem } from "./http.js";
import { LiveSession } from "./live.js";
import { memoryFigure, orderedUnits } from "./memory.js";
import { ModelChoice } from "./models.js";
import { acceptKey, attempt, complain, faultIn, showState, wordsOf } from "./notices.js";
import { Occlusion } from "./occlusion.js";
import { scaleOf } from "./scale.js";
import { SIGNALS, signalOf } from "./signals.js";
import { numbersTable, storyFigure, storySummary } from "./story.js";
import { Taking, answered } from "./take.js";
import { ColouredText } from "./text.js";
import { Trace, along } from "./trace.js";
import { UnitView } from "./unit-view.js";
import { unitFigure } from "./units.js";
import { showOutdated, showStale, showVerdict } from "./verdict.js";
import { WhatIf } from "./what-if.js";

const SETTLED = 600; // milliseconds without typing, after which units are put in order anew
const CUT_OFF = ["lost", "not-ready", "key"]; // states of a session in which no text is read

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
let orderedAs = "";
/** @type {number | undefined} */
let settling;
/** @type {number | undefined} */
let linking;
/** How many characters are read at most, once a text was too long. @type {number | null} */
let mostCharacters = null;
/** Counts what the reader turns to: a recording that comes after something else is too late. */
let turns = 0;
/** Counts the comparisons that are asked for or put away: an answer to an earlier one is too late. */
let comparisons = 0;
/** Why the last text was refused, if it was. @type {Problem | null} */
let refusal = null;
let isCutOff = false;

const pointer = new Pointer();
const lesson = new Lesson();

// What there is to see

const whatIf = new WhatIf({
  onChange: () => {
    if (trace) coloured.show(trace, whatIf.cuts, Boolean(recording));
    taking.showNote();
    keepLink();
  },
  onAnswer: () => storyChart.update(),
  onOutdated: () => session.readAnew(),
});
const coloured = new ColouredText({
  box: byId("coloured"),
  inspector: byId("inspector"),
  legend: byId("legend"),
  pointer,
  onWord: (word) => whatIf.toggle(word),
});
const occlusion = new Occlusion(byId("occlusion"));
const unitView = new UnitView({
  shown: () => ({ trace, layer: layer(), recorded: recording !== null }),
  onOpen: () => {
    memoryChart.update();
    unitChart.update();
  },
  onHold: (hold) => whatIf.hold(hold),
});
const taking = new Taking(
  () => ({ trace, recording, text: textBox.value, layer: layer(), signal: field("signal").value, units, chosen: unitView.chosen }),
  whatIf,
);
const layer = () => Math.min(Number(field("layer").value) || 0, (trace?.layers.length ?? 1) - 1);

const storyChart = new Chart(byId("story-chart"), (width) => trace && storyFigure(trace, whatIf.otherwise, width), { pointer });
const memoryChart = new Chart(
  byId("memory-chart"),
  (width) => trace && memoryFigure(trace, { layer: layer(), signal: field("signal").value, units, chosen: unitView.chosen }, width),
  { pointer, onClick: (point) => openRow(Math.round(point.y)) },
);
const gatesChart = new Chart(byId("gates-chart"), (width) => trace && gatesFigure(trace, layer(), width), { pointer });
const unitChart = new Chart(byId("unit-chart"), (width) => (trace && unitView.chosen !== null ? unitFigure(trace, layer(), unitView.chosen, width) : null), { pointer });
const compareChart = new Chart(byId("compare-chart"), (width) => comparison && comparisonFigure(comparison, field("signal").value, width), { pointer: new Pointer() });

/** @param {number} row of the memory's chart, which may be of an answer before, with more of them */
function openRow(row) {
  if (row < units.length) unitView.choose(units[row], true);
}

/** Show the trace of the moment everywhere. */
function show() {
  showVerdict(trace, recording !== null);
  lesson.follow(trace);
  document.body.classList.toggle("recorded", recording !== null);
  byId("views").hidden = byId("take").hidden = !trace;
  whatIf.follow(recording ? null : trace);
  occlusion.follow(recording ? null : trace);
  if (!trace) return;
  coloured.show(trace, whatIf.cuts, Boolean(recording));
  taking.showNote();
  showLayers(trace);
  unitView.keepToThoseThere();
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
  if (comparison && comparison.texts[0] !== trace.text) attempt(() => compareWith(answered(trace).text), byId("compare-fault"));
  unitView.showFacts();
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
  const rows = trace.layers[layer()][field("signal").value];
  const scale = scaleOf(field("signal").value, units.map((unit) => along(rows, unit)));
  byId("signal-meaning").replaceChildren(
    element("b", {}, title),
    `, the ${other}: ${meaning} `,
    element("span", { class: "legend inline" }, scale.least, element("span", { class: scale.signed ? "ramp signed" : "ramp", "aria-hidden": "true" }), scale.most),
  );
}

// The session
const session = new LiveSession({
  onTrace: (found, text) => {
    acceptKey();
    if (recording) return;
    trace = found;
    complain(null);
    showUnread(null);
    show();
    showStale(text !== textBox.value);
  },
  onProblem: (problem) => {
    acceptKey();
    if (problem.kind === "unknown-model") lookAtModels();
    if (recording) return; // it is of no text that the session reads
    complain(problem, problem.passes);
    showStale(true);
    if (!problem.passes) showUnread(problem);
  },
  onState: (state) => {
    showState(state);
    if (["open", "crowded", "refused"].includes(state)) lookAtModels();
    isCutOff = CUT_OFF.includes(state);
    if (isCutOff && !recording) showStale(textBox.value !== "");
    showWhatIsOld();
  },
});

const models = new ModelChoice(() => {
  forgetAnswers();
  keepLink();
  if (!recording) session.readAnew();
});

function lookAtModels() {
  models.look().catch(() => undefined); // without it, the same one is asked as ever
}

/** Put away what another model has said. */
function forgetAnswers() {
  unitView.choose(null);
  forgetComparison();
}

/**
 * Say that the text in the box was refused, and that what is seen is not of it; or that it was read.
 * @param {Problem | null} problem
 */
function showUnread(problem) {
  const wasUnread = refusal !== null;
  refusal = problem;
  showWhatIsOld();
  if (problem) {
    showState("unread");
    const limit = problem.errors.find((fault) => fault.limit !== undefined)?.limit;
    if (problem.kind === "text-too-long" && limit) mostCharacters = limit;
  } else if (wasUnread && byId("connection").dataset.state === "lost") showState(session.state);
  showCount();
}

/** Say that what is seen is of another text than the one in the box, if that one was refused or nothing is read now. */
function showWhatIsOld() {
  const isOther = trace !== null && !recording && textBox.value !== trace.text;
  if (refusal && trace) showOutdated(`The one in the box was not read. ${wordsOf(refusal)}`);
  else showOutdated(isCutOff && isOther ? "The one in the box is not read yet: the service does not answer this page now." : "");
}

/** Say how long the text is, and how long it may be where that matters. */
function showCount() {
  const count = Array.from(textBox.value).length;
  const over = mostCharacters !== null && count > mostCharacters;
  const line = byId("counts");
  line.classList.toggle("over", over);
  line.textContent = over ? `${count.toLocaleString("en")} of ${mostCharacters?.toLocaleString("en")} characters` : count ? counted(count, "character") : "";
}

// What the reader does

/** Open the text that the page's address carries, and change what it carries beside. */
function followLink() {
  const linked = readLink();
  if (!linked) return false;
  teach(-1);
  const byAnother = models.choose(linked.model);
  if (byAnother) forgetAnswers();
  whatIf.clear();
  read(linked.text);
  whatIf.await(linked.text, linked.changes);
  if (trace?.text === linked.text && !byAnother) show(); // no new answer will come
  return true;
}

/** Have the page's address carry what is on it. */
function keepLink() {
  clearTimeout(linking);
  linking = setTimeout(() => history.replaceState(null, "", linkTo(recording ? "" : textBox.value, whatIf.carried)), SETTLED); // browsers ration this
}

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
  whatIf.awaitNothing();
  const text = textBox.value;
  showCount();
  keepLink();
  showStale(text !== (trace?.text ?? ""));
  showWhatIsOld();
  session.read(text);
}

/** @param {number} index of the example, or -1 for none */
async function teach(index) {
  turns++;
  const example = EXAMPLES[index] ?? null;
  [...byId("examples").children].forEach((chip, at) => chip.setAttribute("aria-pressed", String(at === index)));
  lesson.choose(example);
  lesson.follow(trace);
  if (!example) return;
  unitView.choose(null);
  if (example.recording) await playRecording(example.recording);
  else {
    read(example.text);
    field("second").value = example.other ?? "";
    forgetComparison();
    if (example.other) await attempt(() => compareWith(example.text), byId("compare-fault"));
  }
}

/** @param {string} file */
async function playRecording(file) {
  const turn = turns;
  await attempt(async () => {
    const found = await askJson(`page/${file}`);
    if (turn !== turns) return;
    recording = found;
    textBox.value = recording.text;
    textBox.readOnly = true;
    trace = new Trace(recording.text, recording);
    byId("counts").classList.remove("over");
    forgetComparison();
    complain(null);
    showUnread(null);
    byId("counts").textContent = "A recording: type, or choose a text, to go on";
    keepLink();
    show();
    showStale(false);
  });
}

/** Compare the text with the one beside it, if there is one. */
async function compareTexts() {
  const isMissing = !field("second").value.trim();
  faultIn(field("second"), byId("compare-fault"), isMissing ? "Write another text here first." : "");
  if (isMissing) field("second").focus();
  else await attempt(() => compareWith(answered(trace).text), byId("compare-fault"));
}

/** @param {string} text */
async function compareWith(text) {
  const texts = [text, field("second").value];
  const mine = ++comparisons;
  try {
    const found = await compare(texts[0], texts[1]);
    if (mine !== comparisons) return;
    comparison = { texts, ...found };
  } catch (error) {
    if (mine !== comparisons) return;
    if (error instanceof Problem && !error.passes) forgetComparison(); // what is seen would be of other texts
    throw error;
  }
  showComparison(comparison);
  compareChart.update();
}

function forgetComparison() {
  comparisons++;
  comparison = null;
  byId("comparison").hidden = true;
}

function wire() {
  for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("a.skip"))) {
    link.addEventListener("click", (event) => goTo(event, byId(link.hash.slice(1))));
  }
  for (const select of [field("signal"), field("clamp-signal")]) {
    select.replaceChildren(...SIGNALS.map(({ name, title, other }) => element("option", { value: name }, select.id === "signal" ? `${title} (${shortened(other)})` : title.toLowerCase())));
  }
  byId("examples").replaceChildren(
    ...EXAMPLES.map((example, index) => {
      const chip = element("button", { type: "button", "aria-pressed": "false", title: example.look }, example.name);
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
      if (id === "layer") unitView.choose(null);
      orderUnits(true);
      updateCharts();
      if (id === "signal") compareChart.update();
      if (id === "layer") settle();
    });
  }
  byId("numbers").addEventListener("toggle", showNumbers);
  byId("compare-form").addEventListener("submit", (event) => {
    event.preventDefault();
    compareTexts();
  });
  field("second").addEventListener("input", () => faultIn(field("second"), byId("compare-fault"), ""));
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    keepKey(field("key").value);
    field("key").value = "";
    byId("key-fault").textContent = "";
    complain(null);
    session.connect();
  });
  addEventListener("hashchange", followLink);
}

/**
 * Make it fit a narrow window’s list; below the list it stands in full.
 * @param {string} other
 */
function shortened(other) {
  return other.replace("percentage of the ", "");
}

wire();
if (!followLink()) session.connect();
requestAnimationFrame(() => setTimeout(() => loadPlotly().catch(() => undefined), 300)); // when the page has been painted
