// @ts-check
/** Which colours of a heat map mean what. */

import { signalOf } from "./signals.js";

/**
 * How far the colours of an unbounded signal reach: past that of 49 in 50 cells, so that one giant does not pale the rest.
 * @param {number[][]} z in any order
 */
export function boundOf(z) {
  const sizes = z.flat().map(Math.abs).sort((one, other) => one - other);
  return Math.max(sizes[Math.floor((sizes.length - 1) * 0.98)], 1e-3);
}

/**
 * Say it of one signal: the ends of its strip of colours, in words.
 * @param {string} signal
 * @param {number[][]} z
 */
export function scaleOf(signal, z) {
  const { signed, limit } = signalOf(signal);
  const bound = limit ?? boundOf(z);
  const most = bound >= 10 ? bound.toFixed(0) : bound >= 1 ? String(Number(bound.toFixed(1))) : bound.toPrecision(2);
  return { signed, bound, least: signed ? `\u2212${most}${limit ? "" : " or less"}` : "0", most: limit ? most : `${most} or more` };
}
