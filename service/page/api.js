// @ts-check
/** Asks the page's own service: the key is shown where there is one, and the model that was chosen is asked. */

import { exchange, Unreachable } from "./http.js";

const KEPT_KEY = "charlstm.key";

let key = "";
try {
  key = sessionStorage.getItem(KEPT_KEY) ?? "";
} catch {
  // storage is refused: the key lasts as long as the page
}

export function knownKey() {
  return key;
}

/** @param {string} given */
export function keepKey(given) {
  key = given;
  try {
    sessionStorage.setItem(KEPT_KEY, given);
  } catch {
    // as above
  }
}

/** The name of the model that is asked; empty is the default one. */
let model = "";

export function askedModel() {
  return model;
}

/** @param {string} name empty for the default one */
export function askModel(name) {
  model = name;
}

/** @param {string} path below the page's own */
export function urlOf(path) {
  return new URL(path, document.baseURI);
}

/**
 * Ask for something, of the model that is asked.
 * @param {string} path
 * @param {{body?: object, accept?: string, signal?: AbortSignal, of?: string}} [how] with a body it is a POST; `of` another model
 * @returns {Promise<Response>} a good answer
 * @throws {import("./http.js").Problem | import("./http.js").Unreachable | DOMException}
 */
export async function ask(path, { body, accept = "application/json", signal, of = model } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: accept };
  if (key) headers["X-API-Key"] = key;
  const url = urlOf(path);
  if (of && !body) url.searchParams.set("model", of);
  return exchange(url, { body: body && of ? { ...body, model: of } : body, headers, signal });
}

/**
 * Ask for a document.
 * @param {string} path
 * @param {object} [body]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function askJson(path, body, signal) {
  const answer = await ask(path, { body, signal });
  return whole(answer.json());
}

/**
 * Wait for all of an answer, of which the head has come.
 * @template T
 * @param {Promise<T>} reading
 * @returns {Promise<T>}
 * @throws {import("./http.js").Unreachable | DOMException}
 */
export async function whole(reading) {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof DOMException) throw error;
    throw new Unreachable("The answer was cut short.");
  }
}

/** Asks one thing after the other, of which only the last counts: an earlier question is given up. */
export class Latest {
  /** @type {AbortController | null} */
  #running = null;

  /**
   * @param {string} path
   * @param {object} body
   * @returns {Promise<any | null>} null if a later question took its place
   */
  async ask(path, body) {
    this.forget();
    const mine = new AbortController();
    this.#running = mine;
    try {
      return await askJson(path, body, mine.signal);
    } catch (error) {
      if (mine.signal.aborted) return null;
      throw error;
    } finally {
      if (this.#running === mine) this.#running = null;
    }
  }

  forget() {
    this.#running?.abort();
    this.#running = null;
  }
}
