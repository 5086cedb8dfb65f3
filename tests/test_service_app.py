"""The application as a whole: its life, its event loop, its documents."""

import asyncio
import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import answers
from service.app import create_app
from service.inference import Inference
from service.settings import Settings
from tests.service_fixtures import (
    assert_problem,
    engine_process,
    engine_thread,
    make_app,
    serving,
    stopped,
    until,
)
from tests.tiny import tiny_artifacts

ASKED = {"text": "Worst"}


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def engine(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """Run an engine for all tests that leave it alive: where it listens, and its process id."""
    path = tmp_path_factory.mktemp("engine") / "engine.sock"
    with engine_process(artifacts, path) as process:
        yield path, process.pid


@pytest.fixture(scope="module")
def engine_socket(engine: tuple[Path, int]) -> Path:
    return engine[0]


def _http(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


def test_importing_the_application_imports_no_torch() -> None:
    """HTTP answers before torch is there: the service is live at once."""
    code = "import sys, service.app; service.app.create_app(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_service_answers_probes_while_the_engine_is_stuck(artifacts: Path, engine: tuple[Path, int]) -> None:
    async def ask_while_the_engine_is_stuck() -> None:
        path, pid = engine
        app = make_app(artifacts, engine_socket=path)
        async with app.router.lifespan_context(app), _http(app) as http:
            await app.state.inference.loading
            with stopped(pid):
                prediction = asyncio.create_task(http.post("/predict", json=ASKED))
                for route in ("/livez", "/readyz", "/info"):
                    assert (await http.get(route)).status_code == 200
                assert not prediction.done()
            assert (await prediction).status_code == 200

    asyncio.run(ask_while_the_engine_is_stuck())


def test_a_request_that_a_stuck_engine_does_not_answer_gets_a_504(artifacts: Path, engine: tuple[Path, int]) -> None:
    async def ask_while_the_engine_is_stuck() -> None:
        path, pid = engine
        app = make_app(artifacts, engine_socket=path, deadline_seconds=0.01)
        async with app.router.lifespan_context(app), _http(app) as http:
            await app.state.inference.loading
            with stopped(pid):
                assert_problem(await http.post("/predict", json=ASKED), 504, "deadline-exceeded")

    asyncio.run(ask_while_the_engine_is_stuck())


def test_a_client_that_hangs_up_costs_nothing_more(artifacts: Path, engine: tuple[Path, int]) -> None:
    """Its request is cancelled all the way down: the engine has nothing left to do although it was never read."""

    async def ask_and_hang_up() -> None:
        path, pid = engine
        app = make_app(artifacts, engine_socket=path)
        async with app.router.lifespan_context(app), _http(app) as http:
            inference = app.state.inference
            await inference.loading
            before, _ = await _chunks_run(inference)
            with stopped(pid):
                hung_up = [asyncio.create_task(_post_and_hang_up(app, path)) for path in ("/predict", "/gates")]
                await asyncio.gather(*hung_up)
                assert inference._connection._waiting == {}
            after, own = await _chunks_run(inference)
            assert after - before == own
            assert (inference.statistics.waiting_texts, inference.statistics.waiting_tokens) == (0, 0)
            assert (await http.post("/predict", json=ASKED)).status_code == 200

    asyncio.run(ask_and_hang_up())


async def _chunks_run(inference: Inference) -> tuple[int, int]:
    """Judge a text, so that everything before it is through; return how many chunks have run, and how many for this."""
    for own in itertools.count(1):
        await inference.judge({"text": "Worst"}, truncate=False)
        inference._connection.statistics = None  # what came before the answer may be of before
        with contextlib.suppress(TimeoutError):  # what came with it was the last; another text makes the engine speak
            async with asyncio.timeout(2):
                await until(lambda: inference.statistics is not None and inference.statistics.waiting_texts == 0)
            assert inference.statistics is not None
            return inference.statistics.chunks, own
    raise AssertionError("counting has no end")


async def _post_and_hang_up(app: Any, path: str) -> None:
    """Send a request, and be gone as soon as the engine has been asked."""
    inference: Inference = app.state.inference
    body = iter([{"type": "http.request", "body": b'{"text": "Worst"}', "more_body": False}])
    asked = len(inference._connection._waiting) + 1
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }

    async def receive() -> Any:
        for message in body:
            return message
        await until(lambda: len(inference._connection._waiting) >= asked)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(f"nobody is there for {message}")

    await app(scope, receive, send)


TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["Worst"]}


