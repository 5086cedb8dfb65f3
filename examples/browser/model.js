// @ts-check
/**
 * The model in this browser: the files that `python -m training export` wrote, run by onnxruntime-web.
 *
 * @typedef {object} Prediction
 * @property {string} label The more probable one.
 * @property {number} negative P(negative).
 * @property {number[]} soFar P(negative) if the text ended after each step. The steps are those of the text's tokens, and
 *   then those of padding in a model that reads it.
 * @property {import("./text.js").ReadText} read What of the text was read.
 */
import * as ort from "onnxruntime-web";
import { TextReader } from "./text.js";

ort.env.wasm.numThreads = 1; // several need a server that isolates the page, and one is enough for a model of this size

export class Model {
  /**
   * @param {import("./text.js").TextRules} rules
   * @param {ort.InferenceSession} session
   */
  constructor(rules, session) {
    this.rules = rules;
    this.reader = new TextReader(rules);
    this.session = session;
  }

  /**
   * @param {string} folder Where the files are, with a slash behind it.
   * @throws {Error} One is not there.
   */
  static async load(folder) {
    const [rules, network] = await Promise.all([get(`${folder}text.json`), get(`${folder}model.onnx`)]);
    return new Model(await rules.json(), await ort.InferenceSession.create(await network.arrayBuffer()));
  }

  /**
   * @param {string} text
   * @returns {Promise<Prediction>}
   * @throws {RangeError} The model cannot read it.
   */
  async predict(text) {
    const read = this.reader.read(text);
    const steps = read.tokenIds.length;
    const found = await this.session.run({
      token_ids: new ort.Tensor("int64", BigInt64Array.from(read.tokenIds, BigInt), [1, steps]),
      lengths: new ort.Tensor("int64", BigInt64Array.of(BigInt(steps)), [1]),
    });
    const negative = Number(found.probability_negative.data[0]);
    const label = this.rules.labels[negative >= 0.5 ? 1 : 0];
    return { label, negative, soFar: Array.from(found.probability_so_far.data, Number), read };
  }
}

/** @param {string} url */
async function get(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${answer.statusText}`);
  return answer;
}
