"""A text without each of its words: what `/predict` says of the text that is left."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.encoding import TextEncoder
from charlstm.readout import Readout
from charlstm.text import Level, Preprocessing, TokenizedText, word_spans
from charlstm.vocabulary import Vocabulary
from service import passages
from service.comparison_schemas import OcclusionResponse
from service.connection import ServedModel
from service.errors import StaleModelError
from service.passages import encode_without_words
from tests.service_fixtures import Client, assert_problem, engine_thread, make_app, serving, serving_model
from tests.tiny import TEXTS, texts, tiny_artifacts, tiny_config

MAX_TEXTS = 6


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"), casefold=True)


@pytest.fixture(scope="module")
def client(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    path = tmp_path_factory.mktemp("engine") / "engine.sock"
    app = make_app(artifacts, engine_socket=path, max_texts=MAX_TEXTS)
    with engine_thread(artifacts, path), serving(app) as client:
        yield client


def occlude(client: Client, text: str, **asked: Any) -> Any:
    response = client.post("/gates/occlusion", {"text": text} | asked)
    assert response.status_code == 200, response.text
    OcclusionResponse.model_validate_json(response.content)
    return response.json()


def predict(client: Client, text: str) -> float:
    return float(client.post("/predict", {"text": text}).json()["probabilities"]["negative"])


@settings(max_examples=40)
@given(text=texts(max_size=20).filter(lambda text: len(word_spans(text)) <= MAX_TEXTS))
def test_without_a_word_it_says_what_it_says_of_the_rest(client: Client, text: str) -> None:
    """Cut by hand, the rest gets the same answer; the words divide the text between them."""
    found = occlude(client, text)
    whole = predict(client, text)
    assert found["probabilities"]["negative"] == pytest.approx(whole, abs=1e-6)
    assert "".join(word["text"] for word in found["words"]) == text
    for word in found["words"]:
        assert word["text"] == text[word["start"] : word["stop"]]
        rest = text[: word["start"]] + text[word["stop"] :]
        if not rest:
            assert word["probabilities"] is word["change"] is None
            continue
        assert word["probabilities"]["negative"] == pytest.approx(predict(client, rest), abs=1e-6)
        assert word["probabilities"]["negative"] + word["probabilities"]["positive"] == pytest.approx(1.0)
        assert word["change"] == pytest.approx(whole - predict(client, rest), abs=1e-6)


def test_the_only_word_leaves_nothing(client: Client) -> None:
    (word,) = occlude(client, "Worst")["words"]
    assert (word["start"], word["stop"], word["probabilities"], word["change"]) == (0, 5, None, None)


def test_all_of_it_is_one_question(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = client.app.state.inference._connection
    asked: list[int] = []
    submit = connection.submit

    async def count(version: str, texts: Any, *rest: Any) -> Any:
        asked.append(len(texts.lengths))
        return await submit(version, texts, *rest)

    monkeypatch.setattr(connection, "submit", count)
    occlude(client, "so much fun")
    assert asked == [4]


def test_words_are_those_that_were_read(tmp_path: Path) -> None:
    """A text that is cut to the model's limit has no words behind it."""
    folder, path = tiny_artifacts(tmp_path / "artifacts", max_length=6, pad_to=8), tmp_path / "engine.sock"
    with serving_model(folder, path) as client:
        found = occlude(client, "so much fun", truncate=True)
        assert [word["text"] for word in found["words"]] == ["so ", "muc"]
        assert found["truncated"]
        assert found["words"][0]["probabilities"]["negative"] == pytest.approx(predict(client, "muc"), abs=1e-6)


def test_a_word_without_a_token_changes_nothing(tmp_path: Path) -> None:
    """A model of words reads no white space."""
    folder, path = tiny_artifacts(tmp_path / "artifacts", level="word"), tmp_path / "engine.sock"
    with serving_model(folder, path) as client:
        found = occlude(client, "so much, fun")
        assert [word["text"] for word in found["words"]] == ["so ", "much, ", "fun"]
        assert found["words"][1]["probabilities"]["negative"] == pytest.approx(predict(client, "so fun"), abs=1e-6)


def test_more_words_than_a_batch_has_texts_are_refused(client: Client) -> None:
    response = client.post("/gates/occlusion", {"text": "a " * (MAX_TEXTS + 1)})
    (error,) = assert_problem(response, 413, "too-many-words")["errors"]
    assert (error["field"], error["limit"], error["found"]) == ("text", MAX_TEXTS, MAX_TEXTS + 1)
    assert error["message"] == f"must hold at most {MAX_TEXTS} words, found {MAX_TEXTS + 1}"


