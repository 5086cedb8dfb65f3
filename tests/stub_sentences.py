"""A sentence encoder that tests can count with: a word is a vector, and nothing is downloaded."""

import re
from collections.abc import Sequence

import numpy as np

from training.sentences import Labels, LogOdds, Offsets, Vectors, word_ends

SIZE = 6


class StubEncoder:
    """Each word is a token whose vector depends on its letters alone; it counts the texts that it has read.

    What it is tuned on, it remembers.
    """

    name = "stub"
    words: Sequence[str] = ("zebra", "quilt", "violin")

    def __init__(self) -> None:
        self.texts_read = 0
        self.tuned_on: list[tuple[list[str], list[int]]] = []

    def read(self, texts: Sequence[str]) -> list[tuple[Offsets, Vectors]]:
        """Give the offset behind each token, and its vector; the first token is empty, the last stands behind all."""
        self.texts_read += len(texts)
        return [self._read(text) for text in texts]

    def tuned(self, texts: Sequence[str], labels: Labels, groups: Labels | None) -> "StubJudge":
        """Learn nothing but how often a label is negative."""
        assert groups is None or len(groups) == len(texts) == len(labels)
        self.tuned_on.append((list(texts), labels.tolist()))
        return StubJudge(float(labels.mean()))

    def _read(self, text: str) -> tuple[Offsets, Vectors]:
        words = list(re.finditer(r"\S+", text))
        vectors = [word_vector(""), *(word_vector(word.group()) for word in words), word_vector("")]
        return np.array([0, *(word.end() for word in words), len(text)]), np.stack(vectors)


class StubJudge:
    """Says the same of all texts, and a little more after each word."""

    def __init__(self, base: float) -> None:
        self.base = base

    def log_odds_by_words(self, texts: Sequence[str]) -> list[LogOdds]:
        """Give the base, and a hundredth more after each word."""
        return [(self.base + np.arange(len(word_ends(text))) / 100).astype(np.float32) for text in texts]


def word_vector(word: str) -> Vectors:
    """Draw a word's vector, (SIZE,)."""
    drawn = np.random.default_rng(list(word.encode())).standard_normal(SIZE)
    return drawn.astype(np.float32)
