"""The atlas of units over HTTP."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.artifacts import load_artifacts
from charlstm.atlas import BINS, Atlas, load_atlas, save_atlas
from service.units import atlas_files
from service.units_schemas import UnitResponse, UnitsResponse
from tests.service_fixtures import Client, assert_problem, serving_model
from tests.tiny import HIDDEN_SIZE, tiny_artifacts

ROOT = Path(__file__).parent.parent
GATE = {"mean": 0.5, "closed": 0.25, "open": 0.125}


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    return tiny_artifacts(tmp_path / "artifacts", num_layers=2)


@pytest.fixture
def client(artifacts: Path, tmp_path: Path) -> Iterator[Client]:
    path = tmp_path / "engine.sock"
    with serving_model(artifacts, path) as client:
        yield client


def effect(token: str, change: float) -> dict[str, Any]:
    return {"token": token, "change": change, "standard_error": 0.01, "count": 60}


def unit(number: int, *, top: bool, tokens: str = "abc") -> dict[str, Any]:
    return {
        "unit": number,
        "histogram": {"positive": [2, *[0] * 19], "negative": [*[0] * 19, 3]},
        "mean": {"positive": -0.9, "negative": 0.9},
        "separation": 1.0,
        "raised_by": [effect(tokens[0], 0.5), effect(tokens[1], 0.1)],
        "lowered_by": [effect(tokens[2], -0.3)],
        "forget_gate": GATE,
        "input_gate": GATE,
        "output_gate": GATE,
        "half_life": 4.0,
        "weight": 0.7 if top else None,
        "share_spread": number / 10 if top else None,
    }


def atlas(version: str, **changes: Any) -> Atlas:
    layers = [
        {"layer": layer, "units": [unit(number, top=layer == 1) for number in range(HIDDEN_SIZE)]} for layer in range(2)
    ]
    document = {
        "model_version": version,
        "package_version": "0",
        "data": "made-up.csv",
        "data_sha256": "0",
        "part": "all rows",
        "seed": 0,
        "rows": {"positive": 2, "negative": 3},
        "steps": 99,
        "minimum_texts": 1,
        "layers": layers,
    }
    return Atlas.model_validate_json(json.dumps(document | changes))


def version_of(artifacts: Path) -> str:
    return load_artifacts(artifacts).version


def test_every_unit_is_listed_with_what_it_tells(client: Client, artifacts: Path) -> None:
    save_atlas(artifacts, atlas(version_of(artifacts)))
    answer = UnitsResponse.model_validate_json(client.get("/units").content)
    assert (answer.model.name, answer.model.version) == ("tiny", version_of(artifacts))
    source = answer.source
    assert (source.data, source.rows.negative, source.steps, source.minimum_texts) == ("made-up.csv", 3, 99, 1)
    assert [len(layer.units) for layer in answer.layers] == [HIDDEN_SIZE] * 2
    assert [found.share_spread for found in answer.layers[0].units] == [None] * HIDDEN_SIZE
    found = answer.layers[1].units[3]
    assert (found.unit, found.share_spread, found.separation, found.top_characters) == (3, 0.3, 1.0, "acb")


def test_a_units_record_is_that_of_the_atlas(client: Client, artifacts: Path) -> None:
    saved = atlas(version_of(artifacts))
    save_atlas(artifacts, saved)
    for layer in range(2):
        response = client.get(f"/units/5?layer={layer}")
        answer = UnitResponse.model_validate_json(response.content)
        assert (answer.layer, answer.unit) == (layer, 5)
        expected = saved.layers[layer].units[5].model_dump(mode="json")
        assert {name: response.json()[name] for name in expected} == expected
        np.testing.assert_allclose(answer.bin_edges, np.linspace(-1, 1, BINS + 1))
    assert client.get("/units/5").json()["layer"] == 0


def test_words_of_a_model_that_reads_words_have_spaces_between(client: Client, artifacts: Path) -> None:
    changed = atlas(version_of(artifacts)).model_dump(mode="json")
    for record in changed["layers"][0]["units"]:
        record["raised_by"][0]["token"] = "best"  # noqa: S105  no password
    save_atlas(artifacts, Atlas.model_validate_json(json.dumps(changed)))
    assert client.get("/units").json()["layers"][0]["units"][0]["top_characters"] == "best c b"


def test_without_an_atlas_it_says_how_to_make_one(client: Client) -> None:
    for path in ("/units", "/units/0"):
        problem = assert_problem(client.get(path), 404, "no-atlas")
        assert "python -m training atlas" in problem["detail"]


def test_the_atlas_of_another_version_is_not_this_models(
    client: Client, artifacts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so, once."""
    save_atlas(artifacts, atlas("another"))
    for _ in range(2):
        assert_problem(client.get("/units"), 404, "no-atlas")
    assert len([record for record in caplog.records if "another" in record.getMessage()]) == 1


