"""Clients that keep the service waiting, or ask for far more than it can do: everybody else is answered meanwhile."""

import contextlib
import os
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.chaos_fixtures import (
    LONG,
    assert_answers,
    connected,
    is_clean_refusal,
    is_cut,
    request,
    resident_megabytes,
    right_answers,
    trickle,
)
from tests.served import Served, eventually, served
from tests.service_fixtures import PATIENCE, stopped
from tests.tiny import TEXTS, tiny_artifacts

pytestmark = pytest.mark.chaos

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n"
CHARACTERS = 8000  # whose trace, some four megabytes, is more than the buffers of both systems hold
MOST_UNREAD = 4 << 20
CAPACITY = 64  # texts
IDLE = 2000
MOST_GROWTH = 200  # megabytes; without a limit on what is not taken, it would be 300


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"), max_length=None)


@pytest.fixture(scope="module")
def expected(artifacts: Path) -> dict[str, float]:
    return right_answers(artifacts)


@pytest.fixture(scope="module")
def server(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = {
        "threads": 1,
        "request_seconds": 2.0,
        "stall_seconds": 1.5,
        "max_unread_bytes": MOST_UNREAD,
        "max_waiting_texts": CAPACITY,
        "deadline_seconds": PATIENCE,
    }
    with served(tmp_path_factory.mktemp("server"), artifacts, **settings) as server:
        eventually(server.is_ready, LONG)
        yield server
        assert "Traceback" not in server.log.read_text()


def _cut(server: Served, awaited: str) -> float:
    return server.figures().get(f'charlstm_connections_cut_total{{awaited="{awaited}"}}', 0.0)


@pytest.mark.parametrize(
    "sent", [b"", b"\r\n" * 5000, HEAD + b"X: " + b"x" * 10_000], ids=["nothing", "line ends", "a head"]
)
def test_who_does_not_get_to_the_end_of_a_head_is_cut(server: Served, expected: dict[str, float], sent: bytes) -> None:
    before = _cut(server, "request")
    with contextlib.closing(connected(server)) as slow:
        slow.sendall(sent[:20])
        assert_answers(server, expected)
        assert trickle(slow, sent[20:]) or is_cut(slow)
    assert _cut(server, "request") == before + 1


def test_who_never_ends_a_head_is_cut_long_before_it_fills_the_memory(server: Served) -> None:
    before, sent = resident_megabytes(server), 0
    with contextlib.closing(connected(server)) as endless, contextlib.suppress(ConnectionError):
        endless.sendall(HEAD)
        while sent < 1 << 30:
            sent += endless.send(b"X: " + b"x" * 60_000 + b"\r\n")
    assert sent < 1 << 26  # what the buffers of both systems hold at most, and then some
    assert resident_megabytes(server) < before + MOST_GROWTH


def test_who_does_not_get_to_the_end_of_a_body_is_told_so(server: Served, expected: dict[str, float]) -> None:
    with contextlib.closing(connected(server)) as slow:
        slow.sendall(HEAD + b"\r\n{")
        assert_answers(server, expected)
        trickle(slow, b'"text": "Worst"' + b" " * 100)
        answer = slow.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()
    assert b"/problems/slow-body" in answer


@pytest.mark.parametrize("path", ["/predict", "/gates", "/v2/models/tiny/infer"])
def test_who_hangs_up_in_the_middle_of_a_body_is_no_fault_of_the_service(server: Served, path: str) -> None:
    route = "/v2/models/{name}/infer" if path.startswith("/v2") else path
    name = f'charlstm_http_requests_total{{method="POST",route="{route}",status="499"}}'
    before = server.figures().get(name, 0.0)
    with contextlib.closing(connected(server)) as client:
        client.sendall(HEAD.replace(b"/predict", path.encode()) + b"\r\n{")
        server.predict()  # it has been read by now
    eventually(lambda: server.figures().get(name, 0.0) == before + 1)


def test_who_takes_no_answer_fills_no_memory_and_is_cut(server: Served, expected: dict[str, float]) -> None:
    """Nor one who takes a trickle of it. Meanwhile traces are refused, and predictions are not."""
    before, cut = resident_megabytes(server), _cut(server, "answer")
    asked = {"text": "x" * CHARACTERS}
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(connected(server))) for _ in range(60)]
        for client in clients:
            client.sendall(request("/gates", asked))
        starts = [client.recv(12) for client in clients]
        assert set(starts) == {b"HTTP/1.1 200", b"HTTP/1.1 429"}
        assert resident_megabytes(server) < before + MOST_GROWTH
        assert_answers(server, expected)
        stuck = [client for client, start in zip(clients, starts, strict=True) if start.endswith(b"200")]

        def are_cut_while_one_reads_a_trickle() -> bool:
            with contextlib.suppress(ConnectionError):
                stuck[0].recv(64)
            return _cut(server, "answer") == cut + len(stuck)

        eventually(are_cut_while_one_reads_a_trickle)
    answer = httpx.post(f"{server.url}/gates", json=asked, timeout=PATIENCE)
    assert (answer.status_code, len(answer.json()["tokens"])) == (200, CHARACTERS)


def test_two_thousand_who_say_nothing_are_in_nobodys_way(server: Served, expected: dict[str, float]) -> None:
    before = _cut(server, "request")
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(contextlib.closing(_idle(server))) for _ in range(_most_idle(stack))]
        assert_answers(server, expected)
        eventually(lambda: _cut(server, "request") == before + len(idle))
        assert all(is_cut(connection) for connection in idle)
    assert_answers(server, expected)


def _idle(server: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


def _most_idle(stack: contextlib.ExitStack) -> int:
    """Let this process open so many connections, or as many as the system gives; the service does likewise."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 500
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    return wanted - 500


def test_ten_times_what_it_can_take_is_refused_and_the_rest_is_right(
    server: Served, expected: dict[str, float]
) -> None:
    """All of it waits for an engine that stands still, so that it comes at once."""
    before = resident_megabytes(server)
    (engine,) = server.pids("engine")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(connected(server))) for _ in range(10 * CAPACITY)]
        with stopped(engine):
            for number, client in enumerate(clients):
                client.sendall(request("/predict", {"text": TEXTS[number % len(TEXTS)]}))
            assert server.get("/livez").status_code == 200
        answers = [_read_answer(client) for client in clients]
    right = [_probability(answer) for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(right) + len(refused) == len(answers)
    assert len(right) >= CAPACITY
    assert refused
    assert all(map(is_clean_refusal, refused))
    for answer, text in zip(answers, TEXTS * len(answers), strict=False):
        assert answer.status_code == 429 or _probability(answer) == pytest.approx(expected[text], abs=1e-5)
    assert_answers(server, expected)
    assert resident_megabytes(server) < before + MOST_GROWTH


def _read_answer(client: socket.socket) -> httpx.Response:
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    while len(body) < int(headers["content-length"]):
        body += client.recv(65536)
    return httpx.Response(int(status.split()[1]), headers=headers, content=body)


def _probability(answer: httpx.Response) -> float:
    probability: float = answer.json()["probabilities"]["negative"]
    return probability


def test_after_all_that_the_service_ends_in_order(server: Served) -> None:
    """Stands last: it ends the server of this module."""
    with contextlib.closing(connected(server)) as stuck:
        stuck.sendall(request("/gates", {"text": "x" * CHARACTERS}))
        assert stuck.recv(12) == b"HTTP/1.1 200"
        os.kill(server.process.pid, signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0
