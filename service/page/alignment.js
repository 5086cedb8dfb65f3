// @ts-check
/** Two aligned texts word by word: where the service's segments cut through a word, its pieces are put together. */

/**
 * @typedef {{start: number, stop: number, text: string, share: number}} Part
 * @typedef {{kind: string, first: Part, second: Part, difference: number}} Segment
 * @typedef {{equal: boolean, at: [number, number], to: [number, number]}} Run from a step of each text to another
 * @typedef {object} Read what the service says of one of the texts
 * @property {string} text
 * @property {(number | null)[]} offsets
 * @property {{steps: number[]}} contributions
 */

/**
 * Put a comparison's segments together so that each begins and ends between words; the differences still add up.
 * @param {{first: Read, second: Read, segments: Segment[]}} answer
 * @returns {Segment[]}
 */
export function byWord({ first, second, segments }) {
  const sides = [sideOf(first), sideOf(second)];
  /** @type {Run[]} */
  const runs = [];
  for (const { equal, at, to } of pieces(segments)) {
    const last = runs.at(-1);
    if (!last || sides.every((side, index) => side.isBetweenWords(at[index]))) runs.push({ equal, at, to });
    else {
      last.equal &&= equal;
      last.to = to;
    }
  }
  return joined(runs).map(({ equal, at, to }) => {
    const [one, other] = sides.map((side, index) => side.part(at[index], to[index]));
    const kind = equal ? "equal" : !one.text ? "inserted" : !other.text ? "deleted" : "replaced";
    return { kind, first: one, second: other, difference: other.share - one.share };
  });
}

/**
 * What may not be divided: a single step that both texts share, or all of a segment in which they differ.
 * @param {Segment[]} segments
 * @returns {Run[]}
 */
function pieces(segments) {
  return segments.flatMap(({ kind, first, second }) => {
    const divided = kind === "equal" ? Array.from({ length: first.stop - first.start }, (_, index) => index) : [0];
    return divided.map((index) => {
      /** @type {Run} */
      const run = { equal: kind === "equal", at: [first.start + index, second.start + index], to: [first.stop, second.stop] };
      if (run.equal) run.to = [run.at[0] + 1, run.at[1] + 1];
      return run;
    });
  });
}

/** @param {Run[]} runs */
function joined(runs) {
  /** @type {Run[]} */
  const found = [];
  for (const run of runs) {
    const last = found.at(-1);
    if (last?.equal && run.equal) last.to = run.to;
    else found.push({ ...run });
  }
  return found;
}

/** @param {Read} read */
function sideOf({ text, offsets, contributions }) {
  const points = Array.from(text);
  const placeOf = (/** @type {number} */ step) => offsets[step] ?? points.length;
  const isWritten = (/** @type {number} */ place) => place >= 0 && place < points.length && /\S/.test(points[place]);
  return {
    isBetweenWords(/** @type {number} */ step) {
      const place = placeOf(step);
      return !(isWritten(place - 1) && isWritten(place));
    },
    part(/** @type {number} */ start, /** @type {number} */ stop) {
      const share = contributions.steps.slice(start, stop).reduce((sum, step) => sum + step, 0);
      return { start, stop, text: points.slice(placeOf(start), placeOf(stop)).join(""), share };
    },
  };
}
