"""Live sessions over a real port, with a real client: the engine, reloads, limits of the server, and the end."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from service.live_routes import most_message_bytes
from service.settings import Settings
from tests.live_fixtures import PROTOCOL, Closed, Transcript, as_subprotocol, assert_close
from tests.served import LONG, Served, eventually, served
from tests.service_fixtures import PATIENCE, stopped
from tests.tiny import tiny_artifacts

KEY = "one"
CHARACTERS = 80


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"), num_layers=2, max_length=None)


@pytest.fixture(scope="module")
def server(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("server")
    settings = {"api_keys": KEY, "live_characters": CHARACTERS, "log_level": "debug", "deadline_seconds": PATIENCE}
    with served(folder, artifacts, **settings) as server:
        eventually(server.is_ready)
        yield server


def _connect(server: Served, key: str = KEY, origin: str | None = None) -> ClientConnection:
    protocols = [Subprotocol(PROTOCOL), Subprotocol(as_subprotocol(key))]
    return connect(
        f"ws://127.0.0.1:{server.port}/gates/live",
        subprotocols=protocols,
        origin=None if origin is None else Origin(origin),
        proxy=None,
        open_timeout=PATIENCE,
    )


def _ask(socket: ClientConnection, **message: object) -> dict[str, Any]:
    socket.send(json.dumps(message))
    answer: dict[str, Any] = json.loads(socket.recv(PATIENCE))
    return answer


def _close_of(socket: ClientConnection) -> Closed:
    """Wait for the close, and return what the service said with it."""
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(PATIENCE)
    assert closed.value.rcvd is not None
    return Closed(closed.value.rcvd.code, closed.value.rcvd.reason)


def _gates(server: Served, text: str) -> dict[str, Any]:
    """Ask `/gates` for the whole text."""
    answer = httpx.post(f"{server.url}/gates", json={"text": text}, headers={"X-API-Key": KEY}, timeout=PATIENCE)
    document: dict[str, Any] = answer.raise_for_status().json()
    return {name: value for name, value in document.items() if name not in {"about", "text", "what_if"}}


def test_answers_add_up_to_those_of_gates(server: Served) -> None:
    transcript, text = Transcript(), ""
    edits = [(0, "Worst update 🎮"), *((0, letter) for letter in " ever!"), (4, "en ß"), (10, ""), (0, "x" * 40)]
    with _connect(server) as socket:
        assert socket.subprotocol == PROTOCOL
        transcript.hear(_ask(socket, detail="full"))
        for back, typed in edits:
            text = text[: len(text) - back] + typed
            transcript.hear(_ask(socket, back=back, text=typed))
            assert_close(transcript.answer, _gates(server, text))


def test_a_wrong_key_is_told_to_the_client(server: Served) -> None:
    with _connect(server, key="two") as socket:
        assert _close_of(socket) == Closed(4401, "a key is needed")


def test_a_page_of_elsewhere_has_no_session_and_the_services_own_has(server: Served) -> None:
    with pytest.raises(InvalidStatus) as refused, _connect(server, origin="http://elsewhere"):
        pass
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body)["type"] == "/problems/foreign-origin"
    with _connect(server, origin=server.url) as socket:
        assert _ask(socket, text="Worst")["characters"] == 5
    eventually(lambda: server.figures().get('charlstm_live_closes_total{code="403"}'))


def test_the_longest_text_fits_into_a_message_and_a_longer_message_is_not_read(server: Served) -> None:
    most = most_message_bytes(Settings(live_characters=CHARACTERS))
    with _connect(server) as socket:
        assert _ask(socket, text="🎮" * CHARACTERS)["characters"] == CHARACTERS  # json.dumps escapes them
        assert _ask(socket, text="x" * (most - 20))["problem"]["status"] == 413
        socket.send("x" * (most + 1))
        assert _close_of(socket).code == 1009


def test_new_artifacts_in_mid_session_send_every_step_again(server: Served, artifacts: Path) -> None:
    with _connect(server) as socket:
        version = _ask(socket, text="Worst update", detail="full")["model"]["version"]
        tiny_artifacts(artifacts, num_layers=2, max_length=None, seed=1)
        server.signal(signal.SIGHUP)
        answer = eventually(lambda: _unless(_ask(socket), lambda answer: answer["model"]["version"] == version))
        assert answer is not None
        assert (answer["start"], len(answer["tokens"])) == (0, 12)
        assert_close(answer, _gates(server, "Worst update"))
        assert _ask(socket)["start"] == 12


def test_an_engine_that_dies_in_mid_session_is_a_problem_and_then_it_goes_on(server: Served) -> None:
    transcript = Transcript()
    with _connect(server) as socket:
        transcript.hear(_ask(socket, text="Worst", detail="full"))
        (pid,) = server.pids("engine")
        with stopped(pid):
            socket.send(json.dumps({"back": 1, "text": "d!"}))
            assert socket.ping().wait(PATIENCE)  # then the service has read it, and the engine cannot have answered
            os.kill(pid, signal.SIGKILL)
        problem = json.loads(socket.recv(PATIENCE))["problem"]
        assert (problem["status"], problem["retry_after"]) == (503, 1)
        answer = eventually(lambda: _unless(_ask(socket, back=1, text="d!"), lambda answer: "problem" in answer))
        assert answer is not None
        assert answer["start"] == 4
        transcript.hear(answer)
        assert_close(transcript.answer, _gates(server, "Worsd!"))


def _unless(answer: dict[str, Any], unwanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    return None if unwanted(answer) else answer


def test_the_last_signal_closes_sessions_and_neither_texts_nor_keys_are_in_the_log(server: Served) -> None:
    """Stands last: it ends the server of this module."""
    with _connect(server) as socket:
        _ask(socket, text="confidential")
        server.signal(signal.SIGTERM)
        assert _close_of(socket).code == 1012
    assert server.process.wait(PATIENCE) == 0
    log = server.log.read_text()
    assert "Shutting down" in log
    assert not [word for word in ("confidential", as_subprotocol(KEY), "WebSocket /", "Traceback") if word in log]


def test_while_the_service_drains_sessions_are_answered_and_opened(artifacts: Path, tmp_path: Path) -> None:
    with served(tmp_path, artifacts, drain_seconds=LONG) as server:
        eventually(server.is_ready)
        with _connect(server) as socket:
            server.signal(signal.SIGTERM)
            eventually(lambda: server.get("/readyz").status_code == 503)
            assert _ask(socket, text="Worst")["characters"] == 5
            with _connect(server) as late:
                assert _ask(late, text="best")["characters"] == 4
            server.signal(signal.SIGTERM)  # enough of that
            assert _close_of(socket).code == 1012
        assert server.process.wait(PATIENCE) == 0


def test_sessions_of_a_worker_that_died_count_no_longer(artifacts: Path, tmp_path: Path) -> None:
    with served(tmp_path, artifacts, workers=2) as server, contextlib.ExitStack() as stack:
        eventually(lambda: server.log.read_text().count("ready: model") == 2)
        sockets = [stack.enter_context(_connect(server)) for _ in range(4)]
        assert all(_ask(socket, text="Worst")["characters"] == 5 for socket in sockets)
        assert server.figures()["charlstm_live_sessions"] == 4
        workers = server.pids("worker")
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: _sessions(server) == 0)


def _sessions(server: Served) -> float | None:
    """Return how many there are, or None while nobody answers."""
    try:
        return server.figures().get("charlstm_live_sessions", 0.0)
    except httpx.HTTPError:
        return None
