"""Generators make working clients from the OpenAPI document: these are made here, and ask a real service.

Without npm or its registry what is TypeScript is skipped, unless CHARLSTM_BROWSER_TESTS=required.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.generated import python_client, run_program, typescript_program
from tests.served import Served, eventually, served
from tests.service_fixtures import PATIENCE
from tests.test_readme import BLOCKS, ROOT, SERVICE, outputs

TEXTS: Final = ["Worst update ever", "so much fun with friends"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the committed model, which the guide's programs ask."""
    with served(tmp_path_factory.mktemp("service"), ROOT / "artifacts") as service:
        eventually(service.is_ready)
        yield service


@pytest.fixture(scope="module")
def document(service: Served) -> dict[str, Any]:
    found: dict[str, Any] = service.get("/openapi.json").json()
    return found


# Python


class PythonClient:
    """A client of the generated package, and its models."""

    def __init__(self, client: Any) -> None:
        self.models: Any = importlib.import_module("charlstm_client.models")
        self._client = client

    def ask(self, operation: str, *args: Any, **asked: Any) -> Any:
        """Ask an operation, named `tag.operation`, and return its status and its answer."""
        module: Any = importlib.import_module(f"charlstm_client.api.{operation}")
        answer = module.sync_detailed(*args, client=self._client, **asked)
        return answer.status_code, answer.parsed


@pytest.fixture(scope="module")
def python(
    service: Served, document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PythonClient]:
    """Generate the client without a warning, and import it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(python_client(document, tmp_path_factory.mktemp("client")))
        package: Any = importlib.import_module("charlstm_client")
        with package.Client(service.url, timeout=httpx.Timeout(PATIENCE)) as client:
            yield PythonClient(client)


def raw(service: Served, path: str, asked: dict[str, Any]) -> Any:
    """Ask without any client."""
    return httpx.post(service.url + path, json=asked, timeout=PATIENCE).json()


def test_a_prediction_comes_as_a_record(service: Served, python: PythonClient) -> None:
    status, answer = python.ask("sentiment.predict", body=python.models.PredictRequest(text=TEXTS[0]))
    assert (status, answer.label) == (200, python.models.Label.NEGATIVE)
    assert answer.to_dict() == raw(service, "/predict", {"text": TEXTS[0]})


def test_many_predictions_come_in_the_order_of_their_texts(service: Served, python: PythonClient) -> None:
    _, answer = python.ask("sentiment.predict_batch", body=python.models.BatchRequest(texts=TEXTS))
    assert [one.label.value for one in answer.predictions] == ["negative", "positive"]
    assert answer.to_dict() == raw(service, "/predict/batch", {"texts": TEXTS})


@pytest.mark.parametrize(("detail", "record"), [("full", "LayerSignals"), ("summary", "LayerSummary")])
def test_a_memory_comes_as_the_kind_of_layers_that_was_asked_for(
    service: Served, python: PythonClient, detail: str, record: str
) -> None:
    """Both kinds stand in one field, and a client has to tell them apart."""
    models = python.models
    asked = models.GatesRequest(
        text=TEXTS[0],
        detail=models.GatesRequestDetail(detail),
        signals=[models.Signal.CELL_STATE, models.Signal.FORGET_GATE],
        units=models.Foremost(top=3),
        steps=models.Range(start=2),
    )
    _, answer = python.ask("memory.gates", body=asked)
    assert type(answer.layers[0]).__name__ == record
    assert answer.to_dict() == raw(service, "/gates", asked.to_dict())


def test_the_other_ways_to_look_inside_come_as_records(service: Served, python: PythonClient) -> None:
    models = python.models
    pair = {"first": TEXTS[0], "second": TEXTS[1]}
    _, compared = python.ask("memory.gates_compare", body=models.CompareRequest(**pair))
    assert compared.to_dict() == raw(service, "/gates/compare", pair)
    _, occluded = python.ask("memory.gates_occlusion", body=models.PredictRequest(text=TEXTS[0]))
    assert occluded.to_dict() == raw(service, "/gates/occlusion", {"text": TEXTS[0]})
    _, unit = python.ask("memory.unit", 3)
    assert unit.to_dict() == service.get("/units/3").json()
    _, units = python.ask("memory.units")
    assert units.to_dict() == service.get("/units").json()
    _, info = python.ask("operations.info")
    assert info.to_dict() == service.get("/info").json()


def test_a_problem_comes_as_a_problem(python: PythonClient) -> None:
    status, problem = python.ask("sentiment.predict", body=python.models.PredictRequest(text=""))
    assert status == 422
    assert isinstance(problem, python.models.Problem)
    assert (problem.type_, problem.status) == ("/problems/empty-text", 422)
    assert (problem.errors[0].field, problem.errors[0].limit, problem.errors[0].found) == ("text", 1, 0)


def test_the_open_inference_protocol_comes_in_its_own_form(python: PythonClient) -> None:
    models = python.models
    tensor = models.InputTensor(name="text", shape=[2], datatype="BYTES", data=TEXTS)
    asked = models.InferenceRequest(inputs=[tensor])
    _, answer = python.ask("open_inference_protocol.v2_model_infer", "default", body=asked)
    assert [output.name for output in answer.outputs] == ["probability_negative", "label"]
    assert answer.outputs[1].data == ["negative", "positive"]
    status, error = python.ask("open_inference_protocol.v2_model_infer", "another", body=asked)
    assert status == 404
    assert isinstance(error, models.InferenceError)


# TypeScript


def test_the_guides_program_compiles_and_prints_what_stands_below_it(
    service: Served, document: dict[str, Any], tmp_path: Path
) -> None:
    """Strictly typed, it gets a prediction, a part of the memory and a problem."""
    ((block, printed),) = outputs(BLOCKS["docs/other-languages.md"], "ts", "text")
    program = block.code.replace(f"http://{SERVICE}", service.url)
    assert run_program(typescript_program(document, program, tmp_path)) == printed


WRONG: Final = {
    'client.POST("/predict", { body: { texts: "a" } });': "'texts' does not exist",
    'client.POST("/predict", { body: {} });': "'text' is missing",
    'client.POST("/gates", { body: { text: "a", signals: ["gate"] } });': """'"gate"' is not assignable""",
    '(await client.POST("/predict", { body: { text: "a" } })).data!.labels;': "'labels' does not exist",
}


def test_a_wrong_program_does_not_compile(document: dict[str, Any], tmp_path: Path) -> None:
    """Requests and answers have types that are worth something: each of its lines is at fault."""
    start = 'import createClient from "openapi-fetch";\nimport type { paths } from "./charlstm.js";\n'
    client = 'const client = createClient<paths, `application/${string}json`>({ baseUrl: "" });\n'
    with pytest.raises(AssertionError) as refused:
        typescript_program(document, start + client + "\n".join(WRONG), tmp_path)
    assert [fault for fault in WRONG.values() if fault not in str(refused.value)] == []
