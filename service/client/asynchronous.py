"""The client for event loops."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from types import TracebackType
from typing import Final, Self, TypeVar, Unpack

import httpx

from charlstm.clamp import Clamp
from charlstm.trace import GateTrace
from service.client import calls
from service.client.asynchronous_session import AsyncLiveSession, open_session
from service.client.batches import DEFAULT, UNTOLD, Part, Sizes, checked, split
from service.client.calls import Answer, BatchOptions, GatesOptions, Request
from service.client.conversation import Conversation, ViewOptions
from service.client.core import Core, Gathering, HttpTry, http_failures
from service.client.errors import BusyError, FailedError, NoAnswerError, ProblemError
from service.client.gates import Gates
from service.client.policy import AsyncClock, AsyncSystemClock, Policy
from service.client.trying import drive_async
from service.comparison_schemas import CompareResponse, OcclusionResponse
from service.schemas import Info, PredictResponse, ReloadResponse
from service.units_schemas import UnitResponse, UnitsResponse

T = TypeVar("T")

_GRACE: Final = 0.1  # seconds: limits of httpx, which knows what was waited for, come first
_USUAL: Final = Policy()
_REAL_TIME: Final = AsyncSystemClock()


class AsyncSentimentClient:
    """Asks a service from an event loop of asyncio: what `SentimentClient` does, by the same names and awaited.

    Many tasks of one loop may share one.

    Args:
        url, api_key, policy, tls: As there.
        clock: Tells the time, and waits.

    Raises:
        ValueError: As there.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        policy: Policy = _USUAL,
        tls: ssl.SSLContext | None = None,
        clock: AsyncClock = _REAL_TIME,
    ) -> None:
        self._core = Core(url, api_key, policy, clock.now)
        self._clock = clock
        self._tls = tls
        self._http = httpx.AsyncClient(verify=True if tls is None else tls)
        self._sizes: Sizes | None = None

    @classmethod
    def inside(
        cls, app: Callable[..., Awaitable[None]], api_key: str | None = None, *, policy: Policy = _USUAL
    ) -> Self:
        """Ask an application of this process, such as a service mounted in another one, with no network in between.

        It has to run: its lifespan has to be entered. Live sessions need a port, and are not to be had.

        Args:
            app: The ASGI application.
            api_key: As for a client over the network.
            policy: Likewise.
        """
        client = cls("http://inside", api_key, policy=policy)
        client._http = httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False))
        return client

    async def __aenter__(self) -> Self:
        """Keep its connections until the block ends."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close its connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections; live sessions have ones of their own."""
        await self._http.aclose()

    async def predict(self, text: str, *, truncate: bool = False, model: str | None = None) -> PredictResponse:
        """Judge one text."""
        return await self._ask(calls.predict(text, truncate=truncate, model=model))

    async def predict_batch(
        self, texts: Iterable[str], *, truncate: bool = False, model: str | None = None
    ) -> list[PredictResponse]:
        """Judge texts, however many, and return what is said of each, in their order.

        The first part that fails, fails the batch: all that are under way are cancelled.
        """
        listed = checked(texts)
        if not listed:
            return []
        parts = list(split(listed, await self._sizes_of_parts()))
        turns = asyncio.Semaphore(self._core.policy.concurrency)

        async def ask(part: Part) -> list[PredictResponse]:
            async with turns:
                until = self._clock.now() + self._core.policy.deadline_seconds
                return await self._ask_part(part, {"truncate": truncate, "model": model}, until)

        try:
            async with asyncio.TaskGroup() as tasks:
                pending = [tasks.create_task(ask(part)) for part in parts]
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        return [prediction for answer in pending for prediction in answer.result()]

    async def gates(self, text: str, *, model: str | None = None, **options: Unpack[GatesOptions]) -> Gates:
        """Judge a text and show its memory, or that part of it that is asked for, as NumPy arrays."""
        return await self._ask(calls.gates(text, options, model))

    async def trace(
        self, text: str, *, truncate: bool = False, clamps: Sequence[Clamp] = (), model: str | None = None
    ) -> GateTrace:
        """Judge a text and show all of its memory, as `charlstm.Predictor.trace` does."""
        return await self._ask(calls.trace(text, truncate=truncate, clamps=clamps, model=model))

    async def compare(
        self, first: str, second: str, *, truncate: bool = False, model: str | None = None
    ) -> CompareResponse:
        """Hold two texts against each other: where they part, and what turned the answer."""
        return await self._ask(calls.compare(first, second, truncate=truncate, model=model))

    async def occlusion(self, text: str, *, truncate: bool = False, model: str | None = None) -> OcclusionResponse:
        """Judge a text, and once more without each of its words."""
        return await self._ask(calls.occlusion(text, truncate=truncate, model=model))

    async def units(self, *, model: str | None = None) -> UnitsResponse:
        """List the model's hidden units with what each of them tells."""
        return await self._ask(calls.units(model))

    async def unit(self, number: int, *, layer: int = 0, model: str | None = None) -> UnitResponse:
        """Say what moves one hidden unit."""
        return await self._ask(calls.unit(number, layer, model))

    async def info(self, *, model: str | None = None) -> Info:
        """Describe what is served, and what a request may hold."""
        return await self._ask(calls.info(model))

    async def reload(self) -> ReloadResponse:
        """Have the service load its artifacts again. Needs an admin key; asked again only if it was never asked."""
        return await self._ask(calls.reload())

    async def is_ready(self) -> bool:
        """Ask once whether the model is loaded and the service not about to close."""
        try:
            await self._ask(calls.ready(), replace(self._core.policy, attempts=1))
        except (NoAnswerError, BusyError, FailedError):
            return False
        return True

    async def wait_until_ready(self, seconds: float = 60.0) -> None:
        """Wait for that.

        Raises:
            ClientError: It was not so in so many seconds; this is what was in the way last.
        """
        await self._ask(calls.ready(), self._core.policy.for_as_long_as(seconds))

    def live(
        self, *, model: str | None = None, **view: Unpack[ViewOptions]
    ) -> AbstractAsyncContextManager[AsyncLiveSession]:
        """Open a live session, in which a text is typed, and close it when the block ends.

        Args:
            model: Which one is to read.
            view: What answers show of the memory.
        """
        return open_session(self._core, Conversation(model, view), self._clock, self._tls)

    async def _ask(self, request: Request[T], policy: Policy | None = None) -> T:
        return await drive_async(self._core.flow(request, policy), self._exchange, self._clock)

    async def _exchange(self, step: HttpTry) -> Answer:
        method, url, headers, content = step.question
        gathering, timeout = Gathering(step.seconds, self._clock.now), self._core.timeouts(step.seconds)
        streamed = self._http.stream(method, url, headers=dict(headers), content=content, timeout=timeout)
        with http_failures():
            # httpx has no limit of its own for the whole, nor any at all where there is no network.
            async with asyncio.timeout(step.seconds + _GRACE), streamed as response:
                async for piece in response.aiter_bytes():
                    gathering.add(piece)
                return gathering.answer(response)

    async def _ask_part(self, part: Part, options: BatchOptions, until: float) -> list[PredictResponse]:
        """Ask of a part, and of its halves if that was too much at once, and it is not yet `until`."""
        try:
            return await self._ask(calls.predict_batch(part.texts, **options))
        except ProblemError as error:
            first, second = part.halves_after(error, in_time=self._clock.now() < until)
        return [*await self._ask_part(first, options, until), *await self._ask_part(second, options, until)]

    async def _sizes_of_parts(self) -> Sizes:
        if self._sizes is None:
            try:
                limits = (await self.info()).limits
            except UNTOLD:
                return DEFAULT
            self._sizes = Sizes.within(limits, self._core.policy.concurrency)
        return self._sizes