def test_a_damaged_atlas_is_logged_and_its_place_is_not_given_away(
    client: Client, artifacts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (artifacts / "atlas.json").write_text("{")
    response = client.get("/units")
    assert_problem(response, 404, "no-atlas")
    assert str(artifacts) not in response.text
    assert [record.levelno for record in caplog.records if "atlas.json" in record.getMessage()] == [logging.ERROR]


def test_an_atlas_is_found_as_soon_as_it_is_made_and_gone_when_it_is_removed(client: Client, artifacts: Path) -> None:
    assert client.get("/units").status_code == 404
    save_atlas(artifacts, atlas(version_of(artifacts)))
    assert client.get("/units").status_code == 200
    save_atlas(artifacts, atlas(version_of(artifacts), data="other.csv", steps=1234))
    assert client.get("/units").json()["source"]["data"] == "other.csv"
    (artifacts / "atlas.json").unlink()
    assert client.get("/units").status_code == 404


def test_it_is_read_once(client: Client, artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_atlas(artifacts, atlas(version_of(artifacts)))
    assert client.get("/units").status_code == 200
    monkeypatch.setattr("service.units.load_atlas", None)
    assert client.get("/units/1").status_code == 200


def test_figures_are_of_the_model_that_is_named_though_it_is_exchanged_while_they_are_read(
    client: Client, artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = version_of(artifacts)
    save_atlas(artifacts, atlas(version))
    connection = client.app.state.inference._connection
    served = connection.model

    def exchange(*arguments: Any, **options: Any) -> Atlas | None:
        connection.model = replace(served, version="another")
        return load_atlas(*arguments, **options)

    monkeypatch.setattr("service.units.load_atlas", exchange)
    for path in ("/units", "/units/0"):
        connection.model = served
        client.app.state.atlases = atlas_files(artifacts)
        assert client.get(path).json()["model"]["version"] == version
        assert connection.model.version == "another"
    connection.model = served


def test_a_unit_or_layer_that_there_is_not_is_named(client: Client, artifacts: Path) -> None:
    save_atlas(artifacts, atlas(version_of(artifacts)))
    (error,) = assert_problem(client.get("/units/8"), 404, "unknown-unit")["errors"]
    assert (error["field"], error["limit"], error["found"]) == ("unit", HIDDEN_SIZE - 1, 8)
    assert_problem(client.get("/units/-1"), 404, "unknown-unit")
    (error,) = assert_problem(client.get("/units/0?layer=2"), 422, "invalid-request")["errors"]
    assert (error["field"], error["limit"], error["found"]) == ("layer", 1, 2)
    (error,) = assert_problem(client.get("/units/first"), 422, "invalid-request")["errors"]
    assert (error["field"], error["message"]) == ("unit", "must be a whole number")


def test_the_committed_model_has_an_atlas() -> None:
    found = load_atlas(ROOT / "artifacts", version_of(ROOT / "artifacts"))
    assert found is not None
    assert [len(layer.units) for layer in found.layers] == [256]
