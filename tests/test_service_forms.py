"""The forms of a trace: the same numbers in each, and each explains itself."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.artifacts import load_artifacts
from charlstm.trace import SIGNALS
from service.forms import COMPRESSED_NPZ, HTML, JSON, MEDIA_TYPES, NPZ
from tests.service_fixtures import Client, assert_problem, serving_model
from tests.tiny import HIDDEN_SIZE, texts, tiny_artifacts


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"), num_layers=2)


@pytest.fixture(scope="module")
def client(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    path = tmp_path_factory.mktemp("engine") / "engine.sock"
    with serving_model(artifacts, path) as client:
        yield client


def ask(client: Client, accept: str, text: str = "Worst update ever", coding: str = "", **asked: Any) -> httpx.Response:
    headers = {"content-type": JSON, "accept": accept, "accept-encoding": coding}
    body = json.dumps({"text": text} | asked).encode()
    response = client.request("POST", "/gates", body, headers)
    assert response.headers["vary"] == "Accept, Accept-Encoding"
    return response


def arrays_of(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    with np.load(io.BytesIO(response.content), allow_pickle=False) as archive:
        return dict(archive)


def flattened(document: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Name what a JSON answer holds as npz does."""
    for name, value in document.items():
        if name == "layers":
            for layer in value:
                yield from flattened(
                    {key: found for key, found in layer.items() if key != "layer"}, f"layer_{layer['layer']}."
                )
        elif name == "words":
            for key in ("start", "stop", "text", "share"):
                yield f"{prefix}words.{key}", [word[key] for word in value]
        elif isinstance(value, dict):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@settings(max_examples=40)
@given(
    text=texts(max_size=20),
    detail=st.sampled_from(["full", "summary"]),
    media_type=st.sampled_from([NPZ, COMPRESSED_NPZ]),
)
def test_npz_holds_what_json_does(client: Client, text: str, detail: str, media_type: str) -> None:
    """Every array under its name, and everything else in `metadata`; what JSON calls null is -1 or infinity."""
    document = ask(client, JSON, text, detail=detail).json()
    response = ask(client, media_type, text, detail=detail)
    assert response.headers["content-type"] == media_type
    found = arrays_of(response)
    metadata = json.loads(str(found.pop("metadata")))
    for name in ("label", "characters", "unknown_characters", "truncated", "model", "about", "text", "what_if"):
        assert metadata[name] == document.pop(name)
    for name in ("probability", "probabilities"):
        assert metadata[name] == pytest.approx(document.pop(name), abs=1e-6)
    expected = dict(flattened(document))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if found[name].dtype.kind == "U":
            assert found[name].tolist() == values
        else:
            nothing = -1 if name == "offsets" else np.inf
            filled = [nothing if value is None else value for value in values] if isinstance(values, list) else values
            np.testing.assert_allclose(found[name], filled, atol=1e-5, rtol=1e-4, err_msg=name)


def test_npz_has_the_types_that_numpy_users_expect(client: Client) -> None:
    found = arrays_of(ask(client, NPZ, "Worst"))
    assert found["layer_1.forget_gate"].dtype == found["probability_so_far"].dtype == np.float32
    assert found["layer_1.forget_gate"].shape == (5, HIDDEN_SIZE)
    assert found["contributions.steps"].dtype == np.float64
    assert found["tokens"].tolist() == list("Worst")
    assert found["offsets"].dtype.kind == found["token_ids"].dtype.kind == "i"
    logit = found["contributions.bias"] + found["contributions.initial"] + found["contributions.steps"].sum()
    assert logit == pytest.approx(float(found["contributions.logit"]), abs=1e-5)


def test_every_form_names_the_model_the_labels_and_the_axes(client: Client, artifacts: Path) -> None:
    model = {"name": "tiny", "version": load_artifacts(artifacts).version, "precision": "float32"}
    for document in (
        ask(client, JSON).json(),
        json.loads(str(arrays_of(ask(client, NPZ))["metadata"])),
        json.loads(str(arrays_of(ask(client, COMPRESSED_NPZ))["metadata"])),
    ):
        assert document["model"] == model
        about = document["about"]
        assert (about["label_0"], about["label_1"], about["axes"]) == ("positive", "negative", ["step", "unit"])
        assert set(about["signals"]) == set(SIGNALS)
        assert "long-term memory" in about["signals"]["cell_state"]
        assert "log-odds of negative" in about["quantities"]["logit"]
    page = ask(client, HTML)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert model["version"] in page.text


def test_a_page_of_html_escapes_the_text(client: Client) -> None:
    page = ask(client, HTML, "<script>alert(1)</script>")
    assert page.status_code == 200
    assert "<script>alert(1)" not in page.text


def test_a_compressed_npz_is_smaller(client: Client) -> None:
    plain, small = (ask(client, media_type, "so much fun with friends") for media_type in (NPZ, COMPRESSED_NPZ))
    assert len(small.content) < len(plain.content)


def test_json_and_html_are_compressed_on_the_way_when_that_is_asked_for(client: Client) -> None:
    for media_type in (JSON, HTML):
        plain, zipped = ask(client, media_type), ask(client, media_type, coding="gzip")
        assert "content-encoding" not in plain.headers
        assert zipped.headers["content-encoding"] == "gzip"
        assert zipped.num_bytes_downloaded < len(plain.content) == len(zipped.content)
        assert int(zipped.headers["content-length"]) == zipped.num_bytes_downloaded


def test_what_would_hardly_get_smaller_is_not_compressed(client: Client) -> None:
    for media_type in (NPZ, COMPRESSED_NPZ):
        assert "content-encoding" not in ask(client, media_type, coding="gzip").headers


def test_a_form_that_there_is_not_is_refused_with_those_that_there_are(client: Client) -> None:
    response = client.request("POST", "/gates", b'{"text": "a"}', {"content-type": JSON, "accept": "image/png"})
    (error,) = assert_problem(response, 406, "not-acceptable")["errors"]
    assert error["field"] == "Accept"
    assert all(media_type in error["message"] for media_type in MEDIA_TYPES)


def test_errors_are_problems_whatever_form_was_asked_for(client: Client) -> None:
    response = client.request("POST", "/gates", b'{"text": ""}', {"content-type": JSON, "accept": NPZ})
    assert_problem(response, 422, "empty-text")


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_what_there_is_not_is_refused_in_every_form(client: Client, media_type: str) -> None:
    body = b'{"text": "a", "units": [99]}'
    response = client.request("POST", "/gates", body, {"content-type": JSON, "accept": media_type})
    assert_problem(response, 422, "invalid-request")


def test_padding_has_no_place_in_the_text(tmp_path: Path) -> None:
    folder, path = tiny_artifacts(tmp_path / "artifacts", pad_to=8), tmp_path / "engine.sock"
    with serving_model(folder, path) as client:
        found = arrays_of(ask(client, NPZ, "Worst"))
        assert found["offsets"].tolist() == [0, 1, 2, 3, 4, -1, -1, -1]
        padding = found["contributions.steps"][5:].sum()
        assert float(found["contributions.padding"]) == pytest.approx(float(padding))
