"""Live sessions of both clients with services that refuse, fail, stall and talk nonsense."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import pytest
from websockets.sync.server import ServerConnection, serve

from service.client import Policy
from service.client.errors import (
    AnswerTimeoutError,
    BusyError,
    ConnectionLostError,
    ForeignOriginError,
    SessionEndedError,
    UnexpectedAnswerError,
    UnreachableError,
)
from tests.client_fixtures import BOTH, Connect, Deed, FakeClock, nobody, says, scripted, sends

pytestmark = pytest.mark.parametrize("connect", BOTH, ids=["blocking", "asynchronous"])

ANSWER = {
    "start": 0,
    "tokens": ["w"],
    "token_ids": [1],
    "offsets": [0],
    "probability_so_far": [0.75],
    "contributions": None,
    "label": "negative",
    "probability": 0.75,
    "probabilities": {"negative": 0.75, "positive": 0.25},
    "characters": 1,
    "unknown_characters": 0,
    "truncated": False,
    "model": {"name": "tiny", "version": "0", "precision": "float32"},
}
BUSY = {"type": "/problems/overloaded", "title": "Overloaded", "status": 429, "detail": "too much", "retry_after": 3}


@contextmanager
def live(handler: Callable[[ServerConnection], None]) -> Iterator[str]:
    """Serve live sessions; give the URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    with serve(handler, sock=listener) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_a_message_that_is_refused_for_now_is_sent_again(connect: Connect) -> None:
    """After as long as the service says, and word by word."""
    heard: list[str | bytes] = []

    def handler(connection: ServerConnection) -> None:
        for said in ({"problem": BUSY}, {"problem": BUSY}, ANSWER):
            heard.append(connection.recv())
            connection.send(json.dumps(said))
        connection.recv()

    clock = FakeClock()
    with live(handler) as url, connect(url, clock=clock) as client, client.live() as session:
        assert session.type("W").label == "negative"
        assert (session.text, clock.slept) == ("W", [3, 3])
    assert len(set(heard)) == 1


def test_silence_ends_the_session(connect: Connect) -> None:
    """Or the answer would be taken for that to the next message. Waits for real, a twentieth of a second."""

    def handler(connection: ServerConnection) -> None:
        connection.recv()
        for _ in connection:
            pass

    policy = Policy(silence_seconds=0.05)
    with live(handler) as url, connect(url, policy=policy) as client, client.live() as session:
        with pytest.raises(AnswerTimeoutError):
            session.type("W")
        with pytest.raises(SessionEndedError):
            session.type("W")
        assert session.text == ""


def test_a_close_says_why(connect: Connect) -> None:
    def handler(connection: ServerConnection) -> None:
        connection.recv()
        connection.close(4408, "nothing was said")

    with live(handler) as url, connect(url) as client, client.live() as session:
        with pytest.raises(SessionEndedError) as raised:
            session.type("W")
        assert (raised.value.code, raised.value.reason) == (4408, "nothing was said")


def test_a_connection_that_breaks_is_the_end_without_a_code(connect: Connect) -> None:
    def handler(connection: ServerConnection) -> None:
        connection.recv()
        connection.socket.shutdown(socket.SHUT_RDWR)

    with live(handler) as url, connect(url) as client, client.live() as session:
        with pytest.raises(SessionEndedError) as raised:
            session.type("W")
        assert raised.value.code == 1006


@pytest.mark.parametrize("nonsense", ["", "[]", "{}", b"\xff\xfe", json.dumps(ANSWER | {"start": 3})])
def test_nonsense_is_an_unexpected_answer(connect: Connect, nonsense: str | bytes) -> None:
    def handler(connection: ServerConnection) -> None:
        connection.recv()
        connection.send(nonsense)
        for _ in connection:
            pass

    with live(handler) as url, connect(url) as client, client.live() as session:
        with pytest.raises(UnexpectedAnswerError):
            session.type("W")
        assert (session.text, session.whole) == ("", None)


def test_a_service_that_is_not_there_is_tried_again(connect: Connect) -> None:
    clock = FakeClock()
    with nobody() as url, connect(url, clock=clock) as client, pytest.raises(UnreachableError), client.live():
        pass
    assert len(clock.slept) == 4


def test_a_handshake_is_tried_again_where_that_may_help(connect: Connect) -> None:
    foreign = {"type": "/problems/foreign-origin", "title": "Title", "status": 403, "detail": "what happened"}
    script = [says(503, b"", Retry_After="2"), sends(b""), says(403, json.dumps(foreign).encode())]
    clock = FakeClock()
    with scripted(*script) as server, connect(server.url, clock=clock) as client:
        with pytest.raises(ForeignOriginError), client.live():
            pass
        assert clock.slept == pytest.approx([2.0, 0.2])
        assert all(b"x-request-id" in request.lower() for request in server.requests)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(sends(b""), ConnectionLostError), (says(503), BusyError), (says(200, b"<html>"), UnexpectedAnswerError)],
)
def test_a_handshake_that_fails_says_how(connect: Connect, answer: Deed, expected: type[Exception]) -> None:
    once = Policy(attempts=1)
    with (
        scripted(answer) as server,
        connect(server.url, policy=once) as client,
        pytest.raises(expected),
        client.live(),
    ):
        pass
