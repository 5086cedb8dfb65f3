"""The Open Inference Protocol, asked by Triton's own client of a real service, and of a model that fails."""

import asyncio
import json
import math
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from tritonclient.http import InferenceServerClient, InferenceServerException, InferInput, InferRequestedOutput

from charlstm import SIGNALS
from charlstm.encoding import TextEncoder
from charlstm.predictor import Predictor
from charlstm.readout import Readout
from charlstm.trace import Prediction
from service import open_inference, problems
from service.body_limit import BodyLimit
from service.connection import ServedModel
from service.errors import DeadlineError, EngineLostError, NotReadyError, OverloadedError
from service.inference import find_model
from service.open_inference_outputs import PADDING_OFFSET, output_tensors
from service.passages import Passage
from service.protocol import Traced
from service.results import Judged, TracedText
from service.settings import Settings
from service.tensors import decode_request
from service.trace_slots import TraceSlots
from tests.served import Served, eventually, served
from tests.tiny import HIDDEN_SIZE, TEXTS, tiny_artifacts, tiny_config

PATIENCE = 120.0  # seconds, for a machine that does other things too
LAYERS = 2
TEXT = "Worst update ever 🎮"
MODEL = "/v2/models/tiny"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"), num_layers=LAYERS, temperature=1.3, max_length=32)


@pytest.fixture(scope="module")
def predictor(artifacts: Path) -> Predictor:
    return Predictor.load(artifacts, device="cpu")


@pytest.fixture(scope="module")
def server(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("server"), artifacts) as server:
        eventually(server.is_ready, PATIENCE)
        yield server
        server.signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0


@pytest.fixture(scope="module")
def triton(server: Served) -> Iterator[InferenceServerClient]:
    address = server.url.removeprefix("http://")
    with InferenceServerClient(address, connection_timeout=PATIENCE, network_timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="module")
def http(server: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        yield client


def text_tensor(texts: list[str], *, column: bool = False, binary: bool = True) -> list[InferInput]:
    shape = [len(texts), 1] if column else [len(texts)]
    tensor = InferInput("text", shape, "BYTES")
    tensor.set_data_from_numpy(np.array(texts, dtype=object).reshape(shape), binary_data=binary)
    return [tensor]


def requested(*names: str, binary: bool = True) -> list[InferRequestedOutput]:
    return [InferRequestedOutput(name, binary_data=binary) for name in names]


def words(tensor: Any) -> list[str]:
    return [word.decode() if isinstance(word, bytes) else word for word in tensor.ravel()]


def document(*texts: str, **beside: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}], **beside}


def test_the_server_and_the_model_are_live_and_ready(triton: InferenceServerClient, predictor: Predictor) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("tiny")
    assert triton.is_model_ready("tiny", predictor.artifacts.version)
    assert not triton.is_model_ready("tiny", "0")
    assert not triton.is_model_ready("huge")


