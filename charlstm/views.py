"""A trace as a page of its own: one HTML file that needs no network and no server, to keep, to print and to send on.

The text, its shares and the numbers are there without any script; the charts are drawn by Plotly's JavaScript, which
is written into the page. The page's parts are in the folder `report` beside this module.

Sizes: T steps, H = hidden_size.
"""

import base64
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from charlstm.attribution import share_by_word
from charlstm.encoding import Span
from charlstm.errors import MissingPackageError
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
from charlstm.highlight import Piece, pieces, printable, sign_of, strongest
from charlstm.readout import FloatArray
from charlstm.trace import GateTrace, Prediction

_FOLDER: Final = Path(__file__).with_name("report")
_LONGEST_TITLE: Final = 60  # characters of the text
_NOT_VISIBLE_ASCII: Final = re.compile("[^\\t\\n\\r -~]+")
_ALLOWED: Final = "\t\n\r\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # not printable, but part of a text
_LONG_TEXT: Final = 160  # characters; longer ones are set smaller


def to_html(trace: GateTrace, model: str = "", left_out: Sequence[Span] = ()) -> str:
    """Return a page that shows a prediction and its trace.

    Args:
        trace: What to show.
        model: What to call the model on it.
        left_out: Spans of the text that were not read; they are shown as such.

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
            strongest=strongest(piece.share for piece in text_pieces),
            glossary=GLOSSARY,
            data=_data(trace),
            plotly=_plotly_script(),
            **_sum(trace),
        )
    )


def percent(prediction: Prediction) -> str:
    """Return the probability of the label in words: never 100 %, for it never is."""
    if prediction.probability > 0.9995:
        return "over 99.9 %"
    digits = 0 if prediction.probability < 0.99 else 1
    return f"{100 * prediction.probability:.{digits}f} %"


def plotly_file() -> Path:
    """Find Plotly's JavaScript without importing Plotly, which takes a while.

    Raises:
        MissingPackageError: Plotly is not installed.
    """
    package = find_spec("plotly")
    if package is None or not package.submodule_search_locations:
        raise MissingPackageError("plotly")
    return Path(package.submodule_search_locations[0], "package_data", "plotly.min.js")


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
            (_on_paper(text.strip()) or sign_of(text), word.share) for text, word in zip(texts, ranked, strict=True)
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
    line = _on_paper(" ".join(text.split()))
    return line if len(line) <= _LONGEST_TITLE else line[: _LONGEST_TITLE - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _on_paper(text: str) -> str:
    """Return a text for HTML, which forbids control characters and non-characters."""
    return "".join(_in_html(character) for character in text)


def _in_html(character: str) -> str:
    return (
        character if character in _ALLOWED or unicodedata.category(character).startswith("Z") else printable(character)
    )


def _shown_piece(piece: Piece) -> str:
    return _on_paper(piece.text).replace("\r", "\n").replace("\n", "\N{RETURN SYMBOL}\n")


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
    environment.filters |= {"signed": _signed, "on_paper": _on_paper, "shown": _shown_piece, "sign": sign_of}
    environment.policies["json.dumps_kwargs"] = {"default": _as_list, "separators": (",", ":"), "allow_nan": False}
    return environment


def _as_list(array: FloatArray) -> list[float]:
    rounded: list[float] = np.round(array.astype(np.float64), 6).tolist()
    return rounded
