"""The end of the service, and new artifacts meanwhile: a real process, real signals."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from service.errors import StartupError
from service.server import _obey_pipe, _reload_whenever, stop_if_failed
from tests.served import LONG, Served, eventually, served
from tests.service_fixtures import PATIENCE, assert_problem, until
from tests.tiny import tiny_artifacts

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n"
BODY = b'{"text":"Worst"}'


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def server(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("server")
    settings = {"drain_seconds": LONG, "admin_keys": "root", "log_format": "json"}
    with contextlib.ExitStack() as stack:
        with _few_descriptors():
            server = stack.enter_context(served(folder, artifacts, **settings))
        eventually(server.is_ready)
        yield server


@contextlib.contextmanager
def _few_descriptors() -> Iterator[None]:
    """Have whatever is started meanwhile begin with a low limit that it may raise."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _begin(server: Served) -> socket.socket:
    """Send the first half of a request."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    connection.sendall(HEAD + BODY[:5])
    return connection


def _finish(connection: socket.socket) -> bytes:
    """Send the second half, and read until the service closes the connection."""
    with connection:
        connection.sendall(BODY[5:])
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _version(server: Served) -> str:
    version: str = server.predict().json()["model"]["version"]
    return version


def _reload(server: Served) -> httpx.Response:
    return httpx.post(f"{server.url}/admin/reload", headers={"X-API-Key": "root"}, timeout=PATIENCE)


def test_a_hangup_loads_the_artifacts_again(server: Served, artifacts: Path) -> None:
    before = _version(server)
    tiny_artifacts(artifacts, seed=1)
    server.signal(signal.SIGHUP)
    eventually(lambda: _version(server) != before)


def test_a_request_loads_them_as_well_and_every_later_answer_is_the_new_models(server: Served, artifacts: Path) -> None:
    tiny_artifacts(artifacts, seed=2)
    answer = _reload(server).json()
    assert answer["changed"] is True
    assert _version(server) == answer["version"]
    assert answer["models"] == [{"name": "tiny", "version": answer["version"], "precision": "float32"}]
    assert _reload(server).json() == answer | {"changed": False}


def test_damaged_artifacts_are_refused_without_a_path_and_the_old_model_serves_on(
    server: Served, artifacts: Path
) -> None:
    before = _version(server)
    weights = artifacts / "model.safetensors"
    sound = weights.read_bytes()
    weights.write_bytes(sound[:-1])
    answer = _reload(server)
    server.signal(signal.SIGHUP)
    eventually(lambda: server.log.read_text().count("the new models are not used") == 2)
    weights.write_bytes(sound)
    problem = assert_problem(answer, 409, "reload-refused")
    assert problem["detail"].startswith("model.safetensors expected SHA-256 ")
    assert str(artifacts.parent) not in answer.text
    assert (_version(server), server.is_ready()) == (before, True)


def test_it_may_open_as_many_descriptors_as_the_system_lets_it(server: Served) -> None:
    soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    assert soft == (65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536))


def test_every_line_of_the_log_has_the_form_that_was_asked_for(server: Served) -> None:
    lines = server.log.read_text().splitlines()
    assert all(line.startswith('{"time": ') for line in lines)
    assert any("now serving version" in line for line in lines)  # the engine's own words


def test_on_sigterm_everybody_is_still_answered_but_told_to_part(server: Served) -> None:
    """Stands last: it ends the server of this module."""
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as regular:
        assert "connection" not in regular.get("/livez").headers
        server.signal(signal.SIGTERM)
        eventually(lambda: regular.get("/readyz").status_code == 503)
        answer = regular.post("/predict", json={"text": "Worst"})
        assert answer.status_code == 200
        assert eventually(lambda: regular.get("/livez").headers.get("connection")) == "close"
    assert server.predict().status_code == 200
    assert server.process.poll() is None
    server.signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE) == 0
    assert "Traceback" not in server.log.read_text()


def test_after_that_nobody_can_connect_and_what_is_in_progress_is_answered(artifacts: Path, tmp_path: Path) -> None:
    with served(tmp_path, artifacts, drain_seconds=0.5, shutdown_seconds=LONG) as server:
        eventually(server.is_ready)
        slow = _begin(server)
        assert server.get("/livez").status_code == 200  # who connected before has been let in, then, too
        server.signal(signal.SIGTERM)
        with contextlib.suppress(httpx.HTTPError):
            while server.get("/livez").status_code == 200:
                pass
        assert server.process.poll() is None
        assert _finish(slow).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(PATIENCE) == 0
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    ("number", "drain_seconds", "said"),
    [
        (signal.SIGTERM, LONG, "closing; not ready from here on"),
        (signal.SIGINT, LONG, "closing; not ready from here on"),
        (signal.SIGTERM, 0, "Waiting for connections to close"),
    ],
)
def test_a_second_signal_ends_the_service_at_once(
    artifacts: Path, tmp_path: Path, number: signal.Signals, drain_seconds: float, said: str
) -> None:
    with served(tmp_path, artifacts, drain_seconds=drain_seconds, shutdown_seconds=LONG) as server:
        eventually(server.is_ready)
        with _begin(server):
            assert server.get("/livez").status_code == 200  # who connected before has been let in, then, too
            server.signal(number)
            eventually(lambda: said in server.log.read_text())
            assert server.process.poll() is None
            server.signal(number)
            assert server.process.wait(PATIENCE) == 0
    assert "Traceback" not in server.log.read_text()


def test_a_service_that_is_not_ready_does_not_drain(artifacts: Path, tmp_path: Path) -> None:
    """Nobody sends anything there; this one waits for an engine that never says a word."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "engine"))
        silent.listen()
        with served(tmp_path, artifacts, drain_seconds=LONG, engine_socket=tmp_path / "engine") as server:
            assert server.get("/readyz").status_code == 503
            server.signal(signal.SIGTERM)
            assert server.process.wait(PATIENCE) == 0
    assert "Traceback" not in server.log.read_text()


