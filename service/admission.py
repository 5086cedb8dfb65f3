"""Admission: which questions the engine takes, and which it refuses at once because they would only wait in vain."""

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

_GUESSED_PACE = 50_000.0  # tokens a second, for saying when to ask again
_SHARE_OF_A_SAMPLE = 0.05  # in the pace: one chunk during which the machine did something else says little


class Limits(NamedTuple):
    """How much may be under way: texts, and tokens of them. One question is taken at any size if nothing else is."""

    texts: int
    tokens: int


@dataclass(slots=True)
class _Sample:
    """Chunks that were read one after the other, up to one of which something is known to have come out."""

    tokens: int = 0
    seconds: float = 0.0
    full: bool = True


class Pace:
    """How fast a model is read with all seats taken.

    Attributes:
        tokens_per_second: None before that is known.
    """

    def __init__(self) -> None:
        self.tokens_per_second: float | None = None
        self._sample = _Sample()

    def note_chunk(self, tokens: int, seconds: float, *, full: bool, awaited: bool) -> None:
        """Learn from a chunk of the running batch.

        A chunk with free seats takes about as long as a full one, so it says that the pace is no less, and no more.

        Args:
            tokens: How many were read.
            seconds: How long that took.
            full: Whether all seats were taken.
            awaited: Whether an answer came out of it; if not, a GPU may still be reading.
        """
        sample = self._sample
        sample.tokens += tokens
        sample.seconds += seconds
        sample.full &= full
        if not awaited:
            return
        self._sample = _Sample()
        found, known = sample.tokens / max(sample.seconds, 1e-6), self.tokens_per_second
        if known is None:
            self.tokens_per_second = found if sample.full else None
        elif sample.full or found > known:
            self.tokens_per_second = known + _SHARE_OF_A_SAMPLE * (found - known)


@dataclass(slots=True)
class _Load:
    """What is under way of one model's texts."""

    tokens: int
    pace: Pace


class Admission:
    """Keeps count of the texts that are under way.

    Args:
        limits: How much may be.

    Attributes:
        texts: How many are.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.texts = 0
        # By the model's version. Those of models that are gone stay: a few bytes each.
        self._loads: defaultdict[str, _Load] = defaultdict(lambda: _Load(0, Pace()))

    @property
    def tokens(self) -> int:
        """How many tokens the texts under way have."""
        return sum(load.tokens for load in self._loads.values())

    @property
    def seconds_left(self) -> float:
        """How long reading what is under way takes, about."""
        return sum(load.tokens / (load.pace.tokens_per_second or _GUESSED_PACE) for load in self._loads.values())

    def pace_of(self, version: str) -> Pace:
        """Return the pace of a model, by its version."""
        return self._loads[version].pace

    def has_room(self, version: str, lengths: list[int], others: int, deadline: float) -> bool:
        """Whether a question keeps to the limits and would be in time. One alone does: it will never fit better.

        Args:
            version: The model's.
            lengths: Of the texts that it asks about, in tokens.
            others: How many questions are under way.
            deadline: By when it wants its answer, on the monotonic clock.
        """
        if self.texts == 0:
            return True
        tokens = sum(lengths)
        fits = self.texts + len(lengths) <= self._limits.texts and self.tokens + tokens <= self._limits.tokens
        return fits and not self._would_be_late(version, tokens, others, deadline)

    def add(self, version: str, lengths: list[int]) -> None:
        """Count texts that are taken, by their lengths."""
        self.texts += len(lengths)
        self._loads[version].tokens += sum(lengths)

    def remove(self, version: str, lengths: list[int]) -> None:
        """Stop counting texts that are answered or dropped."""
        self.texts -= len(lengths)
        self._loads[version].tokens -= sum(lengths)

    def _would_be_late(self, version: str, tokens: int, others: int, deadline: float) -> bool:
        """Whether the pace says so. Questions take turns: one waits for as much of each other as it has itself."""
        own = self.pace_of(version).tokens_per_second
        if own is None:
            return False
        known = [(load.tokens, load.pace.tokens_per_second) for load in self._loads.values()]
        before = sum(min(waiting, others * tokens) / pace for waiting, pace in known if pace is not None)
        return time.monotonic() + before + tokens / own > deadline
