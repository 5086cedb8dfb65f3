"""Watches each request from its first byte to the last of its answer, and tells whoever keeps a record of it.

Pure ASGI, a few microseconds a request. It also gives the request its id: the one it came with in `X-Request-ID`, if
that is up to 128 visible ASCII characters, or a new one. Its answer repeats it, and every log line meanwhile has it.
"""

import asyncio
import os
import re
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import NotReadyError
from service.logs import REQUEST_ID
from service.problems import PROBLEM_OF_SCOPE, error_response

CLIENT_GONE: Final = 499  # what nginx calls a request whose sender did not wait for the answer

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_MOST_OF_A_BODY = 4096  # bytes of it that are kept


class Exchange(NamedTuple):
    """A request and its answer.

    Attributes:
        method: Of the request.
        path: As it was sent, percent-encoded and without its query.
        route: Its template, such as `/problems/{name}`; `other` if no route of the service answered.
        status: Of the answer; 499 if there was none because the sender did not wait.
        seconds: From the request's head to the end of the answer.
        server_timing: The stages of the answer, as its `Server-Timing` header lists them; empty if it does not.
        problem: The name of the kind of problem that the answer is, or None.
        client: The address of the sender, or None.
        body: The first 4096 bytes of the request's body, if they are kept.
    """

    method: str
    path: str
    route: str
    status: int
    seconds: float
    server_timing: bytes
    problem: str | None
    client: str | None
    body: bytes


Observer = Callable[[Exchange], None]


class Watch:
    """ASGI middleware that stands around everything but what answers a browser's preflights.

    Args:
        app: What answers.
        observers: Whom to tell of each exchange.
        keep_bodies: Whether to keep the start of each request's body.
    """

    def __init__(self, app: ASGIApp, observers: Sequence[Observer], *, keep_bodies: bool = False) -> None:
        self._app = app
        self._observers = observers
        self._keep_bodies = keep_bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the request answered, and tell of it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        REQUEST_ID.set(request_id.decode())
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, request_id)
        body = bytearray()
        try:
            await self._app(scope, _keeping(receive, body) if self._keep_bodies else receive, answer.send)
        except asyncio.CancelledError:
            if not _is_closing(scope):
                raise
            if not answer.status:  # the server waits no longer
                await error_response(NotReadyError(), scope)(scope, receive, answer.send)
        except Exception as error:
            if not answer.status:
                await error_response(error, scope)(scope, receive, answer.send)
            raise  # the server logs it
        finally:
            exchange = answer.exchange(scope, bytes(body))
            for observer in self._observers:
                observer(exchange)


class _Answer:
    """Passes an answer on, with the request's id and the time it took, and remembers what is worth it."""

    status = 0
    server_timing = b""

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self._request_id = request_id
        self._started = time.perf_counter()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = []
            for header in message["headers"]:
                if header[0] == b"server-timing":
                    self.server_timing = header[1]
                else:
                    headers.append(header)
            total = b"total;dur=%.3f" % ((time.perf_counter() - self._started) * 1e3)
            timing = b"%b, %b" % (self.server_timing, total) if self.server_timing else total
            headers += [(b"x-request-id", self._request_id), (b"server-timing", timing)]
            message["headers"] = headers
        await self._send(message)

    def exchange(self, scope: Scope, body: bytes) -> Exchange:
        """Sum up, when all is over."""
        client = scope.get("client")
        return Exchange(
            method=scope["method"],
            path=scope["raw_path"].decode("ascii", "backslashreplace"),
            route=getattr(scope.get("route"), "path", None) or "other",
            status=self.status or CLIENT_GONE,
            seconds=time.perf_counter() - self._started,
            server_timing=self.server_timing,
            problem=scope.get(PROBLEM_OF_SCOPE),
            client=client[0] if client else None,
            body=body,
        )


def _is_closing(scope: Scope) -> bool:
    inference = getattr(scope["app"].state, "inference", None)
    return inference is not None and inference.draining


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            given: bytes = value
            return given
    return os.urandom(16).hex().encode()


def _keeping(receive: Receive, body: bytearray) -> Receive:
    async def receive_and_keep() -> Message:
        message = await receive()
        body.extend(message.get("body", b"")[: _MOST_OF_A_BODY - len(body)])
        return message

    return receive_and_keep
