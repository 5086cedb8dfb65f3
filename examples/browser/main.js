// @ts-check
/** The page: what is typed is read at once, and what each character made of the answer is shown below. */
import { Model } from "./model.js";

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const box = /** @type {HTMLTextAreaElement} */ (element("text"));
const [answer, note, steps] = ["answer", "note", "steps"].map(element);

/** A number that programs read whole. @param {number} value */
function percent(value) {
  const data = document.createElement("data");
  data.value = String(value);
  data.textContent = `${(100 * value).toFixed(1)} %`;
  return data;
}

/**
 * One column a step: the token, and how negative the text is up to it.
 * @param {string} token
 * @param {number} negative
 * @param {boolean} known
 */
function column(token, negative, known) {
  const [item, bar, shown] = ["li", "span", "span"].map((name) => document.createElement(name));
  bar.className = "bar";
  bar.style.setProperty("--negative", String(negative));
  bar.dataset.label = negative >= 0.5 ? "negative" : "positive";
  shown.className = known ? "token" : "token unknown";
  shown.textContent = token.trim() ? token.replace(/^\p{Mark}/u, "◌$&") : "␣";
  const number = document.createElement("data");
  number.value = String(negative);
  number.textContent = negative.toFixed(2);
  item.append(bar, number, shown);
  return item;
}

/** @param {import("./model.js").Prediction} prediction @param {Model} model */
function show(prediction, model) {
  const { label, negative, soFar, read } = prediction;
  answer.replaceChildren(`P(${label}) `, percent(label === "negative" ? negative : 1 - negative));
  answer.dataset.label = label;
  const padding = model.rules.vocabulary[0];
  const tokens = soFar.map((_, step) => read.tokens[step] ?? padding);
  const known = (/** @type {number} */ step) => read.tokenIds[step] !== model.reader.unknownId;
  steps.replaceChildren(...soFar.map((value, step) => column(tokens[step], value, known(step))));
  const { level, max_length: limit } = model.rules.preprocessing;
  note.textContent = [
    read.truncated ? `Only the first ${limit} ${level}s are read.` : "",
    read.unknown > 0 ? `The model does not know ${read.unknown} of the ${level}s (underlined).` : "",
  ].join(" ");
}

/** @param {string} reason */
function showNothing(reason) {
  answer.textContent = "";
  steps.replaceChildren();
  note.textContent = reason;
}

/** Read what stands in the box, and again if it has changed meanwhile. @param {Model} model */
async function follow(model) {
  let read;
  do {
    read = box.value;
    try {
      show(await model.predict(read), model);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      showNothing(read === "" ? "" : error.message);
    }
  } while (read !== box.value);
}

async function start() {
  const model = await Model.load("model/");
  element("model").textContent = `Model ${model.rules.name}, version ${model.rules.version}, in this browser.`;
  let reading = follow(model);
  box.addEventListener("input", () => {
    reading = reading.then(() => follow(model)).catch(fail);
  });
  await reading;
  document.body.dataset.state = "ready";
}

/** @param {Error} error */
function fail(error) {
  showNothing(`The model cannot be run here: ${error.message}. See docs/onnx.md.`);
}

start().catch(fail);
