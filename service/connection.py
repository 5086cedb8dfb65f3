"""A worker's side of the socket: asks the engine, and hands each answer to whoever waits for it.

The connection is made again whenever it is lost; questions that were under way then fail with `EngineLostError`.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from charlstm.config import ArtifactConfig
from charlstm.encoding import TextEncoder
from charlstm.vocabulary import Vocabulary
from service.errors import DeadlineError, EngineFailedError, EngineLostError, NotReadyError, OverloadedError
from service.protocol import (
    ANSWERS,
    Answer,
    Cancel,
    Frames,
    Loaded,
    Logits,
    Question,
    Rejected,
    Reload,
    Reloaded,
    Statistics,
    Submit,
    Trace,
    Traced,
    frame,
)

_logger = logging.getLogger(__name__)
_A = TypeVar("_A", bound=Answer)
_READ_SIZE = 1 << 20
_RECONNECT_AFTER = 0.05  # seconds


@dataclass(frozen=True)
class ServedModel:
    """The model that the engine serves, as far as a worker needs to know it.

    Attributes:
        version: As in `Artifacts`.
        config: Everything `config.json` says.
        encoder: From texts to its token ids.
        device: What it runs on.
        precision: Of its predictions.
    """

    version: str
    config: ArtifactConfig
    encoder: TextEncoder
    device: str
    precision: str


class EngineConnection:
    """An asynchronous context manager; while it is entered, it is connected as often as there is an engine.

    Args:
        path: The engine's socket.

    Attributes:
        model: What is served, or None while there is no engine that has loaded one.
        statistics: How the engine was doing a moment ago, if it has said so.
    """

    model: ServedModel | None = None
    statistics: Statistics | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids = itertools.count()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._outgoing: list[bytes] = []
        self._writer: asyncio.StreamWriter | None = None
        self._loaded = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._stay_connected())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def until_loaded(self) -> ServedModel:
        """Wait for the first model."""
        while self.model is None:
            await self._loaded.wait()
        return self.model

    async def submit(self, model: ServedModel, token_ids: list[tuple[int, ...]], deadline: float) -> Logits:
        """Get the logits of texts, given as the model's token ids.

        Raises:
            ServiceError: See `_ask`.
        """
        packed = np.array([token_id for text in token_ids for token_id in text], dtype="<i4").tobytes()
        lengths = [len(text) for text in token_ids]
        return await self._ask(lambda number: Submit(number, model.version, packed, lengths, deadline), Logits)

    async def trace(self, model: ServedModel, token_ids: tuple[int, ...], deadline: float) -> Traced:
        """Get the trace of a text, given as the model's token ids.

        Raises:
            ServiceError: See `_ask`.
        """
        packed = np.array(token_ids, dtype="<i4").tobytes()
        return await self._ask(lambda number: Trace(number, model.version, packed, deadline), Traced)

    async def reload(self) -> Reloaded:
        """Have the artifacts loaded again.

        Raises:
            ServiceError: See `_ask`.
        """
        return await self._ask(Reload, Reloaded)

    async def _ask(self, question: Callable[[int], Question], answer_type: type[_A]) -> _A:
        """Ask one question; if nobody waits for the answer any more, the engine is told so.

        Raises:
            NotReadyError: There is no engine at the moment.
            EngineLostError: The engine died before it answered.
            OverloadedError, DeadlineError, EngineFailedError, StaleModelError: As the engine says.
        """
        if self._writer is None:
            raise NotReadyError
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._send(question(number))
        try:
            answer = await future
        except asyncio.CancelledError:
            self._send(Cancel(number))
            raise
        finally:
            self._waiting.pop(number, None)
        if isinstance(answer, Rejected):
            raise _error(answer)
        if not isinstance(answer, answer_type):
            raise EngineFailedError
        return answer

    def _send(self, question: Question) -> None:
        """Write at the end of this turn of the event loop, together with whatever else is asked in it."""
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(frame(question))

    def _flush(self) -> None:
        data, self._outgoing = b"".join(self._outgoing), []
        if self._writer is not None:
            self._writer.write(data)

    async def _stay_connected(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, self._writer = await asyncio.open_unix_connection(self._path)
                try:
                    await self._listen(reader)
                finally:
                    self._writer.close()
                    self._lose()
            await asyncio.sleep(_RECONNECT_AFTER)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        frames = Frames()
        while data := await reader.read(_READ_SIZE):
            for payload in frames.feed(data):
                self._take(ANSWERS.decode(payload))

    def _take(self, answer: Answer) -> None:
        match answer:
            case Loaded():
                self.model = _served_model(answer)
                self._loaded.set()
            case Statistics():
                self.statistics = answer
            case _:
                future = self._waiting.get(answer.id)
                if future is not None and not future.done():
                    future.set_result(answer)

    def _lose(self) -> None:
        self.model = self.statistics = self._writer = None
        self._loaded.clear()
        self._outgoing.clear()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(EngineLostError())


def seconds_from_now(seconds: float) -> float:
    """Return a deadline as the protocol has it."""
    return time.monotonic() + seconds


def _served_model(loaded: Loaded) -> ServedModel:
    config = ArtifactConfig.model_validate_json(loaded.config)
    encoder = TextEncoder(config.preprocessing, Vocabulary.from_json(loaded.vocabulary.decode()))
    return ServedModel(loaded.version, config, encoder, loaded.device, loaded.precision)


def _error(rejected: Rejected) -> Exception:
    match rejected.reason:
        case "overloaded":
            return OverloadedError(rejected.retry_after)
        case "expired":
            return DeadlineError()
        case "stale":
            return NotReadyError()
        case "failed":
            return EngineFailedError()
