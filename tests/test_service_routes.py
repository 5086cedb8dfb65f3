"""The routes: right answers to right questions, and a problem document for everything else."""

import gzip
import json
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.artifacts import load_artifacts
from charlstm.predictor import Predictor
from charlstm.trace import SIGNALS
from service import answers
from service.comparison_schemas import CompareRequest
from service.gates_schemas import GatesRequest, GatesResponse
from service.schemas import BatchResponse, Info, PredictResponse
from service.settings import Settings
from tests.service_fixtures import (
    JSON,
    PATIENCE,
    Client,
    assert_problem,
    engine_thread,
    make_app,
    serving,
    serving_model,
)
from tests.tiny import HIDDEN_SIZE, tiny_artifacts

MAX_LENGTH = 12  # tokens, the model's limit
MAX_CHARACTERS = 40
MAX_TEXTS = 5
MAX_BODY_BYTES = 8192

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=MAX_CHARACTERS + 5)  # lone surrogates too
FIELDS = sorted(
    {"texts", "top", "start", "stop", "signal", "value", *GatesRequest.model_fields, *CompareRequest.model_fields}
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
ROUTES = ("/predict", "/predict/batch", "/gates", "/gates/compare", "/gates/occlusion")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"), max_length=MAX_LENGTH, num_layers=2)


@pytest.fixture(scope="module")
def client(artifacts: Path) -> Iterator[Client]:
    limits = {"max_characters": MAX_CHARACTERS, "max_texts": MAX_TEXTS, "max_body_bytes": MAX_BODY_BYTES}
    with serving(make_app(artifacts, **limits)) as client:
        yield client


def test_predict_answers_as_the_predictor_does(client: Client, artifacts: Path) -> None:
    answer = PredictResponse.model_validate_json(client.post("/predict", {"text": "best \u2603"}).content)
    expected = Predictor.load(artifacts, "cpu").predict("best \u2603")
    assert answer.label == expected.label
    assert answer.probability == pytest.approx(expected.probability, abs=1e-6)
    assert answer.probabilities.negative == pytest.approx(expected.probability_negative, abs=1e-6)
    assert answer.probabilities.negative + answer.probabilities.positive == pytest.approx(1.0)
    assert (answer.characters, answer.unknown_characters, answer.truncated) == (6, 1, False)
    assert (answer.model.name, answer.model.version) == ("tiny", load_artifacts(artifacts).version)


def test_a_batch_is_answered_in_order_and_each_text_as_if_alone(client: Client) -> None:
    texts = ["Worst", " ", "best game"]
    batch = BatchResponse.model_validate_json(client.post("/predict/batch", {"texts": texts}).content)
    for text, answer in zip(texts, batch.predictions, strict=True):
        alone = PredictResponse.model_validate_json(client.post("/predict", {"text": text}).content)
        assert answer.probabilities.negative == pytest.approx(alone.probabilities.negative, abs=1e-6)
        assert answer.characters == len(text)


def test_gates_show_every_signal_of_every_layer_at_every_step(client: Client, artifacts: Path) -> None:
    answer = GatesResponse.model_validate_json(client.post("/gates", {"text": "Worst\u2603"}).content)
    trace = Predictor.load(artifacts, "cpu").trace("Worst\u2603")
    assert tuple(answer.tokens) == trace.tokens == (*"Worst", "<UNK>")
    assert tuple(answer.token_ids) == trace.token_ids
    assert answer.offsets == [0, 1, 2, 3, 4, 5]
    assert len(answer.layers) == 2
    for layer, expected in zip(answer.layers, trace.layers, strict=True):
        for signal in SIGNALS:
            found = np.asarray(getattr(layer, signal))
            assert found.shape == (6, HIDDEN_SIZE)
            np.testing.assert_allclose(found, getattr(expected, signal), atol=1e-6)


@contextmanager
def _serving(folder: Path, **model: Any) -> Iterator[Client]:
    """Serve a model of its own for one test."""
    artifacts, path = tiny_artifacts(folder / "artifacts", **model), folder / "engine.sock"
    with serving_model(artifacts, path) as client:
        yield client


def test_a_step_of_padding_has_no_offset(tmp_path: Path) -> None:
    with _serving(tmp_path, pad_to=8) as client:
        answer = client.post("/gates", {"text": "Worst"}).json()
        predicted = client.post("/predict", {"text": "Worst"}).json()
    assert answer["offsets"] == [0, 1, 2, 3, 4, None, None, None]
    assert answer["tokens"][5:] == ["<PAD>"] * 3
    expected = Predictor.load(tmp_path / "artifacts", "cpu").predict("Worst").probability_negative
    assert predicted["probabilities"]["negative"] == pytest.approx(expected, abs=1e-6)


def test_white_space_is_text_to_a_model_of_characters(client: Client) -> None:
    assert client.post("/predict", {"text": " "}).status_code == 200


def test_white_space_is_empty_to_a_model_of_words(tmp_path: Path) -> None:
    with _serving(tmp_path, level="word") as client:
        assert client.post("/predict", {"text": "worst update"}).status_code == 200
        assert_problem(client.post("/predict", {"text": " \n"}), 422, "empty-text")


@pytest.mark.parametrize("route", ["/predict", "/gates"])
def test_a_long_text_is_refused_unless_it_may_be_cut(client: Client, route: str) -> None:
    text = "x" * (MAX_LENGTH + 1)
    (error,) = assert_problem(client.post(route, {"text": text}), 413, "text-too-long")["errors"]
    assert (error["field"], error["limit"], error["found"]) == ("text", MAX_LENGTH, MAX_LENGTH + 1)
    cut = client.post(route, {"text": text, "truncate": True}).json()
    assert (cut["truncated"], cut["characters"]) == (True, MAX_LENGTH)
    assert cut["probabilities"] == client.post(route, {"text": text[:-1]}).json()["probabilities"]


@pytest.mark.parametrize("route", ["/predict", "/gates"])
def test_a_text_over_the_service_limit_is_refused_even_if_it_may_be_cut(client: Client, route: str) -> None:
    asked = {"text": "x" * (MAX_CHARACTERS + 1), "truncate": True}
    (error,) = assert_problem(client.post(route, asked), 413, "text-too-long")["errors"]
    assert (error["field"], error["limit"], error["found"]) == ("text", MAX_CHARACTERS, MAX_CHARACTERS + 1)


def test_every_bad_text_of_a_batch_is_named(client: Client) -> None:
    asked = {"texts": ["good", "", "good", "a\0b", "x" * 20]}
    problem = assert_problem(client.post("/predict/batch", asked), 422, "empty-text")
    assert [error["field"] for error in problem["errors"]] == ["texts[1]", "texts[3]", "texts[4]"]


def test_a_batch_of_too_many_texts_is_refused(client: Client) -> None:
    asked = {"texts": ["x"] * (MAX_TEXTS + 1)}
    (error,) = assert_problem(client.post("/predict/batch", asked), 413, "too-many-texts")["errors"]
    assert (error["field"], error["limit"], error["found"]) == ("texts", MAX_TEXTS, MAX_TEXTS + 1)


INVALID: dict[str, tuple[str, object, str, str]] = {
    "empty text": ("/predict", {"text": ""}, "empty-text", "text"),
    "number": ("/predict", {"text": 1}, "invalid-request", "text"),
    "null": ("/predict", {"text": None}, "invalid-request", "text"),
    "list": ("/predict", {"text": ["a"]}, "invalid-request", "text"),
    "not a number": ("/predict", {"text": math.nan}, "invalid-request", "text"),
    "huge number": ("/predict", {"text": 10**400}, "invalid-request", "text"),
    "deep": ("/predict", {"text": [[[[[[[[[[[[1]]]]]]]]]]]]}, "invalid-request", "text"),
    "missing": ("/predict", {}, "invalid-request", "text"),
    "unknown field": ("/predict", {"text": "a", "txet": "b"}, "invalid-request", "txet"),
    "long unknown field": ("/predict", {"text": "a", "b" * 99: 1}, "invalid-request", "b" * 40 + "..."),
    "surrogate in a field name": ("/predict", {"text": "a", "\ud800": 1}, "invalid-request", "body"),
    "flood of fields": ("/predict", dict.fromkeys("abcdefghijklmnopqrs"), "invalid-request", "body"),
    "truncate as number": ("/gates", {"text": "a", "truncate": 1}, "invalid-request", "truncate"),
    "array": ("/gates", ["a"], "invalid-request", "body"),
    "string": ("/predict", "a", "invalid-request", "body"),
    "null document": ("/predict", None, "invalid-request", "body"),
    "lone surrogate": ("/predict", {"text": "a\ud800"}, "invalid-character", "text"),
    "NUL": ("/gates", {"text": "a\0"}, "invalid-character", "text"),
    "empty batch": ("/predict/batch", {"texts": []}, "invalid-request", "texts"),
    "one text as batch": ("/predict/batch", {"texts": "abc"}, "invalid-request", "texts"),
    "number in a batch": ("/predict/batch", {"texts": ["a", 2]}, "invalid-request", "texts[1]"),
    "surrogate in a batch": ("/predict/batch", {"texts": ["a", "\udfff"]}, "invalid-character", "texts[1]"),
}


@pytest.mark.parametrize(("route", "asked", "name", "field"), INVALID.values(), ids=INVALID.keys())
def test_invalid_input_is_a_422_that_names_the_field(
    client: Client, route: str, asked: object, name: str, field: str
) -> None:
    problem = assert_problem(client.post(route, asked), 422, name)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["detail"] == f"{field} {problem['errors'][0]['message']}"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'text': 'a'}",
        b'{"text":"\xff"}',
        b"[" * 3000,
        b'{"text":' + b"9" * 4000,
        b'{"text":%s}' % (b"[" * 3000),
    ],
)
def test_a_body_that_is_no_json_is_a_400(client: Client, body: bytes) -> None:
    assert_problem(client.request("POST", "/predict", body), 400, "malformed-body")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"text":"\xff"}', "body must be in UTF-8, found bytes that are none"),
        (b'{"text":' + b"[" * 2000 + b"]" * 2000 + b"}", "body must be nested less deeply"),
        (b'{"text":' + b"9" * 4400 + b"}", "body must hold no number of thousands of digits"),
    ],
    ids=["bytes", "nested", "digits"],
)
def test_a_body_that_python_cannot_read_is_told_why(client: Client, body: bytes, detail: str) -> None:
    assert assert_problem(client.request("POST", "/predict", body), 400, "malformed-body")["detail"] == detail