@pytest.mark.parametrize(("text", "name"), [("", "empty-text"), ("a\0", "invalid-character")])
def test_a_text_that_cannot_be_read_is_said_once(client: Client, text: str, name: str) -> None:
    (error,) = assert_problem(client.post("/gates/occlusion", {"text": text}), 422, name)["errors"]
    assert error["field"] == "text"


@pytest.mark.parametrize(("exchanges", "status"), [(1, 200), (2, 503)])
def test_a_model_that_is_exchanged_meanwhile_is_asked_again(
    client: Client, monkeypatch: pytest.MonkeyPatch, exchanges: int, status: int
) -> None:
    """The words were those of a text as another model read it."""
    connection = client.app.state.inference._connection
    served, submit, asked = connection.model, connection.submit, list[str]()

    async def exchange(version: str, *arguments: Any) -> Any:
        asked.append(version)
        if len(asked) <= exchanges:
            connection.model = replace(served, version=f"exchanged {len(asked)}")
            raise StaleModelError
        return await submit(served.version, *arguments)

    monkeypatch.setattr(connection, "submit", exchange)
    try:
        response = client.post("/gates/occlusion", {"text": "so much"})
    finally:
        connection.model = served
    assert response.status_code == status
    assert asked == [served.version, "exchanged 1"]
    if status == 200:
        assert response.json()["model"]["version"] == "exchanged 1"


def encoder_of(level: Level, *, casefold: bool) -> TextEncoder:
    preprocessing = Preprocessing(level=level, casefold=casefold)
    return TextEncoder(preprocessing, Vocabulary.build(TEXTS, preprocessing))


@pytest.mark.parametrize("level", ["character", "word"])
@pytest.mark.parametrize("pad_to", [None, 99])
@given(text=texts(max_size=30) | st.text("so much, fun\n", min_size=1, max_size=30), casefold=st.booleans())
def test_what_is_left_without_a_word_is_what_the_rest_alone_would_be(
    level: Level, pad_to: int | None, text: str, *, casefold: bool
) -> None:
    """Read once, for no token reaches over the end of a word; against reading what is left anew."""
    encoder = encoder_of(level, casefold=casefold)
    if not encoder.preprocessing.split(text):
        return
    config = tiny_config(pad_to=pad_to)[0]
    model = ServedModel("tiny", "", "1", config, encoder, "cpu", "float32", Readout(np.zeros(1, np.float32), 0.0, 1.0))
    whole = encoder.encode(text).padded(pad_to)
    words, places, packed = asyncio.run(encode_without_words(model, whole, most=99))
    assert words == word_spans(text)
    ids = np.split(np.frombuffer(packed.token_ids, "<i4"), np.cumsum(packed.lengths)[:-1])
    assert tuple(ids[0].tolist()) == whole.token_ids
    expected = [text[:start] + text[stop:] for start, stop in words]
    for rest, place in zip(expected, places, strict=True):
        if not encoder.preprocessing.split(rest):
            assert place is None
        else:
            assert place is not None
            assert tuple(ids[place].tolist()) == encoder.encode(rest).padded(pad_to).token_ids
    assert sum(place is not None for place in places) + 1 == len(ids)


@pytest.mark.parametrize(("size", "beside"), [(20, False), (200, True)])
def test_a_text_is_tokenized_once_and_a_long_one_taken_apart_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, *, beside: bool
) -> None:
    path = tmp_path / "engine.sock"
    tokenize, tokenized, threads = Preprocessing.tokenize, list[str](), list[threading.Thread]()

    def count(preprocessing: Preprocessing, text: str, *, truncate: bool = False) -> TokenizedText:
        tokenized.append(text)
        return tokenize(preprocessing, text, truncate=truncate)

    def spans(text: str) -> list[tuple[int, int]]:
        threads.append(threading.current_thread())
        return word_spans(text)

    text = "a " * size
    unlimited = tiny_artifacts(tmp_path / "artifacts", max_length=None)
    with serving_model(unlimited, path) as client:
        monkeypatch.setattr(Preprocessing, "tokenize", count)
        monkeypatch.setattr(passages, "word_spans", spans)
        assert len(occlude(client, text)["words"]) == size
    assert tokenized == [text]
    assert [thread is not threading.main_thread() for thread in threads] == [beside]
