"""The atlas on disk: what is written is read, what is damaged is named, what describes another model is not served."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charlstm.artifacts import load_artifacts, save_artifacts
from charlstm.atlas import (
    ATLAS,
    BINS,
    Atlas,
    GateUse,
    Histogram,
    LayerAtlas,
    Means,
    RowCounts,
    Snippet,
    TokenEffect,
    UnitAtlas,
    load_atlas,
    save_atlas,
)
from charlstm.errors import ArtifactError
from tests.tiny import tiny_artifacts, tiny_config, tiny_model

ROOT = Path(__file__).parent.parent
VERSION = "0123456789ab"
ROWS = RowCounts(positive=3, negative=2)


def an_effect(token: str) -> TokenEffect:
    return TokenEffect(token=token, change=0.5, standard_error=0.01, count=70)


def a_unit(unit: int, *, top: bool) -> UnitAtlas:
    gate = GateUse(mean=0.5, closed=0.25, open=0.125)
    return UnitAtlas(
        unit=unit,
        histogram=Histogram(positive=(3, *[0] * (BINS - 1)), negative=(*[0] * (BINS - 2), 1, 1)),
        mean=Means(positive=-0.97, negative=0.91),
        separation=1.0,
        raised_by=(an_effect("é"),),
        lowered_by=(an_effect('"'),),
        forget_gate=gate,
        input_gate=gate,
        output_gate=gate,
        half_life=None if top else 12.5,
        weight=-0.75 if top else None,
        share_spread=0.3 if top else None,
        snippets=(Snippet(text="so happy 🎮", at=9, change=2.5, label="positive"),),
    )


def an_atlas(*, version: str = VERSION, layers: int = 2) -> Atlas:
    return Atlas(
        model_version=version,
        package_version="1.2.3",
        data="tweets.csv",
        data_sha256="0" * 64,
        part="all rows",
        seed=7,
        rows=ROWS,
        steps=100,
        minimum_texts=50,
        layers=tuple(
            LayerAtlas(layer=layer, units=tuple(a_unit(unit, top=layer == layers - 1) for unit in range(3)))
            for layer in range(layers)
        ),
    )


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save_atlas(tmp_path, an_atlas())
    assert load_atlas(tmp_path, VERSION, ignored=pytest.fail) == an_atlas()
    assert files(tmp_path) == {ATLAS}


def test_the_file_is_one_json_object_that_other_programs_can_read(tmp_path: Path) -> None:
    """And whose rights are those of any new file, as another user may be the one who serves it."""
    save_atlas(tmp_path, an_atlas())
    values = json.loads((tmp_path / ATLAS).read_text(encoding="utf-8"))
    (effect,) = values["layers"][1]["units"][2]["raised_by"]
    assert effect == an_effect("é").model_dump()
    (tmp_path / "other").touch()
    assert (tmp_path / ATLAS).stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_folder_without_an_atlas_has_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        assert load_atlas(folder, VERSION, ignored=pytest.fail) is None


def test_the_atlas_of_another_version_is_ignored_with_a_reason(tmp_path: Path) -> None:
    save_atlas(tmp_path, an_atlas())
    reasons: list[str] = []
    assert load_atlas(tmp_path, "another", reasons.append) is None
    assert load_atlas(tmp_path, "another") is None
    (reason,) = reasons
    assert all(part in reason for part in (str(tmp_path / ATLAS), VERSION, "another"))


def test_an_atlas_of_another_version_may_have_another_layout(tmp_path: Path) -> None:
    """What an older or a newer release wrote about another model keeps nobody from serving this one."""
    (tmp_path / ATLAS).write_text('{"format_version": 99, "model_version": "old", "continents": []}')
    assert load_atlas(tmp_path, VERSION) is None


def remove(*path: str | int) -> Callable[[Any], None]:
    def change(values: Any) -> None:
        del at(values, path[:-1])[path[-1]]

    return change


def put(value: object, *path: str | int) -> Callable[[Any], None]:
    def change(values: Any) -> None:
        at(values, path[:-1])[path[-1]] = value

    return change


def at(values: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        values = values[key]
    return values


UNIT = ("layers", 1, "units", 2)


@pytest.mark.parametrize(
    ("change", "expected", "found"),
    [
        (remove("model_version"), "the model_version that it describes", "null"),
        (put(5, "model_version"), "the model_version that it describes", "5"),
        (remove("format_version"), "format_version 1", "null"),
        (put(2, "format_version"), "format_version 1", "2"),
        (remove("layers"), "valid figures in layers", "Field required"),
        (put([], "layers"), "valid figures in layers", "at least 1 item"),
        (put("far", "continent"), "valid figures in continent", "Extra inputs"),
        (put(1.5, *UNIT, "separation"), "valid figures in layers.1.units.2.separation", "less than or equal to 1"),
        (put(float("nan"), *UNIT, "mean", "positive"), "layers.1.units.2.mean.positive", "finite number"),
        (put("neutral", *UNIT, "snippets", 0, "label"), "units.2.snippets.0.label", "'positive' or 'negative'"),
        (put(0, *UNIT, "raised_by", 0, "count"), "units.2.raised_by.0.count", "greater than 0"),
        (remove("layers", 1, "units", 0), "valid figures in the whole", "units of layer 1 must count up from 0"),
        (remove("layers", 0, "units", 2), "valid figures in the whole", "units of layer 1 must count up from 0"),
        (remove("layers", 0), "valid figures in the whole", "layers must count up from 0"),
        (put(4, *UNIT, "histogram", "positive", 0), "valid figures in the whole", "20 bins that add up to the 3 rows"),
        (remove(*UNIT, "histogram", "negative", 0), "the whole", "layer 1, unit 2: a histogram must have 20 bins"),
    ],
)
def test_a_damaged_atlas_is_an_error_that_says_where(
    tmp_path: Path, change: Callable[[Any], None], expected: str, found: str
) -> None:
    values = json.loads(an_atlas().model_dump_json())
    change(values)
    (tmp_path / ATLAS).write_text(json.dumps(values))
    with pytest.raises(ArtifactError) as caught:
        load_atlas(tmp_path, VERSION)
    assert caught.value.file == str(tmp_path / ATLAS)
    assert expected in caught.value.expected
    assert found in caught.value.found


@pytest.mark.parametrize("document", [b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":'])
def test_what_is_no_json_object_is_an_error(tmp_path: Path, document: bytes) -> None:
    (tmp_path / ATLAS).write_bytes(document)
    with pytest.raises(ArtifactError, match=r"atlas\.json: expected a JSON object, found "):
        load_atlas(tmp_path, VERSION)


def test_a_file_cut_short_anywhere_is_an_error(tmp_path: Path) -> None:
    document = an_atlas(layers=1).model_dump_json().encode()
    for length in range(0, len(document) - 1, 37):
        (tmp_path / ATLAS).write_bytes(document[:length])
        with pytest.raises(ArtifactError, match="expected a JSON object, found no valid JSON"):
            load_atlas(tmp_path, VERSION)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ATLAS).mkdir()
    with pytest.raises(ArtifactError, match=r"atlas\.json: expected a readable file, found Is a directory"):
        load_atlas(tmp_path, VERSION)


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_a_save_that_fails_leaves_the_old_atlas_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    save_atlas(tmp_path, an_atlas())
    with monkeypatch.context() as patched:
        patched.setattr(step, fail)
        with pytest.raises(OSError, match="disk full"):
            save_atlas(tmp_path, an_atlas(version="new"))
    assert load_atlas(tmp_path, VERSION) == an_atlas()
    assert files(tmp_path) == {ATLAS}


def test_a_model_loads_the_same_with_an_atlas_beside_it(tmp_path: Path) -> None:
    """Even with one that is damaged: that is between the reader of the atlas and the file."""
    version = load_artifacts(tiny_artifacts(tmp_path)).version
    save_atlas(tmp_path, an_atlas(version=version))
    assert load_artifacts(tmp_path).version == version
    assert load_atlas(tmp_path, version) is not None
    (tmp_path / ATLAS).write_bytes(b"damaged")
    assert load_artifacts(tmp_path).version == version


def test_a_new_model_does_not_get_the_old_ones_atlas(tmp_path: Path) -> None:
    """And going back to the old model brings it back."""
    version = load_artifacts(tiny_artifacts(tmp_path, seed=1)).version
    save_atlas(tmp_path, an_atlas(version=version))
    config, vocabulary = tiny_config()
    save_artifacts(tmp_path, config, vocabulary, tiny_model(config.model, seed=2).state_dict())
    assert load_atlas(tmp_path, load_artifacts(tmp_path).version) is None
    assert load_artifacts(tiny_artifacts(tmp_path, seed=1)).version == version
    assert load_atlas(tmp_path, version) == an_atlas(version=version)


def test_the_committed_atlas_is_the_committed_models() -> None:
    """It tells of every unit, and holds no piece of anybody's text."""
    artifacts = load_artifacts(ROOT / "artifacts")
    atlas = load_atlas(ROOT / "artifacts", artifacts.version, ignored=pytest.fail)
    assert atlas is not None
    (layer,) = atlas.layers
    assert len(layer.units) == artifacts.config.model.hidden_size
    assert not any(unit.snippets for unit in layer.units)
    tokens = {effect.token for unit in layer.units for effect in (*unit.raised_by, *unit.lowered_by)}
    assert tokens <= set(artifacts.vocabulary.tokens)
    assert (ROOT / "artifacts" / ATLAS).stat().st_size < 400_000
