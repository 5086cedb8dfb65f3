// @ts-check
/** Everything one can take along: the link, a picture, the trace in three forms. */

import { ask, askedModel, whole } from "./api.js";
import { palette, pictureOf } from "./charts.js";
import { percent, verdictOf } from "./format.js";

/** @typedef {import("./trace.js").Trace} Trace */
/** @typedef {import("./charts.js").Figure} Figure */
/** @typedef {import("./what-if.js").Changes} Changes */

const WIDTH = 1200; // pixels of a picture, before it is doubled for fine screens
const MARGIN = 40;
const CHANGED = "-changed"; // in the name of a file

/** @type {Record<string, {accept: string, suffix: string}>} */
const FORMS = {
  json: { accept: "application/json", suffix: "json" },
  npz: { accept: "application/x-npz;compression=deflate", suffix: "npz" },
  html: { accept: "text/html", suffix: "html" },
};

/**
 * The address of the page with a text, what is changed and which model is asked in its fragment, which no server sees.
 * @param {string} text
 * @param {Changes} changes
 */
export function linkTo(text, { holds, cuts }) {
  const url = new URL(location.href);
  const parts = [
    `text=${encodeURIComponent(text)}`,
    ...(cuts.length ? [`without=${cuts.map(({ start, stop }) => `${start}-${stop}`).join(",")}`] : []),
    ...(holds.length ? [`hold=${holds.map(({ signal, layer, unit, value }) => [signal, layer, unit, value].join(":")).join(",")}`] : []),
  ];
  if (askedModel()) parts.push(`model=${encodeURIComponent(askedModel())}`);
  url.hash = text ? parts.join("&") : "";
  return url.href;
}

/** @returns {{text: string, changes: Changes, model: string} | null} what the page's address carries; null if it carries no text */
export function readLink() {
  const [, text, ...parts] = /^#text=([^&]*)(.*)$/s.exec(location.hash) ?? [];
  if (text === undefined) return null;
  const carried = new URLSearchParams(parts.join(""));
  const listed = (/** @type {string} */ name) => carried.get(name)?.split(",") ?? [];
  const cuts = listed("without").map((span) => span.split("-").map(Number)).map(([start, stop]) => ({ start, stop }));
  const holds = listed("hold")
    .map((hold) => hold.split(":"))
    .map(([signal, layer, unit, value]) => ({ signal, layer: Number(layer), unit: Number(unit), value: Number(value) }))
    .filter(({ layer, unit }) => Number.isInteger(layer) && Number.isInteger(unit) && unit >= 0);
  try {
    return { text: decodeURIComponent(text), changes: { holds, cuts }, model: carried.get("model") ?? "" };
  } catch {
    return null; // somebody cut the link in the middle of a character
  }
}

/**
 * Save the trace in one of its forms, as the service writes it.
 * @param {string} form
 * @param {string} text
 * @param {object | null} changed what of the request beside the text; null if nothing is changed
 */
export async function saveTrace(form, text, changed) {
  const { accept, suffix } = FORMS[form];
  const answer = await ask("gates", { body: { text, ...changed }, accept });
  return save(await whole(answer.blob()), `charlstm-trace${changed ? CHANGED : ""}.${suffix}`);
}

/**
 * Save a trace that the page itself holds.
 * @param {object} recorded
 */
export function saveRecording(recorded) {
  return save(new Blob([JSON.stringify(recorded)], { type: "application/json" }), "charlstm-trace.json");
}

/**
 * Save one picture of the answer and the charts of it.
 * @param {Trace} trace
 * @param {{title: string, figure: (width: number) => Figure}[]} charts
 * @param {{negative: number, words: string} | null} change what the answer was before, and what is changed; null if nothing is
 */
export async function savePicture(trace, charts, change) {
  const parts = [];
  for (const { title, figure } of charts) {
    const { url, height } = await pictureOf(figure, WIDTH - 2 * MARGIN);
    parts.push({ title, image: await imageOf(url), height });
  }
  const heading = change ? 194 : 168;
  const height = heading + parts.reduce((sum, part) => sum + part.height + 50, 0) + MARGIN;
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH * 2;
  canvas.height = height * 2;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const colours = palette();
  pen.scale(2, 2);
  pen.fillStyle = colours.paper;
  pen.fillRect(0, 0, WIDTH, height);
  writeHeading(pen, trace, colours, change);
  let top = heading;
  for (const part of parts) {
    pen.fillStyle = colours.ink;
    pen.font = `500 19px ${colours.sans}`;
    pen.fillText(part.title, MARGIN, top + 24);
    pen.drawImage(part.image, MARGIN, top + 38, WIDTH - 2 * MARGIN, part.height);
    top += part.height + 50;
  }
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return save(/** @type {Blob} */ (blob), `charlstm-memory${change ? CHANGED : ""}.png`);
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Trace} trace
 * @param {ReturnType<typeof palette>} colours
 * @param {{negative: number, words: string} | null} change
 */
function writeHeading(pen, trace, colours, change) {
  const shown = Array.from(trace.text.replace(/\s+/g, " ")).slice(0, 90).join("");
  pen.fillStyle = colours.ink;
  pen.font = `24px ${colours.sans}`;
  pen.fillText(shown.length < trace.text.length ? `${shown} …` : shown, MARGIN, 62, WIDTH - 2 * MARGIN);
  pen.font = `600 34px ${colours.sans}`;
  let left = MARGIN;
  const write = (/** @type {string} */ words, /** @type {string} */ colour) => {
    pen.fillStyle = colour;
    pen.fillText(words, left, 110);
    left += pen.measureText(words).width;
  };
  const answers = change ? [change.negative, trace.negative] : [trace.negative];
  answers.forEach((negative, index) => {
    const { label, probability } = verdictOf(negative);
    if (index) write(" → ", colours.soft);
    write(`${label} ${percent(probability)}`, colours[/** @type {"negative" | "positive"} */ (label)]);
  });
  pen.fillStyle = colours.soft;
  pen.font = `14px ${colours.sans}`;
  pen.fillText(`charlstm, model ${trace.model.name} ${trace.model.version}`, MARGIN, 136);
  if (!change) return;
  pen.fillStyle = colours.ink;
  pen.fillText(`Changed: ${change.words}. The charts are of the changed answer.`, MARGIN, 162, WIDTH - 2 * MARGIN);
}

/** @param {string} url @returns {Promise<HTMLImageElement>} */
async function imageOf(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  return name;
}
