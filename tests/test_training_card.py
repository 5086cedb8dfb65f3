"""A card from end to end: a small model trained, measured and described by the commands, and every figure honest."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from typer.testing import CliRunner

from charlstm import Predictor, load_artifacts
from charlstm.card import Card, load_card
from charlstm.config import Scores
from charlstm.errors import ArtifactError
from charlstm.readout import Readout
from tests.trained import record_of, save_trained
from tests.training_data import Row, labelled, sentiment_rows, write_rows
from tests.training_main import run_training
from training import card_files
from training.card import CardSettings, make_card
from training.cli import app
from training.compare import compare as compare_methods
from training.compare import load_candidates
from training.data import LabelledTexts, read_data
from training.errors import TrainingError
from training.splits import SplitName, split_rows

SMALL = [
    "--preset",
    "article",
    "--pad-to",
    "40",
    "--max-length",
    "40",
    "--embedding-dim",
    "6",
    "--hidden-size",
    "6",
    "--epochs",
    "2",
    "--batch-size",
    "16",
    "--learning-rate",
    "0.02",
    "--validation-fraction",
    "0.1",
    "--threads",
    "1",
    "--device",
    "cpu",
]
MODEL_FILES = {"config.json", "vocabulary.json", "model.safetensors", "learning-curve.png", "metrics.json"}
CARD_FILES = {"MODEL_CARD.md", "card.json", "calibration.png", "comparison.png", "robustness.png", "neither.png"}
OTHERS = [
    Row(str(100_000 + number), "game", label, f"a text of {number} words")
    for number in range(12)
    for label in ("Neutral", "Irrelevant")
]

Main = Callable[..., tuple[int, str, str]]


def run_command(*arguments: object) -> str:
    """Run a command that has to end well, and return what it says on standard error."""
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stderr


def ignore(_: str) -> None:
    """Hear of no step."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("card")


@pytest.fixture(scope="module")
def path(folder: Path) -> Path:
    return write_rows(folder / "tweets.csv", [*OTHERS, *sentiment_rows(tweets=50)])


@pytest.fixture(scope="module")
def data(path: Path) -> LabelledTexts:
    return read_data(path)


@pytest.fixture(scope="module")
def model(folder: Path, path: Path) -> Path:
    """Train a model, and another of the same recipe by another seed, and make the first one's card."""
    fit = ["fit", str(path), "--split", "grouped", *SMALL]
    run_command(*fit, "--output", folder / "model", "--also-score", "article")
    run_command(*fit, "--output", folder / "run", "--seed", 1)
    told = run_command("card", folder / "model", path, "--runs", folder / "run", "--threads", 1)
    assert "scoring texts upper case" in told
    assert "MODEL_CARD.md" in told
    return folder / "model"


@pytest.fixture(scope="module")
def card(model: Path) -> Card:
    found = load_card(model, load_artifacts(model).version)
    assert found is not None
    return found


@pytest.fixture
def places(model: Path, path: Path, folder: Path) -> dict[str, Path]:
    return {"model": model, "path": path, "folder": folder}