def test_the_metadata_names_the_server_the_model_and_every_tensor(
    triton: InferenceServerClient, predictor: Predictor
) -> None:
    server = triton.get_server_metadata()
    assert (server["name"], server["extensions"]) == ("charlstm", ["binary_tensor_data"])
    version = predictor.artifacts.version
    model = triton.get_model_metadata("tiny")
    assert model == triton.get_model_metadata("tiny", version)
    assert (model["name"], model["versions"]) == ("tiny", [version])
    assert model["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    names = [output["name"] for output in model["outputs"]]
    assert names[:2] == ["probability_negative", "label"]
    assert {f"layer_{layer}.{signal}" for layer in range(LAYERS) for signal in SIGNALS} < set(names)


@pytest.mark.parametrize("column", [False, True], ids=["[N]", "[N, 1]"])
@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_each_text_gets_the_probability_and_the_label_of_the_predictor_in_the_shape_it_came_in(
    triton: InferenceServerClient, predictor: Predictor, *, column: bool, binary: bool
) -> None:
    texts = [text[:32] for text in TEXTS]
    outputs = None if binary else requested("probability_negative", "label", binary=False)
    result = triton.infer("tiny", text_tensor(texts, column=column, binary=binary), outputs=outputs, request_id="7")
    head = result.get_response()
    assert (head["id"], head["model_name"], head["model_version"]) == ("7", "tiny", predictor.artifacts.version)
    assert head["parameters"] == {"precision": "float32"}
    predictions = predictor.predict(texts)
    probabilities = result.as_numpy("probability_negative")
    shape = (len(texts), 1) if column else (len(texts),)
    assert (probabilities.shape, probabilities.dtype, result.as_numpy("label").shape) == (shape, np.float32, shape)
    expected = [prediction.probability_negative for prediction in predictions]
    np.testing.assert_allclose(probabilities.ravel(), expected, atol=1e-6)
    assert words(result.as_numpy("label")) == [prediction.label for prediction in predictions]


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_every_output_of_a_single_text_equals_the_predictor_and_the_gates_route(
    triton: InferenceServerClient, http: httpx.Client, predictor: Predictor, *, binary: bool
) -> None:
    metadata = {output["name"]: output for output in triton.get_model_metadata("tiny")["outputs"]}
    result = triton.infer("tiny", text_tensor([TEXT]), outputs=requested(*metadata, binary=binary))
    traced, gates = predictor.trace(TEXT), http.post("/gates", json={"text": TEXT}).json()
    for layer in range(LAYERS):
        for signal_name in SIGNALS:
            found = result.as_numpy(f"layer_{layer}.{signal_name}")
            np.testing.assert_allclose(found, getattr(traced.layers[layer], signal_name), atol=1e-6)
            np.testing.assert_allclose(found, gates["layers"][layer][signal_name], atol=1e-6)
    np.testing.assert_allclose(result.as_numpy("probability_so_far"), traced.probability_so_far, atol=1e-6)
    np.testing.assert_allclose(result.as_numpy("probability_so_far"), gates["probability_so_far"], atol=1e-6)
    negative = float(result.as_numpy("probability_negative")[0])
    assert math.isclose(negative, traced.prediction.probability_negative, abs_tol=1e-6)
    assert words(result.as_numpy("label")) == [traced.prediction.label]
    assert words(result.as_numpy("tokens")) == list(traced.tokens) == gates["tokens"]
    assert result.as_numpy("token_ids").tolist() == list(traced.token_ids)
    assert result.as_numpy("offsets").tolist() == list(traced.offsets)
    for name, described in metadata.items():
        output = result.get_output(name)
        assert output["datatype"] == described["datatype"]
        assert len(output["shape"]) == len(described["shape"])


def test_outputs_come_in_the_order_and_the_form_that_each_was_asked_for(triton: InferenceServerClient) -> None:
    outputs = [*requested("tokens", binary=False), *requested("layer_1.cell_state", "label")]
    result = triton.infer("tiny", text_tensor([TEXT], column=True), outputs=outputs)
    found = result.get_response()["outputs"]
    assert [output["name"] for output in found] == ["tokens", "layer_1.cell_state", "label"]
    assert ["data" in output for output in found] == [True, False, False]
    assert result.as_numpy("label").shape == (1, 1)


def test_a_long_text_is_refused_or_cut_if_the_request_says_so(
    triton: InferenceServerClient, predictor: Predictor
) -> None:
    with pytest.raises(InferenceServerException, match=r"text\[1\] must be at most 32 .* found 40") as caught:
        triton.infer("tiny", text_tensor(["a", "b" * 40]))
    assert caught.value.status() == "413"
    result = triton.infer("tiny", text_tensor(["b" * 40]), parameters={"truncate": True})
    expected = predictor.predict("b" * 40, truncate=True).probability_negative
    np.testing.assert_allclose(result.as_numpy("probability_negative"), [expected], atol=1e-6)


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_which_texts_were_cut_is_an_output(triton: InferenceServerClient, *, binary: bool) -> None:
    outputs = requested("truncated", "label", binary=binary)
    texts = text_tensor(["a", "b" * 40, "c" * 32], column=True)
    result = triton.infer("tiny", texts, outputs=outputs, parameters={"truncate": True})
    assert result.as_numpy("truncated").tolist() == [[False], [True], [False]]
    assert result.get_output("truncated")["datatype"] == "BOOL"


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_a_compressed_request_is_read(triton: InferenceServerClient, algorithm: str) -> None:
    plain = triton.infer("tiny", text_tensor(list("abc")))
    packed = triton.infer("tiny", text_tensor(list("abc")), request_compression_algorithm=algorithm)
    np.testing.assert_allclose(
        packed.as_numpy("probability_negative"), plain.as_numpy("probability_negative"), atol=1e-6
    )


def test_many_large_texts_are_decoded_beside_the_event_loop_and_answered(triton: InferenceServerClient) -> None:
    texts = ["🎮" * 1000] * 100
    result = triton.infer("tiny", text_tensor(texts, column=True), parameters={"truncate": True})
    assert result.as_numpy("probability_negative").shape == (100, 1)


def test_triton_raises_our_message(triton: InferenceServerClient) -> None:
    asked: list[tuple[Any, str, str]] = [
        (lambda: triton.infer("huge", text_tensor(["a"])), "404", "model must be tiny (version"),
        (lambda: triton.infer("tiny", text_tensor(["a"]), model_version="0"), "404", "model must be tiny"),
        (lambda: triton.get_model_metadata("huge"), "404", "model must be tiny"),
        (lambda: triton.get_model_config("tiny"), "404", "Nothing is served at this path."),
        (
            lambda: triton.infer("tiny", text_tensor(["a"]), outputs=requested("secret")),
            "400",
            "outputs[0].name must be",
        ),
        (
            lambda: triton.infer("tiny", text_tensor(["a", "b"]), outputs=requested("label", "tokens")),
            "400",
            "output tokens is of a single text, found 2 texts",
        ),
        (lambda: triton.infer("tiny", text_tensor([""])), "400", "text[0] must hold at least 1 character, found none"),
        (lambda: triton.infer("tiny", text_tensor(["a"] * 600)), "413", "tensor text must hold at most 512 texts"),
    ]
    for ask, status, message in asked:
        with pytest.raises(InferenceServerException) as caught:
            ask()
        assert caught.value.status() == status
        assert caught.value.message().startswith(message)


def _error(response: httpx.Response, status: int) -> str:
    """Check that an answer is an error as the protocol wants it, and return what it says."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    body: dict[str, str] = response.json()
    assert list(body) == ["error"]
    return body["error"]


def test_every_error_under_v2_is_the_protocols_own(http: httpx.Client) -> None:
    assert "Nothing is served" in _error(http.get("/v2/nothing"), 404)
    refused = http.get(f"{MODEL}/infer")
    assert "not to this method" in _error(refused, 405)
    assert refused.headers["allow"] == "POST"
    assert _error(http.post(f"{MODEL}/infer", content=b"secret"), 400).startswith("body must begin with valid JSON")
    brotli = http.post(f"{MODEL}/infer", content=b"", headers={"Content-Encoding": "br"})
    assert _error(brotli, 415) == "Content-Encoding must be gzip, deflate or absent"
    lengthy = http.post(f"{MODEL}/infer", content=b"{}", headers={"Inference-Header-Content-Length": "-1"})
    assert _error(lengthy, 400) == "Inference-Header-Content-Length must be a number of bytes, found something else"
    assert http.get("/nothing").headers["content-type"] == "application/problem+json"


def test_a_text_that_is_no_unicode_is_a_bad_request_and_is_not_repeated(http: httpx.Client) -> None:
    message = _error(http.post(f"{MODEL}/infer", json=document("secret\0")), 400)
    assert message == "text[0] must be valid Unicode text, found a NUL character (U+0000) at offset 6"


def test_an_answer_is_json_unless_asked_and_says_where_its_time_went(http: httpx.Client) -> None:
    answer = http.post(f"{MODEL}/infer", json=document(TEXT))
    assert answer.headers["content-type"] == "application/json"
    assert "inference-header-content-length" not in answer.headers
    assert "id" not in answer.json()
    assert answer.headers["server-timing"].startswith("queue;dur=")
    packed = http.post(f"{MODEL}/infer", json=document(TEXT, parameters={"binary_data_output": True}))
    assert packed.headers["content-type"] == "application/octet-stream"
    assert json.loads(packed.content[: int(packed.headers["inference-header-content-length"])])["outputs"]


def test_the_document_describes_every_route_and_its_errors(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    described = document["paths"]
    found = {path: operations for path, operations in described.items() if path.startswith("/v2")}
    assert len(found) == 9
    operations = [operation for path in found.values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == 9
    for operation in operations:
        assert operation["tags"] == ["open inference protocol"]
        assert operation["summary"]
        for status, response in operation["responses"].items():
            if status != "200":
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/InferenceError"}
    infer = described["/v2/models/{name}/infer"]["post"]
    assert set(infer["responses"]) >= {"200", "400", "404", "408", "413", "415", "429", "500", "503", "504"}
    request = {"$ref": "#/components/schemas/InferenceRequest"}
    assert infer["requestBody"]["content"]["application/json"]["schema"] == request
    assert document["components"]["schemas"]["InferenceRequest"]["required"] == ["inputs"]


class FailingInference:
    """A model that is there, and answers every question with this error."""

    def __init__(self, error: Exception, *, ready: bool = True) -> None:
        config, vocabulary = tiny_config()
        self.error, self.ready, self.loaded = error, ready, True
        self.trace_slots = TraceSlots(PATIENCE, max_unread_bytes=0)
        encoder, readout = (
            TextEncoder(config.preprocessing, vocabulary),
            Readout(np.zeros(HIDDEN_SIZE, np.float32), 0.0, 1.0),
        )
        self._model = ServedModel("tiny", "", "1", config, encoder, "cpu", "float32", readout)

    def find(self, name: str | None, version: str | None = None) -> ServedModel:
        if not self.loaded:
            raise NotReadyError
        return find_model([self._model], name, version)

    async def judge(self, texts: Any, name: str, *, truncate: bool) -> Any:
        assert (bool(texts), name) == (True, "tiny")
        assert not truncate
        raise self.error

    async def trace(self, _passage: Passage, _deadline: float, name: str, *, truncate: bool) -> None:
        assert (name, truncate) == ("tiny", False)
        raise self.error


def _request(model: FailingInference, method: str, path: str, **request: Any) -> httpx.Response:
    """Ask the routes alone, with nothing around them but the errors and the limit on bodies."""
    app = FastAPI()
    app.include_router(open_inference.probes)
    app.include_router(open_inference.models)
    problems.install(app)
    app.add_middleware(BodyLimit, max_bytes=200_000, seconds=PATIENCE)
    app.state.inference, app.state.settings = model, Settings(max_body_bytes=200_000)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path, **request)

    return asyncio.run(ask())


@pytest.mark.parametrize("output", ["label", "tokens"])
@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (OverloadedError(2.5), 429, "3"),
        (NotReadyError(), 503, "1"),
        (EngineLostError(), 503, "1"),
        (DeadlineError(), 504, None),
        (RuntimeError("secret"), 500, None),
    ],
)
def test_what_the_model_cannot_answer_has_the_protocols_form(
    error: Exception, status: int, retry_after: str | None, output: str
) -> None:
    asked = document("a", outputs=[{"name": output}])
    answer = _request(FailingInference(error), "POST", f"{MODEL}/infer", json=asked)
    assert "secret" not in _error(answer, status)
    assert answer.headers.get("retry-after") == retry_after


def test_while_the_model_is_loaded_the_server_is_live_and_says_who_it_is() -> None:
    model = FailingInference(NotReadyError(), ready=False)
    model.loaded = False
    for path in ("/v2", "/v2/health/live"):
        assert _request(model, "GET", path).status_code == 200
    for path in ("/v2/health/ready", MODEL, f"{MODEL}/ready", f"{MODEL}/versions/1/ready"):
        answer = _request(model, "GET", path)
        assert _error(answer, 503)
        assert answer.headers["retry-after"] == "1"
    assert _error(_request(model, "POST", f"{MODEL}/infer", json=document("a")), 503)


def test_a_model_that_takes_no_more_requests_is_described_but_not_ready() -> None:
    model = FailingInference(NotReadyError(), ready=False)
    assert _request(model, "GET", MODEL).status_code == 200
    assert _error(_request(model, "GET", f"{MODEL}/ready"), 503)


def test_a_body_over_the_limit_is_refused_in_the_protocols_form_however_it_comes() -> None:
    model = FailingInference(NotReadyError())

    async def chunks() -> Any:
        for _ in range(3):
            yield b" " * 100_000

    for content in (b" " * 200_001, chunks()):
        answer = _request(model, "POST", f"{MODEL}/infer", content=content)
        assert _error(answer, 413).startswith("body must be at most 200000 bytes long")


def test_an_unknown_model_is_refused_whatever_the_body() -> None:
    model = FailingInference(NotReadyError())
    for path in ("/v2/models/huge/infer", f"{MODEL}/versions/2/infer"):
        assert _error(_request(model, "POST", path, content=b"nonsense"), 404).startswith("model must be tiny")


class ExchangedInference(FailingInference):
    """A model that is exchanged for a new version while it is asked."""

    async def judge(self, texts: Any, name: str, *, truncate: bool) -> Any:
        assert (name, truncate) == ("tiny", False)
        return Judged(
            replace(self._model, version="2"), [Prediction(0.75, 1, 0, truncated=False)] * len(texts), 0.0, 0.0
        )


def test_a_version_that_is_exchanged_while_it_is_asked_gives_no_other_versions_answer() -> None:
    model = ExchangedInference(NotReadyError())
    answer = _request(model, "POST", f"{MODEL}/infer", json=document("a"))
    assert answer.json()["model_version"] == "2"
    assert answer.json()["outputs"][0]["data"] == [0.75]
    pinned = _request(model, "POST", f"{MODEL}/versions/1/infer", json=document("a"))
    assert _error(pinned, 404) == "model must be tiny (version 2), found 'tiny' (version '1')"


@pytest.mark.parametrize(("size", "beside"), [(10, False), (100_000, True)])
def test_a_large_body_is_decoded_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, size: int, *, beside: bool
) -> None:
    decoders: list[threading.Thread] = []

    def decode_and_tell(*arguments: Any) -> Any:
        decoders.append(threading.current_thread())
        return decode_request(*arguments)

    monkeypatch.setattr(open_inference, "decode_request", decode_and_tell)
    model = FailingInference(DeadlineError())
    assert _request(model, "POST", f"{MODEL}/infer", json=document("a" * size)).status_code == 504
    assert [thread is not threading.main_thread() for thread in decoders] == [beside]


def test_a_step_of_padding_has_an_offset_that_is_none(tmp_path: Path) -> None:
    """JSON would have null there, a tensor cannot; the model is one that pads every text."""
    predictor = Predictor.load(tiny_artifacts(tmp_path, pad_to=8), device="cpu")
    trace = predictor.trace("Worst")
    signals, logits = np.array(trace.layers), np.zeros(8, np.float32)
    traced = Traced(0, logits.tobytes(), signals.tobytes(), 1, HIDDEN_SIZE, 0.0, 0.0)
    model = FailingInference(NotReadyError())._model
    text = model.encoder.encode("Worst").padded(8)
    answer = TracedText(model, text, (), traced)
    offsets = output_tensors(answer, (1,))["offsets"].elements
    assert list(offsets) == [0, 1, 2, 3, 4, PADDING_OFFSET, PADDING_OFFSET, PADDING_OFFSET]
