"""The engine: one network, one running batch, and the questions that wait for both. Knows no sockets and no HTTP.

Predictions share a continuous batch. A trace is one pass of its own between two chunks. Whoever owns the engine hands
it questions with `ask` and calls `work` as long as it is `busy`.
"""

import logging
import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from charlstm.artifacts import Artifacts
from charlstm.batching import ContinuousBatch, Precision
from charlstm.gates import trace_layers
from service.protocol import Answer, Cancel, Logits, Rejected, Statistics, Submit, Trace, Traced

_logger = logging.getLogger(__name__)

_LOOK_EVERY = 0.02  # seconds between two looks for questions past their deadline


class Limits(NamedTuple):
    """How much may wait: texts, and tokens still to be read. One request is taken at any size if nothing waits."""

    texts: int
    tokens: int


class Address(NamedTuple):
    """Whose question it is: a worker's connection, and the id the worker gave it."""

    worker: int
    id: int


class Reply(NamedTuple):
    """An answer and the worker it goes to."""

    worker: int
    answer: Answer


@dataclass(slots=True)
class _Pending:
    """A question about texts that is not answered yet."""

    version: str
    lengths: list[int]
    deadline: float
    logits: dict[int, float] = field(default_factory=dict)
    waited: float = 0.0
    arrived: float = field(default_factory=time.perf_counter)


class LoadedModel:
    """A model on its device with the batch it runs in.

    Args:
        artifacts: A verified model.
        device: Where it runs.
        precision: Of predictions.
    """

    def __init__(self, artifacts: Artifacts, device: torch.device, precision: Precision) -> None:
        self.artifacts = artifacts
        self.network = artifacts.model.to(device)
        self.batch: ContinuousBatch[tuple[Address, int]] = ContinuousBatch(self.network, precision)

    def warm_up(self) -> None:
        """Meet every shape before a text does."""
        self.batch.warm_up()
        self.trace([1] * 16)

    @torch.inference_mode()
    def trace(self, token_ids: list[int]) -> tuple[bytes, bytes]:
        """Return the (T,) logits and the (layers, 6, T, H) signals of one text, as bytes of float32."""
        embedded = self.network.embed(torch.tensor([token_ids], device=self.network.device))  # (1, T, E)
        layers = trace_layers(self.network, embedded)
        logits = self.network.readout(layers[-1].hidden_state[0])  # (T,)
        signals = torch.stack([signal[0] for layer in layers for signal in layer])  # (layers * 6, T, H)
        return logits.cpu().numpy().tobytes(), signals.cpu().numpy().tobytes()


