"""What happens to a request whose client hangs up, below and above the application."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.hang_up import HangUp

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/", "headers": []}


class _Client:
    """Sends a body in two pieces and hangs up when it is told to."""

    def __init__(self) -> None:
        self.hung_up = asyncio.Event()
        self.heard: list[Message] = []
        self._body = [b"one", b"two"]

    async def receive(self) -> Message:
        if self._body:
            return {"type": "http.request", "body": self._body.pop(0), "more_body": bool(self._body)}
        await self.hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.heard.append(message)


async def _until_cancelled(receive: Receive, *, cleaned_up: list[str]) -> None:
    assert await Request(SCOPE, receive).body() == b"onetwo"
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        cleaned_up.append("cancelled")
        raise


def test_an_application_is_cancelled_when_its_client_hangs_up() -> None:
    cleaned_up: list[str] = []

    async def work(_scope: Scope, receive: Receive, _send: Send) -> None:
        await _until_cancelled(receive, cleaned_up=cleaned_up)

    async def ask() -> None:
        client = _Client()
        request = asyncio.create_task(HangUp(work)(SCOPE, client.receive, client.send))
        await asyncio.sleep(0)
        client.hung_up.set()
        await request
        assert client.heard == []
        assert request.cancelling() == 0

    asyncio.run(ask())
    assert cleaned_up == ["cancelled"]


def test_an_application_that_still_reads_is_cancelled_as_well() -> None:
    """Instead of a disconnect, of which each framework makes an error of its own."""
    heard: list[Message] = []

    async def work(_scope: Scope, receive: Receive, _send: Send) -> None:
        while True:
            heard.append(await receive())

    async def ask() -> None:
        client = _Client()
        client._body.append(b"three")
        request = asyncio.create_task(HangUp(work)(SCOPE, _disconnecting_after(2, client), client.send))
        await request
        assert (client.heard, request.cancelling()) == ([], 0)

    asyncio.run(ask())
    assert [message["body"] for message in heard] == [b"one", b"two"]


def _disconnecting_after(pieces: int, client: _Client) -> Receive:
    left = iter(range(pieces))

    async def receive() -> Message:
        for _ in left:
            return await client.receive()
        return {"type": "http.disconnect"}

    return receive


def test_a_cancellation_from_elsewhere_is_passed_on() -> None:
    async def work(_scope: Scope, receive: Receive, _send: Send) -> None:
        await _until_cancelled(receive, cleaned_up=[])

    async def ask() -> None:
        client = _Client()
        request = asyncio.create_task(HangUp(work)(SCOPE, client.receive, client.send))
        await asyncio.sleep(0)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request

    asyncio.run(ask())


def _answer(app: ASGIApp) -> list[Message]:
    async def ask() -> list[Message]:
        client = _Client()
        client.hung_up.set()
        await HangUp(app)(SCOPE, client.receive, client.send)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
        return client.heard

    return asyncio.run(ask())


def test_an_answer_that_has_begun_is_finished_although_servers_report_a_disconnect_then() -> None:
    async def work(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        await Response(b"answer")(scope, receive, send)
        for _ in range(5):
            await asyncio.sleep(0)

    assert [message["type"] for message in _answer(work)] == ["http.response.start", "http.response.body"]


def test_an_answer_in_pieces_still_learns_of_the_disconnect() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"piece"
            await asyncio.sleep(0)

    async def work(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        await StreamingResponse(pieces())(scope, receive, send)

    assert _answer(work)[0]["type"] == "http.response.start"


def test_an_application_may_go_on_asking_for_messages() -> None:
    async def work(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        assert await receive() == {"type": "http.disconnect"}
        await Response()(scope, receive, send)

    assert len(_answer(work)) == 2


def test_what_is_no_request_passes_untouched() -> None:
    seen: list[tuple[Scope, Receive, Send]] = []

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    async def ask() -> None:
        client = _Client()
        call = ({"type": "websocket"}, client.receive, client.send)
        await HangUp(note)(*call)
        assert seen == [call]

    asyncio.run(ask())
