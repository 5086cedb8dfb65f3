"""The model as the routes see it: texts in, records out. Knows no HTTP, no torch, and blocks nothing.

Texts are checked and encoded here; the numbers come from the engine process.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from charlstm.config import Precision
from charlstm.encoding import EncodedText
from charlstm.errors import TextError
from charlstm.trace import SIGNALS, GateTrace, LayerTrace, Prediction
from service.connection import EngineConnection, PackedTexts, ServedModel, pack
from service.errors import (
    CharacterLimitError,
    NotReadyError,
    StaleModelError,
    TextFault,
    TooManyTextsError,
    UnreadableTextsError,
)
from service.protocol import Reloaded, Statistics, Traced
from service.settings import Settings
from service.supervisor import Supervisor
from service.trace_slots import TraceSlots

_logger = logging.getLogger(__name__)

# Encoding takes about a microsecond for ten characters; more than this is not done on the event loop.
_MOST_CHARACTERS_AT_ONCE = 50_000


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
    prediction: Prediction
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
        deadline = self._deadline()
        with contextlib.suppress(StaleModelError):
            return await self._judge(texts, deadline, truncate=truncate)
        return await self._judge(texts, deadline, truncate=truncate)

    async def trace(self, field: str, text: str, deadline: float, *, truncate: bool) -> TracedText:
        """Judge one text, which stands in this field, and show its memory, by the deadline that its slot came with.

        Raises:
            UnreadableTextsError: The model cannot read it.
            ServiceError: As for `judge`.
        """
        with contextlib.suppress(StaleModelError):
            return await self._trace(field, text, deadline, truncate=truncate)
        return await self._trace(field, text, deadline, truncate=truncate)

    async def reload(self) -> Reloaded:
        """Load the artifacts folder again; the old model serves on if the new one is not sound.

        Raises:
            ServiceError: There is no engine to do so, or it died over it.
        """
        return await self._connection.reload()

    async def _judge(self, texts: Mapping[str, str], deadline: float, *, truncate: bool) -> Judged:
        model = self.model
        encoded, packed = await self._encode(model, texts, truncate=truncate)
        answer = await self._connection.submit(model.version, packed, deadline)
        predictions = [
            Prediction.of(text, _sigmoid(logit / model.config.calibration.temperature))
            for text, logit in zip(encoded, answer.logits, strict=True)
        ]
        return Judged(model, predictions, answer.waited, answer.took)

    async def _trace(self, field: str, text: str, deadline: float, *, truncate: bool) -> TracedText:
        model = self.model
        (encoded,), packed = await self._encode(model, {field: text}, truncate=truncate)
        answer = await self._connection.trace(model.version, packed, deadline)
        trace = _gate_trace(model, encoded, answer)
        prediction = Prediction.of(encoded, float(trace.probability_so_far[-1]))
        return TracedText(model, prediction, trace, answer.waited, answer.took)

    def _deadline(self) -> float:
        return time.monotonic() + self._settings.deadline_seconds

    async def _encode(
        self, model: ServedModel, texts: Mapping[str, str], *, truncate: bool
    ) -> tuple[list[EncodedText], PackedTexts]:
        self._check_sizes(texts)
        if sum(map(len, texts.values())) <= _MOST_CHARACTERS_AT_ONCE:
            return _encode(model, texts, truncate=truncate)
        return await asyncio.to_thread(_encode, model, texts, truncate=truncate)

    def _check_sizes(self, texts: Mapping[str, str]) -> None:
        limit = self._settings.max_characters
        oversized = {field: len(text) for field, text in texts.items() if len(text) > limit}
        if oversized:
            faults = [TextFault(field, CharacterLimitError(limit, found)) for field, found in oversized.items()]
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


def _encode(model: ServedModel, texts: Mapping[str, str], *, truncate: bool) -> tuple[list[EncodedText], PackedTexts]:
    encoded: list[EncodedText] = []
    faults: list[TextFault] = []
    for field, text in texts.items():
        try:
            encoded.append(model.encoder.encode(text, truncate=truncate))
        except TextError as error:
            faults.append(TextFault(field, error))
    if faults:
        raise UnreadableTextsError(faults)
    return encoded, pack([text.padded(model.config.model.pad_to).token_ids for text in encoded])


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def _gate_trace(model: ServedModel, text: EncodedText, answer: Traced) -> GateTrace:
    read = text.padded(model.config.model.pad_to)
    logits = np.frombuffer(answer.logits, np.float32)  # (T,)
    shape = (answer.layers, len(SIGNALS), len(read.token_ids), answer.hidden_size)
    signals = np.frombuffer(answer.signals, np.float32).reshape(shape)
    scaled = logits / np.float32(model.config.calibration.temperature)
    return GateTrace(
        tokens=tuple(model.encoder.vocabulary.decode(read.token_ids)),
        token_ids=read.token_ids,
        offsets=read.offsets,
        layers=tuple(LayerTrace(*layer) for layer in signals),
        probability_so_far=np.exp(-np.logaddexp(np.float32(0), -scaled)),  # the sigmoid, which cannot overflow so
    )


def _report(loading: asyncio.Task[None]) -> None:
    if not loading.cancelled() and (error := loading.exception()):
        _logger.critical("the model cannot be loaded: %s", error)
