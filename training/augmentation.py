"""Texts made of other texts, for a teacher to judge: pieces of them, with words exchanged.

A student learns from what its teacher says of texts that nobody wrote, too (Tang et al., 2019): a word in other company
shows what the word is worth, and a word that the texts do not hold but the sentence encoder knows is met for once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from charlstm.text import word_spans
from training.splits import Rows

_FEWEST_WORDS = 3  # of a piece; shorter texts stay whole
_EXCHANGED = 0.15  # the share of words


@dataclass(frozen=True)
class MadeTexts:
    """Texts that are made of others.

    Attributes:
        texts: A of them.
        sources: (A,) the row of the text that each is made of.
    """

    texts: tuple[str, ...] = ()
    sources: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def augment(texts: Mapping[int, str], times: int, known: Sequence[str]) -> MadeTexts:
    """Make this many texts of each: a piece of random length from a random word on, some of its words exchanged.

    Half of the new words are drawn from all words of these texts, as often as they stand there, and half from the
    known ones, all equally often. Texts that would be white space alone are left out. It always makes the same.

    A piece keeps the white space behind its last word, so most made texts end in some; and of short texts some come out
    as they were.

    Args:
        texts: What to make them of, by row.
        times: How many to make of each.
        known: Words that the texts may not hold.
    """
    draw = np.random.default_rng(0)
    words = {row: [text[start:stop] for start, stop in word_spans(text)] for row, text in texts.items()}
    written = [word for of_text in words.values() for word in of_text if word.strip()]
    made: list[str] = []
    sources: list[int] = []
    for _ in range(times):
        for row, of_text in words.items():
            text = "".join(_exchanged(_piece(of_text, draw), written, known, draw))
            if text.strip():
                made.append(text)
                sources.append(row)
    return MadeTexts(tuple(made), np.array(sources, dtype=np.int64))


def _piece(words: Sequence[str], draw: np.random.Generator) -> Sequence[str]:
    if len(words) <= _FEWEST_WORDS:
        return words
    start = int(draw.integers(len(words) - _FEWEST_WORDS + 1))
    return words[start : int(draw.integers(start + _FEWEST_WORDS, len(words) + 1))]


def _exchanged(
    words: Sequence[str], written: Sequence[str], known: Sequence[str], draw: np.random.Generator
) -> Iterator[str]:
    for word in words:
        if draw.random() >= _EXCHANGED or not word.strip():
            yield word
            continue
        source = known if known and draw.random() < 0.5 else written
        # As it stands between its neighbours: what follows the old word follows the new one.
        yield source[int(draw.integers(len(source)))].strip() + word[len(word.rstrip()) :]
