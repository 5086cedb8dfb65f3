// @ts-check
/** What an element says when it has no answer: the problem in the service's words, and a way to try again. */

import { element } from "./format.js";
import { Problem, Unreachable } from "./http.js";
import { TooLate } from "./queue.js";
import { NotAllowed } from "./reach.js";

export class Complaint {
  #words = element("p");

  /** @param {() => void} onAgain what the button does */
  constructor(onAgain) {
    const again = element("button", { type: "button", part: "again" }, "Try again");
    again.addEventListener("click", onAgain);
    this.box = element("div", { class: "problem", part: "problem", role: "status" }, this.#words, again);
    this.hide();
  }

  hide() {
    this.box.hidden = true;
  }

  /** @param {{title: string, detail: string}} problem */
  show({ title, detail }) {
    this.#words.replaceChildren(element("b", {}, `${title}.`), ` ${detail}`);
    this.box.hidden = false;
  }
}

/**
 * Say what was wrong.
 * @param {unknown} error
 * @param {string} address of the service that was asked
 * @returns {{title: string, detail: string}}
 */
export function wrongWith(error, address) {
  if (!URL.canParse(address, document.baseURI)) return { title: "No service", detail: `${address} is no address.` };
  const { origin } = new URL(address, document.baseURI);
  if (error instanceof Problem) return { title: error.title, detail: error.message };
  if (error instanceof TooLate) return { title: "No answer", detail: `The service at ${origin} took too long.` };
  if (error instanceof NotAllowed) {
    const pages = location.origin === "null" ? "pages opened as files" : `pages of ${location.origin}`;
    return { title: "Not allowed here", detail: `The service at ${origin} does not answer ${pages}: its setting allowed_origins has to name them.` };
  }
  if (!(error instanceof Unreachable)) return { title: "No answer", detail: "What came back is no answer of this service." };
  const forbidden = origin === location.origin ? "" : ", or this page’s content security policy forbids to ask there";
  return { title: "No connection", detail: `Nothing answers at ${origin}${forbidden}.` };
}
