// @ts-check
/**
 * A session of `WS /gates/live`: what changed in the text goes out, and what it did to the memory comes back.
 *
 * One message is on its way at a time; whatever is typed meanwhile goes out together with the next. The text lives here,
 * not in the connection: when the server is lost, the session comes back by itself and sends it all again.
 */

import { ask, askedModel, knownKey, Latest, urlOf } from "./api.js";
import { Problem, Unreachable } from "./http.js";
import { SIGNAL_NAMES } from "./signals.js";
import { Trace } from "./trace.js";

/** @typedef {"connecting" | "open" | "lost" | "not-ready" | "key" | "crowded" | "refused" | "resting"} State */

const PROTOCOL = "charlstm.v1";
const PATIENCE = 15_000; // milliseconds without an answer after which a connection counts as dead
const FIRST_PAUSE = 400;
const LONGEST_PAUSE = 5_000;
const IDLE = 4408;
const NO_KEY = 4401;
const TOO_FAST = 4429;
const CROWDED = 4503;
const MISUNDERSTOOD = 4400;
const TOO_BIG = 1009;
const SLOWER = 250; // milliseconds between messages, once the server finds them too many
const BY_REQUEST = 250; // milliseconds without typing after which a text is sent whole, if there is no session
const DECIMALS = 4; // of the signals: more than a picture shows, and half the bytes
const LOST = 2_000; // milliseconds after which a text whose question was lost is asked for again

/**
 * What has to be taken back from the end of a text, and put there, to make it another one; counted as Unicode does.
 * @param {string[]} before characters
 * @param {string[]} after characters
 */
export function difference(before, after) {
  let same = 0;
  while (same < before.length && same < after.length && before[same] === after[same]) same++;
  return { back: before.length - same, text: after.slice(same).join("") };
}

/** What is wrong with a text for which the server has closed the connection. @type {Record<number, {type: string, title: string, status: number}>} */
const CLOSING = {
  [TOO_BIG]: { type: "too-big", title: "Too long", status: 413 },
  [MISUNDERSTOOD]: { type: "misunderstood", title: "Not understood", status: 422 },
};

