"""The engine: networks with a running batch each, and the questions that wait for them. Knows no sockets and no HTTP.

Predictions share a continuous batch, in which the texts of a question take turns with those of the others. Between two
of its chunks there is a pass for a trace, and one that brief traces share: a key pressed in a live session waits for
neither a crowd nor a long text. They are not seats of the batch, because a trace needs every step of every layer,
which the fused LSTM gives for one layer at a time, and is float32 whatever predictions are.

Whoever owns the engine hands it questions with `ask` and calls `work` as long as it is `busy`.
"""

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from charlstm.batching import MOST_SEATS, Finished
from charlstm.clamp import Clamp, check_clamps
from charlstm.readout import FloatArray
from service.admission import Admission, Limits
from service.loaded_model import MOST_STEPS_TOGETHER, MOST_TEXTS_TOGETHER, Address, LoadedModel, Signals, TokenIds
from service.protocol import Answer, Cancel, Logits, ProtocolError, Rejected, Statistics, Submit, Trace, Traced

_logger = logging.getLogger(__name__)

_LOOK_EVERY = 0.02  # seconds between two looks for questions past their deadline
_MOST_FAILURES = 10  # in a row, after which the device is taken to be broken


class Reply(NamedTuple):
    """An answer and the worker it goes to."""

    worker: int
    answer: Answer


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
    states: FloatArray | None
    clamps: Sequence[Clamp]
    arrived: float = field(default_factory=time.perf_counter)

    @property
    def brief(self) -> bool:
        """Whether it can share a pass with others."""
        return not self.clamps and len(self.token_ids) <= MOST_STEPS_TOGETHER


