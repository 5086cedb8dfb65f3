"""A text taken apart as a network read it, each piece with its share of the answer: what a coloured text is made of."""

import itertools
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from charlstm.encoding import Span
from charlstm.trace import GateTrace, Prediction
from charlstm.vocabulary import UNKNOWN

_ALLOWED: Final = "\t\n\r\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # not printable, but part of a text
_SIGNS: Final = {" ": "\N{OPEN BOX}", "\n": "\N{RETURN SYMBOL}", "\t": "\N{RIGHTWARDS ARROW TO BAR}"}


class Piece(NamedTuple):
    """A few characters of a text, most often one: what one token was made of, or what was not read.

    Attributes:
        text: Them.
        start: Where they start in the whole text.
        share: Theirs in the log-odds of negative; None if they were not read.
        probability: P(negative) after them; None likewise.
        unknown: Whether the vocabulary does not know them.
    """

    text: str
    start: int
    share: float | None = None
    probability: float | None = None
    unknown: bool = False


def pieces(trace: GateTrace, left_out: Sequence[Span] = ()) -> list[Piece]:
    """Divide the text of a trace between its steps, without a gap.

    Steps that read the same character, as case folding makes them, are one piece; padding is none. A word's piece
    reaches to the next word.

    Args:
        trace: Of the text.
        left_out: Spans of it that were not read.
    """
    unread = {offset for span in left_out for offset in range(*span)}
    found: list[Piece] = []
    reached = 0
    for piece, stop in _read_pieces(trace):
        found += _not_read(trace.text, reached, piece.start)
        reached = next((offset for offset in range(piece.start, stop) if offset in unread), stop)
        found.append(piece._replace(text=trace.text[piece.start : reached]))
    return found + _not_read(trace.text, reached, len(trace.text))


def strongest(shares: Iterable[float | None]) -> float:
    """Return the largest share without its sign: what has the fullest colour. 1 if there is nothing to colour."""
    return max((abs(share) for share in shares if share), default=1.0)


def sign_of(token: str) -> str:
    """Return a token with a sign for each character that cannot be seen, or that would do something to a terminal."""
    return "".join(_SIGNS.get(character) or printable(character) for character in token)


def printable(character: str) -> str:
    """Return a character, or the replacement character for one that is no printable text."""
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def percent(prediction: Prediction) -> str:
    """Return the probability of the label in words: never 100 %, for it never is."""
    if prediction.probability > 0.9995:
        return "over 99.9 %"
    digits = 0 if prediction.probability < 0.99 else 1
    return f"{100 * prediction.probability:.{digits}f} %"


def on_paper(text: str) -> str:
    """Return a text for HTML, which forbids control characters and non-characters."""
    return "".join(_in_html(character) for character in text)


def _in_html(character: str) -> str:
    return (
        character if character in _ALLOWED or unicodedata.category(character).startswith("Z") else printable(character)
    )


def shown_piece(piece: Piece) -> str:
    """Return the text of a piece for HTML, not yet escaped, with a sign for each line break."""
    return on_paper(piece.text).replace("\r", "\n").replace("\n", "\N{RETURN SYMBOL}\n")


def _read_pieces(trace: GateTrace) -> list[tuple[Piece, int]]:
    """Return what was read, each without its text and with the start of the next."""
    steps = [(offset, step) for step, offset in enumerate(trace.offsets) if offset is not None]
    found = []
    for start, group in itertools.groupby(steps, key=lambda pair: pair[0]):
        of_piece = [step for _, step in group]
        share = float(trace.attribution.steps[of_piece].sum())
        probability = float(trace.probability_so_far[of_piece[-1]])
        unknown = any(trace.tokens[step] == UNKNOWN for step in of_piece)
        found.append(Piece("", start, share, probability, unknown))
    stops = [*(piece.start for piece in found[1:]), len(trace.text)]
    return list(zip(found, stops, strict=True))


def _not_read(text: str, start: int, stop: int) -> list[Piece]:
    return [Piece(text[start:stop], start)] if start < stop else []
