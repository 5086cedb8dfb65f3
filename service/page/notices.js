// @ts-check
/** What the reader is told of the connection and of what went wrong, always with what to do or to expect. */

import { Problem, Unreachable } from "./api.js";
import { byId, element } from "./format.js";

const STATES = {
  connecting: "Connecting",
  open: "Live: every character is read as you type it",
  lost: "The connection is lost. Your text is safe here; trying again",
  "not-ready": "The service is still loading its model; trying again",
  key: "A key is needed",
  crowded: "All live sessions are taken: the text is read whenever you pause",
  refused: "No live session can be had: the text is read whenever you pause",
  resting: "Paused after a while without typing; type on to continue",
};

/** @param {import("./live.js").State} state */
export function showState(state) {
  const line = byId("connection");
  line.textContent = STATES[state];
  line.dataset.state = state === "open" ? "open" : state === "connecting" || state === "resting" ? "" : "lost";
  byId("key-form").hidden = state !== "key";
}

/**
 * Say what went wrong, or that nothing does.
 * @param {Error | null} error
 * @param {boolean} [again] whether the page tries again by itself
 */
export function complain(error, again = false) {
  const notice = byId("notice");
  notice.hidden = !error;
  if (!error) return;
  const title = error instanceof Problem ? error.title : "That did not work";
  notice.replaceChildren(element("b", {}, title), `. ${sentence(error.message)}${again ? " It is tried again by itself." : ""}`);
  if (error instanceof Problem && error.status === 401) showState("key");
}

/** @param {string} words */
function sentence(words) {
  const text = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/**
 * Try something that the service may refuse.
 * @param {() => Promise<void>} attempt
 */
export async function attempt(attempt) {
  try {
    complain(null);
    await attempt();
  } catch (error) {
    if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
    complain(error);
  }
}
