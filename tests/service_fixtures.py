"""What the service's tests share: a client that speaks to an application in this process, and models that misbehave."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import MappingProxyType
from typing import Any

import httpx
from fastapi import FastAPI

from charlstm.artifacts import load_artifacts
from charlstm.predictor import Predictor
from charlstm.trace import TracedPrediction
from service.app import create_app
from service.settings import Settings

JSON = MappingProxyType({"content-type": "application/json"})
PATIENCE = 60.0  # seconds until a test gives up on something that has to happen


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
    return create_app(Settings(artifacts=artifacts, device="cpu", **settings))


@contextmanager
def serving(app: FastAPI, root_path: str = "") -> Iterator[Client]:
    """Start an application, wait until it is ready, and stop it in the end."""
    with asyncio.Runner() as runner:
        lifespan = app.router.lifespan_context(app)
        runner.run(_enter(lifespan, app))
        try:
            yield Client(app, runner, root_path)
        finally:
            runner.run(lifespan.__aexit__(None, None, None))


async def _enter(lifespan: Any, app: FastAPI) -> None:
    await lifespan.__aenter__()
    await app.state.inference.loading


def assert_problem(response: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """Check that an answer is a problem document of this status and kind, and return it."""
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["status"], problem["type"]) == (status, status, f"/problems/{name}")
    assert problem["title"]
    assert problem["detail"]
    return problem


class BlockedPredictor(Predictor):
    """A model that does not answer before it is released."""

    def __init__(self, artifacts: Path) -> None:
        super().__init__(load_artifacts(artifacts), "cpu")
        self.asked, self.released = Event(), Event()

    def predict(self, texts: str | Iterable[str], *, truncate: bool = False) -> Any:
        self.asked.set()
        assert self.released.wait(PATIENCE)
        return super().predict(texts, truncate=truncate)


class BrokenPredictor(Predictor):
    """A model that fails in a way that nobody foresaw."""

    def __init__(self, artifacts: Path) -> None:
        super().__init__(load_artifacts(artifacts), "cpu")

    def predict_and_trace(self, text: str, *, truncate: bool = False) -> TracedPrediction:
        if text != "a":  # what warms the model up
            raise RuntimeError("secret in /etc/secret")
        return super().predict_and_trace(text, truncate=truncate)
