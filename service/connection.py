"""A worker's side of the socket: asks the engine, and hands each answer to whoever waits for it.

The connection is made again whenever it is lost; questions that were under way then fail with `EngineLostError`.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import numpy as np

from charlstm.clamp import Clamp
from charlstm.config import ArtifactConfig, Precision
from charlstm.encoding import EncodedText, TextEncoder
from charlstm.readout import FloatArray, Readout
from charlstm.trace import SIGNALS, GateTrace
from charlstm.vocabulary import Vocabulary
from service.errors import (
    DeadlineError,
    EngineFailedError,
    EngineLostError,
    NotReadyError,
    OverloadedError,
    ServiceError,
    StaleModelError,
)
from service.protocol import (
    Answer,
    Cancel,
    Described,
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
    decode_answer,
    frame,
)

_logger = logging.getLogger(__name__)
_A = TypeVar("_A", bound=Answer)
_READ_SIZE = 1 << 20
_ANSWERS_A_TURN = 2  # of the event loop
_MOST_UNSENT = 64 << 20  # bytes of questions that may wait for the engine to read them
_RECONNECT_AFTER, _RECONNECT_AFTER_NONSENSE = 0.05, 1.0  # seconds
_RETRY_AFTER = 1.0  # seconds, when the engine cannot say
_GRACE = 0.5  # seconds past its deadline that an answer may take to say so


@dataclass(frozen=True)
class ServedModel:
    """A model that the engine serves, as far as a worker needs to know it.

    Attributes:
        name: What requests call it.
        folder: Where it is in the artifacts folder; empty for the default model, which is that folder itself.
        version: As in `Artifacts`.
        config: Everything `config.json` says.
        encoder: From texts to its token ids.
        device: What it runs on.
        precision: Of its predictions.
        readout: From its last hidden state to a probability.
    """

    name: str
    folder: str
    version: str
    config: ArtifactConfig
    encoder: TextEncoder
    device: str
    precision: Precision
    readout: Readout

    def trace_of(self, text: EncodedText, signals: FloatArray, logits: FloatArray) -> GateTrace:
        """Put together what it did with a text; the arrays are as in `GateTrace.of`.

        This takes a millisecond for a thousand steps: not for the event loop.
        """
        return GateTrace.of(text, self.encoder.vocabulary.decode(text.token_ids), signals, logits, self.readout)


class PackedTexts(NamedTuple):
    """Texts as the protocol wants them: the token ids of all, one text after the other, and how many each has."""

    token_ids: bytes
    lengths: list[int]


def pack(texts: Sequence[Sequence[int]]) -> PackedTexts:
    """Pack the token ids of texts; it takes milliseconds for a hundred thousand."""
    token_ids = np.fromiter(itertools.chain.from_iterable(texts), dtype="<i4")
    return PackedTexts(token_ids.tobytes(), [len(text) for text in texts])


class EngineConnection:
    """An asynchronous context manager; while it is entered, it is connected as often as there is an engine.

    Args:
        path: The engine's socket.

    Attributes:
        model: What is served by default, or None while there is no engine that has loaded it.
        further: What else is served.
        statistics: How the engine was doing a moment ago, if it has said so.
    """

    model: ServedModel | None = None
    further: Sequence[ServedModel] = ()
    statistics: Statistics | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids = itertools.count()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._outgoing: list[bytes] = []
        self._writer: asyncio.StreamWriter | None = None
        self._loaded = asyncio.Event()
        self._complaint = ""  # why there is no connection, if that has been said

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._stay_connected())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def until_loaded(self) -> list[ServedModel]:
        """Wait until there are models; return them, the default one first."""
        while self.model is None:
            await self._loaded.wait()
        return [self.model, *self.further]

    async def submit(self, version: str, texts: PackedTexts, deadline: float) -> Logits:
        """Get the logits of texts.

        Args:
            version: Of the model whose token ids they are.
            texts: At least one.
            deadline: When the answer is no longer wanted, on the monotonic clock. An engine that has stopped does not
                see the clock, so the question is given up here a little later.

        Raises:
            ServiceError: See `_ask`.
        """
        token_ids, lengths = texts
        return await self._ask(lambda number: Submit(number, version, token_ids, lengths, deadline), Logits, deadline)

    async def trace(
        self, version: str, token_ids: bytes, deadline: float, *, states: bytes = b"", clamps: Sequence[Clamp] = ()
    ) -> Traced:
        """Get the trace of one text, given as in `Trace`.

        Raises:
            ServiceError: See `_ask`.
        """
        held = list(clamps)
        return await self._ask(
            lambda number: Trace(number, version, token_ids, deadline, states, held), Traced, deadline
        )

    async def reload(self) -> Reloaded:
        """Have the artifacts loaded again, however long it takes.

        Raises:
            ServiceError: See `_ask`.
        """
        return await self._ask(Reload, Reloaded, deadline=None)

    async def _ask(self, question: Callable[[int], Question], answer_type: type[_A], deadline: float | None) -> _A:
        """Ask one question; if nobody waits for the answer any more, the engine is told so.

        Raises:
            NotReadyError: There is no engine at the moment.
            EngineLostError: The engine died before it answered.
            OverloadedError: Too much waits already, before the engine or in it.
            DeadlineError, EngineFailedError, StaleModelError: As the engine says, or it does not answer in time.
        """
        if self._writer is None or self.model is None:
            raise NotReadyError
        if self._writer.transport.get_write_buffer_size() > _MOST_UNSENT:
            raise OverloadedError(_RETRY_AFTER)
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(question(number))
            async with asyncio.timeout(None if deadline is None else deadline - time.monotonic() + _GRACE):
                answer = await future
        except TimeoutError:
            self._send(Cancel(number))
            raise DeadlineError from None
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
        # A transport that has closed already cannot be written to; whoever asks is told by `_lose`, in a moment.
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(data)

    async def _stay_connected(self) -> None:
        while True:
            pause = _RECONNECT_AFTER
            try:
                await self._connect()
            except OSError as error:  # there is no engine, or no longer
                if str(error) != self._complaint:  # else it has been said, and goes on
                    self._complaint = str(error)
                    _logger.warning("no connection to the engine at %s: %s", self._path, self._complaint)
            except Exception:  # an engine that cannot be understood may still be replaced by one that can
                _logger.exception("the connection to the engine is of no use")
                pause = _RECONNECT_AFTER_NONSENSE
            await asyncio.sleep(pause)

    async def _connect(self) -> None:
        """Connect, and listen until the connection is lost."""
        reader, self._writer = await asyncio.open_unix_connection(self._path, limit=_READ_SIZE)
        try:
            frames = Frames()
            while data := await reader.read(_READ_SIZE):
                for number, payload in enumerate(frames.feed(data), start=1):
                    self._take(decode_answer(payload))
                    if number % _ANSWERS_A_TURN == 0:
                        await asyncio.sleep(0)  # a chunk ends many texts at once; a probe need not wait for all of them
        finally:
            self._writer.close()
            self._lose()

    def _take(self, answer: Answer) -> None:
        match answer:
            case Loaded():
                self._complaint = ""
                self.model, *self.further = map(served_model, answer.models)
                self._loaded.set()
            case Statistics():
                self.statistics = answer
            case _:
                future = self._waiting.get(answer.id)
                if future is not None and not future.done():
                    future.set_result(answer)

    def _lose(self) -> None:
        self.model = self.statistics = self._writer = None
        self.further = ()
        self._loaded.clear()
        self._outgoing.clear()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(EngineLostError())


def logits_of(answer: Traced) -> FloatArray:
    """Return the (T,) logits of a trace."""
    return np.frombuffer(answer.logits, np.float32)


def signals_of(answer: Traced) -> FloatArray:
    """Return the (layers, 6, T, H) signals of a trace."""
    steps = len(answer.logits) // np.float32().nbytes
    shape = (answer.layers, len(SIGNALS), steps, answer.hidden_size)
    return np.frombuffer(answer.signals, np.float32).reshape(shape)


def served_model(found: Described) -> ServedModel:
    """Make of what the engine says of a model all that a worker needs of it."""
    config = ArtifactConfig.model_validate_json(found.config)
    encoder = TextEncoder(config.preprocessing, Vocabulary.from_json(found.vocabulary.decode()))
    weight = np.frombuffer(found.readout_weight, np.float32)
    readout = Readout(weight, found.readout_bias, config.calibration.temperature)
    return ServedModel(found.name, found.folder, found.version, config, encoder, found.device, found.precision, readout)


def _error(rejected: Rejected) -> ServiceError:
    match rejected.reason:
        case "overloaded":
            return OverloadedError(rejected.retry_after)
        case "expired":
            return DeadlineError()
        case "stale":
            return StaleModelError()
        case "failed":
            return EngineFailedError()
