"""One instance of the service on a clock of its own: what texts would wait for, and when they would be refused.

It drives the service's own continuous batch, over a network of one unit: who sits where, how long a chunk is and who
leaves do not depend on the weights. What a chunk costs is looked up in a table. Before and behind the batch stands
HTTP, one request at a time.
"""

import heapq
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from charlstm.batching import ContinuousBatch
from charlstm.config import ModelConfig
from charlstm.model import SentimentLSTM

Shape = tuple[int, int]  # of a chunk: seats and steps


@dataclass(frozen=True)
class Costs:
    """What things cost, in seconds: a chunk of each shape, and the HTTP of a request."""

    chunks: dict[Shape, float]
    http: float


class Limits(NamedTuple):
    """Texts and characters that may be under way, and the seconds that an answer may take."""

    texts: int
    characters: int
    seconds: float


@dataclass
class Outcome:
    """What became of requests.

    Attributes:
        latencies: Seconds that those took that were answered in time.
        late: How many were not.
        refused: How many were not taken.
        first_refusal: When the first of them had arrived.
    """

    latencies: list[float] = field(default_factory=list)
    late: int = 0
    refused: int = 0
    first_refusal: float | None = None

    def milliseconds(self, percent: float) -> float:
        """Return a percentile of the latencies."""
        return float(np.percentile(self.latencies, percent) * 1e3) if self.latencies else float("nan")


class _Kind(IntEnum):
    ARRIVED = 0
    ASKED = 1
    READ = 2
    ANSWERED = 3


class _Event(NamedTuple):
    time: float
    number: int  # so that what happens at the same time happens in order
    kind: _Kind
    texts: list[int]


class Simulation:
    """Takes texts as they arrive, until each of them is answered or refused. Good for one run.

    Args:
        costs: What things cost.
        limits: Of the instance.
        arrivals: (N,) when each text arrives, in seconds, in order.
        lengths: (N,) how many characters it has.
    """

    def __init__(self, costs: Costs, limits: Limits, arrivals: Sequence[float], lengths: Sequence[int]) -> None:
        self._costs, self._limits, self._arrivals, self._lengths = costs, limits, arrivals, lengths
        network = ModelConfig(num_embeddings=2, embedding_dim=1, hidden_size=1)
        self._batch: ContinuousBatch[int] = ContinuousBatch(SentimentLSTM(network).eval())
        self._waiting_characters = 0
        self._numbers: Iterator[int] = itertools.count()
        self._events = [_Event(at, next(self._numbers), _Kind.ARRIVED, [text]) for text, at in enumerate(arrivals)]
        self._http_free_at = 0.0
        self._reading = False
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Let everything happen."""
        while self._events:
            now, _, kind, texts = heapq.heappop(self._events)
            if kind is _Kind.ARRIVED:
                self._through_http(now, _Kind.ASKED, texts)
            elif kind is _Kind.ASKED:
                self._ask(texts[0])
                self._read_on(now)
            elif kind is _Kind.READ:
                self._reading = False
                for text in texts:
                    self._through_http(now, _Kind.ANSWERED, [text])
                self._read_on(now)
            else:
                self._answer(now, texts[0])
        return self._outcome

    def _through_http(self, now: float, then: _Kind, texts: list[int]) -> None:
        """Half of a request's HTTP is done before the engine has it, half behind."""
        self._http_free_at = max(now, self._http_free_at) + self._costs.http / 2
        self._later(self._http_free_at, then, texts)

    def _later(self, time: float, kind: _Kind, texts: list[int]) -> None:
        heapq.heappush(self._events, _Event(time, next(self._numbers), kind, texts))

    def _ask(self, text: int) -> None:
        length = self._lengths[text]
        too_many = len(self._batch) + 1 > self._limits.texts
        if too_many or self._waiting_characters + length > self._limits.characters:
            self._outcome.refused += 1
            if self._outcome.first_refusal is None:
                self._outcome.first_refusal = self._arrivals[text]
            return
        self._waiting_characters += length
        self._batch.join(text, [1] * length)

    def _read_on(self, now: float) -> None:
        if self._reading or not len(self._batch):
            return
        finished = [done.key for done in self._batch.advance()]
        self._waiting_characters -= sum(self._lengths[text] for text in finished)
        chunk = self._batch.last_chunk
        if chunk is None:
            raise AssertionError("the batch had a text to read")
        self._reading = True
        self._later(now + self._costs.chunks[chunk.seats, chunk.steps], _Kind.READ, finished)

    def _answer(self, now: float, text: int) -> None:
        took = now - self._arrivals[text]
        if took > self._limits.seconds:
            self._outcome.late += 1
        else:
            self._outcome.latencies.append(took)


def arrivals_at(rate: float, seconds: float, seed: int) -> list[float]:
    """Draw when texts arrive, so many a second on average, each whenever it likes (a Poisson process)."""
    chance, at, times = random.Random(seed), 0.0, list[float]()  # noqa: S311 - nothing secret about it
    while (at := at + chance.expovariate(rate)) < seconds:
        times.append(at)
    return times
