// @ts-check
/** One exchange with the service over HTTP: a good answer, or what went wrong as an error. */

/** @typedef {{field: string, message: string, limit?: number, found?: number | string}} Fault */

const AGAIN = 2; // seconds until a busy service is asked again, if it does not say

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

  /** How many milliseconds to wait before the same question is asked again, if it may be answered then. */
  get pause() {
    return (this.retryAfter ?? AGAIN) * 1000;
  }

  /** Whether the same question may well be answered a little later. */
  get passes() {
    return [429, 503, 504].includes(this.status);
  }
}

/** The service could not be reached at all. */
export class Unreachable extends Error {}

/**
 * Ask for something.
 * @param {URL} url
 * @param {{body?: object, headers?: Record<string, string>, signal?: AbortSignal}} [how] with a body it is a POST
 * @returns {Promise<Response>} a good answer
 * @throws {Problem | Unreachable | DOMException}
 */
export async function exchange(url, { body, headers = {}, signal } = {}) {
  const method = body ? "POST" : "GET";
  const sent = body ? { ...headers, "Content-Type": "application/json" } : headers;
  let answer;
  try {
    answer = await fetch(url, { method, headers: sent, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error instanceof DOMException) throw error;
    throw new Unreachable("The service cannot be reached.");
  }
  if (answer.ok) return answer;
  const retry = Number(answer.headers.get("Retry-After"));
  const document = await answer.json().catch(() => ({}));
  throw new Problem({ status: answer.status, ...document, ...(retry ? { retry_after: retry } : {}) });
}
