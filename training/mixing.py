"""Texts mixed of paraphrases: where two of them say a thing differently, as one or as the other, some words exchanged.

Who is to know texts by heart, and is asked for paraphrases of them, learns from these what to hold on to.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

import numpy as np

from training.augmentation import MadeTexts, divided, make


def mix(texts: Mapping[int, str], groups: Mapping[int, int], times: int, known: Sequence[str]) -> MadeTexts:
    """Mix this many texts of each and one of its group, drawn each time anew, which may be itself.

    Each passage in which the two differ is taken from one of them by chance; a text that shares nothing with the other
    is taken whole, or the other is. The mixture ends in the white space that its own text ends in.

    Args:
        texts: What to make them of, by row.
        groups: The number of each text's group, by row; texts without one are mixed with themselves alone.
        times: How many to make of each.
        known: Words that the texts may not hold.
    """
    words = divided(texts)
    rows_of: dict[int, list[int]] = defaultdict(list)
    for row, group in groups.items():
        rows_of[group].append(row)

    def mixed(row: int, draw: np.random.Generator) -> Sequence[str]:
        others = rows_of[groups[row]] if row in groups else [row]
        other = others[int(draw.integers(len(others)))]
        return _parted(list(_passages(words[row], words[other], draw)), _trailing_space(texts[row]))

    return make(words, times, known, mixed)


def _passages(one: Sequence[str], other: Sequence[str], draw: np.random.Generator) -> Iterator[str]:
    matcher = SequenceMatcher(None, _plain(one), _plain(other))
    for kind, start, stop, other_start, other_stop in matcher.get_opcodes():
        yield from one[start:stop] if kind == "equal" or draw.random() < 0.5 else other[other_start:other_stop]


def _plain(words: Sequence[str]) -> list[str]:
    return [word.strip().casefold() for word in words]


def _parted(words: Sequence[str], end: str) -> Sequence[str]:
    """Put a space behind words that stood last in a text and no longer do, and this one behind the last one."""
    *before, last = words
    return [*(word if word != word.rstrip() else word + " " for word in before), last.rstrip() + end]


def _trailing_space(text: str) -> str:
    return text[len(text.rstrip()) :]
