// @ts-check
/** Which model is asked, where the service has several, and what the service says of it. */

import { ask, askJson, askedModel, askModel } from "./api.js";
import { byId, counted, element, fillFacts, percent } from "./format.js";
import { attempt } from "./notices.js";

/** The choice beside the text; it is seen only where there is one. */
export class ModelChoice {
  #select = /** @type {HTMLSelectElement} */ (byId("model"));
  /** @type {string[]} */
  #names = [];
  /** @type {() => void} */
  #onChange;

  /** @param {() => void} onChange another model was chosen */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#select.addEventListener("change", () => {
      this.#ask(this.#select.value);
      byId("model-gone").textContent = "";
      onChange();
    });
    byId("model-link").addEventListener("click", () => attempt(showModel, byId("model-fault")));
    byId("model-close").addEventListener("click", () => /** @type {HTMLDialogElement} */ (byId("model-dialog")).close());
  }

  /** Look which models there are; a reload may have changed that. In place of one that is gone the service's own is asked. */
  async look() {
    const { models } = await (await ask("info", { of: "" })).json();
    this.#names = models.map((/** @type {{name: string}} */ model) => model.name);
    this.#select.replaceChildren(...this.#names.map((name, index) => element("option", { value: name }, index ? name : `${name} (the service’s own)`)));
    byId("model-field").hidden = this.#names.length < 2;
    const asked = askedModel();
    const isGone = asked !== "" && !this.#names.includes(asked);
    if (isGone) askModel("");
    this.#select.value = askedModel() || this.#names[0];
    if (!isGone) return;
    byId("model-gone").textContent = `The service has no model ‘${asked}’ now: its own answers.`;
    this.#onChange();
  }

  /**
   * Ask the model of a link.
   * @param {string} name empty for the default one
   * @returns whether it is another one than before
   */
  choose(name) {
    const isAnother = name !== askedModel();
    byId("model-gone").textContent = "";
    askModel(name);
    if (this.#names.length) this.#select.value = name || this.#names[0];
    return isAnother;
  }

  /** @param {string} name */
  #ask(name) {
    askModel(name === this.#names[0] ? "" : name);
  }
}

/** Open what the service says of the model that is asked. */
async function showModel() {
  const info = await askJson("info");
  byId("model-title").textContent = `The model ${info.model.name}`;
  fillFacts(byId("model-facts"), factsOf(info));
  byId("model-uses").replaceChildren(...usesOf(info.card));
  /** @type {HTMLDialogElement} */ (byId("model-dialog")).showModal();
}

/** @param {any} info @returns {[string, string][]} */
function factsOf({ model, architecture, preprocessing, training, metrics }) {
  const { num_embeddings, embedding_dim, hidden_size, num_layers, pad_to } = architecture;
  const unit = preprocessing.level;
  const width = `of ${counted(hidden_size, "unit")}${num_layers > 1 ? " each" : ""}`;
  const padding = pad_to ? `; every text is filled up to ${counted(pad_to, "step")}` : "";
  return [
    ["Version", `${model.version}, in ${model.precision}`],
    ["Network", `${counted(num_layers, "LSTM layer")} ${width}; it knows ${counted(num_embeddings, "token")}, each as ${counted(embedding_dim, "number")}${padding}`],
    ["Reads", `${preprocessing.max_length ? `at most ${counted(preprocessing.max_length, unit)}` : "texts of any length"}${preprocessing.casefold ? ", in which upper and lower case are the same" : ""}`],
    ...(training ? [/** @type {[string, string]} */ (["Trained on", `${counted(training.rows_trained, "text")} of ${training.data}`])] : []),
    ...Object.entries(metrics ?? {}).map(([split, scores]) => /** @type {[string, string]} */ ([`Test, ${split} split`, scoresIn(scores)])),
  ];
}

/** @param {{rows: number, accuracy: number, auc: number}} scores */
function scoresIn({ rows, accuracy, auc }) {
  return `${percent(accuracy)} of ${counted(rows, "text")} labelled right; AUC ${auc.toFixed(3)}`;
}

/** @param {{intended_use: string, not_for: string[]} | null} card */
function usesOf(card) {
  if (!card) return [element("p", {}, "No model card says what this version is for and what not: do not rely on it for anything that matters to somebody.")];
  return [
    element("p", {}, card.intended_use),
    element("p", {}, "It is not for"),
    element("ul", {}, ...card.not_for.map((use) => element("li", {}, use))),
  ];
}
