"""The client that waits for its answers: for scripts, notebooks and threads."""

import ssl
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import copy_context
from dataclasses import replace
from threading import Event
from types import TracebackType
from typing import Final, Self, TypeVar, Unpack

import httpx

from charlstm.clamp import Clamp
from charlstm.trace import GateTrace
from service.client import calls
from service.client.batches import DEFAULT, UNTOLD, Part, Sizes, checked, split
from service.client.blocking_session import LiveSession, open_session
from service.client.calls import Answer, BatchOptions, GatesOptions, Request
from service.client.conversation import Conversation, ViewOptions
from service.client.core import Core, Gathering, HttpTry, http_failures
from service.client.errors import BusyError, FailedError, NoAnswerError, ProblemError
from service.client.gates import Gates
from service.client.policy import Clock, Policy, SystemClock
from service.client.trying import drive
from service.comparison_schemas import CompareResponse, OcclusionResponse
from service.schemas import Info, PredictResponse, ReloadResponse
from service.units_schemas import UnitResponse, UnitsResponse

T = TypeVar("T")

_USUAL: Final = Policy()
_REAL_TIME: Final = SystemClock()


class SentimentClient:
    """Asks a service, and waits for its answers.

    Several threads may share one. Every method may name a model with `model`; without it the service chooses. All raise
    `ClientError`: what may help to ask again has been asked again by then, as the policy says.

    Args:
        url: Where the service is, such as `http://localhost:8000`; it may be below a path.
        api_key: What it is shown, if it wants a key.
        policy: How much patience to have.
        tls: For certificates of one's own.
        clock: Tells the time, and waits.

    Raises:
        ValueError: The URL is none of HTTP, or the key no visible ASCII.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        policy: Policy = _USUAL,
        tls: ssl.SSLContext | None = None,
        clock: Clock = _REAL_TIME,
    ) -> None:
        self._core = Core(url, api_key, policy, clock.now)
        self._clock = clock
        self._tls = tls
        self._http = httpx.Client(verify=True if tls is None else tls)
        self._sizes: Sizes | None = None

    def __enter__(self) -> Self:
        """Keep its connections until the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close its connections; live sessions have ones of their own."""
        self._http.close()

    def predict(self, text: str, *, truncate: bool = False, model: str | None = None) -> PredictResponse:
        """Judge one text.

        Args:
            text: Any valid Unicode text of at least one token.
            truncate: Whether a text over the model's limit is cut instead of refused; likewise in all that follows.
            model: Which one is to judge.
        """
        return self._ask(calls.predict(text, truncate=truncate, model=model))

    def predict_batch(
        self, texts: Iterable[str], *, truncate: bool = False, model: str | None = None
    ) -> list[PredictResponse]:
        """Judge texts, however many, and return what is said of each, in their order.

        They go in parts that the service takes, as its `/info` says, a few at a time, each from a thread of its own.
        The first part that fails, fails the batch: what is under way is waited for, and nothing more is sent.

        Raises:
            TypeError: It is one string, or one of them is none.
        """
        listed = checked(texts)
        if not listed:
            return []
        parts = list(split(listed, self._sizes_of_parts()))
        failed = Event()

        def ask(part: Part) -> list[PredictResponse]:
            if failed.is_set():
                return []  # which nobody will see
            try:
                until = self._clock.now() + self._core.policy.deadline_seconds
                return self._ask_part(part, {"truncate": truncate, "model": model}, until)
            except BaseException:
                failed.set()
                raise

        with ThreadPoolExecutor(min(self._core.policy.concurrency, len(parts)), "charlstm-batch") as threads:
            # In the caller's context, for a policy's `request_id` that looks there.
            pending = [threads.submit(copy_context().run, ask, part) for part in parts]
            try:
                return [prediction for answer in pending for prediction in answer.result()]
            finally:
                failed.set()  # or done, or interrupted: nothing more is to be sent

    def gates(self, text: str, *, model: str | None = None, **options: Unpack[GatesOptions]) -> Gates:
        """Judge a text and show its memory, or that part of it that is asked for, as NumPy arrays."""
        return self._ask(calls.gates(text, options, model))

    def trace(
        self, text: str, *, truncate: bool = False, clamps: Sequence[Clamp] = (), model: str | None = None
    ) -> GateTrace:
        """Judge a text and show all of its memory, as `charlstm.Predictor.trace` does."""
        return self._ask(calls.trace(text, truncate=truncate, clamps=clamps, model=model))

    def compare(self, first: str, second: str, *, truncate: bool = False, model: str | None = None) -> CompareResponse:
        """Hold two texts against each other: where they part, and what turned the answer."""
        return self._ask(calls.compare(first, second, truncate=truncate, model=model))

    def occlusion(self, text: str, *, truncate: bool = False, model: str | None = None) -> OcclusionResponse:
        """Judge a text, and once more without each of its words."""
        return self._ask(calls.occlusion(text, truncate=truncate, model=model))

    def units(self, *, model: str | None = None) -> UnitsResponse:
        """List the model's hidden units with what each of them tells."""
        return self._ask(calls.units(model))

    def unit(self, number: int, *, layer: int = 0, model: str | None = None) -> UnitResponse:
        """Say what moves one hidden unit."""
        return self._ask(calls.unit(number, layer, model))

    def info(self, *, model: str | None = None) -> Info:
        """Describe what is served, and what a request may hold."""
        return self._ask(calls.info(model))

    def reload(self) -> ReloadResponse:
        """Have the service load its artifacts again. Needs an admin key; asked again only if it was never asked."""
        return self._ask(calls.reload())

    def is_ready(self) -> bool:
        """Ask once whether the model is loaded and the service not about to close."""
        try:
            self._ask(calls.ready(), replace(self._core.policy, attempts=1))
        except (NoAnswerError, BusyError, FailedError):
            return False
        return True

    def wait_until_ready(self, seconds: float = 60.0) -> None:
        """Wait for that.

        Raises:
            ClientError: It was not so in so many seconds; this is what was in the way last.
        """
        self._ask(calls.ready(), self._core.policy.for_as_long_as(seconds))

    def live(self, *, model: str | None = None, **view: Unpack[ViewOptions]) -> AbstractContextManager[LiveSession]:
        """Open a live session, in which a text is typed, and close it when the block ends.

        Args:
            model: Which one is to read.
            view: What answers show of the memory.
        """
        return open_session(self._core, Conversation(model, view), self._clock, self._tls)

    def _ask(self, request: Request[T], policy: Policy | None = None) -> T:
        return drive(self._core.flow(request, policy), self._exchange, self._clock)

    def _exchange(self, step: HttpTry) -> Answer:
        method, url, headers, content = step.question
        gathering, timeout = Gathering(step.seconds, self._clock.now), self._core.timeouts(step.seconds)
        streamed = self._http.stream(method, url, headers=dict(headers), content=content, timeout=timeout)
        with http_failures(), streamed as response:
            for piece in response.iter_bytes():
                gathering.add(piece)
            return gathering.answer(response)

    def _ask_part(self, part: Part, options: BatchOptions, until: float) -> list[PredictResponse]:
        """Ask of a part, and of its halves if that was too much at once, and it is not yet `until`."""
        try:
            return self._ask(calls.predict_batch(part.texts, **options))
        except ProblemError as error:
            first, second = part.halves_after(error, in_time=self._clock.now() < until)
        return [*self._ask_part(first, options, until), *self._ask_part(second, options, until)]

    def _sizes_of_parts(self) -> Sizes:
        if self._sizes is None:
            try:
                limits = self.info().limits
            except UNTOLD:
                return DEFAULT
            self._sizes = Sizes.within(limits, self._core.policy.concurrency)
        return self._sizes
