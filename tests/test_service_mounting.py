"""The service inside another application: below its path, for as long as it runs, and out of its way."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from charlstm import Predictor
from service.client import AsyncSentimentClient, Policy, SentimentClient
from service.client.errors import AnswerTimeoutError, NotReadyError, UnauthorizedError
from service.mounting import mount_service
from service.schemas import PredictResponse
from tests.served import Served, eventually
from tests.service_fixtures import JSON, PATIENCE, Client, engine_thread, make_settings, serving, stopped
from tests.tiny import tiny_artifacts

PATH = "/sentiment"
ASKED = {"text": "Worst"}


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def engine_socket(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("engine") / "engine.sock"
    with engine_thread(artifacts, path):
        yield path


class Shop:
    """An application with a life, routes, errors and figures of its own, some by the same names as the service's.

    Attributes:
        diary: What happened to it, in order.
        faults: What `note_fault` was told of.
    """

    def __init__(self) -> None:
        self.diary: list[str] = []
        self.faults: list[Exception] = []
        self.app = FastAPI(lifespan=self._lifespan)
        self.registry = prometheus_client.CollectorRegistry()
        self.orders = prometheus_client.Counter("shop_orders", "Orders.", registry=self.registry)
        self.app.add_exception_handler(ValueError, self._value_error)
        self.app.add_api_route("/readyz", lambda: {"shop": "open"})
        self.app.add_api_route("/metrics", lambda: Response(prometheus_client.generate_latest(self.registry)))
        self.app.add_api_route("/broken", self._broken)

    @asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        self.diary.append("opened")
        yield {"till": 7}
        self.diary.append("closed")

    @staticmethod
    async def _value_error(_request: Request, error: Exception) -> Response:
        return JSONResponse({"shop": str(error)}, status_code=418)

    async def note_fault(self, _request: Request, error: Exception) -> Response:
        self.faults.append(error)
        return JSONResponse({"shop": "closed"}, status_code=500)

    @staticmethod
    def _broken() -> None:
        raise ValueError("broken")


@pytest.fixture
def mounted(artifacts: Path, engine_socket: Path) -> Iterator[tuple[Client, Shop, FastAPI]]:
    shop = Shop()
    service = mount_service(shop.app, PATH, make_settings(artifacts, engine_socket=engine_socket))
    with serving(shop.app, service=service) as visitor:
        yield visitor, shop, service


def test_below_its_path_it_answers_what_the_model_says(mounted: tuple[Client, Shop, FastAPI], artifacts: Path) -> None:
    visitor, _, _ = mounted
    expected = Predictor.load(artifacts, device="cpu").predict("Worst")
    found = visitor.post(f"{PATH}/predict", ASKED).json()
    assert found["probabilities"]["negative"] == pytest.approx(expected.probability_negative, abs=1e-6)
    assert len(visitor.post(f"{PATH}/gates", ASKED).json()["tokens"]) == 5
    assert visitor.get(f"{PATH}/readyz").json() == {"status": "ready"}
    assert visitor.get(f"{PATH}/v2/models/tiny/ready").status_code == 200


def test_the_host_keeps_its_own_routes_life_and_errors(mounted: tuple[Client, Shop, FastAPI]) -> None:
    visitor, shop, _ = mounted
    assert visitor.get("/readyz").json() == {"shop": "open"}
    assert visitor.get("/predict").json() == {"detail": "Not Found"}
    broken = visitor.get("/broken")
    assert (broken.status_code, broken.json()) == (418, {"shop": "broken"})
    assert "x-request-id" not in broken.headers
    assert not any("predict" in path for path in shop.app.openapi()["paths"])
    assert shop.diary == ["opened"]


def test_its_problems_point_below_its_path(mounted: tuple[Client, Shop, FastAPI]) -> None:
    """And a problem's type leads to what describes it; under /v2 errors are that protocol's."""
    visitor, _, _ = mounted
    problem = visitor.post(f"{PATH}/predict", {"text": ""})
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["type"] == f"{PATH}/problems/empty-text"
    assert visitor.get(problem.json()["type"]).json()["title"] == "Empty text"
    assert visitor.get(f"{PATH}/nowhere").json()["type"] == f"{PATH}/problems/not-found"
    assert set(visitor.get(f"{PATH}/v2/models/none").json()) == {"error"}


def test_its_own_failures_are_none_of_the_hosts(
    artifacts: Path, engine_socket: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The host handles errors of the very class that the service fails with, and every other; it is told of none."""
    shop = Shop()
    shop.app.add_exception_handler(Exception, shop.note_fault)
    service = mount_service(shop.app, PATH, make_settings(artifacts, engine_socket=engine_socket))

    async def fail(*_arguments: object, **_options: object) -> None:
        raise ValueError("secret")

    with serving(shop.app, service=service) as visitor:
        monkeypatch.setattr(service.state.inference, "judge", fail)
        failed = visitor.post(f"{PATH}/predict", ASKED)
        assert (failed.status_code, failed.json()["type"]) == (500, f"{PATH}/problems/internal-error")
        assert "secret" not in failed.text
        assert "ValueError: secret" in caplog.text
        assert visitor.get("/broken").status_code == 418
    assert shop.faults == []


