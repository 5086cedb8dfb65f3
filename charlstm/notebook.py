"""What a notebook shows of a trace that ends a cell: the answer, and the text in colours. Needs no extra.

A notebook's theme is not told to what stands in it: the colours lie half transparent on its paper, under its own ink.
"""

import html
from typing import Final

from charlstm.highlight import Piece, percent, pieces, shown_piece, strongest
from charlstm.trace import GateTrace

_FILLS: Final = {"negative": "232,120,32", "positive": "45,130,205"}  # red, green, blue
_STRONGEST_FILL: Final = 0.6  # of 1, opaque
_WEAKEST: Final = 0.05  # of the strongest share: what is below has no colour
_MOST_PIECES: Final = 600
_SOFT: Final = "opacity:.75;font-size:.85em"


def snippet(trace: GateTrace) -> str:
    """Return HTML to stand in another page: label, probability, coloured text and a legend, all of it escaped."""
    text_pieces = pieces(trace)
    most = strongest(piece.share for piece in text_pieces)
    more = len(text_pieces) - _MOST_PIECES
    coloured = "".join(_coloured(piece, most) for piece in text_pieces[:_MOST_PIECES])
    swatches = "".join(_swatch(weight) for weight in (-1, -0.5, 0, 0.5, 1))
    return (
        f"<div><b>{trace.prediction.label}</b> {percent(trace.prediction)}"
        f' <span style="{_SOFT}">{html.escape(_size(trace))}</span>'
        '<div dir="auto" style="font-family:monospace;line-height:1.9;white-space:pre-wrap;overflow-wrap:anywhere;'
        f'max-width:60em">{coloured}{f" … {more} more" if more > 0 else ""}</div>'
        f'<div style="{_SOFT}">{-most:+.2f} speaks for positive, bar above {swatches} '
        f"speaks for negative, bar below {most:+.2f} (share in the log-odds)</div></div>"
    )


def _size(trace: GateTrace) -> str:
    steps, units = trace.layers[-1].cell_state.shape
    layers = len(trace.layers)
    return f"{steps} steps \N{MULTIPLICATION SIGN} {units} units, {layers} layer{'s' if layers > 1 else ''}"


def _coloured(piece: Piece, most: float) -> str:
    text = html.escape(shown_piece(piece))
    weight = 0.0 if piece.share is None else piece.share / most
    return (
        text if abs(weight) < _WEAKEST else f'<span title="{piece.share:+.3f}" style="{_style(weight)}">{text}</span>'
    )


def _swatch(weight: float) -> str:
    sign = "\N{MINUS SIGN}" if weight < 0 else "+" if weight > 0 else "0"
    return f'<span style="padding:0 .4em;{_style(weight)}">{sign}</span>'


def _style(weight: float) -> str:
    """Return the style of a share from -1 to 1: a fill, and a bar so that it is not told by colour alone."""
    fill = _FILLS["negative" if weight > 0 else "positive"]
    strength = abs(weight) * _STRONGEST_FILL
    bar = round(-3 * weight, 1)  # below for negative, above for positive
    return f"background:rgba({fill},{strength:.2f});box-shadow:inset 0 {bar:g}px rgb({fill})"
