// @ts-check
/** What an element says when it has no answer: the problem in the service's words, and a way to try again. */

import { element } from "./format.js";
import { Problem, Unreachable } from "./http.js";

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
 * @returns {Promise<{title: string, detail: string}>}
 */
export async function wrongWith(error, address) {
  if (!URL.canParse(address, document.baseURI)) return { title: "No service", detail: `${address} is no address.` };
  const service = new URL(address, document.baseURI);
  if (error instanceof Problem) return { title: error.title, detail: error.message };
  if (!(error instanceof Unreachable)) return { title: "No answer", detail: "What came back is no answer of this service." };
  const mine = service.origin === location.origin;
  if (!mine && (await lives(service))) {
    const pages = location.origin === "null" ? "pages opened as files" : `pages of ${location.origin}`;
    return { title: "Not allowed here", detail: `The service at ${service.origin} does not answer ${pages}: its setting allowed_origins has to name them.` };
  }
  return { title: "No connection", detail: `Nothing answers at ${service.origin}${mine ? "" : ", or this page’s content security policy forbids to ask there"}.` };
}

/**
 * Tell whether the service is there: browsers do not say whether it is that, or whether this page may not ask it. Its
 * script may be read by every page.
 * @param {URL} service
 */
async function lives(service) {
  try {
    return (await fetch(new URL("embed.js", service), { method: "HEAD", cache: "no-cache" })).ok;
  } catch {
    return false;
  }
}