def test_behind_a_proxy_the_paths_begin_where_the_proxy_offers_the_host(artifacts: Path, engine_socket: Path) -> None:
    shop = Shop()
    service = mount_service(shop.app, PATH, make_settings(artifacts, engine_socket=engine_socket))
    with serving(shop.app, service=service, root_path="/shops/7") as visitor:
        assert visitor.post(f"{PATH}/predict", {"text": ""}).json()["type"] == f"/shops/7{PATH}/problems/empty-text"
        assert f'href="/shops/7{PATH}/static-offline-docs/' in visitor.get(f"{PATH}/docs").text


def test_its_page_and_its_documents_find_their_parts(mounted: tuple[Client, Shop, FastAPI]) -> None:
    visitor, _, _ = mounted
    page = visitor.get(f"{PATH}/").text
    for part in re.findall(r'(?:src|href)="(page/[^"]+)"', page):
        assert visitor.get(f"{PATH}/{part}").status_code == 200, part
    for part in re.findall(r'(?:src|href)="(/[^"]+static-offline-docs[^"]+)"', visitor.get(f"{PATH}/docs").text):
        assert visitor.get(part).status_code == 200, part
    assert visitor.get(f"{PATH}/openapi.json").json()["servers"] == [{"url": PATH}]


def test_each_counts_for_itself(mounted: tuple[Client, Shop, FastAPI]) -> None:
    """The host's figures say nothing of the service, and keep what the service leaves out of its own."""
    visitor, shop, _ = mounted
    shop.orders.inc()
    visitor.post(f"{PATH}/predict", ASKED)
    of_host, of_service = visitor.get("/metrics").text, visitor.get(f"{PATH}/metrics").text
    assert "charlstm_" not in of_host
    assert "shop_orders_created" in of_host
    assert 'charlstm_http_requests_total{method="POST",route="/predict",status="200"} 1.0' in of_service
    assert "shop_" not in of_service
    assert "_created" not in of_service


def test_its_keys_protect_it_and_nothing_of_the_host(artifacts: Path, engine_socket: Path) -> None:
    shop = Shop()
    settings = make_settings(artifacts, engine_socket=engine_socket, api_keys="sesame")
    service = mount_service(shop.app, PATH, settings)
    with serving(shop.app, service=service) as visitor:
        assert visitor.post(f"{PATH}/predict", ASKED).status_code == 401
        with_key = {**JSON, "X-API-Key": "sesame"}
        assert visitor.request("POST", f"{PATH}/predict", b'{"text": "Worst"}', with_key).status_code == 200
        assert visitor.get(f"{PATH}/readyz").status_code == 200
        assert visitor.get("/readyz").status_code == 200


def test_the_hosts_own_code_asks_it_without_a_network(artifacts: Path, engine_socket: Path) -> None:
    shop = Shop()
    settings = make_settings(artifacts, engine_socket=engine_socket, api_keys="sesame")
    service = mount_service(shop.app, PATH, settings)
    with serving(shop.app, service=service) as visitor:
        client = AsyncSentimentClient.inside(service, "sesame")
        texts = [f"Worst update {number}" for number in range(700)]
        found = visitor._runner.run(client.predict_batch(texts))
        trace = visitor._runner.run(client.trace("Worst"))
        with pytest.raises(UnauthorizedError):
            visitor._runner.run(AsyncSentimentClient.inside(service).predict("Worst"))
    expected = Predictor.load(artifacts, device="cpu").predict(texts)
    assert [answer.label for answer in found] == [answer.label for answer in expected]
    assert list(trace.tokens) == list("Worst")