@pytest.mark.parametrize("route", ROUTES)
def test_a_compressed_body_is_a_415_and_not_taken_for_damaged_json(client: Client, route: str) -> None:
    headers = JSON | {"content-encoding": "gzip"}
    response = client.request("POST", route, gzip.compress(b'{"text":"a"}'), headers)
    problem = assert_problem(response, 415, "unsupported-media-type")
    assert problem["detail"] == "Content-Encoding must be absent; only /v2 unpacks a body"
    named = client.request("POST", "/predict", b'{"text":"a"}', JSON | {"content-encoding": "identity"})
    assert named.status_code == 200


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/info", "/metrics", "/v2", "/v2/health/ready", "/", "/page/page.css"]
)
def test_what_get_answers_head_answers_without_a_body(client: Client, path: str) -> None:
    head, get = client.request("HEAD", path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


def test_head_is_no_way_around_a_method(client: Client) -> None:
    response = client.request("HEAD", "/predict")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["/info?modl=tiny", "/units?modl=tiny", "/units/0?layr=1"])
def test_a_query_that_nobody_understands_is_not_passed_over(client: Client, path: str) -> None:
    """Or else a mistyped name of a model would be answered for another one."""
    problem = assert_problem(client.get(path), 422, "invalid-request")
    assert problem["detail"].endswith("is no field of this request")


