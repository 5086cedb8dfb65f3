"""What `export` writes: files for other languages, and the rules by which these read a text as it is read here."""

import hashlib
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.artifacts import Artifacts, load_artifacts
from charlstm.errors import how_to_install
from charlstm.onnx_files import MODEL, TEXT, TRACE, TextRules, export_onnx, text_rules
from charlstm.predictor import Predictor
from charlstm.text import Level
from tests.onnx_session import Session
from tests.tiny import TEXTS, texts, tiny_artifacts, tiny_config, tiny_model
from tests.training_main import run_training

_WORD: Final = re.compile(r"\w+|[^\w\s]")


@cache
def tiny(level: Level, *, casefold: bool, max_length: int | None = 12) -> Artifacts:
    config, vocabulary = tiny_config(level=level, casefold=casefold, max_length=max_length)
    return Artifacts(config, vocabulary, tiny_model(config.model), version="0123456789ab")


@cache
def written_rules(level: Level, *, casefold: bool) -> TextRules:
    return TextRules.model_validate_json(text_rules(tiny(level, casefold=casefold), {}).model_dump_json())


def token_ids_by(rules: TextRules, text: str) -> list[int]:
    """Read a text by the rules alone, as docs/onnx.md says."""
    known = {token: index for index, token in enumerate(rules.vocabulary)}
    by_character = rules.preprocessing.level == "character"
    words = [text] if by_character else _WORD.findall(text)
    folded = ["".join(rules.folded.get(character, character) for character in word) for word in words]
    tokens = list(folded[0]) if by_character else folded
    return [known.get(token, len(known) - 1) for token in tokens][: rules.preprocessing.max_length]


@pytest.mark.parametrize("casefold", [False, True])
@pytest.mark.parametrize("level", ["character", "word"])
@given(data=st.data())
def test_the_rules_are_enough_to_read_any_text(level: Level, casefold: bool, data: st.DataObject) -> None:  # noqa: FBT001
    """Without Python's case folding, and without anything else of this package."""
    artifacts = tiny(level, casefold=casefold)
    text = data.draw(texts().filter(lambda text: level == "character" or _WORD.search(text)))
    rules = written_rules(level, casefold=casefold)
    assert token_ids_by(rules, text) == list(artifacts.encoder.encode(text, truncate=True).token_ids)


def test_every_character_that_case_folding_changes_is_listed() -> None:
    folded = text_rules(tiny("character", casefold=True), {}).folded
    for character in map(chr, range(sys.maxunicode + 1)):
        assert folded.get(character, character) == character.casefold()
        assert folded.get(character) != character


def test_a_model_that_does_not_fold_lists_nothing() -> None:
    assert text_rules(tiny("character", casefold=False), {}).folded == {}


@pytest.mark.parametrize(("num_layers", "pad_to"), [(1, None), (2, 40)])
def test_what_is_written_gives_the_predictors_answers(tmp_path: Path, num_layers: int, pad_to: int | None) -> None:
    """From nothing but the three files."""
    model = tiny_artifacts(tmp_path / "model", casefold=True, num_layers=num_layers, pad_to=pad_to, temperature=0.6)
    predictor = Predictor.load(model, "cpu")
    export_onnx(predictor.artifacts, tmp_path / "new" / "onnx")
    files = {file.name: file.read_bytes() for file in (tmp_path / "new" / "onnx").iterdir()}
    assert set(files) == {MODEL, TRACE, TEXT}
    rules = TextRules.model_validate_json(files[TEXT])
    for name in (MODEL, TRACE):
        session = Session(files[name])
        for text, prediction in zip(TEXTS, predictor.predict(TEXTS), strict=True):
            token_ids = token_ids_by(rules, text)
            found = session.run(np.array([token_ids]), [len(token_ids)])["probability_negative"]
            assert found == pytest.approx([prediction.probability_negative], abs=1e-5)
            assert rules.labels[round(float(found[0]))] == prediction.label


def test_the_rules_say_which_model_they_belong_to(tmp_path: Path) -> None:
    artifacts = load_artifacts(tiny_artifacts(tmp_path / "model", pad_to=40))
    export_onnx(artifacts, tmp_path)
    rules = TextRules.model_validate_json((tmp_path / TEXT).read_bytes())
    assert (rules.name, rules.version) == ("tiny", artifacts.version)
    assert (rules.preprocessing, rules.pad_to) == (artifacts.config.preprocessing, 40)
    assert rules.files == {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in (MODEL, TRACE)}
    assert Session((tmp_path / MODEL).read_bytes()).metadata["version"] == rules.version


def test_a_file_that_cannot_be_written_leaves_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_onnx(tiny("character", casefold=False), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(_: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="the disk is full"):
        export_onnx(tiny("word", casefold=True), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


# The command


def test_the_command_writes_beside_the_model_or_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tiny_artifacts(tmp_path / "model")
    for flags, folder in (([], model / "onnx"), (["--output", tmp_path / "there"], tmp_path / "there")):
        code, stdout, stderr = run_training(monkeypatch, capfd, "export", model, "--format", "onnx", *flags)
        assert (code, stdout) == (0, "")
        assert stderr == f"wrote {folder / MODEL}, {TRACE} and {TEXT}\n"
        assert {file.name for file in folder.iterdir()} == {MODEL, TRACE, TEXT}
    load_artifacts(model)  # the folder is a model as before


def test_the_command_says_in_one_line_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A model, or the package."""
    code, _, stderr = run_training(monkeypatch, capfd, "export", tmp_path)
    assert (code, stderr) == (2, f"error: {tmp_path / 'config.json'}: expected a file, found nothing there\n")
    for module in ("charlstm.onnx_files", "charlstm.onnx_model", "charlstm.onnx_graph"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, _, stderr = run_training(monkeypatch, capfd, "export", tmp_path)
    assert (code, stderr) == (2, f"error: this needs onnx, which is not installed: {how_to_install('onnx')}\n")
