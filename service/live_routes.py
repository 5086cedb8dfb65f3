"""Live sessions over a WebSocket: `/gates/live` answers while one types.

A message is a `LiveMessage`, and one answer comes for each, in their order: what `/gates` would say of the whole text,
but of its steps only those from `start` on, which replace all that was said of them before. What can be tried again is
answered with `{"problem": ...}` and leaves everything as it was. Anything else closes the session; see `CloseCode`.

Messages are answered one at a time, and the next one is not read before: a slow reader holds up nobody else. One that
does not read at all is cut off by `LiveProtocol`.
"""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator

import orjson
from fastapi import APIRouter, WebSocket
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from charlstm.errors import CharLSTMError
from service.close_codes import CloseCode
from service.errors import ServiceError
from service.inference import Inference
from service.live import Session
from service.live_reading import Readings
from service.live_schemas import LiveMessage
from service.metrics import Metrics
from service.problems import kind_of, problem_of, retry_after, root_path_of
from service.security import spoken
from service.settings import Settings

_BURST_SECONDS = 10.0  # for so long we may be busy while somebody types on, and then get it all at once
_LONGEST_REASON = 123  # bytes, in the protocol


class Closing(Exception):  # noqa: N818  the end of a session is no error
    """The service ends a session, and says why."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")


def router(settings: Settings) -> APIRouter:
    """Return the route, with the limits of the settings."""
    routes = APIRouter()
    routes.add_api_websocket_route("/gates/live", LiveSessions(settings).serve)
    return routes


class LiveSessions:
    """All live sessions of this process.

    Args:
        settings: Their limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._readings = Readings(settings.live_memory_bytes)
        self._open: Counter[str | None] = Counter()  # sessions, by the address of the client

    async def serve(self, websocket: WebSocket) -> None:
        """Hold one session from its opening to its close."""
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.accept(spoken(websocket.scope))
            conversation = _Conversation(websocket, self._settings, self._readings)
            try:
                with self._seat(websocket):
                    await conversation.hold()
            except Closing as closing:
                await conversation.close(closing)

    @contextlib.contextmanager
    def _seat(self, websocket: WebSocket) -> Iterator[None]:
        """Count the session as one more, meanwhile.

        Raises:
            Closing: It would be one too many.
        """
        client = websocket.client.host if websocket.client else None
        most, most_each = self._settings.max_live_sessions, self._settings.max_live_sessions_per_client
        if self._open.total() >= most:
            raise Closing(CloseCode.TOO_MANY_SESSIONS, f"all {most} live sessions are taken; try again later")
        if self._open[client] >= most_each:
            raise Closing(CloseCode.TOO_MANY_SESSIONS, f"all {most_each} live sessions of your address are taken")
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            self._open += Counter()  # leaves out who has none any more


class _Conversation:
    """What is said over one WebSocket."""

    def __init__(self, websocket: WebSocket, settings: Settings, readings: Readings) -> None:
        inference: Inference = websocket.app.state.inference
        self._websocket = websocket
        self._metrics: Metrics = websocket.app.state.metrics
        self._session = Session(inference, readings, settings.live_characters)
        self._pace = Pace(settings.live_messages_per_second)
        self._idle_seconds = settings.live_idle_seconds

    async def hold(self) -> None:
        """Answer messages until there is a reason to close, and close.

        Raises:
            WebSocketDisconnect: The client is gone.
        """
        try:
            while True:
                await self._answer_next()
        except Closing as closing:
            await self.close(closing)
        finally:
            self._session.end()

    async def close(self, closing: Closing) -> None:
        """Say that it is over, and why."""
        await self._send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})

    async def _answer_next(self) -> None:
        message = _read(await self._receive())
        started, problem = time.perf_counter(), None
        try:
            document = await self._session.answer(message)
        except (CharLSTMError, ServiceError) as error:
            problem = kind_of(error).name
            document = _problem_document(error, root_path_of(self._websocket.scope))
        self._metrics.live_answer(time.perf_counter() - started, problem)
        await self._send({"type": "websocket.send", "text": document.decode()})

    async def _receive(self) -> Message:
        try:
            async with asyncio.timeout(self._idle_seconds):
                received = await self._websocket.receive()
        except TimeoutError:
            raise Closing(CloseCode.IDLE, f"nothing was said for {self._idle_seconds:g} seconds") from None
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received["code"])
        if not self._pace.keeps():
            limit = f"{self._pace.per_second:g} messages a second"
            raise Closing(CloseCode.TOO_MANY_MESSAGES, f"must be at most {limit}, over {_BURST_SECONDS:g} seconds")
        return received

    async def _send(self, message: Message) -> None:
        try:
            await self._websocket.send(message)
        except RuntimeError:  # uvicorn's word for a connection that it has closed itself meanwhile
            raise WebSocketDisconnect(CloseCode.LOST) from None


class Pace:
    """Whether messages keep to a number a second, on average over 10 seconds.

    Args:
        per_second: That number.
    """

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._most = max(1.0, per_second * _BURST_SECONDS)
        self._left = self._most  # messages that may come at once
        self._at = time.monotonic()

    def keeps(self) -> bool:
        """Count a message; return whether it may come now."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self.per_second) - 1.0
        self._at = now
        return self._left >= 0.0


def most_message_bytes(settings: Settings) -> int:
    """Return how long a message may be: enough for a whole text, escaped character by character, and a choice of units.

    A longer one ends the session with 1009 before it is read to its end.
    """
    return 16_384 + 12 * settings.live_characters


def _read(received: Message) -> LiveMessage:
    text = received.get("text")
    if text is None:
        raise Closing(CloseCode.BAD_MESSAGE, "must be text, found a binary message")
    try:
        return LiveMessage.model_validate(_parsed(text))
    except orjson.JSONDecodeError as error:
        reason = f"must be valid JSON, found a fault at character {error.pos} ({error.msg})"
        raise Closing(CloseCode.BAD_MESSAGE, reason) from None
    except ValidationError as error:
        faults = [{**fault, "loc": ("message", *fault["loc"])} for fault in error.errors()]
        raise Closing(CloseCode.BAD_MESSAGE, problem_of(RequestValidationError(faults)).detail) from None


def _parsed(text: str) -> object:
    """Parse JSON, also with half a surrogate pair in it: who types by UTF-16 units sends one, and then the other."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(text)
        raise


def _problem_document(error: Exception, root_path: str) -> bytes:
    problem = problem_of(error, root_path).model_dump(exclude_none=True)
    seconds = retry_after(error)
    return orjson.dumps({"problem": problem if seconds is None else problem | {"retry_after": seconds}})
