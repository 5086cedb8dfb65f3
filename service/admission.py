"""Admission: which questions the engine takes, and which it refuses at once because they would only wait in vain."""

import time
from typing import NamedTuple

_GUESSED_PACE = 50_000.0  # tokens a second, for saying when to ask again


class Limits(NamedTuple):
    """How much may be under way: texts, and tokens of them. One question is taken at any size if nothing else is."""

    texts: int
    tokens: int


class Admission:
    """Keeps count of the texts that are under way and of how fast they are read.

    Args:
        limits: How much may be under way.

    Attributes:
        texts, tokens: How much is.
        pace: Tokens a second with all seats taken; None before that has been.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.texts = 0
        self.tokens = 0
        self.pace: float | None = None

    @property
    def seconds_left(self) -> float:
        """How long reading what is under way takes, about."""
        return self.tokens / (self.pace or _GUESSED_PACE)

    def has_room(self, texts: int, tokens: int, others: int, deadline: float) -> bool:
        """Whether a question keeps to the limits and would be in time. One alone does: it will never fit better.

        Args:
            texts: How many it asks about.
            tokens: How many they have together.
            others: How many questions are under way.
            deadline: By when it wants its answer, on the monotonic clock.
        """
        if self.texts == 0:
            return True
        fits = self.texts + texts <= self._limits.texts and self.tokens + tokens <= self._limits.tokens
        return fits and not self._would_be_late(tokens, others, deadline)

    def add(self, texts: int, tokens: int) -> None:
        """Count texts that are taken."""
        self.texts += texts
        self.tokens += tokens

    def remove(self, texts: int, tokens: int) -> None:
        """Stop counting texts that are answered or dropped."""
        self.texts -= texts
        self.tokens -= tokens

    def note_full_chunk(self, tokens: int, seconds: float) -> None:
        """Learn the pace from a chunk in which all seats were taken: a few texts take about as long as all of them."""
        pace = tokens / max(seconds, 1e-6)
        self.pace = pace if self.pace is None else self.pace + 0.05 * (pace - self.pace)

    def _would_be_late(self, tokens: int, others: int, deadline: float) -> bool:
        """Whether the pace says so. Questions take turns: one waits for as much of each other as it has itself."""
        if self.pace is None:
            return False
        before = min(self.tokens, others * tokens)
        return time.monotonic() + (before + tokens) / self.pace > deadline