def test_a_missing_body_is_said_to_be_required(client: Client) -> None:
    problem = assert_problem(client.request("POST", "/predict"), 422, "invalid-request")
    assert problem["detail"] == "body is required"


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
def test_a_body_of_another_media_type_is_a_415(client: Client, media_type: str) -> None:
    response = client.request("POST", "/predict", b'{"text":"a"}', {"content-type": media_type})
    assert_problem(response, 415, "unsupported-media-type")


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/ld+json"])
def test_every_way_to_say_json_is_understood(client: Client, media_type: str) -> None:
    response = client.request("POST", "/predict", b'{"text":"a"}', {"content-type": media_type})
    assert response.status_code == 200


def test_a_wrong_method_is_told_the_right_one(client: Client) -> None:
    response = client.get("/predict")
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/nothing", "/predict/", "/predict/batch/x", "/static-offline-docs/none"])
def test_an_unknown_route_is_a_404(client: Client, path: str) -> None:
    assert_problem(client.get(path), 404, "not-found")


def test_a_large_body_is_refused_whether_or_not_it_announces_its_length(client: Client) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * 1000

    body: Any = chunks()
    for content in (b" " * 10_000, body):
        assert_problem(client.request("POST", "/predict", content), 413, "body-too-large")


def test_a_full_batch_of_the_longest_texts_fits_the_default_body_limit() -> None:
    """512 tweets of 280 characters, each written as an escaped surrogate pair."""
    body = json.dumps({"texts": ["\U0001f600" * 280] * 512})
    assert len(body) < 2 * 1024 * 1024