def test_what_is_not_finished_within_the_time_limit_is_given_up(artifacts: Path, tmp_path: Path) -> None:
    with served(tmp_path, artifacts, shutdown_seconds=0) as server:
        eventually(lambda: server.get("/livez").status_code == 200)
        with _begin(server) as connection:
            assert server.get("/livez").status_code == 200  # who connected before has been let in, then, too
            server.signal(signal.SIGTERM)
            assert connection.recv(65536).startswith(b"HTTP/1.1 503 ")
            assert server.process.wait(PATIENCE) == 0
    assert "Traceback" not in server.log.read_text()


def test_who_is_cut_off_since_there_is_no_model_hears_that_the_service_closes() -> None:
    """Not that it failed at the request."""
    told: list[bool] = []

    async def serve() -> None:
        async def load() -> None:
            raise StartupError("no model")

        inference: Any = SimpleNamespace(draining=False, loading=asyncio.create_task(load()))
        server: Any = SimpleNamespace(should_exit=False)
        stop_if_failed(server, inference)
        await asyncio.wait([inference.loading])
        await asyncio.sleep(0)
        told.extend([server.should_exit, inference.draining])

    asyncio.run(serve())
    assert told == [True, True]


def test_a_file_of_keys_that_is_not_there_is_one_clear_line(artifacts: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"charlstm: .*/none: expected a file of keys, found No such file"):
        served(tmp_path, artifacts, api_keys_file=tmp_path / "none").__enter__()


def test_a_worker_hears_what_it_is_told_while_it_reloads() -> None:
    """A reload takes what it takes; the end of the main process is the worker's end all the same."""
    told: list[str] = []
    server: Any = SimpleNamespace(close=lambda: told.append("close"), end=lambda: told.append("end"))

    async def obey() -> None:
        commands, main_process = os.pipe()
        os.write(main_process, b"reload\nstop\n")
        os.close(main_process)
        reload = asyncio.Event()
        await _obey_pipe(server, commands, reload)
        assert reload.is_set()

    asyncio.run(obey())
    assert told == ["close", "end"]


def test_a_reload_waits_until_there_is_a_model() -> None:
    """Or for the next one: a worker, or an engine, that has just started has nobody to ask yet."""
    told: list[str] = []

    async def until_loaded() -> None:
        await asyncio.sleep(0.05)
        told.append("loaded")

    async def reload() -> None:
        told.append("reloaded")

    async def obey() -> None:
        asked = asyncio.Event()
        asked.set()
        inference: Any = SimpleNamespace(reload=reload, until_loaded=until_loaded)
        obeying = asyncio.create_task(_reload_whenever(asked, inference))
        await until(lambda: "reloaded" in told)
        obeying.cancel()

    asyncio.run(obey())
    assert told == ["loaded", "reloaded"]


def test_what_is_asked_for_during_a_reload_is_one_more() -> None:
    asked, reloads = asyncio.Event(), 0

    async def reload() -> None:
        nonlocal reloads
        reloads += 1
        if reloads == 1:
            asked.set()
            asked.set()

    async def obey() -> None:
        inference: Any = SimpleNamespace(reload=reload, until_loaded=partial(asyncio.sleep, 0))
        asked.set()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await _reload_whenever(asked, inference)

    asyncio.run(obey())
    assert reloads == 2
