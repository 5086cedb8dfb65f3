"""What the service's tests share: a client that speaks to an application in this process, and engines for tests."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Any

import httpx
import msgspec
from fastapi import FastAPI

from service.admission import Limits
from service.app import create_app
from service.engine import Engine
from service.engine_process import EngineServer
from service.inference import Inference
from service.loader import Loader
from service.protocol import EngineSettings
from service.settings import Settings

JSON = MappingProxyType({"content-type": "application/json"})
PATIENCE = 60.0  # seconds until a test gives up on something that has to happen
LIMITS = Limits(texts=4096, tokens=1_000_000)


class Client:
    """Asks an application, one request at a time; its event loop runs only meanwhile."""

    def __init__(self, app: FastAPI, runner: asyncio.Runner, root_path: str = "") -> None:
        self.app = app
        self._runner = runner
        # As in a real server, an error that the application lets through has been answered with a 500 before.
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, root_path=root_path)
        self._http = httpx.AsyncClient(transport=transport, base_url=f"http://service{root_path}", timeout=PATIENCE)

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, document: object) -> httpx.Response:
        """Post anything that Python can write as JSON, lone surrogates and NaN among it."""
        return self.request("POST", path, json.dumps(document).encode())

    def request(self, method: str, path: str, body: bytes = b"", headers: Any = JSON) -> httpx.Response:
        return self._runner.run(self._http.request(method, path, content=body, headers=headers))


def make_app(artifacts: Path, **settings: Any) -> FastAPI:
    return create_app(make_settings(artifacts, **settings))


def make_settings(artifacts: Path, **settings: Any) -> Settings:
    """Make settings with a single thread for the engine: tiny models only get slower by more.

    The machine may be busy, so there is time for an answer unless a test is about that.
    """
    usual = {"artifacts": artifacts, "device": "cpu", "threads": 1, "deadline_seconds": PATIENCE}
    return Settings.model_validate(usual | settings)


@contextmanager
def serving(app: FastAPI, root_path: str = "", service: FastAPI | None = None) -> Iterator[Client]:
    """Start an application, wait until the service, itself or one mounted in it, is ready, and stop it in the end."""
    with asyncio.Runner() as runner:
        lifespan = app.router.lifespan_context(app)
        runner.run(_enter(lifespan, service or app))
        try:
            yield Client(app, runner, root_path)
        finally:
            runner.run(lifespan.__aexit__(None, None, None))


async def _enter(lifespan: Any, service: FastAPI) -> None:
    await lifespan.__aenter__()
    await service.state.inference.loading


@contextmanager
def serving_model(artifacts: Path, path: Path) -> Iterator[Client]:
    """Serve a model from an engine in this process that listens at a path."""
    with engine_thread(artifacts, path), serving(make_app(artifacts, engine_socket=path)) as client:
        yield client


def assert_problem(response: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """Check that an answer is a problem document of this status and kind, and return it."""
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["status"], problem["type"]) == (status, status, f"/problems/{name}")
    assert problem["title"]
    assert problem["detail"]
    return problem


@contextmanager
def engine_thread(artifacts: Path, path: Path, limits: Limits = LIMITS) -> Iterator[Engine]:
    """Run an engine in this process, behind a socket as if it were one of its own, and end it as a supervisor does.

    It starts within milliseconds and can be meddled with. Tests that signal or kill an engine need a real process.
    """
    lifeline, supervisor = os.pipe()
    settings = engine_settings(artifacts, listener=_listen(path).detach(), lifeline=lifeline)
    loader = Loader(settings)
    engine = Engine(loader.load(), limits)
    thread = Thread(target=EngineServer(engine, loader, settings).serve)
    thread.start()
    try:
        yield engine
    finally:
        os.close(supervisor)
        thread.join(PATIENCE)
        path.unlink(missing_ok=True)
        assert not thread.is_alive()


@contextmanager
def engine_process(artifacts: Path, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run an engine in a process of its own that no supervisor starts again, and end it as a supervisor does."""
    lifeline, supervisor = os.pipe()
    with _listen(path) as listener:
        told = engine_settings(artifacts, listener=listener.fileno(), lifeline=lifeline)
        command = [sys.executable, "-m", "service.engine_process", msgspec.json.encode(told).decode()]
        process = subprocess.Popen(command, pass_fds=(told.listener, told.lifeline))
        os.close(lifeline)
    try:
        yield process
    finally:
        os.close(supervisor)
        process.wait(PATIENCE)


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def engine_settings(artifacts: Path, *, listener: int = -1, lifeline: int = -1) -> EngineSettings:
    return EngineSettings(
        artifacts=str(artifacts),
        device="cpu",
        precision="float32",
        threads=1,
        max_waiting_texts=LIMITS.texts,
        max_waiting_tokens=LIMITS.tokens,
        listener=listener,
        lifeline=lifeline,
        log_level="info",
        log_format="text",
    )


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something that nothing tells of."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.005)


def engine_pid(inference: Inference) -> int:
    """Return the process id of an application's engine, which has to run."""
    assert inference.supervisor is not None
    assert inference.supervisor.engine_pid is not None
    return inference.supervisor.engine_pid


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Let a process stand still meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it was killed meanwhile
            os.kill(pid, signal.SIGCONT)


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and was not asked for its exit code does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in {"Z", "X"}
    return False