def test_no_problem_repeats_the_text(client: Client) -> None:
    for asked in ({"text": "s3cret" * 5}, {"text": "s3cret\0"}, {"text": ["s3cret"]}, {"text": "s3cret\ud800"}):
        assert "s3cret" not in client.post("/predict", asked).text


def _fail(*_: object) -> Any:
    raise RuntimeError("secret in /etc/secret")


def test_an_unforeseen_error_is_a_500_that_gives_nothing_away(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "predict_response", _fail)
    response = client.post("/predict", {"text": "Worst"})
    assert_problem(response, 500, "internal-error")
    assert "secret" not in response.text
    assert "RuntimeError" not in response.text


@pytest.mark.parametrize("route", ["/predict", "/gates"])
def test_a_failure_of_the_engine_is_a_500_and_no_end(
    artifacts: Path, tmp_path: Path, route: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "engine.sock"
    with engine_thread(artifacts, path) as engine, serving(make_app(artifacts, engine_socket=path)) as client:
        with monkeypatch.context() as patch:
            patch.setattr(engine.models[0].network, "embed", _fail)
            response = client.post(route, {"text": "Worst"})
        assert_problem(response, 500, "internal-error")
        assert "secret" not in response.text
        assert client.post(route, {"text": "Worst"}).status_code == 200
    assert "secret in /etc/secret" in caplog.text


def test_an_overloaded_engine_is_a_429_that_says_when_to_come_again(
    artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "engine.sock"
    with engine_thread(artifacts, path) as engine, serving(make_app(artifacts, engine_socket=path)) as client:
        monkeypatch.setattr(engine._admission, "has_room", lambda *_: False)
        monkeypatch.setattr(type(engine._admission), "seconds_left", 2.5)
        response = client.post("/predict", {"text": "Worst"})
    assert_problem(response, 429, "overloaded")
    assert response.headers["retry-after"] == "3"


def test_a_request_past_its_deadline_is_a_504(artifacts: Path, tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    app = make_app(artifacts, engine_socket=path, deadline_seconds=1e-9)
    with engine_thread(artifacts, path), serving(app) as client:
        for route in ("/predict", "/gates"):
            assert_problem(client.post(route, {"text": "Worst"}), 504, "deadline-exceeded")


@pytest.mark.parametrize("route", ["/predict", "/gates", "/gates/occlusion"])
def test_every_answer_says_where_its_time_went(client: Client, route: str) -> None:
    timing = client.post(route, {"text": "Worst"}).headers["server-timing"]
    stages = dict(entry.split(";dur=") for entry in timing.split(", "))
    assert {"queue", "inference", "serialization"} <= stages.keys()
    assert all(float(milliseconds) >= 0 for milliseconds in stages.values())


def test_every_problem_type_leads_to_its_description(client: Client) -> None:
    problem = client.post("/predict", {}).json()
    kind = client.get(problem["type"]).json()
    assert (kind["type"], kind["title"], kind["status"]) == (problem["type"], problem["title"], 422)
    assert kind["description"]
    assert_problem(client.get("/problems/none"), 404, "not-found")


def test_info_describes_the_model_and_the_limits(client: Client, artifacts: Path) -> None:
    info = Info.model_validate_json(client.get("/info").content)
    config = load_artifacts(artifacts).config
    assert (info.architecture, info.preprocessing, info.training) == (config.model, config.preprocessing, None)
    assert info.labels == ["positive", "negative"]
    assert info.limits.model_dump() == {
        "max_texts": MAX_TEXTS,
        "max_characters": MAX_CHARACTERS,
        "max_body_bytes": MAX_BODY_BYTES,
        "max_tokens": MAX_LENGTH,
        "max_waiting_texts": Settings.model_fields["max_waiting_texts"].default,
        "max_waiting_characters": Settings.model_fields["max_waiting_characters"].default,
        "deadline_seconds": PATIENCE,
        "request_seconds": Settings.model_fields["request_seconds"].default,
        "stall_seconds": Settings.model_fields["stall_seconds"].default,
        "max_unread_bytes": Settings.model_fields["max_unread_bytes"].default,
        "live_sessions": Settings.model_fields["max_live_sessions"].default,
        "live_sessions_per_client": Settings.model_fields["max_live_sessions_per_client"].default,
        "live_characters": Settings.model_fields["live_characters"].default,
        "live_messages_per_second": Settings.model_fields["live_messages_per_second"].default,
        "live_idle_seconds": Settings.model_fields["live_idle_seconds"].default,
        "live_stall_seconds": Settings.model_fields["live_stall_seconds"].default,
    }
    assert (info.device, info.precision) == ("cpu", "float32")


@given(text=ANY_TEXT, truncate=st.booleans())
def test_any_text_gets_an_answer_or_a_problem(client: Client, text: str, truncate: bool) -> None:  # noqa: FBT001  drawn
    response = client.post("/predict", {"text": text, "truncate": truncate})
    if response.status_code == 200:
        answer = PredictResponse.model_validate_json(response.content)
        assert answer.probability == getattr(answer.probabilities, answer.label)
        assert answer.truncated == (len(text) > MAX_LENGTH)
    else:
        assert_problem(response, response.status_code, response.json()["type"].rpartition("/")[2])
        assert response.status_code in (413, 422)


@given(text=ANY_TEXT)
def test_the_trace_ends_with_the_prediction(client: Client, text: str) -> None:
    predicted = client.post("/predict", {"text": text, "truncate": True})
    traced = client.post("/gates", {"text": text, "truncate": True})
    assert traced.status_code == predicted.status_code
    if traced.status_code == 200:
        prediction, trace = predicted.json(), traced.json()
        negative = prediction["probabilities"]["negative"]
        assert trace["probability_so_far"][-1] == pytest.approx(negative, abs=1e-6)
        assert trace["probabilities"]["negative"] == pytest.approx(trace["probability_so_far"][-1], abs=1e-7)
        assert trace["label"] == prediction["label"] or abs(negative - 0.5) < 1e-6
        assert trace["characters"] == prediction["characters"]


@given(route=st.sampled_from(ROUTES), document=ANY_JSON)
def test_any_json_gets_an_answer_or_a_problem(client: Client, route: str, document: object) -> None:
    response = client.post(route, document)
    assert response.status_code in (200, 413, 422)
    assert response.status_code == 200 or response.json()["status"] == response.status_code


@given(
    wanted=st.dictionaries(st.sampled_from(sorted(GatesRequest.model_fields)), ANY_JSON, max_size=3),
    accept=st.sampled_from(["application/json", "application/x-npz"]),
)
def test_any_wish_about_a_trace_gets_an_answer_or_a_problem(
    client: Client, wanted: dict[str, object], accept: str
) -> None:
    body = json.dumps({"text": "Worst"} | wanted).encode()
    response = client.request("POST", "/gates", body, {**JSON, "accept": accept})
    assert response.status_code in (200, 404, 413, 422)
    assert response.status_code == 200 or response.json()["status"] == response.status_code


@given(route=st.sampled_from(ROUTES), body=st.binary(max_size=60))
def test_any_bytes_get_a_problem(client: Client, route: str, body: bytes) -> None:
    response = client.request("POST", route, body, JSON)
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"
