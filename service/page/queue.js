// @ts-check
/**
 * The questions of all elements of a page, in their order and a few at a time, so that a page that shows many answers
 * asks no more of the service than one that shows two. Where the service has too much to do, all of them wait as long as
 * it says, and ask again.
 */

import { exchange, Problem } from "./http.js";

/** @typedef {{url: URL, body: object, signal: AbortSignal, resolve: (answer: any) => void, reject: (error: unknown) => void}} Question */

const AT_A_TIME = 2;
const TRIES = 4;
const LONGEST_REST = 10; // seconds; who is told to wait longer is told so

/** @type {Question[]} */
const waiting = [];
let running = 0;
let restsUntil = 0;

/**
 * Ask for a document, in turn.
 * @param {URL} url
 * @param {object} body
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 * @throws {Problem | import("./http.js").Unreachable | DOMException}
 */
export function inTurn(url, body, signal) {
  return new Promise((resolve, reject) => {
    waiting.push({ url, body, signal, resolve, reject });
    askNext();
  });
}

async function askNext() {
  if (running >= AT_A_TIME) return;
  const question = waiting.shift();
  if (!question) return;
  running += 1;
  try {
    question.resolve(await answerTo(question));
  } catch (error) {
    question.reject(error);
  } finally {
    running -= 1;
    askNext();
  }
}

/** @param {Question} question */
async function answerTo({ url, body, signal }) {
  for (let tries = 1; ; tries++) {
    await restIfTold();
    signal.throwIfAborted();
    try {
      return await (await exchange(url, { body, signal })).json();
    } catch (error) {
      const rest = restAfter(error);
      if (rest === null || tries === TRIES) throw error;
      restsUntil = Math.max(restsUntil, performance.now() + rest * 1000);
    }
  }
}

async function restIfTold() {
  for (let left = restsUntil - performance.now(); left > 0; left = restsUntil - performance.now()) {
    await new Promise((rested) => setTimeout(rested, left));
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