/** @param {string} key */
function asProtocol(key) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(key));
  return `bearer.${btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

export class LiveSession {
  /** @type {WebSocket | null} */
  #socket = null;
  #wanted = "";
  /** @type {string[]} the text that the server has */
  #known = [];
  /** @type {string[] | null} the text that it is about to have */
  #sent = null;
  /** @type {Trace | null} */
  #trace = null;
  /** The text that was refused: it is not sent again until it is to be read once more. @type {string | null} */
  #refused = null;
  /** The one for which the connection was closed, which would only be closed again. @type {string | null} */
  #closing = null;
  /** The model that the server was told to ask, with the signals that are wanted; null if it knows neither. @type {string | null} */
  #told = null;
  /** The one that it is about to know. */
  #telling = "";
  /** Whether texts go by `POST /gates` meanwhile, since the server lives but has no session for this page. */
  #byRequest = false;
  #latest = new Latest();
  #pause = FIRST_PAUSE;
  #gap = 0;
  #lastSent = 0;
  #opened = false;
  /** @type {number | undefined} */
  #timer;
  /** @type {number | undefined} */
  #patience;
  /** @type {number | undefined} */
  #request;

  /**
   * @param {object} told
   * @param {(trace: Trace | null, text: string) => void} told.onTrace
   * @param {(problem: Problem) => void} told.onProblem
   * @param {(state: State) => void} told.onState
   */
  constructor({ onTrace, onProblem, onState }) {
    this.onTrace = onTrace;
    this.onProblem = onProblem;
    this.onState = onState;
    addEventListener("online", () => this.connect());
  }

  /**
   * Have a text read; the last one counts.
   * @param {string} text
   */
  read(text) {
    this.#wanted = text;
    this.#refused = this.#closing = null;
    if (this.#byRequest) this.#askSoon();
    if (this.#socket) this.#send();
    else if (this.#timer === undefined) this.connect();
  }

  /** @returns {State} */
  get state() {
    return this.#byRequest ? "crowded" : this.#socket?.readyState === WebSocket.OPEN ? "open" : "connecting";
  }

  /** Tell of the last answer once more, if it is the text's. */
  repeat() {
    if (this.#told === askedModel() && this.#wanted === this.#known.join("")) this.onTrace(this.#trace, this.#wanted);
  }

  /** Have the text read anew: by another model, or by what a reload has put in its place. */
  readAnew() {
    this.#told = null;
    this.read(this.#wanted);
  }

  /** Connect now, if there is no connection. */
  connect() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#socket) return;
    const url = urlOf("gates/live");
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.search = url.hash = "";
    const key = knownKey();
    const socket = new WebSocket(url, key ? [PROTOCOL, asProtocol(key)] : [PROTOCOL]);
    this.#socket = socket;
    this.#opened = false;
    this.#known = [];
    this.#sent = null;
    socket.onopen = () => this.#open();
    socket.onmessage = (event) => this.#hear(JSON.parse(event.data));
    socket.onclose = (event) => this.#closed(socket, event.code);
  }

  #open() {
    this.#opened = true;
    this.#told = null;
    this.#refused = this.#closing;
    if (!this.#byRequest) this.onState("open"); // else the first answer shows whether it stays
    this.#send();
  }

  #send() {
    const socket = this.#socket;
    if (!socket || socket.readyState !== WebSocket.OPEN || this.#sent || this.#refused === this.#wanted) return;
    const text = Array.from(this.#wanted);
    const changed = difference(this.#known, text);
    const model = askedModel();
    const isTold = this.#told === model;
    if (isTold && !changed.back && !changed.text) return;
    const early = this.#lastSent + this.#gap - performance.now();
    if (early > 0) {
      setTimeout(() => this.#send(), early);
      return;
    }
    this.#sent = text;
    this.#telling = model;
    this.#lastSent = performance.now();
    const wishes = isTold ? {} : { model: model || null, detail: "full", signals: SIGNAL_NAMES, precision: DECIMALS };
    socket.send(JSON.stringify({ ...changed, ...wishes }));
    this.#patience = setTimeout(() => socket.close(), PATIENCE);
  }

  /** @param {any} answer */
  #hear(answer) {
    clearTimeout(this.#patience);
    const text = this.#sent ?? this.#known;
    this.#sent = null;
    const whole = text.join("");
    if (answer.problem) {
      const problem = new Problem(answer.problem);
      if (problem.passes || (whole === this.#wanted && this.#telling === askedModel())) this.#refuse(problem);
      else this.#send(); // another text is to be read by now, or by another model
      return;
    }
    this.#pause = FIRST_PAUSE; // it works
    if (this.#byRequest) this.#leaveRequests();
    this.#told = this.#telling;
    this.#known = text;
    this.#trace = Trace.after(this.#trace, whole, answer);
    this.onTrace(this.#trace, whole);
    this.#send();
  }

  /** @param {Problem} problem */
  #refuse(problem) {
    const text = this.#wanted;
    this.#refused = text;
    if (problem.passes) setTimeout(() => this.#wanted === text && this.read(text), problem.pause);
    this.onProblem(problem);
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   */
  async #closed(socket, code) {
    if (this.#socket !== socket) return;
    clearTimeout(this.#patience);
    const sent = this.#sent?.join("");
    this.#socket = null;
    this.#known = [];
    this.#sent = null;
    const refusal = CLOSING[code];
    if (refusal && sent === this.#wanted) {
      this.#closing = sent;
      this.#refuse(new Problem(refusal));
    }
    if (code === IDLE) {
      this.onState("resting"); // the next character wakes it
      return;
    }
    if (code === TOO_FAST) this.#gap = SLOWER;
    const state = code === NO_KEY ? "key" : code === CROWDED ? "crowded" : this.#opened ? "lost" : await whyRefused();
    if (this.#socket) return; // it was connected again meanwhile
    const wasByRequest = this.#byRequest;
    this.#byRequest = state === "crowded" || state === "refused";
    if (!(wasByRequest && this.#byRequest)) {
      if (!refusal) this.onState(state);
      if (this.#byRequest) this.#askSoon();
    }
    if (state !== "key") this.#retry();
  }

  /** There is a session again. */
  #leaveRequests() {
    this.#byRequest = false;
    clearTimeout(this.#request);
    this.#latest.forget();
    this.onState("open");
  }

  #askSoon() {
    clearTimeout(this.#request);
    this.#request = setTimeout(() => this.#ask(), BY_REQUEST);
  }

  /** Have the whole text read by a request of its own. */
  async #ask() {
    const text = this.#wanted;
    if (!this.#byRequest) return;
    if (!text) {
      this.onTrace(null, "");
      return;
    }
    try {
      const answer = await this.#latest.ask("gates", { text });
      if (answer) this.onTrace(new Trace(text, answer), text);
    } catch (error) {
      if (error instanceof Problem) {
        if (error.passes || text === this.#wanted) this.#refuse(error); // else another one is asked for already
      } else if (error instanceof Unreachable) {
        this.#request = setTimeout(() => this.#ask(), LOST);
      } else throw error;
    }
  }

  #retry() {
    clearTimeout(this.#timer);
    const spread = 1 + Math.random() / 4; // so that all the pages of a lost server do not come back at once
    this.#timer = setTimeout(() => this.connect(), this.#pause * spread);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
  }
}

/**
 * Find out why a connection did not come about; a browser does not say.
 * @returns {Promise<State>}
 */
async function whyRefused() {
  try {
    await ask("info", { of: "" });
    return "refused";
  } catch (error) {
    if (!(error instanceof Problem)) return "lost";
    return error.status === 401 ? "key" : error.status === 503 ? "not-ready" : "lost";
  }
}
