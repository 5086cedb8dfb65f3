// @ts-check
/** Everything one can take along: the link, a picture, the trace in three forms. */

import { ask } from "./api.js";
import { palette } from "./charts.js";
import { percent, verdictOf } from "./format.js";

/** @typedef {import("./trace.js").Trace} Trace */
/** @typedef {import("./charts.js").Chart} Chart */

const WIDTH = 1200; // pixels of a picture, before it is doubled for fine screens
const MARGIN = 40;

/** @type {Record<string, {accept: string, suffix: string}>} */
const FORMS = {
  json: { accept: "application/json", suffix: "json" },
  npz: { accept: "application/x-npz;compression=deflate", suffix: "npz" },
  html: { accept: "text/html", suffix: "html" },
};

/**
 * The address of the page with a text in its fragment, which no server sees.
 * @param {string} text
 */
export function linkTo(text) {
  const url = new URL(location.href);
  url.hash = text ? `text=${encodeURIComponent(text)}` : "";
  return url.href;
}

/** @returns {string} the text that the page's address carries */
export function textOfLink() {
  const found = /^#text=(.*)$/s.exec(location.hash);
  try {
    return found ? decodeURIComponent(found[1]) : "";
  } catch {
    return ""; // somebody cut the link in the middle of a character
  }
}

/**
 * Save the trace in one of its forms, as the service writes it.
 * @param {string} form
 * @param {string} text
 */
export async function saveTrace(form, text) {
  const { accept, suffix } = FORMS[form];
  const answer = await ask("gates", { body: { text }, accept });
  return save(await answer.blob(), `charlstm-trace.${suffix}`);
}

/**
 * Save a trace that the page itself holds.
 * @param {object} recorded
 */
export function saveRecording(recorded) {
  return save(new Blob([JSON.stringify(recorded)], { type: "application/json" }), "charlstm-trace.json");
}

/**
 * Save one picture of the answer and the charts that are drawn.
 * @param {Trace} trace
 * @param {{title: string, chart: Chart}[]} charts
 */
export async function savePicture(trace, charts) {
  const parts = [];
  for (const { title, chart } of charts) {
    const picture = await chart.picture(WIDTH - 2 * MARGIN);
    if (picture) parts.push({ title, image: await imageOf(picture.url), height: picture.height });
  }
  const heading = 168;
  const height = heading + parts.reduce((sum, part) => sum + part.height + 50, 0) + MARGIN;
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH * 2;
  canvas.height = height * 2;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const colours = palette();
  pen.scale(2, 2);
  pen.fillStyle = colours.paper;
  pen.fillRect(0, 0, WIDTH, height);
  writeHeading(pen, trace, colours);
  let top = heading;
  for (const part of parts) {
    pen.fillStyle = colours.ink;
    pen.font = `500 19px ${colours.sans}`;
    pen.fillText(part.title, MARGIN, top + 24);
    pen.drawImage(part.image, MARGIN, top + 38, WIDTH - 2 * MARGIN, part.height);
    top += part.height + 50;
  }
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return save(/** @type {Blob} */ (blob), "charlstm-memory.png");
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Trace} trace
 * @param {ReturnType<typeof palette>} colours
 */
function writeHeading(pen, trace, colours) {
  const { label, probability } = verdictOf(trace.negative);
  const shown = Array.from(trace.text.replace(/\s+/g, " ")).slice(0, 90).join("");
  pen.fillStyle = colours.ink;
  pen.font = `24px ${colours.sans}`;
  pen.fillText(shown.length < trace.text.length ? `${shown} …` : shown, MARGIN, 62, WIDTH - 2 * MARGIN);
  pen.fillStyle = colours[/** @type {"negative" | "positive"} */ (label)];
  pen.font = `600 34px ${colours.sans}`;
  pen.fillText(`${label} ${percent(probability)}`, MARGIN, 110);
  pen.fillStyle = colours.soft;
  pen.font = `14px ${colours.sans}`;
  pen.fillText(`charlstm, model ${trace.model.name} ${trace.model.version}`, MARGIN, 136);
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
