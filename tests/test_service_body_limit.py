"""The limit on request bodies, below the application."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.body_errors import BodyTooLargeError, SlowBodyError
from service.body_limit import BodyLimit
from tests.service_fixtures import PATIENCE

LIMIT = 10


class _Exchange:
    """One request whose body never ends, and how much of it was read."""

    def __init__(self, headers: Sequence[tuple[bytes, bytes]] = (), kind: str = "http") -> None:
        self.scope: Scope = {"type": kind, "headers": list(headers), "path": "/", "method": "POST"}
        self.chunks_read = 0
        self.sent: list[Message] = []
        self.reached_the_application = False

    async def _receive(self) -> Message:
        self.chunks_read += 1
        return {"type": "http.request", "body": b"abcd", "more_body": True}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    async def _application(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        self.reached_the_application = True
        for _ in range(100):
            await receive()

    def run(self) -> None:
        asyncio.run(BodyLimit(self._application, LIMIT, PATIENCE)(self.scope, self._receive, self._send))


def test_a_body_announced_too_large_is_refused_before_any_of_it_is_read() -> None:
    exchange = _Exchange([(b"content-length", b"11")])
    exchange.run()
    assert not exchange.reached_the_application
    assert exchange.chunks_read == 0
    start, body = exchange.sent
    assert start["status"] == 413
    assert (b"connection", b"close") in start["headers"]
    assert json.loads(body["body"])["errors"][0] == {
        "field": "body",
        "message": "must be at most 10 bytes long, found 11",
        "limit": 10,
        "found": 11,
    }


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"3")], [(b"content-length", b"many")]])
def test_a_body_is_read_no_further_than_the_limit_whatever_it_announced(headers: list[tuple[bytes, bytes]]) -> None:
    exchange = _Exchange(headers)
    with pytest.raises(BodyTooLargeError):
        exchange.run()
    assert exchange.chunks_read == 3


def test_a_body_that_does_not_come_in_time_is_refused_and_what_comes_behind_one_may_take_longer() -> None:
    exchange, silent = _Exchange(), asyncio.Event()
    pieces = iter([{"type": "http.request", "body": b"a", "more_body": False}])

    async def receive() -> Message:
        for piece in pieces:
            return piece
        await silent.wait()
        return {"type": "http.disconnect"}

    async def read(_scope: Scope, receive: Receive, _send: Send) -> None:
        assert (await receive())["body"] == b"a"
        asyncio.get_running_loop().call_later(0.01, silent.set)
        assert (await receive())["type"] == "http.disconnect"
        silent.clear()

    async def ask() -> None:
        await BodyLimit(read, LIMIT, 0.001)(exchange.scope, receive, exchange._send)
        with pytest.raises(SlowBodyError):
            await BodyLimit(exchange._application, LIMIT, 0.001)(exchange.scope, receive, exchange._send)

    asyncio.run(ask())


def test_what_is_no_request_passes_untouched() -> None:
    exchange = _Exchange(kind="websocket")
    exchange.run()
    assert exchange.chunks_read == 100