class Engine:
    """Answers questions about texts.

    Args:
        model: What is served first.
        limits: How much may wait.
    """

    def __init__(self, model: LoadedModel, limits: Limits) -> None:
        self.model = model
        self._limits = limits
        # The one before as well: texts of it may still be read, and questions that name it be on their way.
        self._models = {model.artifacts.version: model}
        self._pending: dict[Address, _Pending] = {}
        self._traces: deque[tuple[Address, Trace, float]] = deque()
        self._waiting_tokens = 0
        self._waiting_texts = 0
        self._tokens_per_second = 50_000.0  # a guess until the first chunks have been measured
        self._totals = [0] * 6
        self._next_look = 0.0

    @property
    def busy(self) -> bool:
        """Whether there is work to do."""
        return bool(self._pending or self._traces)

    def replace(self, model: LoadedModel) -> None:
        """Serve another model from here on; what was asked of the old one is still answered by it."""
        old, self.model = self.model, model
        self._models = {old.artifacts.version: old, model.artifacts.version: model}

    def ask(self, worker: int, question: Submit | Trace | Cancel) -> list[Reply]:
        """Take a question; return an answer already if it is refused."""
        address = Address(worker, question.id)
        if isinstance(question, Cancel):
            self._drop({address})
            return []
        tokens, texts = len(question.token_ids) // 4, 1 if isinstance(question, Trace) else len(question.lengths)
        if question.version not in self._models:
            return [Reply(worker, Rejected(question.id, "stale"))]
        if self._is_full(texts, tokens):
            retry_after = self._waiting_tokens / self._tokens_per_second
            return [Reply(worker, Rejected(question.id, "overloaded", retry_after))]
        self._waiting_texts += texts
        self._waiting_tokens += tokens
        if isinstance(question, Trace):
            self._traces.append((address, question, time.perf_counter()))
        else:
            self._submit(address, question)
        return []

    def forget(self, worker: int) -> None:
        """Drop everything that a worker asked: it is gone."""
        self._drop({address for address in self._pending if address.worker == worker})
        self._drop({address for address, _, _ in self._traces if address.worker == worker})

    def work(self) -> list[Reply]:
        """Do the next piece of work, a chunk of the batch and a trace if one waits; return the answers it gave."""
        replies = self._expire()
        if self._traces:
            replies.append(self._trace(*self._traces.popleft()))
        for model in self._models.values():
            replies += self._advance(model)
        return replies

    def statistics(self) -> Statistics:
        """Return how much waits now, and what has been done since the start."""
        seated = sum(model.batch.seated for model in self._models.values())
        return Statistics(self._waiting_texts, self._waiting_tokens, seated, *self._totals)

    def _is_full(self, texts: int, tokens: int) -> bool:
        if self._waiting_texts == 0:
            return False
        too_many = self._waiting_texts + texts > self._limits.texts
        return too_many or self._waiting_tokens + tokens > self._limits.tokens

    def _submit(self, address: Address, question: Submit) -> None:
        self._pending[address] = _Pending(question.version, question.lengths, question.deadline)
        token_ids = np.frombuffer(question.token_ids, dtype="<i4")
        batch, start = self._models[question.version].batch, 0
        for index, length in enumerate(question.lengths):
            batch.join((address, index), token_ids[start : start + length])
            start += length

    def _advance(self, model: LoadedModel) -> list[Reply]:
        started = time.perf_counter()
        try:
            finished = model.batch.advance()
        except RuntimeError:  # nothing that a text can cause: the batch is lost, its texts have to be told
            _logger.exception("a chunk failed")
            version = model.artifacts.version
            return self._fail({address for address, asked in self._pending.items() if asked.version == version})
        self._measure(model, time.perf_counter() - started)
        replies = []
        for (address, index), logit, waited, _ in finished:
            asked = self._pending[address]
            asked.logits[index] = logit
            asked.waited = waited if len(asked.logits) == 1 else min(asked.waited, waited)
            self._answered(asked.lengths[index])
            if len(asked.logits) == len(asked.lengths):
                del self._pending[address]
                replies.append(Reply(address.worker, _logits(address.id, asked)))
        return replies

    def _trace(self, address: Address, question: Trace, arrived: float) -> Reply:
        started = time.perf_counter()
        token_ids = np.frombuffer(question.token_ids, dtype="<i4").tolist()
        self._answered(len(token_ids))
        model = self._models[question.version]
        logits, signals = model.trace(token_ids)
        config = model.network.config
        took = time.perf_counter() - started
        return Reply(
            address.worker,
            Traced(address.id, logits, signals, config.num_layers, config.hidden_size, started - arrived, took),
        )

    def _measure(self, model: LoadedModel, seconds: float) -> None:
        chunk = model.batch.last_chunk
        if chunk is None or chunk.tokens == 0:
            return
        self._tokens_per_second += 0.05 * (chunk.tokens / seconds - self._tokens_per_second)
        done = (1, chunk.texts, chunk.seats, chunk.steps, chunk.tokens, chunk.seats * chunk.steps)
        self._totals = [total + more for total, more in zip(self._totals, done, strict=True)]

    def _expire(self) -> list[Reply]:
        now = time.monotonic()
        if now < self._next_look:
            return []
        self._next_look = now + _LOOK_EVERY
        late = {address for address, asked in self._pending.items() if asked.deadline < now}
        late |= {address for address, asked, _ in self._traces if asked.deadline < now}
        self._drop(late)
        return [Reply(address.worker, Rejected(address.id, "expired")) for address in late]

    def _fail(self, addresses: set[Address]) -> list[Reply]:
        self._drop(addresses)
        return [Reply(address.worker, Rejected(address.id, "failed")) for address in addresses]

    def _drop(self, addresses: set[Address]) -> None:
        if not addresses:
            return
        for address in addresses & self._pending.keys():
            asked = self._pending.pop(address)
            for index, length in enumerate(asked.lengths):
                if index not in asked.logits:
                    self._answered(length)
            keys = {(address, index) for index in range(len(asked.lengths))}
            self._models[asked.version].batch.leave(keys)
        for address, question, _ in self._traces:
            if address in addresses:
                self._answered(len(question.token_ids) // 4)
        self._traces = deque(waiting for waiting in self._traces if waiting[0] not in addresses)

    def _answered(self, tokens: int) -> None:
        self._waiting_texts -= 1
        self._waiting_tokens -= tokens


def _logits(question: int, asked: _Pending) -> Logits:
    took = time.perf_counter() - asked.arrived - asked.waited
    return Logits(question, [asked.logits[index] for index in range(len(asked.lengths))], asked.waited, took)