class Engine:
    """Answers questions about texts.

    Args:
        models: What is served first, the default model before others.
        limits: How much may be under way.
    """

    def __init__(self, models: Sequence[LoadedModel], limits: Limits) -> None:
        self._admission = Admission(limits)
        # The newest first. Those before them are kept: questions that name them may be on their way.
        self._generations = [models]
        self._pending: dict[Address, _Pending] = {}
        self._traces: OrderedDict[Address, _PendingTrace] = OrderedDict()
        self._totals = [0] * 6
        self._next_look = 0.0
        self._failures = 0

    @property
    def models(self) -> Sequence[LoadedModel]:
        """What is served, the default model first."""
        return self._generations[0]

    @property
    def busy(self) -> bool:
        """Whether there is work to do."""
        return bool(self._pending or self._traces)

    def replace(self, models: Sequence[LoadedModel]) -> None:
        """Serve other models from here on; what was asked of the old ones is still answered by them."""
        self._generations.insert(0, models)
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
        model = next((model for model in self._all_models() if model.version == question.version), None)
        if model is None:
            return [Reply(worker, Rejected(question.id, "stale"))]
        if question.deadline < time.monotonic():
            return [Reply(worker, Rejected(question.id, "expired"))]
        lengths = question.lengths if isinstance(question, Submit) else [len(question.token_ids) // 4]
        token_ids = _read_token_ids(question.token_ids, lengths, model)
        if not lengths:
            return [Reply(worker, Logits(question.id, [], 0.0, 0.0))]
        others = len(self._pending) + len(self._traces)
        if not self._admission.has_room(question.version, lengths, others, question.deadline):
            return [Reply(worker, Rejected(question.id, "overloaded", self._admission.seconds_left))]
        if isinstance(question, Trace):
            _check_clamps(question, model, len(token_ids))
            states = _read_states(question, model)
            self._traces[address] = _PendingTrace(model, token_ids, question.deadline, states, question.clamps)
        else:
            self._pending[address] = _Pending(model, lengths, question.deadline)
            _join(model, address, token_ids, lengths)
        self._admission.add(question.version, lengths)
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
        for addresses in (self._next_brief_traces(), self._next_long_trace()):
            if addresses:
                replies += self._trace({address: self._traces.pop(address) for address in addresses})
        for model in self._all_models():
            if len(model.batch):
                replies += self._advance(model)
        self._retire()
        return replies

    def statistics(self) -> Statistics:
        """Return how much waits now, and what has been done since the start."""
        seated = sum(model.batch.seated for model in self._all_models())
        return Statistics(self._admission.texts, self._admission.tokens, seated, *self._totals)

    def _retire(self) -> None:
        """Let go of models before the last, once nothing is asked of them any more."""
        if len(self._generations) > 2:
            older = (models for models in self._generations[2:] if any(len(model.batch) for model in models))
            self._generations = [*self._generations[:2], *older]

    def _all_models(self) -> list[LoadedModel]:
        return [model for models in self._generations for model in models]

    def _advance(self, model: LoadedModel) -> list[Reply]:
        started = time.perf_counter()
        try:
            finished = model.batch.advance()
        except RuntimeError as error:
            self._survive(error)
            return self._fail({address for address, asked in self._pending.items() if asked.model is model})
        self._failures = 0
        self._measure(model, time.perf_counter() - started, awaited=bool(finished))
        return self._collect(finished)

    def _collect(self, finished: Iterable[Finished[tuple[Address, int]]]) -> list[Reply]:
        """Note the logits of texts; answer the questions that have theirs together."""
        replies = []
        for (address, index), logit, waited, _ in finished:
            asked = self._pending[address]
            asked.waited = min(asked.waited, waited) if asked.logits else waited
            asked.logits[index] = logit
            self._admission.remove(asked.model.version, [asked.lengths[index]])
            if len(asked.logits) == len(asked.lengths):
                del self._pending[address]
                replies.append(Reply(address.worker, _logits(address.id, asked)))
        return replies

    def _next_brief_traces(self) -> list[Address]:
        """Choose traces of a few tokens of the same model, those that wait longest first: they share a pass."""
        brief = [(address, asked.model) for address, asked in self._traces.items() if asked.brief]
        return [address for address, model in brief if model is brief[0][1]][:MOST_TEXTS_TOGETHER]

    def _next_long_trace(self) -> list[Address]:
        """Choose the trace that waits longest of those that take a pass of their own."""
        return [address for address, asked in self._traces.items() if not asked.brief][:1]

    def _trace(self, traces: Mapping[Address, _PendingTrace]) -> list[Reply]:
        started = time.perf_counter()
        for asked in traces.values():
            self._admission.remove(asked.model.version, [len(asked.token_ids)])
        try:
            found = _run(list(traces.values()))
        except RuntimeError as error:
            self._survive(error)
            return [Reply(address.worker, Rejected(address.id, "failed")) for address in traces]
        self._failures = 0
        took = time.perf_counter() - started
        return [
            Reply(address.worker, _traced(address.id, asked, signals, started, took))
            for (address, asked), signals in zip(traces.items(), found, strict=True)
        ]

    def _measure(self, model: LoadedModel, seconds: float, *, awaited: bool) -> None:
        chunk = model.batch.last_chunk
        if chunk is None:
            return
        pace = self._admission.pace_of(model.version)
        pace.note_chunk(chunk.tokens, seconds, full=chunk.texts == MOST_SEATS, awaited=awaited)
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
            trace = self._traces.pop(address)
            self._admission.remove(trace.model.version, [len(trace.token_ids)])
        dropped = {address: self._pending.pop(address) for address in addresses & self._pending.keys()}
        for asked in dropped.values():
            unread = [length for index, length in enumerate(asked.lengths) if index not in asked.logits]
            self._admission.remove(asked.model.version, unread)
        for model in self._all_models() if dropped else ():
            keys = {
                (address, index)
                for address, asked in dropped.items()
                if asked.model is model
                for index in range(len(asked.lengths))
            }
            model.batch.leave(keys, dropped)


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


def _read_states(question: Trace, model: LoadedModel) -> FloatArray | None:
    """Unpack what is remembered of the text before: (layers, 2, H), or None if there was none."""
    if not question.states:
        return None
    shape = (model.network.config.num_layers, 2, model.network.config.hidden_size)
    if len(question.states) != 4 * math.prod(shape) or question.clamps:
        raise ProtocolError(
            f"states must be {shape} values of 4 bytes, found {len(question.states)} bytes, or clamps too"
        )
    return np.frombuffer(question.states, dtype="<f4").reshape(shape)


def _check_clamps(question: Trace, model: LoadedModel, steps: int) -> None:
    try:
        check_clamps(question.clamps, model.network.config, steps)
    except (ValueError, IndexError) as error:
        raise ProtocolError(f"clamps: {error}") from error


def _run(traces: Sequence[_PendingTrace]) -> list[Signals]:
    """Run one trace, or some brief ones of a model together."""
    first = traces[0]
    if first.brief:
        return first.model.read_on([asked.token_ids for asked in traces], [asked.states for asked in traces])
    return [first.model.trace(first.token_ids, first.states, first.clamps)]


def _traced(question: int, asked: _PendingTrace, signals: Signals, started: float, took: float) -> Traced:
    config = asked.model.network.config
    return Traced(
        question, signals.logits, signals.signals, config.num_layers, config.hidden_size, started - asked.arrived, took
    )


def _join(model: LoadedModel, address: Address, token_ids: TokenIds, lengths: list[int]) -> None:
    start = 0
    for index, length in enumerate(lengths):
        model.batch.join((address, index), token_ids[start : start + length], group=address)
        start += length


def _logits(question: int, asked: _Pending) -> Logits:
    took = time.perf_counter() - asked.arrived - asked.waited
    return Logits(question, [asked.logits[index] for index in range(len(asked.lengths))], asked.waited, took)
