"""What a sentence encoder makes of a text, after each of its words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from charlstm.text import word_spans

_BATCH = 64  # texts the encoder reads at once

Labels = npt.NDArray[np.int64]
LogOdds = npt.NDArray[np.float32]
Offsets = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


class SentenceEncoder(Protocol):
    """Turns a text into vectors whose mean is the text's embedding."""

    name: str
    words: Sequence[str]  # that it knows, in lower case

    def read(self, texts: Sequence[str]) -> list[tuple[Offsets, Vectors]]:
        """Give for each text the offset behind each of its N tokens (N,), and the tokens' vectors (N, D)."""

    def tuned(self, texts: Sequence[str], labels: Labels, groups: Labels | None) -> "Judge":
        """Learn sentiment from R texts, their (R,) labels and (R,) groups; leaves the encoder itself as it is."""


class Judge(Protocol):
    """An encoder that has learnt sentiment."""

    def log_odds_by_words(self, texts: Sequence[str]) -> list[LogOdds]:
        """Give for each text the log-odds of negative after each of its W words, (W,)."""


@dataclass(frozen=True)
class Reading:
    """The embeddings of R texts as they grow word by word.

    Attributes:
        starts: (R + 1,) where each text's words begin among all M, and M.
        ends: (M,) the offset behind each word and its space, as `word_spans` divides a text.
        embeddings: (M, D) float16, of length 1: of the text up to there; a text's last one is that of the whole text.
    """

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    embeddings: npt.NDArray[np.float16]

    @property
    def whole(self) -> npt.NDArray[np.float16]:
        """The embeddings of the whole texts, (R, D)."""
        return self.embeddings[self.starts[1:] - 1]

    def followed_by(self, other: "Reading") -> "Reading":
        """Put the texts of another reading behind these."""
        return Reading(
            np.concatenate([self.starts, self.starts[-1] + other.starts[1:]]),
            np.concatenate([self.ends, other.ends]),
            np.concatenate([self.embeddings, other.embeddings]),
        )


def read_by_words(encoder: SentenceEncoder, texts: Sequence[str]) -> Reading:
    """Embed every beginning of every text that ends with a word.

    A beginning's embedding is the mean of the vectors of its tokens. They come from one reading of the whole text, so
    they know what follows; embedding each beginning alone would cost as many readings as there are words.
    """
    words: list[Offsets] = [word_ends(text) for text in texts]
    starts = np.cumsum([0, *(len(ends) for ends in words)])
    embeddings = np.empty((0, 0), dtype=np.float16)
    for rows in batches_by_length(texts):
        for row, (ends, vectors) in zip(rows, encoder.read([texts[row] for row in rows]), strict=True):
            if not embeddings.size:  # all at once: of as many small arrays, half the memory would never be given back
                embeddings = np.empty((starts[-1], vectors.shape[1]), dtype=np.float16)
            means = growing_means(ends, vectors, words[row])
            embeddings[starts[row] : starts[row + 1]] = means / np.linalg.norm(means, axis=1, keepdims=True)
    return Reading(starts, np.concatenate(words), embeddings)


def word_ends(text: str) -> Offsets:
    """Return the offset behind each of the text's W words and its space: (W,)."""
    return np.array([stop for _, stop in word_spans(text)], dtype=np.int64)


def batches_by_length(texts: Sequence[str]) -> Iterator[list[int]]:
    """Give the rows of all texts in batches of similar length, which wastes least on padding."""
    order = np.argsort([len(text) for text in texts], kind="stable")
    for start in range(0, len(order), _BATCH):
        yield order[start : start + _BATCH].tolist()


def growing_means(ends: Offsets, vectors: Vectors, words: Offsets) -> Vectors:
    """Average the (N, D) vectors of the tokens that end by each of W offsets, and of all by the last one: (W, D)."""
    inside = np.maximum(np.searchsorted(ends, words, side="right"), 1)  # (W,) how many tokens
    inside[-1] = len(ends)
    means: Vectors = vectors.cumsum(axis=0)[inside - 1] / inside[:, None].astype(np.float32)
    return means