@pytest.mark.parametrize(
    ("path", "asked"),
    [("/gates", ASKED), ("/v2/models/tiny/infer", {"inputs": [TENSOR], "outputs": [{"name": "tokens"}]})],
)
def test_a_crowd_that_wants_traces_is_served_a_few_at_a_time(
    artifacts: Path, engine: tuple[Path, int], path: str, asked: dict[str, Any]
) -> None:
    async def ask() -> None:
        engine_socket, pid = engine
        app = make_app(artifacts, engine_socket=engine_socket)
        async with app.router.lifespan_context(app), _http(app) as http:
            inference = app.state.inference
            await inference.loading
            with stopped(pid):
                crowd = [asyncio.create_task(http.post(path, json=asked)) for _ in range(30)]
                await until(lambda: inference.trace_slots._waiting == 30 - len(inference._connection._waiting) > 0)
                assert len(inference._connection._waiting) <= 4
            assert [response.status_code for response in await asyncio.gather(*crowd)] == [200] * 30

    asyncio.run(ask())


def test_the_service_is_live_but_not_ready_while_the_model_loads(artifacts: Path, tmp_path: Path) -> None:
    async def ask_before_and_after() -> None:
        path = tmp_path / "engine.sock"
        app = make_app(artifacts, engine_socket=path)
        async with app.router.lifespan_context(app), _http(app) as http:
            assert (await http.get("/livez")).json() == {"status": "live"}
            for response in (await http.get("/readyz"), await http.get("/info"), await http.post("/gates", json=ASKED)):
                assert_problem(response, 503, "not-ready")
                assert response.headers["retry-after"] == "1"
            with engine_thread(artifacts, path):
                await app.state.inference.loading
                assert (await http.get("/readyz")).json() == {"status": "ready"}
                assert (await http.post("/gates", json=ASKED)).status_code == 200

    asyncio.run(ask_before_and_after())


def test_what_is_still_under_way_at_the_end_gets_an_answer(artifacts: Path, engine: tuple[Path, int]) -> None:
    """A server waits for its requests before it ends the application; if it does not, nothing hangs."""

    async def ask_and_close() -> None:
        path, pid = engine
        app = make_app(artifacts, engine_socket=path)
        lifespan = app.router.lifespan_context(app)
        async with _http(app) as http:
            await lifespan.__aenter__()
            await app.state.inference.loading
            with stopped(pid):
                asked = asyncio.create_task(http.post("/predict", json=ASKED))
                await until(lambda: app.state.inference._connection._waiting)
                await lifespan.__aexit__(None, None, None)
                assert_problem(await asked, 503, "engine-lost")
                assert_problem(await http.post("/predict", json=ASKED), 503, "not-ready")

    asyncio.run(ask_and_close())


