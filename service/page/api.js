// @ts-check
/** Asks the service over HTTP: the key is shown where there is one, and every error is a problem document. */

const KEPT_KEY = "charlstm.key";

/** @typedef {{field: string, message: string, limit?: number, found?: number | string}} Fault */

/** What the service says when it gives no other answer (RFC 9457). */
export class Problem extends Error {
  /** @param {{type?: string, title?: string, detail?: string, status?: number, retry_after?: number, errors?: Fault[]}} document */
  constructor(document) {
    super(document.detail ?? document.title ?? "The service gave no answer.");
    this.title = document.title ?? "No answer";
    this.status = document.status ?? 0;
    /** The end of its type, such as `text-too-long`. */
    this.kind = document.type?.split("/").at(-1) ?? "";
    this.errors = document.errors ?? [];
    /** @type {number | null} seconds */
    this.retryAfter = document.retry_after ?? null;
  }

  /** Whether the same question may well be answered a little later. */
  get passes() {
    return [429, 503, 504].includes(this.status);
  }
}

/** The service could not be reached at all. */
export class Unreachable extends Error {}

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
 * @param {{body?: object, accept?: string, signal?: AbortSignal}} [how] with a body it is a POST
 * @returns {Promise<Response>} a good answer
 * @throws {Problem | Unreachable | DOMException}
 */
export async function ask(path, { body, accept = "application/json", signal } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: accept };
  if (key) headers["X-API-Key"] = key;
  if (body) headers["Content-Type"] = "application/json";
  const url = urlOf(path);
  if (model && !body) url.searchParams.set("model", model);
  const question = body && JSON.stringify(model ? { ...body, model } : body);
  let answer;
  try {
    answer = await fetch(url, { method: body ? "POST" : "GET", headers, body: question, signal });
  } catch (error) {
    if (error instanceof DOMException) throw error;
    throw new Unreachable("The service cannot be reached.");
  }
  if (answer.ok) return answer;
  const retry = Number(answer.headers.get("Retry-After"));
  const document = await answer.json().catch(() => ({}));
  throw new Problem({ status: answer.status, ...document, ...(retry ? { retry_after: retry } : {}) });
}

/**
 * Ask for a document.
 * @param {string} path
 * @param {object} [body]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function askJson(path, body, signal) {
  return (await ask(path, { body, signal })).json();
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
