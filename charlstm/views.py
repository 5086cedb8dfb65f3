"""A trace as a page of its own: one HTML file that needs no network and no server, to keep, to print and to send on.

The text, its shares and the numbers are there without any script; the charts are drawn by Plotly's JavaScript, which
is written into the page. The page's parts are in the folder `report` beside this module.

Sizes: T steps, H = hidden_size.
"""

import base64
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from charlstm.attribution import share_by_word
from charlstm.clamp import Clamp
from charlstm.encoding import Span
from charlstm.figure import (
    COLORS,
    DARK_COLORS,
    Panel,
    gate_means,
    heat_map_height,
    heat_map_style,
    stacked,
    story,
    tick_texts,
    unit_axis,
)
from charlstm.glossary import GLOSSARY
from charlstm.highlight import on_paper, percent, pieces, shown_piece, sign_of, strongest
from charlstm.plotly_assets import plotly_file
from charlstm.readout import FloatArray
from charlstm.trace import GateTrace

_FOLDER: Final = Path(__file__).with_name("report")
_LONGEST_TITLE: Final = 60  # characters of the text
_MOST_LISTED: Final = 8  # units of a clamp
_NOT_VISIBLE_ASCII: Final = re.compile("[^\\t\\n\\r -~]+")
_LONG_TEXT: Final = 160  # characters; longer ones are set smaller


def to_html(trace: GateTrace, model: str = "", left_out: Sequence[Span] = (), clamps: Sequence[Clamp] = ()) -> str:
    """Return a page that shows a prediction and its trace. If that was changed, the page says so before all else.

    Args:
        trace: What to show.
        model: What to call the model on it.
        left_out: Spans of the text that were not read; they are shown as such.
        clamps: What was held by force; where that was a part of the text, it is marked there.

    Raises:
        MissingPackageError: Plotly is not installed.
    """
    text_pieces = pieces(trace, left_out)
    return (
        _environment()
        .get_template("report.html")
        .render(
            prediction=trace.prediction,
            percent=percent(trace.prediction),
            model=model,
            text=_title(trace.text),
            long=len(trace.text) > _LONG_TEXT,
            pieces=text_pieces,
            changes=[*_left_out_in_words(trace.text, left_out), *(in_words(clamp) for clamp in clamps)],
            held=_held_offsets(trace, clamps),
            strongest=strongest(piece.share for piece in text_pieces),
            glossary=GLOSSARY,
            data=_data(trace),
            plotly=_plotly_script(),
            **_sum(trace),
        )
    )


def in_words(clamp: Clamp) -> str:
    """Say what was held, as in `forget gate of unit 3 in layer 0 held at 0, from step 4 to step 8`."""
    units = "every unit" if clamp.units is None else _listed("unit", clamp.units)
    value = f"{clamp.value:g}".replace("-", "\N{MINUS SIGN}")
    term = GLOSSARY[clamp.signal]
    return f"{term.name} ({term.article_name}) of {units} in layer {clamp.layer} held at {value}, {_when(clamp)}"


def _listed(noun: str, numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:_MOST_LISTED])
    more = f" and {len(numbers) - _MOST_LISTED} more" if len(numbers) > _MOST_LISTED else ""
    return f"{noun}{'' if len(numbers) == 1 else 's'} {shown}{more}"


def _when(clamp: Clamp) -> str:
    if clamp.stop is None:
        return f"from step {clamp.start} to the end" if clamp.start else "at every step"
    if clamp.stop <= clamp.start:
        return "at no step"
    last = clamp.stop - 1
    return f"at step {last}" if last == clamp.start else f"from step {clamp.start} to step {last}"


def _left_out_in_words(text: str, spans: Sequence[Span]) -> list[str]:
    spans = [(start, min(stop, len(text))) for start, stop in sorted(spans) if start < min(stop, len(text))]
    return [
        f"left out and not read: “{_title(text[start:stop]) or sign_of(text[start:stop])}”, "
        + (f"character {start}" if stop - start == 1 else f"characters {start} to {stop - 1}")
        for start, stop in spans
    ]


def _held_offsets(trace: GateTrace, clamps: Sequence[Clamp]) -> set[int | None]:
    """Return where in the text something was held, but for what was held all along it."""
    partly = (clamp for clamp in clamps if clamp.start or clamp.stop not in (None, len(trace.tokens)))
    return {offset for clamp in partly for offset in trace.offsets[clamp.start : clamp.stop]}


@cache
def _plotly_script() -> str:
    """Return Plotly's JavaScript with all but visible ASCII escaped: some of it may not stand in HTML."""
    return _NOT_VISIBLE_ASCII.sub(lambda match: _escaped(match.group()), plotly_file().read_text(encoding="utf-8"))


def _escaped(characters: str) -> str:
    units = characters.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _sum(trace: GateTrace) -> dict[str, Any]:
    """Return the terms of the log-odds: the words, by the size of their shares, and the rest."""
    words, padding = share_by_word(trace.text, trace.offsets, trace.attribution.steps)
    ranked = sorted(words, key=lambda word: -abs(word.share))
    texts = (trace.text[word.start : word.stop] for word in ranked)
    return {
        "words": [
            (on_paper(text.strip()) or sign_of(text), word.share) for text, word in zip(texts, ranked, strict=True)
        ],
        "strongest_word": strongest(word.share for word in words),
        "attribution": trace.attribution,
        "padding": padding if None in trace.offsets else None,
    }


def _data(trace: GateTrace) -> dict[str, Any]:
    """Return what the page's own script draws."""
    layers = range(len(trace.layers))
    units = len(trace.attribution.units)
    return {
        "colors": {"light": COLORS, "dark": DARK_COLORS},
        "story": stacked(trace, story(trace)),
        "memory": stacked(trace, [Panel("", [{"type": "heatmap"}], unit_axis(), heat_map_height(units))]),
        "gates": [stacked(trace, [gate_means(trace, layer)._replace(title="")]) for layer in layers],
        "tokens": [sign_of(token) for token in trace.tokens],
        "ticks": tick_texts(trace),
        "signals": {name: term._asdict() for name, term in GLOSSARY.items()},
        "layers": [
            {
                name: {"style": heat_map_style(GLOSSARY[name], values), "values": _packed(values)}
                for name in GLOSSARY
                for values in [trace.signal(name, layer)]
            }
            for layer in layers
        ],
        "shares": trace.attribution.units,
    }


def _packed(values: FloatArray) -> dict[str, Any]:
    """Write (T, H) numbers as (H, T) in a fourth of the room that decimal digits take."""
    by_unit = np.ascontiguousarray(values.T, dtype="<f4")
    return {"shape": by_unit.shape, "base64": base64.b64encode(by_unit.tobytes()).decode("ascii")}


def _title(text: str) -> str:
    line = on_paper(" ".join(text.split()))
    return line if len(line) <= _LONGEST_TITLE else line[: _LONGEST_TITLE - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _signed(number: float, digits: int = 2) -> str:
    """Write a number with its sign, as typography has it."""
    rounded = round(number, digits)
    return f"{rounded:+.{digits}f}".replace("-", "\N{MINUS SIGN}") if rounded else f"{0:.{digits}f}"


@cache
def _environment() -> Environment:
    """Everything that goes into the page is escaped, but for its own style and script."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"signed": _signed, "on_paper": on_paper, "shown": shown_piece, "sign": sign_of}
    environment.policies["json.dumps_kwargs"] = {"default": _as_list, "separators": (",", ":"), "allow_nan": False}
    return environment


def _as_list(array: FloatArray) -> list[float]:
    rounded: list[float] = np.round(array.astype(np.float64), 6).tolist()
    return rounded
