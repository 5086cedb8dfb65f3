"""Watches each WebSocket from its opening to its close, and tells whoever keeps a record of it.

Pure ASGI, and it stands around everything that could close one. A fault of the application closes it with 1011.
"""

import contextlib
import time
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.close_codes import CloseCode

REFUSED: Final = 403  # the HTTP status that a client sees of a WebSocket closed before it opened


class ClosedWebSocket(NamedTuple):
    """What there is to say of a WebSocket once it is closed.

    Attributes:
        path: As it was sent, percent-encoded and without its query.
        route: Its template; `other` if no route of the service answered.
        code: What it was closed with, by whichever side; 403 if it was closed before it opened.
        seconds: From the handshake's head to the close.
        messages: How many the client has sent.
        client: The address of the client, or None.
    """

    path: str
    route: str
    code: int
    seconds: float
    messages: int
    client: str | None


class SessionObserver(Protocol):
    """Who is told of WebSockets."""

    def session_opened(self) -> None:
        """Take note that one was opened."""

    def session_closed(self, closed: ClosedWebSocket) -> None:
        """Take note that one was closed, or refused."""


class SessionWatch:
    """ASGI middleware for WebSockets.

    Args:
        app: What answers.
        observers: Whom to tell of each.
    """

    def __init__(self, app: ASGIApp, observers: Sequence[SessionObserver]) -> None:
        self._app = app
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application and its client speak, and tell of it."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        line = _Line(receive, send, self._observers)
        try:
            await self._app(scope, line.receive, line.send)
        except Exception:
            if line.open and line.code is None:
                with contextlib.suppress(Exception):  # if that fails too, the first fault is the one to tell
                    await line.send(
                        {"type": "websocket.close", "code": CloseCode.FAULT, "reason": "the service failed"}
                    )
            raise  # the server logs it
        finally:
            closed = line.closed(scope)
            for observer in self._observers:
                observer.session_closed(closed)


class _Line:
    """Passes on what both sides say, and remembers what is worth it.

    Attributes:
        open: Whether it was ever open.
        code: What it was closed with first, or None.
    """

    open = False
    code: int | None = None

    def __init__(self, receive: Receive, send: Send, observers: Sequence[SessionObserver]) -> None:
        self._receive = receive
        self._send = send
        self._observers = observers
        self._messages = 0
        self._started = time.perf_counter()

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.receive":
            self._messages += 1
        elif message["type"] == "websocket.disconnect":
            self._close(message["code"])
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.accept":
            self.open = True
            for observer in self._observers:
                observer.session_opened()
        elif message["type"] == "websocket.close":
            self._close(message["code"])
        await self._send(message)

    def closed(self, scope: Scope) -> ClosedWebSocket:
        """Sum up, when all is over."""
        client = scope.get("client")
        return ClosedWebSocket(
            path=scope["raw_path"].decode("ascii", "backslashreplace"),
            route=getattr(scope.get("route"), "path", None) or "other",
            code=(self.code or CloseCode.LOST) if self.open else REFUSED,
            seconds=time.perf_counter() - self._started,
            messages=self._messages,
            client=client[0] if client else None,
        )

    def _close(self, code: int) -> None:
        if self.code is None:
            self.code = code