def test_an_application_whose_model_cannot_be_loaded_stays_live_and_never_gets_ready(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask() -> None:
        app = make_app(tmp_path / "nothing")
        async with app.router.lifespan_context(app), _http(app) as http:
            await asyncio.wait([app.state.inference.loading])
            assert (await http.get("/livez")).status_code == 200
            assert_problem(await http.get("/readyz"), 503, "not-ready")

    asyncio.run(ask())
    assert "config.json: expected a file, found nothing there" in caplog.text


def test_an_unforeseen_error_reaches_the_server_which_logs_it(
    artifacts: Path, engine_socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(answers, "predict_response", fail)

    async def ask() -> None:
        app = make_app(artifacts, engine_socket=engine_socket)
        async with app.router.lifespan_context(app), _http(app) as http:
            await app.state.inference.loading
            await http.post("/predict", json=ASKED)

    with pytest.raises(RuntimeError, match="secret"):
        asyncio.run(ask())


def test_the_documentation_asks_no_other_host_for_anything(artifacts: Path, engine_socket: Path) -> None:
    with serving(make_app(artifacts, engine_socket=engine_socket)) as client:
        page = client.get("/docs")
        assert page.status_code == 200
        assert "//" not in re.sub(r"//\s", "", page.text.replace("<!--", "").replace("-->", ""))
        assert '"validatorUrl": null' in page.text
        paths = re.findall(r"""(?:src|href|url)(?:=|: )["']([^"']+)""", page.text)
        assert len(paths) == 4
        for path in paths:
            assert client.get(path).status_code == 200


def test_behind_a_proxy_every_link_starts_with_its_path(artifacts: Path, engine_socket: Path) -> None:
    with serving(make_app(artifacts, engine_socket=engine_socket), root_path="/api") as client:
        assert "'/api/openapi.json'" in client.get("/docs").text
        assert client.get("/openapi.json").json()["servers"] == [{"url": "/api"}]
        assert client.get("/nothing").json()["type"] == "/api/problems/not-found"
        assert client.get("/livez").status_code == 200


def _operations(app: Any) -> dict[str, Any]:
    return {
        operation["operationId"]: operation for path in app.openapi()["paths"].values() for operation in path.values()
    }


def test_every_operation_has_a_stable_name_a_summary_and_a_tag() -> None:
    operations = _operations(create_app(Settings()))
    assert {"predict", "predict_batch", "gates", "livez", "readyz", "info"} <= set(operations)
    assert all(operation["summary"] and operation["description"] for operation in operations.values())
    assert {"sentiment", "memory", "operations"} <= {
        tag for operation in operations.values() for tag in operation["tags"]
    }


def test_every_operation_documents_its_problems_as_problem_documents() -> None:
    operations = _operations(create_app(Settings()))
    documented = {"200", "400", "404", "408", "413", "415", "422", "429", "500", "503", "504"}
    for name in ("predict", "predict_batch", "gates_compare", "gates_occlusion"):
        assert set(operations[name]["responses"]) == documented
    assert set(operations["gates"]["responses"]) == documented | {"406"}
    assert set(operations["readyz"]["responses"]) == {"200", "500", "503"}
    assert set(operations["info"]["responses"]) == {"200", "404", "422", "500", "503"}
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            if status != "200" and not name.startswith("v2_"):
                assert list(response["content"]) == ["application/problem+json"]
                schema = response["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}


def test_the_document_says_whose_probability_each_number_is() -> None:
    schemas = create_app(Settings()).openapi()["components"]["schemas"]
    assert "P(negative)" in schemas["GatesResponse"]["properties"]["probability_so_far"]["description"]
    assert "long-term memory" in schemas["LayerSignals"]["properties"]["cell_state"]["description"]
    assert all("description" in field for field in schemas["LayerSignals"]["properties"].values())
    assert "HTTPValidationError" not in schemas


def test_the_service_outlives_its_engine(artifacts: Path, engine: tuple[Path, int]) -> None:
    """What was in flight gets a 503, what comes next another, until there is an engine again. Stands last."""

    async def ask_and_kill() -> None:
        path, pid = engine
        app = make_app(artifacts, engine_socket=path)
        async with app.router.lifespan_context(app), _http(app) as http:
            inference = app.state.inference
            await inference.loading
            with stopped(pid):
                in_flight = [asyncio.create_task(http.post(route, json=ASKED)) for route in ("/predict", "/gates")]
                await until(lambda: len(inference._connection._waiting) == 2)
                os.kill(pid, signal.SIGKILL)
                for response in await asyncio.gather(*in_flight):
                    assert_problem(response, 503, "engine-lost")
            assert_problem(await http.get("/readyz"), 503, "not-ready")
            assert_problem(await http.post("/predict", json=ASKED), 503, "not-ready")
            assert (await http.get("/livez")).status_code == 200
            os.unlink(path)  # noqa: PTH108 - a method of Path would be said to block
            with engine_thread(artifacts, path):
                await until(lambda: inference.ready)
                assert (await http.post("/predict", json=ASKED)).status_code == 200

    asyncio.run(ask_and_kill())
