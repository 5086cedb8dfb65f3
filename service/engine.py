"""The engine: one network, one running batch, and the questions that wait for both. Knows no sockets and no HTTP.

Predictions share a continuous batch, in which the texts of a question take turns with those of the others. A trace is
one pass of its own between two chunks. Whoever owns the engine hands it questions with `ask` and calls `work` as long
as it is `busy`.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from charlstm.artifacts import Artifacts
from charlstm.batching import ContinuousBatch, Finished
from charlstm.config import Precision
from charlstm.gates import trace_layers
from service.protocol import Answer, Cancel, Logits, ProtocolError, Rejected, Statistics, Submit, Trace, Traced

_logger = logging.getLogger(__name__)

TokenIds = NDArray[np.int32]

_LOOK_EVERY = 0.02  # seconds between two looks for questions past their deadline
_MOST_FAILURES = 10  # in a row, after which the device is taken to be broken


class Limits(NamedTuple):
    """How much may be under way: texts, and tokens of them. One question is taken at any size if nothing else is."""

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
        self.trace(np.ones(16, np.int32))

    @torch.inference_mode()
    def trace(self, token_ids: TokenIds) -> tuple[bytes, bytes]:
        """Return the (T,) logits and the (layers, 6, T, H) signals of one text, as bytes of float32."""
        read = torch.from_numpy(token_ids.astype(np.int64)).unsqueeze(0)  # (1, T)
        layers = trace_layers(self.network, self.network.embed(read.to(self.network.device)))
        logits = self.network.readout(layers[-1].hidden_state[0])  # (T,)
        signals = torch.stack([signal[0] for layer in layers for signal in layer])  # (layers * 6, T, H)
        return logits.cpu().numpy().tobytes(), signals.cpu().numpy().tobytes()


@dataclass(slots=True)
class _Pending:
    """A question about texts that is not answered yet."""

    model: LoadedModel
    lengths: list[int]
    deadline: float
    logits: dict[int, float] = field(default_factory=dict)
    waited: float = 0.0
    arrived: float = field(default_factory=time.perf_counter)


@dataclass(slots=True)
class _PendingTrace:
    """A question about the memory of one text."""

    model: LoadedModel
    token_ids: TokenIds
    deadline: float
    arrived: float = field(default_factory=time.perf_counter)


class Engine:
    """Answers questions about texts.

    Args:
        model: What is served first.
        limits: How much may be under way.
    """

    def __init__(self, model: LoadedModel, limits: Limits) -> None:
        self._limits = limits
        # The newest first. The one before is kept: questions that name it may be on their way.
        self._models = [model]
        self._pending: dict[Address, _Pending] = {}
        self._traces: OrderedDict[Address, _PendingTrace] = OrderedDict()
        self._waiting_tokens = 0
        self._waiting_texts = 0
        self._tokens_per_second = 50_000.0  # a guess until the first chunks have been measured
        self._totals = [0] * 6
        self._next_look = 0.0
        self._failures = 0

    @property
    def model(self) -> LoadedModel:
        """What is served."""
        return self._models[0]

    @property
    def busy(self) -> bool:
        """Whether there is work to do."""
        return bool(self._pending or self._traces)

    def replace(self, model: LoadedModel) -> None:
        """Serve another model from here on; what was asked of the old one is still answered by it."""
        self._models.insert(0, model)
        self._retire()

    def ask(self, worker: int, question: Submit | Trace | Cancel) -> list[Reply]:
        """Take a question; return an answer already if it is refused.

        Raises:
            ProtocolError: It asks what cannot be meant.
        """
        address = Address(worker, question.id)
        if isinstance(question, Cancel):
            self._drop({address})
            return []
        if address in self._pending or address in self._traces:
            raise ProtocolError(f"question {question.id} is under way already")
        model = next((model for model in self._models if model.artifacts.version == question.version), None)
        if model is None:
            return [Reply(worker, Rejected(question.id, "stale"))]
        if question.deadline < time.monotonic():
            return [Reply(worker, Rejected(question.id, "expired"))]
        lengths = question.lengths if isinstance(question, Submit) else [len(question.token_ids) // 4]
        token_ids = _read_token_ids(question.token_ids, lengths, model)
        if not lengths:
            return [Reply(worker, Logits(question.id, [], 0.0, 0.0))]
        if self._is_full(len(lengths), len(token_ids)):
            return [Reply(worker, Rejected(question.id, "overloaded", self._waiting_tokens / self._tokens_per_second))]
        self._waiting_texts += len(lengths)
        self._waiting_tokens += len(token_ids)
        if isinstance(question, Trace):
            self._traces[address] = _PendingTrace(model, token_ids, question.deadline)
        else:
            self._pending[address] = _Pending(model, lengths, question.deadline)
            _join(model, address, token_ids, lengths)
        return []

    def forget(self, worker: int) -> None:
        """Drop everything that a worker asked: it is gone."""
        self._drop({address for address in (*self._pending, *self._traces) if address.worker == worker})

    def work(self) -> list[Reply]:
        """Do the next piece of work, a chunk of the batch and a trace if one waits; return the answers it gave.

        Raises:
            RuntimeError: The device has failed so often in a row that it is no good any more.
        """
        replies = self._expire()
        if self._traces:
            replies.append(self._trace(*self._traces.popitem(last=False)))
        for model in list(self._models):
            if len(model.batch):
                replies += self._advance(model)
        self._retire()
        return replies

    def statistics(self) -> Statistics:
        """Return how much waits now, and what has been done since the start."""
        seated = sum(model.batch.seated for model in self._models)
        return Statistics(self._waiting_texts, self._waiting_tokens, seated, *self._totals)

    def _is_full(self, texts: int, tokens: int) -> bool:
        """Whether a question would go over a limit; one that could never be taken otherwise is taken alone."""
        if self._waiting_texts == 0:
            return False
        too_many = self._waiting_texts + texts > self._limits.texts
        return too_many or self._waiting_tokens + tokens > self._limits.tokens

    def _retire(self) -> None:
        """Let go of models before the last, once nothing is asked of them any more."""
        if len(self._models) > 2:
            self._models = [*self._models[:2], *(model for model in self._models[2:] if len(model.batch))]

    def _advance(self, model: LoadedModel) -> list[Reply]:
        started = time.perf_counter()
        try:
            finished = model.batch.advance()
        except RuntimeError as error:
            self._survive(error)
            return self._fail({address for address, asked in self._pending.items() if asked.model is model})
        self._failures = 0
        self._measure(model, time.perf_counter() - started)
        return self._collect(finished)

    def _collect(self, finished: Iterable[Finished[tuple[Address, int]]]) -> list[Reply]:
        """Note the logits of texts; answer the questions that have theirs together."""
        replies = []
        for (address, index), logit, waited, _ in finished:
            asked = self._pending[address]
            asked.waited = min(asked.waited, waited) if asked.logits else waited
            asked.logits[index] = logit
            self._answered(1, asked.lengths[index])
            if len(asked.logits) == len(asked.lengths):
                del self._pending[address]
                replies.append(Reply(address.worker, _logits(address.id, asked)))
        return replies

    def _trace(self, address: Address, asked: _PendingTrace) -> Reply:
        started = time.perf_counter()
        self._answered(1, len(asked.token_ids))
        try:
            logits, signals = asked.model.trace(asked.token_ids)
        except RuntimeError as error:
            self._survive(error)
            return Reply(address.worker, Rejected(address.id, "failed"))
        self._failures = 0
        config = asked.model.network.config
        waited, took = started - asked.arrived, time.perf_counter() - started
        traced = Traced(address.id, logits, signals, config.num_layers, config.hidden_size, waited, took)
        return Reply(address.worker, traced)

    def _measure(self, model: LoadedModel, seconds: float) -> None:
        chunk = model.batch.last_chunk
        if chunk is None:
            return
        self._tokens_per_second += 0.05 * (chunk.tokens / max(seconds, 1e-6) - self._tokens_per_second)
        done = (1, chunk.texts, chunk.seats, chunk.steps, chunk.tokens, chunk.seats * chunk.steps)
        self._totals = [total + more for total, more in zip(self._totals, done, strict=True)]

    def _expire(self) -> list[Reply]:
        now = time.monotonic()
        if now < self._next_look:
            return []
        self._next_look = now + _LOOK_EVERY
        late = {address for address, asked in self._pending.items() if asked.deadline < now}
        late |= {address for address, asked in self._traces.items() if asked.deadline < now}
        self._drop(late)
        return [Reply(address.worker, Rejected(address.id, "expired")) for address in late]

    def _survive(self, error: RuntimeError) -> None:
        """Log what the device did, and raise it again if it does nothing else any more.

        A GPU whose context is broken fails at everything from then on; a new process gets a new one. But a lack of
        memory passes.
        """
        _logger.error("inference failed", exc_info=error)
        self._failures += not isinstance(error, torch.OutOfMemoryError)
        if self._failures >= _MOST_FAILURES:
            raise error

    def _fail(self, addresses: set[Address]) -> list[Reply]:
        self._drop(addresses)
        return [Reply(address.worker, Rejected(address.id, "failed")) for address in addresses]

    def _drop(self, addresses: set[Address]) -> None:
        for address in addresses & self._traces.keys():
            self._answered(1, len(self._traces.pop(address).token_ids))
        dropped = {address: self._pending.pop(address) for address in addresses & self._pending.keys()}
        for asked in dropped.values():
            unread = [length for index, length in enumerate(asked.lengths) if index not in asked.logits]
            self._answered(len(unread), sum(unread))
        for model in self._models if dropped else ():
            keys = {
                (address, index)
                for address, asked in dropped.items()
                if asked.model is model
                for index in range(len(asked.lengths))
            }
            model.batch.leave(keys)

    def _answered(self, texts: int, tokens: int) -> None:
        self._waiting_texts -= texts
        self._waiting_tokens -= tokens


def _read_token_ids(packed: bytes, lengths: list[int], model: LoadedModel) -> TokenIds:
    """Check token ids before the network meets them: a GPU does not survive an index that is out of range."""
    tokens, left_over = divmod(len(packed), 4)
    if left_over or sum(lengths) != tokens or (lengths and min(lengths) < 1):
        raise ProtocolError(f"lengths must be positive and their sum {len(packed)} / 4 token ids")
    token_ids: TokenIds = np.frombuffer(packed, dtype="<i4")
    limit = model.network.config.num_embeddings
    if tokens and (token_ids.min() < 0 or token_ids.max() >= limit):
        raise ProtocolError(f"token ids must be 0 to {limit - 1}")
    return token_ids


def _join(model: LoadedModel, address: Address, token_ids: TokenIds, lengths: list[int]) -> None:
    start = 0
    for index, length in enumerate(lengths):
        model.batch.join((address, index), token_ids[start : start + length], group=address)
        start += length


def _logits(question: int, asked: _Pending) -> Logits:
    took = time.perf_counter() - asked.arrived - asked.waited
    return Logits(question, [asked.logits[index] for index in range(len(asked.lengths))], asked.waited, took)
