"""What the client's tests share: time that passes only when told, a server that does as a script says, both clients."""

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from threading import Thread
from typing import Any, Protocol

from service.client import AsyncSentimentClient, Policy, SentimentClient
from service.client.policy import AsyncClock, Clock
from tests.service_fixtures import PATIENCE

STEADY = Policy(jitter=lambda: 0.0, request_id=lambda: "test-id")
"""Nothing is left to chance."""

JUDGED = (
    b'{"label":"negative","probability":0.75,"probabilities":{"negative":0.75,"positive":0.25},"characters":5,'
    b'"unknown_characters":0,"truncated":false,"model":{"name":"tiny","version":"0","precision":"float32"}}'
)


class FakeClock:
    """A time that only sleeping makes pass, and each look at it if told so.

    Attributes:
        slept: For how long, each time.
    """

    def __init__(self, each_look: float = 0.0) -> None:
        self.slept: list[float] = []
        self._each_look = each_look
        self._now = 0.0

    def now(self) -> float:
        self._now += self._each_look
        return self._now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._now += seconds


class _Awaited:
    """The same for an event loop."""

    def __init__(self, clock: Clock) -> None:
        self.now = clock.now
        self._sleep = clock.sleep

    async def sleep(self, seconds: float) -> None:
        self._sleep(seconds)


class _Driven:
    """Whatever an asynchronous object can be asked, without waiting for it: its event loop runs meanwhile."""

    def __init__(self, asked: Any, runner: asyncio.Runner) -> None:
        self._asked = asked
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._asked, name)
        if name == "live":
            return lambda **view: self._entered(found(**view))
        return self._run(found) if asyncio.iscoroutinefunction(found) else found

    def _run(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: self._runner.run(function(*args, **kwargs))

    @contextmanager
    def _entered(self, opening: Any) -> Iterator["_Driven"]:
        entered = self._runner.run(opening.__aenter__())
        try:
            yield _Driven(entered, self._runner)
        finally:
            self._runner.run(opening.__aexit__(None, None, None))


class Connect(Protocol):
    """Makes one of the two clients; both are asked alike."""

    def __call__(
        self, url: str, api_key: str | None = None, *, policy: Policy = STEADY, clock: Clock | None = None
    ) -> AbstractContextManager[Any]: ...


@contextmanager
def blocking(
    url: str, api_key: str | None = None, *, policy: Policy = STEADY, clock: Clock | None = None
) -> Iterator[SentimentClient]:
    with SentimentClient(url, api_key, policy=policy, clock=clock or FakeClock()) as client:
        yield client


@contextmanager
def asynchronous(
    url: str, api_key: str | None = None, *, policy: Policy = STEADY, clock: Clock | None = None
) -> Iterator[_Driven]:
    awaited: AsyncClock = _Awaited(clock or FakeClock())
    with asyncio.Runner() as runner:
        client = AsyncSentimentClient(url, api_key, policy=policy, clock=awaited)
        try:
            yield _Driven(client, runner)
        finally:
            runner.run(client.aclose())


BOTH: Sequence[Connect] = (blocking, asynchronous)

Deed = Callable[[socket.socket], None]


class Scripted:
    """A server that does with each connection what the next line of its script says, and then nothing more.

    Attributes:
        requests: The head and body of each request, as they came.
    """

    def __init__(self, listener: socket.socket, script: Sequence[Deed]) -> None:
        self.requests: list[bytes] = []
        self._listener = listener
        self._script = script

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        for deed in self._script:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # the test is over
                return
            with connection, suppress(OSError):
                self.requests.append(_request(connection))
                deed(connection)


def _request(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        request += _more(connection)
    head, _, body = request.partition(b"\r\n\r\n")
    lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += _more(connection)
    return head + b"\r\n\r\n" + body


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the client hung up before its request was whole")
    return data


@contextmanager
def scripted(*script: Deed) -> Iterator[Scripted]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Scripted(listener, script)
        thread = Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
            thread.join(PATIENCE)
            assert not thread.is_alive()


def says(status: int, body: bytes = b"", **headers: str) -> Deed:
    """Answer as HTTP is answered; names of headers with `_` for `-`."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} Status\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{lines}\r\n"
    return sends(head.encode() + body)


def sends(content: bytes) -> Deed:
    """Send bytes as they are, and hang up."""
    return lambda connection: connection.sendall(content)


def waits(connection: socket.socket) -> None:
    """Say nothing until the client is gone."""
    connection.recv(1)


def trickles(connection: socket.socket) -> None:
    """Begin an answer that never ends, until the client is gone."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    while True:
        connection.sendall(b" ")


@contextmanager
def nobody() -> Iterator[str]:
    """Give a URL at which every connection is refused."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unheard.getsockname()[1]}"