def test_a_client_inside_waits_no_longer_than_it_may() -> None:
    """No network is there to say that nothing comes."""

    async def silent(*_: object) -> None:
        await asyncio.Event().wait()

    client = AsyncSentimentClient.inside(silent, policy=Policy(attempts=1, deadline_seconds=0.1))
    with pytest.raises(AnswerTimeoutError, match="not whole in time"):
        asyncio.run(client.predict("Worst"))


def test_a_client_inside_hears_that_the_service_does_not_run(artifacts: Path, tmp_path: Path) -> None:
    """Nobody listens at the engine's socket: not ready, as over the network."""
    shop = Shop()
    service = mount_service(shop.app, PATH, make_settings(artifacts, engine_socket=tmp_path / "none.sock"))

    async def ask() -> None:
        client = AsyncSentimentClient.inside(service, policy=Policy(attempts=1))
        async with shop.app.router.lifespan_context(shop.app):
            await client.predict("Worst")

    with pytest.raises(NotReadyError):
        asyncio.run(ask())


@pytest.mark.parametrize("path", ["", "/", "sentiment", "/sentiment/"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"found {path!r}")):
        mount_service(FastAPI(), path)


HOST = """
from fastapi import FastAPI

from service.mounting import mount_service
from service.settings import Settings

app = FastAPI()


@app.middleware("http")
async def note(request, call_next):
    print("asked", request.url.path, flush=True)
    return await call_next(request)


mount_service(app, "/sentiment", Settings(artifacts={artifacts!r}, device="cpu", threads=1, deadline_seconds=60))
"""


@contextmanager
def hosting(folder: Path, artifacts: Path) -> Iterator[Served]:
    """Run a host under plain uvicorn, as its own developers would."""
    (folder / "shop.py").write_text(HOST.format(artifacts=str(artifacts)))
    log, figures = folder / "host.log", folder / "figures"
    figures.mkdir()
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(figures)}  # as hosts of several processes have it
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(folder), "--port", "0", "shop:app"]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as process:
        try:
            yield Served(process, log, eventually(lambda: _port(log)))
        finally:
            process.kill()


def _port(log: Path) -> int:
    found = re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text())
    return int(found[1]) if found else 0


def _engine_of(host: int) -> int:
    children = Path(f"/proc/{host}/task/{host}/children").read_text().split()
    (engine,) = (pid for pid in children if b"engine_process" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return int(engine)


def test_under_plain_uvicorn_it_lives_and_ends_with_its_host(tmp_path: Path, artifacts: Path) -> None:
    """A live session works, SIGTERM waits for the answer that is under way, and no engine stays behind."""
    with hosting(tmp_path, artifacts) as host, SentimentClient(f"{host.url}{PATH}") as client:
        client.wait_until_ready(PATIENCE)
        with client.live() as session:
            assert session.type("Worst").characters == 5
        engine = _engine_of(host.process.pid)
        figures = host.get(f"{PATH}/metrics").text
        assert f'process_open_fds{{pid="{engine}",process="engine"}}' in figures
        assert f'process_open_fds{{pid="{host.process.pid}",process="main"}}' in figures
        answers: list[PredictResponse] = []
        with stopped(engine):
            asking = threading.Thread(target=lambda: answers.append(client.predict("Worst")))
            asking.start()
            eventually(lambda: f"asked {PATH}/predict" in host.log.read_text())
            host.signal(signal.SIGTERM)
            eventually(lambda: "Waiting for connections" in host.log.read_text())
        asking.join(PATIENCE)
        # uvicorn ends well and then lets the signal have its usual effect
        assert host.process.wait(PATIENCE) in {0, -signal.SIGTERM}
        assert "Application shutdown complete" in host.log.read_text()
    assert [answer.characters for answer in answers] == [5]
    assert not Path(f"/proc/{engine}").exists()
