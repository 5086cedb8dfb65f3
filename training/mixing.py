"""Texts mixed of paraphrases: where two of them say a thing differently, as one or as the other, some words exchanged.

Who is to know texts by heart, and is asked for paraphrases of them, learns from these what to hold on to.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

import numpy as np

from training.augmentation import MadeTexts, divided, exchanged
from training.splits import Rows


def mix(texts: Mapping[int, str], groups: Rows, times: int, known: Sequence[str]) -> MadeTexts:
    """Mix this many texts of each and one of its group, drawn each time anew, which may be itself.

    Each passage in which the two differ is taken from one of them by chance; then words are exchanged as in `augment`.
    Texts that would be white space alone are left out. It always makes the same.

    Args:
        texts: What to make them of, R by row.
        groups: (R,) numbers; texts of the same say the same.
        times: How many to make of each.
        known: Words that the texts may not hold.
    """
    draw = np.random.default_rng(0)
    words = divided(texts)
    written = [word for of_text in words.values() for word in of_text if word.strip()]
    paraphrases: dict[int, list[int]] = defaultdict(list)
    group_of = dict(zip(texts, groups.tolist(), strict=True))
    for row, group in group_of.items():
        paraphrases[group].append(row)
    made: list[str] = []
    sources: list[int] = []
    for _ in range(times):
        for row, group in group_of.items():
            other = paraphrases[group][int(draw.integers(len(paraphrases[group])))]
            mixed = _spaced(list(_mixed(words[row], words[other], draw)), _space(texts[row]))
            text = "".join(exchanged(mixed, written, known, draw))
            if text.strip():
                made.append(text)
                sources.append(row)
    return MadeTexts(tuple(made), np.array(sources, dtype=np.int64))


def _mixed(one: Sequence[str], other: Sequence[str], draw: np.random.Generator) -> Iterator[str]:
    matcher = SequenceMatcher(None, _plain(one), _plain(other), autojunk=False)
    for kind, start, stop, other_start, other_stop in matcher.get_opcodes():
        yield from one[start:stop] if kind == "equal" or draw.random() < 0.5 else other[other_start:other_stop]


def _plain(words: Sequence[str]) -> list[str]:
    return [word.strip().casefold() for word in words]


def _spaced(words: Sequence[str], end: str) -> list[str]:
    """Part words that stood at the end of a text and no longer do, and put this white space behind the last one."""
    parted = [word + " " * (word == word.rstrip()) for word in words]
    return [*parted[:-1], parted[-1].rstrip() + end] if parted else []


def _space(text: str) -> str:
    """Return the white space that a text ends with."""
    return text[len(text.rstrip()) :]