@pytest.fixture
def run_main(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Main:
    """Call the entry point in this process: exit code, stdout, stderr."""
    return partial(run_training, monkeypatch, capfd)


def test_the_card_lies_beside_the_models_files(model: Path, card: Card) -> None:
    assert {file.name for file in model.iterdir()} == MODEL_FILES | CARD_FILES
    assert card.model_version == load_artifacts(model).version  # none of the three files has changed


def test_the_page_holds_the_figures_and_links_the_pictures(model: Path, card: Card) -> None:
    page = (model / "MODEL_CARD.md").read_text()
    assert f"{card.brief.scores['grouped'].accuracy:.3f}" in page
    assert {name for name in CARD_FILES if f"({name})" in page} == {n for n in CARD_FILES if n.endswith(".png")}


def test_scores_are_those_of_config_json(model: Path, card: Card) -> None:
    """Measured anew on the own split, and quoted of the other; both are what training found."""
    metrics = load_artifacts(model).config.metrics
    assert {split: found.how for split, found in card.brief.scores.items()} == {
        "article": "recorded",
        "grouped": "measured",
    }
    for split, found in card.brief.scores.items():
        assert found.accuracy == metrics[split].accuracy
        assert found.auc == pytest.approx(metrics[split].auc)
    assert card.brief.calibration_error == pytest.approx(metrics["grouped"].calibration_error)
    assert next(iter(card.brief.robustness.values())) == metrics["grouped"].accuracy


def test_the_comparison_is_that_of_the_other_command(model: Path, card: Card, data: LabelledTexts) -> None:
    found = compare_methods(data, load_candidates([model]), list(SplitName), 42, ignore)
    assert [one.reached for one in card.comparison.contestants] == [one.reached for one in found.contestants]


def test_calibration_is_told_before_and_after_the_temperature(model: Path, card: Card, data: LabelledTexts) -> None:
    """Before it: the sigmoid of the logits as they are."""
    predictor = Predictor.load(model, "cpu")
    readout = predictor.artifacts.readout
    rows = split_rows(data, SplitName.GROUPED, 42).test
    traces = [predictor.trace(data.texts[row], truncate=True) for row in rows]
    hidden = np.array([trace.layers[-1].hidden_state[-1] for trace in traces])
    logits = (hidden @ readout.weight + readout.bias).astype(np.float32)
    raw = Readout(readout.weight, readout.bias, 1.0).probabilities(logits)
    assert (card.before.temperature, card.after.temperature) == (1.0, readout.temperature)
    weighted = sum(one.rows * one.mean for one in card.before.bins) / len(rows)
    assert weighted == pytest.approx(raw.mean(), abs=1e-5)
    assert sum(one.rows for one in card.after.bins) == len(rows)


def test_the_two_splits_leak_as_they_do(card: Card) -> None:
    assert card.paraphrased["grouped"] == 0
    assert card.paraphrased["article"] > 0.9


def test_every_test_row_is_in_one_part_of_each_kind(card: Card, data: LabelledTexts) -> None:
    rows = len(split_rows(data, SplitName.GROUPED, 42).test)
    assert [sum(part.rows for part in parts) for parts in (card.lengths, card.entities)] == [rows, rows]
    assert card.low_precision.rows == rows


def test_texts_that_are_neither_are_told_by_label(card: Card) -> None:
    assert [(texts.label, texts.rows) for texts in card.neither] == [("Irrelevant", 12), ("Neutral", 12)]
    assert card.learnt_from_neither is False


def test_a_card_does_not_tell_of_learning_from_texts_that_are_not_there(tmp_path: Path) -> None:
    """The recipe would learn from texts of other labels, and the data has none."""
    data = labelled(sentiment_rows(tweets=30))
    scores = Scores(
        rows=9, accuracy=0.9, auc=0.9, log_loss=0.5, f1=0.6, calibration_error=0.1, confusion=((4, 1), (2, 2))
    )
    record = record_of(data, SplitName.GROUPED, options={"unlabelled": True, "teacher_share": 0.5})
    model = save_trained(tmp_path, record, {"grouped": scores})
    assert make_card(model, data, CardSettings(), ignore).learnt_from_neither is False


def test_runs_are_told_by_seed(card: Card, model: Path, folder: Path) -> None:
    recorded = [load_artifacts(run).config.metrics["grouped"].accuracy for run in (model, folder / "run")]
    assert [run.accuracy for run in card.runs if run.split == "grouped"] == recorded
    assert [spread.split for spread in card.spreads] == ["grouped"]  # of the other there is one run
    assert card.spreads[0].mean_accuracy == pytest.approx(np.mean(recorded))


def test_runs_are_remembered_when_their_folders_are_not_named_again(
    model: Path, card: Card, data: LabelledTexts
) -> None:
    assert make_card(model, data, CardSettings(speed_texts=5, speed_rounds=1), ignore).runs == card.runs


def test_the_runs_of_a_damaged_card_are_not_lost_in_silence(model: Path, data: LabelledTexts, tmp_path: Path) -> None:
    copy = shutil.copytree(model, tmp_path / "model")
    (copy / "card.json").write_text("{")
    settings = CardSettings(speed_texts=5, speed_rounds=1)
    with pytest.raises(ArtifactError, match=r"card\.json: expected .*delete it, and name the runs"):
        make_card(copy, data, settings, ignore)
    (copy / "card.json").unlink()
    found = make_card(copy, data, settings, ignore)
    assert [run.seed for run in found.runs if run.split == "grouped"] == [0]


def test_the_same_inputs_give_the_same_card_but_for_speed(
    model: Path, card: Card, data: LabelledTexts, folder: Path
) -> None:
    settings = CardSettings(runs=(folder / "run",), speed_texts=5, speed_rounds=1)
    again = make_card(model, data, settings, ignore)
    without = {"speeds": (), "machine": ""}
    assert again.model_copy(update=without) == card.model_copy(update=without)
    assert again.speeds[0].parameters == card.speeds[0].parameters


def test_models_may_be_shown_beside_it(model: Path, data: LabelledTexts, folder: Path) -> None:
    settings = CardSettings(beside=(folder / "run",), speed_texts=5, speed_rounds=1)
    found = make_card(model, data, settings, ignore)
    names = ["article", "article (run)"]  # both are called after their preset
    assert [one.name for one in found.comparison.contestants if one.is_model] == names
    assert [speed.name for speed in found.speeds] == names


def test_when_it_cannot_be_written_the_old_card_stays(model: Path, card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {file.name: file.read_bytes() for file in model.iterdir()}

    def fail(*_: object) -> str:
        raise OSError("no space left")

    monkeypatch.setattr(card_files, "card_page", fail)
    with pytest.raises(OSError, match="no space left"):
        card_files.write_card(model, card, load_artifacts(model))
    assert {file.name: file.read_bytes() for file in model.iterdir()} == before


def test_a_card_needs_the_data_of_the_model(data: LabelledTexts, tmp_path: Path) -> None:
    other = save_trained(tmp_path / "other", record_of(data, SplitName.GROUPED, rows_sha256="x"), {})
    with pytest.raises(TrainingError, match="needs the data that the model was trained on"):
        make_card(other, data, CardSettings(), ignore)
    unknown = save_trained(tmp_path / "unknown", None, {})
    with pytest.raises(TrainingError, match="needs a model that says what it was trained on"):
        make_card(unknown, data, CardSettings(), ignore)


def test_without_groups_there_is_one_split(tmp_path: Path, run_main: Main) -> None:
    """And neither pictures nor sections of what the data does not say."""
    flags = ("--group-column=", "--entity-column=")
    rows = write_rows(tmp_path / "tweets.csv", sentiment_rows(tweets=30))
    model = tmp_path / "model"
    assert run_main("fit", rows, "--output", model, "--split", "article", *SMALL, *flags)[0] == 0
    assert run_main("card", model, rows, *flags)[0] == 0
    found = load_card(model, load_artifacts(model).version)
    assert found is not None
    assert (found.comparison.splits, found.paraphrased, found.entities, found.neither) == (("article",), {}, (), ())
    assert not (model / "neither.png").exists()
    assert "**grouped**" not in (model / "MODEL_CARD.md").read_text()


def test_compare_prints_a_table_and_draws(model: Path, path: Path, run_main: Main, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    code, stdout, stderr = run_main("compare", path, "--model", model, "--picture", picture)
    assert code == 0
    for part in ("TF-IDF, words 1-2, linear SVM", "VADER", str(model), ") *", "* recorded when the model was trained"):
        assert part in stdout
    assert "grouped split: fitting TF-IDF, words 1-2, logistic regression" in stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_compare_prints_json(model: Path, path: Path, data: LabelledTexts, run_main: Main) -> None:
    code, stdout, _ = run_main("compare", path, "--model", model, "--split", "grouped", "--json")
    found = json.loads(stdout)
    assert (code, found["splits"], found["split_seed"]) == (0, ["grouped"], 42)
    rows = split_rows(data, SplitName.GROUPED, 42).test
    negative = data.labels[split_rows(data, SplitName.GROUPED, 42).train].mean() >= 0.5
    majority = found["contestants"][0]["reached"]["grouped"]
    assert majority["accuracy"] == accuracy_score(data.labels[rows], [negative] * len(rows))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "{path}", "--model", "{folder}"), "config.json: expected a file, found nothing there"),
        (("compare", "{path}", "--model", "{model}", "--split", "all"), "--split must be article, grouped or both"),
        (("compare", "{folder}/no.csv", "--model", "{model}"), "there is no such file"),
        (("card", "{folder}", "{path}"), "config.json: expected a file, found nothing there"),
        (("card", "{model}", "{path}", "--group-column="), "needs the data that the model was trained on"),
        (("card", "{model}", "{path}", "--runs", "{folder}"), "config.json: expected a file, found nothing there"),
    ],
)
def test_what_a_person_can_mend_is_one_line(
    places: dict[str, Path], run_main: Main, arguments: tuple[str, ...], message: str
) -> None:
    code, stdout, stderr = run_main(*(part.format_map(places) for part in arguments))
    assert (code, stdout) == (2, "")
    assert stderr.count("\n") == 1
    assert message in stderr
