"""Several models in one service: the artifacts folder's own answers by default, those in its folders by their names."""

import asyncio
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.artifacts import load_artifacts
from charlstm.atlas import save_atlas
from charlstm.errors import ArtifactError
from charlstm.predictor import Predictor
from service.loader import Loader
from tests.live_fixtures import PROTOCOL, Socket
from tests.service_fixtures import Client, assert_problem, engine_settings, serving_model, until
from tests.test_service_units import atlas
from tests.tiny import TEXTS, tiny_artifacts

NAMES = ("tiny", "padded", "words.2")


def _models(folder: Path) -> Path:
    tiny_artifacts(folder)
    tiny_artifacts(folder / "padded", pad_to=40, seed=1)
    tiny_artifacts(folder / "words.2", level="word", num_layers=2, seed=2)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _models(tmp_path_factory.mktemp("models") / "artifacts")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Client]:
    with serving_model(folder, folder.parent / "engine.sock") as client:
        yield client


@pytest.fixture(scope="module")
def predictors(folder: Path) -> dict[str, Predictor]:
    """The same models in this process: the oracle."""
    return {name: Predictor.load(folder if name == "tiny" else folder / name, "cpu") for name in NAMES}


def _ask(client: Client, route: str, name: str | None, **document: Any) -> Any:
    response = client.post(route, document if name is None else {**document, "model": name})
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("name", [None, *NAMES])
def test_each_route_asks_the_model_that_is_named(
    client: Client, predictors: dict[str, Predictor], name: str | None
) -> None:
    predictor = predictors[name or "tiny"]
    text, other = TEXTS[0], TEXTS[1]
    expected = predictor.predict([text, other])
    answers = [
        _ask(client, "/predict", name, text=text),
        *_ask(client, "/predict/batch", name, texts=[text, other])["predictions"],
        _ask(client, "/gates", name, text=text, detail="summary"),
        *_ask(client, "/gates/compare", name, first=text, second=other).values(),
        _ask(client, "/gates/occlusion", name, text=text),
    ]
    judged = [answer for answer in answers if isinstance(answer, dict) and "probabilities" in answer]
    wanted = [expected[0], expected[0], expected[1], expected[0], expected[0], expected[1], expected[0]]
    assert [answer["model"]["name"] for answer in judged] == [name or "tiny"] * len(wanted)
    assert [answer["model"]["version"] for answer in judged] == [predictor.artifacts.version] * len(wanted)
    for answer, prediction in zip(judged, wanted, strict=True):
        assert answer["probabilities"]["negative"] == pytest.approx(prediction.probability_negative, abs=1e-6)


def test_models_that_are_asked_in_turns_never_answer_for_each_other(
    client: Client, predictors: dict[str, Predictor]
) -> None:
    """All at once, through one engine."""
    questions = [(name, text) for text in TEXTS for name in NAMES] * 8

    async def ask_all() -> list[float]:
        inference = client.app.state.inference
        asked = [inference.judge({"text": text}, name, truncate=True) for name, text in questions]
        return [judged.predictions[0].probability_negative for judged in await asyncio.gather(*asked)]

    found = client._runner.run(ask_all())
    expected = {
        (name, text): predictors[name].predict(text, truncate=True).probability_negative
        for name in NAMES
        for text in TEXTS
    }
    np.testing.assert_allclose(found, [expected[question] for question in questions], atol=1e-6)


@pytest.mark.parametrize(
    ("route", "document"),
    [
        ("/predict", {"text": "a"}),
        ("/predict/batch", {"texts": ["a"]}),
        ("/gates", {"text": "a"}),
        ("/gates/compare", {"first": "a", "second": "b"}),
        ("/gates/occlusion", {"text": "a"}),
    ],
)
def test_an_unknown_name_is_a_404_that_lists_the_known_ones(
    client: Client, route: str, document: dict[str, Any]
) -> None:
    problem = assert_problem(client.post(route, {**document, "model": "huge"}), 404, "unknown-model")
    (error,) = problem["errors"]
    assert error["field"] == "model"
    assert all(f"{name} (version" in error["message"] for name in NAMES)
    assert error["message"].endswith(", found 'huge'")


def test_a_name_that_could_be_none_is_a_422(client: Client) -> None:
    for wrong in ("x" * 65, 7):
        problem = assert_problem(client.post("/predict", {"text": "a", "model": wrong}), 422, "invalid-request")
        assert problem["errors"][0]["field"] == "model"


def test_info_lists_all_models_and_describes_the_one_that_is_named(
    client: Client, predictors: dict[str, Predictor]
) -> None:
    info = client.get("/info").json()
    assert [model["name"] for model in info["models"]] == list(NAMES)
    assert info["model"] == info["models"][0]
    other = client.get("/info?model=words.2").json()
    assert other["model"]["version"] == predictors["words.2"].artifacts.version
    assert (other["architecture"]["num_layers"], other["preprocessing"]["level"]) == (2, "word")
    assert_problem(client.get("/info?model=huge"), 404, "unknown-model")


def test_metrics_name_every_model(client: Client, predictors: dict[str, Predictor]) -> None:
    figures = client.get("/metrics").text
    for name, predictor in predictors.items():
        assert f'name="{name}",precision="float32",version="{predictor.artifacts.version}"' in figures


