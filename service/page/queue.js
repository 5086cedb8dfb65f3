// @ts-check
/**
 * The questions of all elements of a page, in their order and a few at a time, so that a page that shows many answers
 * asks no more of a service than one that shows two. Where a service has too much to do, all that is asked of it waits as
 * long as it says, and is asked again. Each service has a line of its own.
 */

import { exchange, Problem } from "./http.js";

/** @typedef {{url: URL, body: object, signal: AbortSignal, resolve: (answer: any) => void, reject: (error: unknown) => void}} Question */

const AT_A_TIME = 2;
const TRIES = 4;
const LONGEST_REST = 10; // seconds; who is told to wait longer is told so
const PATIENCE = 30; // seconds; a service gives up after 10 by itself, if it is not told otherwise

/** The service has not answered in time. */
export class TooLate extends Error {}

/** @type {Map<string, Line>} by the origin of the service */
const lines = new Map();

/**
 * Ask for a document, in turn.
 * @param {URL} url
 * @param {object} body
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 * @throws {Problem | import("./http.js").Unreachable | TooLate | DOMException}
 */
export function inTurn(url, body, signal) {
  const line = lines.get(url.origin) ?? new Line();
  lines.set(url.origin, line);
  return new Promise((resolve, reject) => line.join({ url, body, signal, resolve, reject }));
}

/** The questions to one service. */
class Line {
  /** @type {Question[]} */
  #waiting = [];
  #running = 0;
  #restsUntil = 0;

  /** @param {Question} question */
  join(question) {
    this.#waiting.push(question);
    this.#askNext();
  }

  async #askNext() {
    if (this.#running >= AT_A_TIME) return;
    const question = this.#waiting.shift();
    if (!question) return;
    this.#running += 1;
    try {
      question.resolve(await this.#answerTo(question));
    } catch (error) {
      question.reject(error);
    } finally {
      this.#running -= 1;
      this.#askNext();
    }
  }

  /** @param {Question} question */
  async #answerTo(question) {
    for (let tries = 1; ; tries++) {
      await this.#restIfTold();
      question.signal.throwIfAborted();
      try {
        return await answerInTime(question);
      } catch (error) {
        const rest = restAfter(error);
        if (rest === null || tries === TRIES) throw error;
        this.#restsUntil = Math.max(this.#restsUntil, performance.now() + rest * 1000);
      }
    }
  }

  async #restIfTold() {
    for (let left = this.#restsUntil - performance.now(); left > 0; left = this.#restsUntil - performance.now()) {
      await new Promise((rested) => setTimeout(rested, left));
    }
  }
}

/** @param {Question} question */
async function answerInTime({ url, body, signal }) {
  const late = AbortSignal.timeout(PATIENCE * 1000);
  try {
    return await (await exchange(url, { body, signal: AbortSignal.any([signal, late]) })).json();
  } catch (error) {
    if (late.aborted && error instanceof DOMException) throw new TooLate("The service took too long.");
    throw error;
  }
}

/**
 * How long to wait before the same question is worth asking again.
 * @param {unknown} error
 * @returns {number | null} in seconds; null if it is not
 */
function restAfter(error) {
  if (!(error instanceof Problem) || ![429, 503].includes(error.status)) return null;
  const seconds = error.retryAfter ?? 1;
  return seconds <= LONGEST_REST ? seconds : null;
}
