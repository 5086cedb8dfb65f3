// @ts-check
/**
 * Asks a service that may be anybody's. Browsers do not say whether a question was lost on its way or this page may not
 * ask it: where the service is there and the question is lost again, it may not.
 */

import { Unreachable } from "./http.js";
import { inTurn } from "./queue.js";

const PATIENCE = 10; // seconds, for a sign that the service is there

/** The service is there, and this page may not ask it. */
export class NotAllowed extends Error {}

/**
 * Ask for a trace.
 * @param {URL} service
 * @param {object} body
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 * @throws {NotAllowed | Unreachable | import("./queue.js").TooLate | import("./http.js").Problem | DOMException}
 */
export async function askService(service, body, signal) {
  const ask = () => inTurn(new URL("gates", service), body, signal);
  try {
    return await ask();
  } catch (error) {
    const lost = error instanceof Unreachable && service.origin !== location.origin;
    if (!lost || !(await lives(service))) throw error;
  }
  try {
    return await ask();
  } catch (error) {
    throw error instanceof Unreachable ? new NotAllowed("This page may not ask the service.") : error;
  }
}

/**
 * Tell whether the service is there. Its script may be read by every page.
 * @param {URL} service
 */
async function lives(service) {
  try {
    const signal = AbortSignal.timeout(PATIENCE * 1000);
    return (await fetch(new URL("embed.js", service), { method: "HEAD", cache: "no-cache", signal })).ok;
  } catch {
    return false;
  }
}