def test_each_model_is_one_of_the_open_inference_protocol(client: Client, predictors: dict[str, Predictor]) -> None:
    asked = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [TEXTS[0]]}]}
    for name, predictor in predictors.items():
        assert client.get(f"/v2/models/{name}").json()["versions"] == [predictor.artifacts.version]
        assert client.get(f"/v2/models/{name}/ready").status_code == 200
        answer = client.post(f"/v2/models/{name}/infer", asked).json()
        (negative,) = answer["outputs"][0]["data"]
        assert answer["model_name"] == name
        assert negative == pytest.approx(predictor.predict(TEXTS[0]).probability_negative, abs=1e-6)


def test_an_atlas_is_that_of_its_model(client: Client, folder: Path, predictors: dict[str, Predictor]) -> None:
    version = predictors["padded"].artifacts.version
    save_atlas(folder / "padded", atlas(version))
    try:
        assert client.get("/units?model=padded").json()["model"]["version"] == version
        assert client.get("/units/0?model=padded").json()["model"]["name"] == "padded"
        assert client.get("/units").status_code == 404
    finally:
        (folder / "padded" / "atlas.json").unlink()


def test_a_live_session_changes_its_model_and_keeps_its_text(client: Client, predictors: dict[str, Predictor]) -> None:
    socket = Socket(client.app, client._runner, subprotocols=(PROTOCOL,))
    first = socket.ask(text=TEXTS[0])
    other = socket.ask(model="words.2")
    stays = socket.ask(text="!")
    assert [answer["model"]["name"] for answer in (first, other, stays)] == ["tiny", "words.2", "words.2"]
    assert other["start"] == 0
    expected = predictors["words.2"].predict(TEXTS[0]).probability_negative
    assert other["probabilities"]["negative"] == pytest.approx(expected, abs=1e-6)
    unknown = socket.ask(model="huge")
    assert unknown["problem"]["status"] == 404
    assert socket.ask(text="?")["model"]["name"] == "words.2"
    socket.leave()


def test_a_reload_takes_all_models_or_none(tmp_path: Path) -> None:
    folder = _models(tmp_path / "artifacts")
    with serving_model(folder, tmp_path / "engine.sock") as client:
        inference = client.app.state.inference
        before = [model.version for model in inference.models]
        tiny_artifacts(folder, seed=7)
        (folder / "padded" / "vocabulary.json").write_text("{}")
        refused = client._runner.run(inference.reload())
        assert refused.versions == before
        assert "padded/vocabulary.json" in refused.error
        assert _ask(client, "/predict", None, text="a")["model"]["version"] == before[0]
        tiny_artifacts(folder / "padded", pad_to=40, seed=8)
        tiny_artifacts(folder / "new", seed=9)
        done = client._runner.run(inference.reload())
        assert (done.error, len(done.versions)) == (None, 4)
        client._runner.run(until(lambda: len(inference.models) == 4))
        assert _ask(client, "/predict", "new", text="a")["model"]["version"] == load_artifacts(folder / "new").version


@pytest.mark.parametrize(
    ("name", "message"),
    [("sp ace", "a model's name"), ("x" * 65, "a model's name"), ("tiny", "another name.*rename it")],
)
def test_a_folder_whose_name_cannot_be_a_models_is_refused(tmp_path: Path, name: str, message: str) -> None:
    tiny_artifacts(tmp_path)
    tiny_artifacts(tmp_path / name)
    with pytest.raises(ArtifactError, match=message):
        Loader(engine_settings(tmp_path)).load()


def test_a_model_that_was_being_saved_when_the_machine_stopped_is_one(tmp_path: Path) -> None:
    """Its files may all be in `.incoming` still."""
    tiny_artifacts(tmp_path)
    tiny_artifacts(tmp_path / "other")
    files = list((tmp_path / "other").iterdir())
    (tmp_path / "other" / ".incoming").mkdir()
    for file in files:
        file.rename(tmp_path / "other" / ".incoming" / file.name)
    assert [model.folder for model in Loader(engine_settings(tmp_path)).load()] == ["", "other"]


def test_folders_that_hold_no_model_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    tiny_artifacts(tmp_path)
    (tmp_path / "notes").mkdir()
    tiny_artifacts(tmp_path / ".old")
    assert [model.folder for model in Loader(engine_settings(tmp_path)).load()] == [""]


def test_a_folder_that_has_lost_its_config_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_artifacts(tmp_path)
    tiny_artifacts(tmp_path / "other")
    (tmp_path / "other" / "config.json").unlink()
    assert [model.folder for model in Loader(engine_settings(tmp_path)).load()] == [""]
    assert f"{tmp_path / 'other'} is not served: it holds model.safetensors, but no config.json" in caplog.text


def test_a_folder_that_nobody_may_look_into_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as `lost+found` on a disk of its own. What may be a model is missed: it is no answer to serve without it."""

    def look(folder: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    tiny_artifacts(tmp_path)
    (tmp_path / "lost+found").mkdir()
    monkeypatch.setattr("service.loader.holds_model", look)
    assert [model.folder for model in Loader(engine_settings(tmp_path)).load()] == [""]
    assert f"{tmp_path / 'lost+found'} is not served: it may not be looked into" in caplog.text
    (tmp_path / "mine").mkdir()
    with pytest.raises(ArtifactError, match="mine: expected a folder that may be looked into, found Permission denied"):
        Loader(engine_settings(tmp_path)).load()
