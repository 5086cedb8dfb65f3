"""The model as the routes see it: texts in, records out. Knows no HTTP, no torch, and blocks nothing.

Texts are encoded in `passages`; the numbers come from the engine process.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from charlstm.clamp import Clamp
from charlstm.encoding import EncodedText
from charlstm.readout import FloatArray
from charlstm.trace import Prediction
from service.connection import EngineConnection, ServedModel, pack
from service.errors import NotReadyError, StaleModelError, TooManyTextsError, UnknownModelError
from service.existence import check_clamps
from service.passages import Encoded, Passage, check_sizes, encode, encode_without_words
from service.protocol import Logits, Reloaded, Statistics, Traced
from service.results import Judged, Occluded, TracedPair, TracedText
from service.settings import Settings
from service.supervisor import Supervisor
from service.trace_slots import TraceSlots

_logger = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class Inference:
    """An asynchronous context manager. Entering it starts an engine, or joins the one at `settings.engine_socket`.

    It does not wait for the model. Leaving it answers nothing more.

    Args:
        settings: Where the model is, where it runs, and its limits.

    Attributes:
        loading: Done when the model is ready; it then holds the error if there can be none.
        supervisor: Who keeps the engine running, if it is this process.
        draining: Whether to say that it is not ready, although it still answers.
        trace_slots: Whoever traces takes one for each trace, and keeps it until the answer is written.
    """

    loading: asyncio.Task[None]
    supervisor: Supervisor | None = None
    draining = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self.trace_slots = TraceSlots(settings.deadline_seconds, settings.max_unread_bytes)

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
    def models(self) -> list[ServedModel]:
        """What is served, the default model first.

        Raises:
            NotReadyError: There is no engine, or it has not loaded them yet.
        """
        if self._connection.model is None:
            raise NotReadyError
        return [self._connection.model, *self._connection.further]

    def find(self, name: str | None, version: str | None = None) -> ServedModel:
        """Return a model that is served: without a name the default one, without a version whichever has the name.

        Raises:
            NotReadyError: There is no engine, or it has not loaded the models yet.
            UnknownModelError: There is no such model.
        """
        return find_model(self.models, name, version)

    @property
    def statistics(self) -> Statistics | None:
        """How the engine was doing a moment ago."""
        return self._connection.statistics

    def check_count(self, texts: int) -> None:
        """Refuse to judge so many texts together.

        Raises:
            TooManyTextsError: There are more than the service takes at once.
        """
        if texts > self._settings.max_texts:
            raise TooManyTextsError(self._settings.max_texts, texts)

    async def until_loaded(self) -> None:
        """Wait until there is a model: the first one, or that of the engine after one that was lost."""
        await self._connection.until_loaded()

    async def judge(self, texts: Mapping[str, str], name: str | None = None, *, truncate: bool) -> Judged:
        """Judge texts together.

        Args:
            texts: Each under the name of the field it stands in.
            name: Of the model to ask; None is the default one.
            truncate: Whether texts over the model's limit are cut instead of refused.

        Raises:
            UnknownModelError: There is no model of this name.
            UnreadableTextsError: The model cannot read some of them.
            TooManyTextsError: There are more than the service takes at once.
            ServiceError: The engine did not answer: not ready, overloaded, too late, or dead.
        """
        self.check_count(len(texts))
        passages = [Passage(field, text) for field, text in texts.items()]
        deadline = self._deadline()

        async def ask(model: ServedModel) -> Judged:
            encoded = await self._encode(model, passages, truncate=truncate)
            answer = await self._connection.submit(model.version, encoded.packed, deadline)
            return _judged(model, encoded.texts, answer)

        return await self._ask_again_if_exchanged(name, ask)

    async def occlude(self, text: str, name: str | None = None, *, truncate: bool) -> Occluded:
        """Judge a text, and what is left of it without each of its words; all of it together.

        Raises:
            UnreadableTextsError: The model cannot read it.
            TooManyWordsError: It has more words than there may be texts.
            ServiceError: As for `judge`.
        """
        deadline = self._deadline()

        async def ask(model: ServedModel) -> Occluded:
            (read,), _ = await self._encode(model, [Passage("text", text)], truncate=truncate)
            words, places, packed = await encode_without_words(model, read, self._settings.max_texts)
            answer = await self._connection.submit(model.version, packed, deadline)
            probabilities = _probabilities(model, answer)
            judged = Judged(model, [Prediction.of(read, probabilities[0])], answer.waited, answer.took)
            without = [None if place is None else probabilities[place] for place in places]
            return Occluded(judged, read.text, words, without)

        return await self._ask_again_if_exchanged(name, ask)

    async def trace(
        self,
        passage: Passage,
        deadline: float,
        name: str | None = None,
        *,
        truncate: bool,
        clamps: Sequence[Clamp] = (),
    ) -> TracedText:
        """Judge one text and show its memory, by the deadline that its slot came with.

        Raises:
            UnreadableTextsError: The model cannot read it.
            InvalidFieldError: A clamp names what there is not to hold.
            ServiceError: As for `judge`.
        """

        async def ask(model: ServedModel) -> TracedText:
            encoded = await self._encode(model, [passage], truncate=truncate)
            (text,) = encoded.texts
            check_clamps(clamps, model.config.model, len(text.token_ids))
            answer = await self._connection.trace(model.version, encoded.packed.token_ids, deadline, clamps=clamps)
            return TracedText(model, text, passage.leave_out, answer)

        return await self._ask_again_if_exchanged(name, ask)

    async def trace_both(
        self, pair: tuple[Passage, Passage], deadline: float, name: str | None = None, *, truncate: bool
    ) -> TracedPair:
        """Trace two texts with one model; nothing is asked before both can be read.

        Raises:
            UnreadableTextsError: The model cannot read one of them, or both.
            ServiceError: As for `judge`; by then, neither is being read any more.
        """

        async def trace(model: ServedModel, passage: Passage, text: EncodedText) -> TracedText:
            answer = await self._connection.trace(model.version, pack([text.token_ids]).token_ids, deadline)
            return TracedText(model, text, passage.leave_out, answer)

        async def ask(model: ServedModel) -> TracedPair:
            (one, other), _ = await self._encode(model, pair, truncate=truncate)
            first, second = trace(model, pair[0], one), trace(model, pair[1], other)
            return TracedPair(*await _all_or_none(first, second))

        return await self._ask_again_if_exchanged(name, ask)

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

    async def _ask_again_if_exchanged(
        self, name: str | None, ask: Callable[[ServedModel], Awaitable[_Answer]]
    ) -> _Answer:
        """Ask the model of a name; once more if it is exchanged meanwhile, for another reads texts otherwise."""
        with contextlib.suppress(StaleModelError):
            return await ask(self.find(name))
        return await ask(self.find(name))

    async def _encode(self, model: ServedModel, passages: Sequence[Passage], *, truncate: bool) -> Encoded:
        check_sizes(passages, self._settings.max_characters)
        return await encode(model, passages, truncate=truncate)

    def _deadline(self) -> float:
        return time.monotonic() + self._settings.deadline_seconds

    async def _load(self) -> None:
        """Wait for the model, or for the news that there will be none."""
        loaded = asyncio.create_task(self._connection.until_loaded())
        try:
            if self.supervisor is not None:
                await asyncio.wait([loaded, self.supervisor.running], return_when=asyncio.FIRST_COMPLETED)
                if self.supervisor.running.done():
                    self.supervisor.running.result()
            models = await loaded
        finally:
            loaded.cancel()
        for model in models:  # the engine may be lost again by now, and is then started again
            found = (model.name, model.version, model.device, model.precision)
            _logger.info("ready: model %s, version %s, on %s in %s", *found)


def find_model(models: Sequence[ServedModel], name: str | None, version: str | None) -> ServedModel:
    """Find a model among those that are served; everything is as in `Inference.find`."""
    if name is None:
        return models[0]
    found = next((model for model in models if model.name == name and version in {None, model.version}), None)
    if found is None:
        raise UnknownModelError({model.name: model.version for model in models}, name, version)
    return found


async def _all_or_none(*questions: Coroutine[None, None, _Answer]) -> list[_Answer]:
    """Ask at the same time; if one question fails, give up the others, and raise what it failed with."""
    try:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(question) for question in questions]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in asked]


def _judged(model: ServedModel, texts: Sequence[EncodedText], answer: Logits) -> Judged:
    found = zip(texts, _probabilities(model, answer), strict=True)
    predictions = [Prediction.of(text, probability) for text, probability in found]
    return Judged(model, predictions, answer.waited, answer.took)


def _probabilities(model: ServedModel, answer: Logits) -> list[float]:
    """Return P(negative) of each text."""
    probabilities: list[float] = model.readout.probabilities(np.array(answer.logits, np.float32)).tolist()
    return probabilities


def _report(loading: asyncio.Task[None]) -> None:
    if not loading.cancelled() and (error := loading.exception()):
        _logger.critical("the model cannot be loaded: %s", error)
