"""How long a client is waited for: connections as uvicorn makes them, over a transport that the test takes from."""

import asyncio

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from service import http_protocol
from service.http_protocol import LEAST_TAKEN, LOOK_EVERY, MOST_OF_A_HEAD, Connections, HttpProtocol
from service.settings import Settings
from tests.service_fixtures import until

REQUEST_SECONDS, STALL_SECONDS = 4 * LOOK_EVERY, 2 * LOOK_EVERY
PATIENT_LOOKS = int(REQUEST_SECONDS / LOOK_EVERY)
STALLED_LOOKS = int(STALL_SECONDS / LOOK_EVERY)
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = bytes(10 * LEAST_TAKEN)


class Transport(asyncio.Transport):
    """Keeps what is written until the test takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: HttpProtocol | None = None
        self.untaken = 0
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.untaken

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.untaken += len(data)

    def take(self, number: int) -> None:
        self.untaken -= number
        if self.untaken == 0:
            assert self.protocol is not None
            self.protocol.resume_writing()

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def close(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/never":
        await asyncio.Event().wait()
    await Response(ANSWER)(scope, receive, send)


def _connection() -> tuple[HttpProtocol, Transport]:
    config = uvicorn.Config(_answer, http=HttpProtocol, lifespan="off", log_config=None)
    config.load()
    protocol, transport = HttpProtocol(config, ServerState(), {}), Transport()
    transport.protocol = protocol
    protocol.connection_made(transport)
    return protocol, transport


def _looks(protocol: HttpProtocol, number: int) -> list[str | None]:
    return [protocol.look(REQUEST_SECONDS, STALL_SECONDS) for _ in range(number)]


async def _asked() -> tuple[HttpProtocol, Transport]:
    """Ask, and have the answer lie there."""
    protocol, transport = _connection()
    protocol.data_received(REQUEST)
    await until(lambda: transport.untaken > len(ANSWER))
    return protocol, transport


@pytest.mark.parametrize("sent", [b"", b"\r\n", REQUEST[:-2]])
def test_a_head_has_so_long_to_come_and_no_longer(sent: bytes) -> None:
    async def wait() -> None:
        protocol, _ = _connection()
        assert _looks(protocol, PATIENT_LOOKS) == [None] * PATIENT_LOOKS
        if sent:
            protocol.data_received(sent)  # which changes nothing
        assert _looks(protocol, 1) == ["request"]

    asyncio.run(wait())


def test_who_has_asked_is_not_waited_for() -> None:
    async def wait() -> None:
        protocol, _ = _connection()
        protocol.data_received(REQUEST.replace(b"/ ", b"/never "))
        assert set(_looks(protocol, 10 * PATIENT_LOOKS)) == {None}
        for task in protocol.tasks:
            task.cancel()

    asyncio.run(wait())


def test_a_taken_answer_gives_the_next_request_as_long_as_the_first() -> None:
    async def wait() -> None:
        protocol, transport = _connection()
        _looks(protocol, PATIENT_LOOKS)
        protocol.data_received(REQUEST)
        await until(lambda: transport.untaken > len(ANSWER))
        _looks(protocol, 1)
        transport.take(transport.untaken)
        assert _looks(protocol, PATIENT_LOOKS + 1) == [None] * PATIENT_LOOKS + ["request"]

    asyncio.run(wait())


def test_an_answer_of_which_next_to_nothing_is_taken_is_a_reason() -> None:
    async def wait() -> None:
        protocol, transport = await _asked()
        found = []
        for _ in range(STALLED_LOOKS + 2):
            found += _looks(protocol, 1)
            transport.take(LEAST_TAKEN // (2 * STALLED_LOOKS))
        assert found == [None] * (STALLED_LOOKS + 1) + ["answer"]

    asyncio.run(wait())


def test_who_takes_an_answer_slowly_is_given_the_time() -> None:
    async def wait() -> None:
        protocol, transport = await _asked()
        while transport.untaken:
            assert set(_looks(protocol, STALLED_LOOKS)) == {None}
            transport.take(min(LEAST_TAKEN, transport.untaken))

    asyncio.run(wait())


def test_who_takes_a_whole_answer_between_two_looks_and_gets_the_next_has_taken_enough() -> None:
    """At each look there are as many bytes to take, and they are others."""

    async def wait() -> None:
        protocol, transport = await _asked()
        for _ in range(3):
            assert set(_looks(protocol, STALLED_LOOKS)) == {None}
            transport.take(transport.untaken)
            protocol.data_received(REQUEST)
            await until(lambda: transport.untaken > len(ANSWER))

    asyncio.run(wait())


@pytest.mark.parametrize("line", [b"X: " + b"x" * 100 + b"\r\n", b"\r\n"])
def test_a_head_may_only_be_so_long(line: bytes) -> None:
    async def send() -> None:
        protocol, transport = _connection()
        if len(line) > 2:
            protocol.data_received(REQUEST[:-2])
        for _ in range(MOST_OF_A_HEAD // len(line) - 1):
            protocol.data_received(line)
        assert not transport.aborted
        for _ in range(2):
            protocol.data_received(line)
        assert transport.aborted

    asyncio.run(send())


def test_bodies_do_not_count_as_heads() -> None:
    async def send() -> None:
        protocol, transport = _connection()
        protocol.data_received(b"POST /never HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(20):
            protocol.data_received(bytes(50_000))
        assert not transport.aborted
        for task in protocol.tasks:
            task.cancel()

    asyncio.run(send())


def test_those_who_are_late_are_cut_and_noted_and_the_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "LOOK_EVERY", 0.001)
    noted: list[str] = []

    async def look_after() -> None:
        (late, late_transport), (busy, busy_transport) = _connection(), _connection()
        busy.data_received(REQUEST.replace(b"/ ", b"/never "))
        connections = Connections([late, busy, object()], Settings(request_seconds=0.005), noted.append)
        late_transport.untaken = 3
        assert connections.unread == 3
        late_transport.untaken = 0
        looking = asyncio.create_task(connections.look_after())
        await until(lambda: late_transport.aborted)
        looking.cancel()
        assert not busy_transport.aborted
        for task in busy.tasks:
            task.cancel()

    asyncio.run(look_after())
    assert set(noted) == {"request"}
