// @ts-check
/** What the reader is told of the connection and of what went wrong, always with what to do or to expect. */

import { knownKey } from "./api.js";
import { byId, counted, element } from "./format.js";
import { Problem, Unreachable } from "./http.js";

const STATES = {
  connecting: "Connecting",
  open: "Live: every character is read as you type it",
  lost: "The connection is lost. Your text is safe here; trying again",
  "not-ready": "The service is still loading its model; trying again",
  key: "A key is needed",
  crowded: "All live sessions are taken: the text is read whenever you pause",
  refused: "No live session can be had: the text is read whenever you pause",
  resting: "Paused after a while without typing; type on to continue",
  unread: "Not read: see what is said above",
};

const FAILED = "The service failed at this. Try it again; its log says more.";

/** @type {Record<string, string>} in the page's own words, by the kind of problem */
const WORDS = {
  "empty-text": "There is nothing in it that the model could read.",
  "invalid-character": "It holds a character that is none, such as half of an emoji: take it out.",
  overloaded: "The service has too much to do just now. Try again in a moment.",
  "not-ready": "The service is still loading its model. Try again in a moment.",
  "engine-lost": "The service has to start its model again. Try again in a moment.",
  "deadline-exceeded": "The service took too long. Try again in a moment.",
  unauthorized: "This needs a key: write it into the field at the top.",
  "body-too-large": "That is too much for one request.",
  "invalid-request": "The service did not take this.",
  "too-big": "The text is much longer than the service reads. Shorten it.",
  misunderstood: "The service did not understand what this page sent. Load the page anew.",
};

/** @param {import("./live.js").State | "unread"} state */
export function showState(state) {
  const line = byId("connection");
  line.textContent = STATES[state];
  line.dataset.state = state === "open" ? "open" : state === "connecting" || state === "resting" ? "" : "lost";
  if (state === "key") askForKey();
  else if (["crowded", "refused", "not-ready"].includes(state)) acceptKey(); // so far comes only who has a good one
}

function askForKey() {
  byId("key-form").hidden = false;
  byId("key-fault").textContent = knownKey() ? "This key is not known." : "";
  byId("key").focus();
}

/** The service has answered, so it wants no other key: the text is next. */
export function acceptKey() {
  const form = byId("key-form");
  if (form.hidden) return;
  form.hidden = true;
  byId("text").focus();
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
  notice.replaceChildren(element("b", {}, title), `. ${wordsOf(error)}${again ? " It is tried again by itself." : ""}`);
  if (error instanceof Problem && error.status === 401) showState("key");
}

/**
 * Say in the page's own words what went wrong.
 * @param {Error} error
 */
export function wordsOf(error) {
  if (error instanceof Unreachable) return "The service cannot be reached. Your text is safe here; try again in a moment.";
  if (!(error instanceof Problem)) return error.message;
  const fault = error.errors.find(({ limit }) => limit !== undefined);
  if (error.kind === "text-too-long" && fault) return tooLong(fault);
  if (error.kind === "too-many-words" && fault) return `The text has ${counted(Number(fault.found), "word")}, and at most ${fault.limit} are left out one by one.`;
  if (!error.kind && !error.status) return error.message; // of the page's own making
  return WORDS[error.kind] ?? (error.status >= 500 ? FAILED : `The service did not take this: ${error.message}.`.replace(/\.\.$/, "."));
}

/** @param {import("./http.js").Fault} fault */
function tooLong({ field, limit = 0, found }) {
  const which = field === "second" ? "The other text" : "The text";
  const number = Number(found);
  const length = Number.isFinite(number) ? counted(number, "character") : "too many characters";
  const less = number > limit ? ` Shorten it by ${(number - limit).toLocaleString("en")}.` : " Shorten it.";
  return `${which} has ${length}, and at most ${limit.toLocaleString("en")} are read.${less}`;
}

/**
 * Try something that the service may refuse, and say beside what caused it if it does.
 * @param {() => Promise<void>} attempt
 * @param {HTMLElement} [place] where to say it; without one, at the top
 */
export async function attempt(attempt, place) {
  const say = (/** @type {Error | null} */ error) => {
    if (!place) complain(error);
    else place.textContent = error ? wordsOf(error) : "";
    if (place && error instanceof Problem && error.status === 401) showState("key");
  };
  try {
    say(null);
    await attempt();
  } catch (error) {
    if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
    say(error);
  }
}

/**
 * Say beside a field what is wrong with what stands in it, or that nothing is.
 * @param {HTMLElement} input
 * @param {HTMLElement} place
 * @param {string} words
 */
export function faultIn(input, place, words) {
  place.textContent = words;
  if (words) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}
