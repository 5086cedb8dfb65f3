"""A text without each of its words: what `/predict` says of the text that is left."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from charlstm.text import word_spans
from service.comparison_schemas import OcclusionResponse
from service.inference import Judged
from tests.service_fixtures import Client, assert_problem, engine_thread, make_app, serving
from tests.tiny import texts, tiny_artifacts

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
    with engine_thread(folder, path), serving(make_app(folder, engine_socket=path)) as client:
        found = occlude(client, "so much fun", truncate=True)
        assert [word["text"] for word in found["words"]] == ["so ", "muc"]
        assert found["truncated"]
        assert found["words"][0]["probabilities"]["negative"] == pytest.approx(predict(client, "muc"), abs=1e-6)


def test_a_word_without_a_token_changes_nothing(tmp_path: Path) -> None:
    """A model of words reads no white space."""
    folder, path = tiny_artifacts(tmp_path / "artifacts", level="word"), tmp_path / "engine.sock"
    with engine_thread(folder, path), serving(make_app(folder, engine_socket=path)) as client:
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
    inference = client.app.state.inference
    judge, left = inference.judge_without, [exchanges]

    async def judge_with_another(*arguments: Any, **options: Any) -> Judged:
        judged: Judged = await judge(*arguments, **options)
        left[0] -= 1
        return judged if left[0] < 0 else replace(judged, model=replace(judged.model, version="another"))

    monkeypatch.setattr(inference, "judge_without", judge_with_another)
    assert client.post("/gates/occlusion", {"text": "so much"}).status_code == status
