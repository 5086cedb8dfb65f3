// @ts-check
/** The look of the element: the page's colours, unless the page that it stands in sets others. */

export const STYLE = `
:host {
  --_text: var(--charlstm-text, light-dark(#1d1c1a, #eceae5));
  --_soft: var(--charlstm-soft, light-dark(#67635c, #aaa69d));
  --_line: var(--charlstm-line, light-dark(#e5e1da, #31353c));
  --_background: var(--charlstm-background, light-dark(#ffffff, #1c1f24));
  --_negative: var(--charlstm-negative, light-dark(#bb4f06, #f6a15c));
  --_negative-fill: var(--charlstm-negative, light-dark(rgb(232 120 32), rgb(240 140 60)));
  --_positive: var(--charlstm-positive, light-dark(#1a65a8, #7cbcf3));
  --_positive-fill: var(--charlstm-positive, light-dark(rgb(45 130 205), rgb(80 160 230)));
  --_above: var(--charlstm-above, light-dark(#1b7837, #8fe388));
  --_below: var(--charlstm-below, light-dark(#762a83, #d9a6ee));
  --_zero: var(--charlstm-zero, light-dark(#f7f7f6, #202329));
  --_focus: var(--charlstm-positive, light-dark(#1a65a8, #7cbcf3));
  --_mono: var(--charlstm-mono, ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace);
  display: block;
  color-scheme: light dark;
  margin-block: 1em;
  font-family: var(--charlstm-font, inherit);
  font-size: var(--charlstm-size, inherit);
  line-height: 1.5;
  text-align: start;
  overflow-wrap: anywhere;
}
:host([hidden]), [hidden] { display: none !important; }
* { box-sizing: border-box; }
p { margin: 0; }

article {
  padding: 1em 1.1em;
  color: var(--_text);
  background: var(--_background);
  border: 1px solid var(--_line);
  border-radius: var(--charlstm-radius, 10px);
}
:focus-visible { outline: 2px solid var(--_focus); outline-offset: 2px; border-radius: 3px; }

.head { display: flex; flex-wrap: wrap; gap: .6em 1.6em; align-items: flex-start; justify-content: space-between; }
.text { flex: 1 1 14em; min-width: 0; font-size: 1.2em; line-height: 1.75; white-space: pre-wrap; }
.spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); user-select: none; }
.letter { padding: .14em 0; }
.letter.negative { background: color-mix(in srgb, var(--_negative-fill) calc(var(--weight) * 100%), transparent); box-shadow: inset 0 calc(var(--bar) * -1) 0 var(--_negative); }
.letter.positive { background: color-mix(in srgb, var(--_positive-fill) calc(var(--weight) * 100%), transparent); box-shadow: inset 0 var(--bar) 0 var(--_positive); }
.letter.unknown { text-decoration: underline dotted var(--_soft); text-underline-offset: .35em; }
.letter.unread { opacity: .4; }
.letter.at { outline: 2px solid var(--_text); border-radius: 2px; }

.answer { flex: none; min-width: 9.5em; padding-top: .25em; }
.verdict { font-size: 1.2em; line-height: 1.3; white-space: nowrap; font-variant-numeric: tabular-nums; }
.verdict b { font-weight: 650; }
[data-state="answered"][data-label="negative"] .verdict { color: var(--_negative); }
[data-state="answered"][data-label="positive"] .verdict { color: var(--_positive); }
[data-state]:not([data-state="answered"]) .verdict { color: var(--_soft); }
[data-state="reading"] .verdict { animation: appear .3s .4s both; }
@keyframes appear { from { opacity: 0; } }
.scale { position: relative; display: block; height: .3em; margin-top: .5em; border-radius: 99px; background: linear-gradient(90deg, var(--_positive-fill), color-mix(in srgb, var(--_positive-fill) 20%, transparent) 50%, color-mix(in srgb, var(--_negative-fill) 20%, transparent) 50%, var(--_negative-fill)); }
.scale i { position: absolute; top: 50%; width: .85em; height: .85em; margin: -.425em; border-radius: 50%; background: var(--_text); border: 2px solid var(--_background); }
[data-state]:not([data-state="answered"]) :is(.scale, details) { visibility: hidden; }
[data-state="problem"] details, [data-state="empty"] details { display: none; }

.note, .words, .legend, .meaning, .readout, .caption, .model { font-size: .875em; color: var(--_soft); text-wrap: pretty; }
.note:empty { display: none; }
.note { margin-top: .4em; }
.words b, .readout b { color: var(--_text); font-weight: 600; }
.problem { display: flex; flex-wrap: wrap; gap: .5em 1em; align-items: center; justify-content: space-between; margin-top: .7em; padding-left: .8em; border-left: 3px solid var(--_soft); font-size: .925em; }
.problem p { flex: 1 1 14em; text-wrap: pretty; }
button, select { font: inherit; color: inherit; background: var(--_background); border: 1px solid var(--_line); border-radius: 7px; padding: .3em .7em; }
button { cursor: pointer; }
:is(button, select):hover { border-color: var(--_soft); }

details { margin-top: .5em; }
summary { width: fit-content; cursor: pointer; font-size: .875em; color: var(--_soft); }
summary:hover { color: var(--_text); }
.inside { display: grid; gap: .7em; margin-top: .8em; padding-top: .9em; border-top: 1px solid var(--_line); }
.inside > * { min-width: 0; }
.legend { display: flex; flex-wrap: wrap; align-items: center; gap: .2em .7em; margin-top: -.4em; }
.swatches { display: inline-flex; }
.swatches span { width: 1.5em; text-align: center; line-height: 1.3; color: var(--_text); }
label { display: flex; flex-wrap: wrap; gap: .2em .7em; align-items: center; font-size: .925em; }
label span { color: var(--_soft); }
select { flex: 0 1 auto; min-width: 0; max-width: 100%; }
.map { display: grid; gap: .5em; min-width: 0; }
.map[aria-busy="true"] { opacity: .45; }
.scroll { position: relative; overflow-x: auto; overflow-y: hidden; scrollbar-width: thin; margin-top: .2em; padding: 1px 1px 0 0; }
.scroll canvas { display: block; color: var(--_soft); font-family: var(--_mono); }
.scroll canvas:focus-visible { outline-offset: -2px; }
.cursor { position: absolute; pointer-events: none; border: 2px solid var(--_text); border-radius: 2px; margin: 0; }
.readout { min-height: 1.5em; font-variant-numeric: tabular-nums; }
.scale-of-map { display: inline-flex; align-items: center; gap: .5em; white-space: nowrap; color: var(--_text); font-variant-numeric: tabular-nums; }
.strip { width: 7em; height: .7em; border-radius: 2px; border: 1px solid var(--_line); }
.stops { display: inline-flex; width: 0; overflow: hidden; }
.stops i { width: 1px; height: 1px; transition: background-color 1ms; forced-color-adjust: none; }
.below { background: var(--_below); }
.slightly-below { background: color-mix(in oklab, var(--_below) 45%, var(--_zero)); }
.middle { background: var(--_zero); }
.slightly-above { background: color-mix(in oklab, var(--_above) 45%, var(--_zero)); }
.above { background: var(--_above); }

@media (forced-colors: active) {
  .scale { outline: 1px solid CanvasText; }
  .scale i { background: CanvasText; }
  .letter.negative { border-bottom: var(--bar) solid CanvasText; }
  .letter.positive { border-top: var(--bar) solid CanvasText; }
}
`;
