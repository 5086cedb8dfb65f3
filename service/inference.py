"""The model as the routes see it: texts in, records out. Knows no HTTP, no torch, and blocks nothing.

Texts are checked and encoded here; the numbers come from the engine process.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from charlstm.clamp import Clamp
from charlstm.config import Precision
from charlstm.encoding import EncodedText, Span
from charlstm.errors import TextError
from charlstm.readout import FloatArray
from charlstm.trace import GateTrace, Prediction
from service.connection import EngineConnection, PackedTexts, ServedModel, logits_of, pack, signals_of
from service.errors import (
    CharacterLimitError,
    NotReadyError,
    StaleModelError,
    TextFault,
    TooManyTextsError,
    UnreadableTextsError,
)
from service.limits import check_clamps
from service.protocol import Logits, Reloaded, Statistics, Traced
from service.settings import Settings
from service.supervisor import Supervisor
from service.trace_slots import TraceSlots

_logger = logging.getLogger(__name__)

# Encoding takes about a microsecond for ten characters; more than this is not done on the event loop.
_MOST_CHARACTERS_AT_ONCE = 50_000


class Passage(NamedTuple):
    """A text of a request.

    Attributes:
        field: Where in the request it stands.
        text: As given.
        leave_out: Spans of it that are not read.
    """

    field: str
    text: str
    leave_out: Sequence[Span] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """What came out for some texts.

    Attributes:
        model: What judged them.
        predictions: One a text, in their order.
        waited, took: Seconds in the engine's queue, and from the first step to the last.
    """

    model: ServedModel
    predictions: list[Prediction]
    waited: float
    took: float

    @property
    def precision(self) -> Precision:
        """The arithmetic that they come from."""
        return self.model.precision


@dataclass(frozen=True, slots=True)
class TracedText:
    """What came out for one text, and how: both are of one pass."""

    model: ServedModel
    trace: GateTrace
    waited: float
    took: float

    @property
    def precision(self) -> Precision:
        """The arithmetic that both come from."""
        return "float32"


class Inference:
    """An asynchronous context manager. Entering it starts an engine, or joins the one at `settings.engine_socket`.

    It does not wait for the model. Leaving it answers nothing more.

    Args:
        settings: Where the model is, where it runs, and its limits.

    Attributes:
        loading: Done when the model is ready; it then holds the error if there can be none.
        supervisor: Who keeps the engine running, if it is this process.
        draining: Whether to say that it is not ready, although it still answers.
        trace_slots: Whoever traces takes one, and keeps it until the answer is written.
    """

    loading: asyncio.Task[None]
    supervisor: Supervisor | None = None
    draining = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self.trace_slots = TraceSlots(settings.deadline_seconds)

    async def __aenter__(self) -> Self:
        path = self._settings.engine_socket
        if path is None:
            self.supervisor = await self._stack.enter_async_context(Supervisor(self._settings))
            path = self.supervisor.path
        self._connection = await self._stack.enter_async_context(EngineConnection(path))
        self.loading = asyncio.create_task(self._load())
        self.loading.add_done_callback(_report)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.loading.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self.loading
        await self._stack.aclose()

    @property
    def ready(self) -> bool:
        """Whether new questions should be sent here."""
        return self._connection.model is not None and not self.draining

    @property
    def model(self) -> ServedModel:
        """What is served.

        Raises:
            NotReadyError: There is no engine, or it has not loaded the model yet.
        """
        if self._connection.model is None:
            raise NotReadyError
        return self._connection.model

    @property
    def statistics(self) -> Statistics | None:
        """How the engine was doing a moment ago."""
        return self._connection.statistics

    async def judge(self, texts: Mapping[str, str], *, truncate: bool) -> Judged:
        """Judge texts together.

        Args:
            texts: Each under the name of the field it stands in.
            truncate: Whether texts over the model's limit are cut instead of refused.

        Raises:
            UnreadableTextsError: The model cannot read some of them.
            TooManyTextsError: There are more than the service takes at once.
            ServiceError: The engine did not answer: not ready, overloaded, too late, or dead.
        """
        if len(texts) > self._settings.max_texts:
            raise TooManyTextsError(self._settings.max_texts, len(texts))
        passages = [Passage(field, text) for field, text in texts.items()]
        return await self._judge_again(passages, truncate=truncate)

    async def judge_without(self, passage: Passage, spans: Sequence[Span], *, truncate: bool) -> Judged:
        """Judge a text as often as there are spans, each time with one of them left out; all of it together.

        Raises:
            UnreadableTextsError: The model cannot read the text, or without a span there is nothing left of it.
            ServiceError: As for `judge`.
        """
        passages = [passage._replace(leave_out=(*passage.leave_out, span)) for span in spans]
        return await self._judge_again(passages, truncate=truncate)

    async def read(self, passage: Passage, *, truncate: bool) -> tuple[ServedModel, EncodedText]:
        """Read one text as the model will, without asking it; return the model, too.

        Raises:
            UnreadableTextsError: The model cannot read it.
            NotReadyError: There is no model.
        """
        model = self.model
        (encoded,), _ = await self._encode(model, [passage], truncate=truncate)
        return model, encoded

    async def trace(
        self, passage: Passage, deadline: float, *, truncate: bool, clamps: Sequence[Clamp] = ()
    ) -> TracedText:
        """Judge one text and show its memory, by the deadline that its slot came with.

        Raises:
            UnreadableTextsError: The model cannot read it.
            InvalidFieldError: A clamp names what there is not to hold.
            ServiceError: As for `judge`.
        """
        with contextlib.suppress(StaleModelError):
            return await self._trace(passage, deadline, truncate=truncate, clamps=clamps)
        return await self._trace(passage, deadline, truncate=truncate, clamps=clamps)

    async def read_on(self, model: ServedModel, token_ids: Sequence[int], states: FloatArray | None) -> Traced:
        """Read some tokens, on from what was remembered of those before them: a step of a live session.

        Args:
            model: Whose token ids and states they are.
            token_ids: At least one.
            states: (layers, 2, H) hidden and cell state of each layer; None at the beginning of a text.

        Raises:
            StaleModelError: Another model is served by now.
            ServiceError: As for `judge`.
        """
        before = b"" if states is None else states.tobytes()
        return await self._connection.trace(model.version, pack([token_ids]).token_ids, self._deadline(), states=before)

    async def reload(self) -> Reloaded:
        """Load the artifacts folder again; the old model serves on if the new one is not sound.

        Raises:
            ServiceError: There is no engine to do so, or it died over it.
        """
        return await self._connection.reload()

    async def _judge_again(self, passages: Sequence[Passage], *, truncate: bool) -> Judged:
        """Judge, once more if the model is exchanged meanwhile."""
        deadline = self._deadline()
        with contextlib.suppress(StaleModelError):
            return await self._judge(passages, deadline, truncate=truncate)
        return await self._judge(passages, deadline, truncate=truncate)

    async def _judge(self, passages: Sequence[Passage], deadline: float, *, truncate: bool) -> Judged:
        model = self.model
        encoded, packed = await self._encode(model, passages, truncate=truncate)
        answer = await self._connection.submit(model.version, packed, deadline)
        return _judged(model, encoded, answer)

    async def _trace(self, passage: Passage, deadline: float, *, truncate: bool, clamps: Sequence[Clamp]) -> TracedText:
        model = self.model
        (encoded,), packed = await self._encode(model, [passage], truncate=truncate)
        check_clamps(clamps, model.config.model, packed.lengths[0])
        answer = await self._connection.trace(model.version, packed.token_ids, deadline, clamps=clamps)
        return _traced(model, encoded, answer)

    def _deadline(self) -> float:
        return time.monotonic() + self._settings.deadline_seconds

    async def _encode(
        self, model: ServedModel, passages: Sequence[Passage], *, truncate: bool
    ) -> tuple[list[EncodedText], PackedTexts]:
        self._check_sizes(passages)
        if sum(len(passage.text) for passage in passages) <= _MOST_CHARACTERS_AT_ONCE:
            return _encode(model, passages, truncate=truncate)
        return await asyncio.to_thread(_encode, model, passages, truncate=truncate)

    def _check_sizes(self, passages: Sequence[Passage]) -> None:
        limit = self._settings.max_characters
        faults = [
            TextFault(passage.field, CharacterLimitError(limit, len(passage.text)))
            for passage in passages
            if len(passage.text) > limit
        ]
        if faults:
            raise UnreadableTextsError(faults)

    async def _load(self) -> None:
        """Wait for the model, or for the news that there will be none."""
        loaded = asyncio.create_task(self._connection.until_loaded())
        try:
            if self.supervisor is not None:
                await asyncio.wait([loaded, self.supervisor.running], return_when=asyncio.FIRST_COMPLETED)
                if self.supervisor.running.done():
                    self.supervisor.running.result()
            model = await loaded
        finally:
            loaded.cancel()
        name = model.config.name
        _logger.info("ready: model %s, version %s, on %s in %s", name, model.version, model.device, model.precision)


def _encode(
    model: ServedModel, passages: Sequence[Passage], *, truncate: bool
) -> tuple[list[EncodedText], PackedTexts]:
    encoded: list[EncodedText] = []
    faults: list[TextFault] = []
    for field, text, leave_out in passages:
        try:
            encoded.append(model.encoder.encode(text, truncate=truncate, leave_out=leave_out))
        except TextError as error:
            faults.append(TextFault(field, error))
    if faults:
        raise UnreadableTextsError(faults)
    return encoded, pack([text.padded(model.config.model.pad_to).token_ids for text in encoded])


def _judged(model: ServedModel, texts: Sequence[EncodedText], answer: Logits) -> Judged:
    probabilities = model.readout.probabilities(np.array(answer.logits, np.float32)).tolist()
    predictions = [Prediction.of(text, probability) for text, probability in zip(texts, probabilities, strict=True)]
    return Judged(model, predictions, answer.waited, answer.took)


def _traced(model: ServedModel, text: EncodedText, answer: Traced) -> TracedText:
    read = text.padded(model.config.model.pad_to)
    tokens = model.encoder.vocabulary.decode(read.token_ids)
    trace = GateTrace.of(read, tokens, signals_of(answer), logits_of(answer), model.readout)
    return TracedText(model, trace, answer.waited, answer.took)


def _report(loading: asyncio.Task[None]) -> None:
    if not loading.cancelled() and (error := loading.exception()):
        _logger.critical("the model cannot be loaded: %s", error)
