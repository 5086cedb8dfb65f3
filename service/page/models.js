// @ts-check
/** Which model is asked, where the service has several. */

import { askJson, askedModel, askModel } from "./api.js";
import { byId, element } from "./format.js";

/** The choice beside the text; it is seen only where there is one. */
export class ModelChoice {
  #select = /** @type {HTMLSelectElement} */ (byId("model"));
  /** @type {string[]} */
  #names = [];

  /** @param {() => void} onChange another model was chosen */
  constructor(onChange) {
    this.#select.addEventListener("change", () => {
      this.#ask(this.#select.value);
      onChange();
    });
  }

  /** Look which models there are; a reload may have changed that. */
  async look() {
    const { models } = await askJson("info");
    this.#names = models.map((/** @type {{name: string}} */ model) => model.name);
    this.#select.replaceChildren(...this.#names.map((name, index) => element("option", { value: name }, index ? name : `${name} (the service’s own)`)));
    byId("model-field").hidden = this.#names.length < 2;
    this.#select.value = askedModel() || this.#names[0];
  }

  /**
   * Ask the model of a link.
   * @param {string} name empty for the default one
   */
  choose(name) {
    askModel(name);
    if (this.#names.length) this.#select.value = name || this.#names[0];
  }

  /** @param {string} name */
  #ask(name) {
    askModel(name === this.#names[0] ? "" : name);
  }
}
