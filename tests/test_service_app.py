"""The application as a whole: its life, its event loop, its documents."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from charlstm.predictor import Predictor
from service.app import create_app
from service.settings import Settings
from tests.service_fixtures import PATIENCE, BlockedPredictor, BrokenPredictor, assert_problem, make_app, serving
from tests.tiny import tiny_artifacts

ASKED = {"text": "Worst"}


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture
def predictor(artifacts: Path) -> BlockedPredictor:
    return BlockedPredictor(artifacts)


def _http(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


def test_importing_the_application_imports_no_torch() -> None:
    """HTTP answers before torch is there: the service is live at once."""
    code = "import sys, service.app; service.app.create_app(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_event_loop_answers_while_inference_runs(predictor: BlockedPredictor) -> None:
    async def ask_while_inference_is_busy() -> None:
        app = create_app(predictor=predictor)
        async with app.router.lifespan_context(app), _http(app) as http:
            await app.state.inference.loading
            prediction = asyncio.create_task(http.post("/predict", json=ASKED))
            assert await asyncio.to_thread(predictor.asked.wait, PATIENCE)
            for path in ("/livez", "/readyz", "/info"):
                assert (await http.get(path)).status_code == 200
            assert not prediction.done()
            predictor.released.set()
            assert (await prediction).status_code == 200

    asyncio.run(ask_while_inference_is_busy())


def test_the_service_is_live_but_not_ready_while_the_model_loads(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loadable = Event()
    load = Predictor.load

    def load_when_told(*arguments: Any) -> Predictor:
        assert loadable.wait(PATIENCE)
        return load(*arguments)

    monkeypatch.setattr(Predictor, "load", load_when_told)

    async def ask_before_and_after() -> None:
        app = make_app(artifacts)
        async with app.router.lifespan_context(app), _http(app) as http:
            assert (await http.get("/livez")).json() == {"status": "live"}
            for response in (await http.get("/readyz"), await http.get("/info"), await http.post("/gates", json=ASKED)):
                assert_problem(response, 503, "not-ready")
                assert response.headers["retry-after"] == "1"
            loadable.set()
            await app.state.inference.loading
            assert (await http.get("/readyz")).json() == {"status": "ready"}
            assert (await http.post("/gates", json=ASKED)).status_code == 200

    asyncio.run(ask_before_and_after())


def test_closing_finishes_what_was_asked_and_takes_nothing_new(predictor: BlockedPredictor) -> None:
    async def ask_and_close() -> None:
        app = create_app(predictor=predictor)
        lifespan = app.router.lifespan_context(app)
        async with _http(app) as http:
            await lifespan.__aenter__()
            await app.state.inference.loading
            asked_before = asyncio.create_task(http.post("/predict", json=ASKED))
            assert await asyncio.to_thread(predictor.asked.wait, PATIENCE)
            closing = asyncio.create_task(lifespan.__aexit__(None, None, None))
            while app.state.inference.ready:  # noqa: ASYNC110  nothing else tells
                await asyncio.sleep(0)
            assert_problem(await http.post("/predict", json=ASKED), 503, "not-ready")
            predictor.released.set()
            assert (await asked_before).status_code == 200
            await closing

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


def test_an_unforeseen_error_reaches_the_server_which_logs_it(artifacts: Path) -> None:
    async def ask() -> None:
        app = create_app(predictor=BrokenPredictor(artifacts))
        async with app.router.lifespan_context(app), _http(app) as http:
            await app.state.inference.loading
            await http.post("/gates", json=ASKED)

    with pytest.raises(RuntimeError, match="secret"):
        asyncio.run(ask())


def test_the_number_of_threads_is_set_where_inference_runs(artifacts: Path) -> None:
    import torch  # noqa: PLC0415  named here alone

    async def ask() -> int:
        app = make_app(artifacts, threads=3)
        async with app.router.lifespan_context(app):
            await app.state.inference.loading
            threads: int = await app.state.inference._run(torch.get_num_threads)
            return threads

    before = torch.get_num_threads()
    try:
        assert asyncio.run(ask()) == 3
    finally:
        torch.set_num_threads(before)


def test_the_documentation_asks_no_other_host_for_anything(artifacts: Path) -> None:
    with serving(make_app(artifacts)) as client:
        page = client.get("/docs")
        assert page.status_code == 200
        assert "//" not in re.sub(r"//\s", "", page.text.replace("<!--", "").replace("-->", ""))
        assert '"validatorUrl": null' in page.text
        paths = re.findall(r"""(?:src|href|url)(?:=|: )["']([^"']+)""", page.text)
        assert len(paths) == 4
        for path in paths:
            assert client.get(path).status_code == 200


def test_behind_a_proxy_every_link_starts_with_its_path(artifacts: Path) -> None:
    with serving(make_app(artifacts), root_path="/api") as client:
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
    assert set(operations) == {"predict", "predict_batch", "gates", "livez", "readyz", "info"}
    assert all(operation["summary"] and operation["description"] for operation in operations.values())
    assert {tag for operation in operations.values() for tag in operation["tags"]} == {"sentiment", "operations"}


def test_every_operation_documents_its_problems_as_problem_documents() -> None:
    operations = _operations(create_app(Settings()))
    for name in ("predict", "predict_batch", "gates"):
        assert set(operations[name]["responses"]) == {"200", "400", "413", "415", "422", "500", "503"}
    assert set(operations["readyz"]["responses"]) == set(operations["info"]["responses"]) == {"200", "500", "503"}
    for operation in operations.values():
        for status, response in operation["responses"].items():
            if status != "200":
                assert list(response["content"]) == ["application/problem+json"]
                schema = response["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}


def test_the_document_says_whose_probability_each_number_is() -> None:
    schemas = create_app(Settings()).openapi()["components"]["schemas"]
    assert "P(negative)" in schemas["GatesResponse"]["properties"]["probability_so_far"]["description"]
    assert "long-term memory" in schemas["LayerSignals"]["properties"]["cell_state"]["description"]
    assert all("description" in field for field in schemas["LayerSignals"]["properties"].values())
    assert "HTTPValidationError" not in schemas
