"""From labelled texts to a folder: what is learnt, what is kept, and what a run that was cut short leaves behind."""

import dataclasses
import errno
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from charlstm import ArtifactError, Predictor, load_artifacts, save_artifacts
from charlstm.config import ArtifactConfig
from charlstm.model import SentimentLSTM
from charlstm.vocabulary import Vocabulary
from tests.training_data import labelled, sentiment_rows
from training.checkpoint import EpochRecord
from training.data import LabelledTexts
from training.errors import CheckpointError, TrainingError
from training.fit import fit, last_saved
from training.fit_settings import FitSettings
from training.metrics import fit_temperature, score
from training.recipe import RECIPES, Preset, Recipe
from training.splits import SplitName, hold_out, split_rows

RECIPE = Recipe(
    embedding_dim=8,
    hidden_size=8,
    dropout=0.1,
    epochs=5,
    batch_size=16,
    by_length=True,
    learning_rate=0.03,
    warmup=0.1,
    weight_decay=0.01,
    mask_rate=0.02,
    clip_norm=1.0,
    validation_fraction=0.2,
)
SETTINGS = FitSettings("tiny", RECIPE, SplitName.GROUPED, None, split_seed=42, seed=0, device=torch.device("cpu"))
FILES = {"config.json", "vocabulary.json", "model.safetensors", "learning-curve.png", "metrics.json"}
UNFINISHED = {".unfinished-grouped.pt"}

Weights = dict[str, Tensor]


class KilledError(Exception):
    """Stands for whatever ends a process."""


class Listener:
    """Hears of every epoch, and raises something when the given one begins or is half done."""

    def __init__(self, error: type[BaseException] | None = None, at: int = 0, *, model: int = 0) -> None:
        self.epochs: list[int] = []
        self._error, self._at, self._model, self._models = error, at, model, -1

    def preparing(self, what: str) -> None:
        raise AssertionError(what)

    def run_started(self, title: str, epochs: int) -> None:
        """It does not matter here."""

    def epoch_started(self, epoch: int, batches: int) -> None:
        assert batches > 1
        self._batch = 0
        if epoch == 0 or not self.epochs:
            self._models += 1
        self.epochs.append(epoch)

    def batch_done(self, mean_loss: float) -> None:
        assert mean_loss > 0
        self._batch += 1
        if self._error is not None and (self._models, self.epochs[-1], self._batch) == (self._model, self._at, 2):
            raise self._error

    def epoch_done(self, record: EpochRecord) -> None:
        assert record.epoch == self.epochs[-1]


def changed(settings: FitSettings = SETTINGS, **recipe: Any) -> FitSettings:
    return dataclasses.replace(settings, recipe=Recipe.model_validate(settings.recipe.model_dump() | recipe))


def weights(folder: Path) -> Weights:
    return dict(load_artifacts(folder).model.state_dict())


def assert_same(found: Weights, expected: Weights) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


@pytest.fixture(scope="module")
def data() -> LabelledTexts:
    return labelled(sentiment_rows(tweets=60))


@pytest.fixture(scope="module")
def fitted(data: LabelledTexts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold the artifacts of one uninterrupted run; tests must not write into it."""
    folder = tmp_path_factory.mktemp("fit") / "deep" / "model"
    fit(data, folder, SETTINGS, Listener())
    return folder


@pytest.fixture(scope="module")
def config(fitted: Path) -> ArtifactConfig:
    return load_artifacts(fitted).config


def test_it_learns_what_can_be_learnt(tmp_path: Path) -> None:
    """Of tweets that it never saw, half of which are positive."""
    settings = changed(hidden_size=16, learning_rate=0.02, dropout=0.0, batch_size=32, epochs=10)
    scores = fit(labelled(sentiment_rows()), tmp_path, settings, Listener()).metrics["grouped"]
    assert scores.accuracy > 0.85
    assert scores.auc > 0.9


def test_the_folder_holds_the_model_and_nothing_else(fitted: Path) -> None:
    assert files(fitted) == FILES


def test_the_scores_are_those_of_the_saved_model(data: LabelledTexts, fitted: Path, config: ArtifactConfig) -> None:
    """Loaded as a service loads it, on the test part of the split."""
    test = split_rows(data, SplitName.GROUPED, 42).test
    predictions = Predictor.load(fitted, "cpu").predict([data.texts[row] for row in test])
    assert config.metrics == {
        "grouped": score(data.labels[test], np.array([p.probability_negative for p in predictions]))
    }


def test_the_config_says_where_the_weights_come_from(data: LabelledTexts, config: ArtifactConfig) -> None:
    split = split_rows(data, SplitName.GROUPED, 42)
    parts = hold_out(data, split.train, SplitName.GROUPED, 0.2, 42)
    record = config.training
    assert record is not None
    assert (record.preset, record.data, record.data_sha256) == ("tiny", data.name, data.sha256)
    assert (record.split, record.split_seed, record.seed) == ("grouped", 42, 0)
    assert (record.rows_trained, record.rows_validated) == (len(parts.train), len(parts.test))
    assert (record.epochs, record.device) == (5, "cpu")
    assert Recipe.model_validate(record.options) == RECIPE
    assert (
        record.versions["torch"] == torch.__version__.partition("+")[0] or record.versions["torch"] == torch.__version__
    )


def test_the_vocabulary_is_that_of_the_whole_training_part(data: LabelledTexts, tmp_path: Path) -> None:
    """Validation included, the test part not: each text has a character of its own."""
    marked = dataclasses.replace(data, texts=tuple(f"{text} {chr(0x4E00 + at)}" for at, text in enumerate(data.texts)))
    fit(marked, tmp_path, changed(epochs=1), Listener())
    split = split_rows(data, SplitName.GROUPED, 42)
    assert load_artifacts(tmp_path).vocabulary == Vocabulary.build(marked.texts[row] for row in split.train)


def test_rare_characters_are_left_out_of_the_vocabulary(data: LabelledTexts, tmp_path: Path) -> None:
    rare = dataclasses.replace(data, texts=(data.texts[0] + "♞", *(text + "♜" for text in data.texts[1:])))
    split = dataclasses.replace(SETTINGS, split=SplitName.ARTICLE)
    fit(rare, tmp_path, changed(split, epochs=1, min_count=2), Listener())
    tokens = load_artifacts(tmp_path).vocabulary.tokens
    assert ("♜" in tokens, "♞" in tokens) == (True, False)


def test_metrics_json_holds_every_figure(fitted: Path, config: ArtifactConfig) -> None:
    document = json.loads((fitted / "metrics.json").read_bytes())
    assert document["test"] == {"grouped": config.metrics["grouped"].model_dump(mode="json")}
    assert document["calibration"] == {"temperature": config.calibration.temperature}
    assert [record["epoch"] for record in document["epochs"]] == list(range(5))
    losses = [record["validation"]["calibrated_loss"] for record in document["epochs"]]
    assert config.training is not None
    assert config.training.best_epoch == losses.index(min(losses))


def test_the_learning_curve_is_a_picture(fitted: Path) -> None:
    content = (fitted / "learning-curve.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert (width, height) == (960, 540)


def test_the_temperature_is_fitted_on_the_held_out_texts(
    data: LabelledTexts, fitted: Path, config: ArtifactConfig
) -> None:
    artifacts = load_artifacts(fitted)
    raw = dataclasses.replace(artifacts, config=config.model_copy(update={"calibration": type(config.calibration)()}))
    split = split_rows(data, SplitName.GROUPED, 42)
    rows = hold_out(data, split.train, SplitName.GROUPED, 0.2, 42).test
    predictions = Predictor(raw, "cpu").predict([data.texts[row] for row in rows])
    logits = torch.logit(torch.tensor([p.probability_negative for p in predictions], dtype=torch.float64)).float()
    temperature, loss = fit_temperature(data.labels[rows], logits.numpy())
    assert temperature == pytest.approx(config.calibration.temperature, rel=1e-2)
    epochs = json.loads((fitted / "metrics.json").read_bytes())["epochs"]
    assert loss == pytest.approx(min(record["validation"]["calibrated_loss"] for record in epochs), rel=1e-2)


def test_the_same_seed_gives_the_same_weights(data: LabelledTexts, fitted: Path, tmp_path: Path) -> None:
    """Bit for bit, whatever was drawn from torch's random numbers before."""
    torch.manual_seed(999)
    fit(data, tmp_path, SETTINGS, Listener())
    assert_same(weights(tmp_path), weights(fitted))


def test_a_forget_bias_opens_the_forget_gates_of_a_new_network(
    data: LabelledTexts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every layer, and changes nothing else: the logit of each forget gate moves by it."""
    started: list[Weights] = []

    def stop(model: SentimentLSTM, *_: object) -> None:
        started.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        raise KilledError

    monkeypatch.setattr("training.fit.train", stop)
    for forget_bias in (0.0, 1.5):
        with pytest.raises(KilledError):
            fit(data, tmp_path, changed(num_layers=2, forget_bias=forget_bias), Listener())
    plain, biased = started
    for layer in range(2):
        forget = slice(8, 16)  # of i, f, g, o with 8 units each
        moved = biased[f"lstm.bias_ih_l{layer}"] - plain[f"lstm.bias_ih_l{layer}"]
        torch.testing.assert_close(moved[forget], torch.full((8,), 1.5))
        biased[f"lstm.bias_ih_l{layer}"][forget] = plain[f"lstm.bias_ih_l{layer}"][forget]
    assert_same(biased, plain)


def test_another_seed_gives_other_weights(data: LabelledTexts, fitted: Path, tmp_path: Path) -> None:
    fit(data, tmp_path, dataclasses.replace(SETTINGS, seed=1), Listener())
    ours, theirs = weights(tmp_path), weights(fitted)
    assert not any(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("at", [1, 4])
def test_a_killed_run_goes_on_to_the_same_result(
    data: LabelledTexts, fitted: Path, config: ArtifactConfig, tmp_path: Path, at: int
) -> None:
    """Killed in the middle of an epoch: only the checkpoint is left, and that epoch is begun anew."""
    with pytest.raises(KilledError):
        fit(data, tmp_path, SETTINGS, Listener(KilledError, at))
    assert files(tmp_path) == UNFINISHED
    resumed = Listener()
    found = fit(data, tmp_path, SETTINGS, resumed)
    assert resumed.epochs == list(range(at, 5))
    assert_same(weights(tmp_path), weights(fitted))
    assert (found.metrics, found.calibration) == (config.metrics, config.calibration)
    assert files(tmp_path) == FILES


def test_a_run_killed_while_scoring_trains_no_more(
    data: LabelledTexts, fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr("training.fit.score_rows", kill)
        with pytest.raises(KilledError):
            fit(data, tmp_path, SETTINGS, Listener())
    resumed = Listener()
    fit(data, tmp_path, SETTINGS, resumed)
    assert resumed.epochs == []
    assert_same(weights(tmp_path), weights(fitted))


def test_ctrl_c_keeps_the_best_so_far_and_the_run_can_go_on(
    data: LabelledTexts, fitted: Path, config: ArtifactConfig, tmp_path: Path
) -> None:
    """The artifacts are whole and score what they say; repeated, the run ends as if it had never stopped."""
    short = fit(data, tmp_path, SETTINGS, Listener(KeyboardInterrupt, 2))
    assert short.training is not None
    assert (short.training.epochs, short.training.best_epoch < 2) == (2, True)
    assert load_artifacts(tmp_path).config.metrics == short.metrics
    assert files(tmp_path) == FILES | UNFINISHED
    assert fit(data, tmp_path, SETTINGS, Listener()).metrics == config.metrics
    assert_same(weights(tmp_path), weights(fitted))
    assert files(tmp_path) == FILES


def test_ctrl_c_before_the_first_epoch_writes_nothing(data: LabelledTexts, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(data, tmp_path / "model", SETTINGS, Listener(KeyboardInterrupt, 0))
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "other",
    [
        changed(learning_rate=0.02),
        changed(epochs=6),
        dataclasses.replace(SETTINGS, seed=1),
        dataclasses.replace(SETTINGS, split_seed=1),
    ],
    ids=["learning rate", "epochs", "seed", "split seed"],
)
def test_an_unfinished_run_of_other_settings_is_not_continued(
    data: LabelledTexts, tmp_path: Path, other: FitSettings
) -> None:
    """Nor lost, until it is thrown away on purpose."""
    with pytest.raises(KilledError):
        fit(data, tmp_path, SETTINGS, Listener(KilledError, 1))
    before = (tmp_path / ".unfinished-grouped.pt").read_bytes()
    with pytest.raises(CheckpointError, match=r"other data or settings.*--fresh"):
        fit(data, tmp_path, other, Listener())
    assert (tmp_path / ".unfinished-grouped.pt").read_bytes() == before
    fresh = Listener()
    fit(data, tmp_path, dataclasses.replace(other, fresh=True), fresh)
    assert fresh.epochs == list(range(other.recipe.epochs))
    assert files(tmp_path) == FILES


@pytest.mark.parametrize("field", ["texts", "labels", "groups"])
def test_an_unfinished_run_on_other_rows_is_not_continued(data: LabelledTexts, tmp_path: Path, field: str) -> None:
    """The same file read in another way, with the labels swapped say, is other data."""
    other = dataclasses.replace(data, **{field: getattr(data, field)[::-1]})
    with pytest.raises(KilledError):
        fit(data, tmp_path, SETTINGS, Listener(KilledError, 1))
    with pytest.raises(CheckpointError):
        fit(other, tmp_path, SETTINGS, Listener())


def test_a_damaged_checkpoint_is_reported_and_can_be_thrown_away(data: LabelledTexts, tmp_path: Path) -> None:
    (tmp_path / ".unfinished-grouped.pt").write_bytes(b"PK\3\4 not really")
    with pytest.raises(CheckpointError, match=r"cannot be read; use --fresh"):
        fit(data, tmp_path, SETTINGS, Listener())
    fit(data, tmp_path, dataclasses.replace(changed(epochs=1), fresh=True), Listener())
    assert files(tmp_path) == FILES


BOTH_SPLITS = dataclasses.replace(SETTINGS, also_score=SplitName.ARTICLE)


def test_also_score_adds_a_score_and_leaves_the_model_as_it_is(
    data: LabelledTexts, fitted: Path, config: ArtifactConfig, tmp_path: Path
) -> None:
    """The second score is that of a model trained on the second split's own training part."""
    both = fit(data, tmp_path / "both", BOTH_SPLITS, Listener())
    article = dataclasses.replace(SETTINGS, split=SplitName.ARTICLE)
    alone = fit(data, tmp_path / "article", article, Listener())
    assert both.metrics == config.metrics | alone.metrics
    assert set(both.metrics) == {"grouped", "article"}
    assert (
        both.training == config.training.model_copy(update={"seconds": both.training.seconds})
        if (config.training and both.training)
        else False
    )
    assert_same(weights(tmp_path / "both"), weights(fitted))
    assert files(tmp_path / "both") == FILES


@pytest.mark.parametrize("at", [0, 3])
def test_ctrl_c_in_the_second_training_keeps_the_first_model(
    data: LabelledTexts, fitted: Path, config: ArtifactConfig, tmp_path: Path, at: int
) -> None:
    """And what was trained of the second; repeated, only the rest is trained."""
    short = fit(data, tmp_path, BOTH_SPLITS, Listener(KeyboardInterrupt, at, model=1))
    assert short.metrics == config.metrics
    assert_same(weights(tmp_path), weights(fitted))
    resumed = Listener()
    assert set(fit(data, tmp_path, BOTH_SPLITS, resumed).metrics) == {"grouped", "article"}
    assert resumed.epochs == list(range(at, 5))
    assert files(tmp_path) == FILES


class PressedInTheLastEpoch(Listener):
    """Ctrl-C comes in the last epoch of the first training, and is held back until that is saved, as `CtrlC` does."""

    def epoch_done(self, record: EpochRecord) -> None:
        super().epoch_done(record)
        if record.epoch == SETTINGS.recipe.epochs - 1:
            raise KeyboardInterrupt


def test_ctrl_c_in_the_last_epoch_starts_no_second_training(
    data: LabelledTexts, fitted: Path, config: ArtifactConfig, tmp_path: Path
) -> None:
    """Repeated, the command trains it."""
    pressed = PressedInTheLastEpoch()
    assert fit(data, tmp_path, BOTH_SPLITS, pressed).metrics == config.metrics
    assert pressed.epochs == list(range(5))
    assert_same(weights(tmp_path), weights(fitted))
    assert set(fit(data, tmp_path, BOTH_SPLITS, Listener()).metrics) == {"grouped", "article"}


def test_the_article_preset_reads_its_padding(data: LabelledTexts, tmp_path: Path) -> None:
    """Every text is 200 steps, padding and all; a longer one is cut."""
    settings = dataclasses.replace(SETTINGS, recipe=RECIPES[Preset.ARTICLE], split=SplitName.ARTICLE)
    config = fit(data, tmp_path, changed(settings, epochs=1), Listener())
    assert (config.model.hidden_size, config.model.embedding_dim, config.model.pad_to) == (1, 16, 200)
    assert config.calibration.temperature == 1.0
    predictor = Predictor.load(tmp_path, "cpu")
    trace = predictor.trace("awful broken game")
    assert (len(trace.tokens), trace.tokens[17:]) == (200, ("<PAD>",) * 183)
    assert float(np.abs(trace.layers[0].cell_state[150] - trace.layers[0].cell_state[16]).max()) > 0
    assert predictor.predict("awful " * 50, truncate=True).characters == 200


def test_a_word_model_of_two_layers_trains_too(data: LabelledTexts, tmp_path: Path) -> None:
    config = fit(data, tmp_path, changed(level="word", num_layers=2, epochs=2), Listener())
    assert (config.preprocessing.level, config.model.num_layers) == ("word", 2)
    assert Predictor.load(tmp_path, "cpu").trace("awful broken game").tokens == ("awful", "broken", "game")


def run_full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_at_the_first_checkpoint_is_left_clean(
    data: LabelledTexts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "write_bytes", run_full)
    with pytest.raises(OSError, match="No space left"):
        fit(data, tmp_path, SETTINGS, Listener())
    assert files(tmp_path) == set()


def test_a_disk_that_is_full_at_the_end_costs_no_training(
    data: LabelledTexts, fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("charlstm.artifacts._write_durably", run_full)
        with pytest.raises(OSError, match="No space left"):
            fit(data, tmp_path, SETTINGS, Listener())
    assert files(tmp_path) == UNFINISHED
    resumed = Listener()
    fit(data, tmp_path, SETTINGS, resumed)
    assert resumed.epochs == []
    assert_same(weights(tmp_path), weights(fitted))


def test_an_old_model_stands_until_the_new_one_is_whole(
    data: LabelledTexts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(data, tmp_path, changed(epochs=1), Listener())
    before = weights(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("charlstm.artifacts._write_durably", run_full)
        with pytest.raises(OSError, match="No space left"):
            fit(data, tmp_path, dataclasses.replace(changed(epochs=2), fresh=True), Listener())
    assert_same(weights(tmp_path), before)


@pytest.mark.parametrize("split", list(SplitName))
def test_a_finished_model_is_not_replaced(data: LabelledTexts, fitted: Path, tmp_path: Path, split: SplitName) -> None:
    """Until it is asked for: nothing is trained, and the model stays as it is."""
    shutil.copytree(fitted, tmp_path, dirs_exist_ok=True)
    listener = Listener()
    with pytest.raises(TrainingError, match=r"holds a finished model; --fresh replaces it$"):
        fit(data, tmp_path, dataclasses.replace(changed(epochs=1), split=split), listener)
    assert listener.epochs == []
    assert_same(weights(tmp_path), weights(fitted))
    fit(data, tmp_path, dataclasses.replace(changed(epochs=1), split=split, fresh=True), listener)
    assert (listener.epochs, files(tmp_path)) == ([0], FILES)


def test_an_unfinished_run_over_a_finished_model_goes_on(data: LabelledTexts, fitted: Path, tmp_path: Path) -> None:
    """It was begun on purpose, with --fresh, and repeated without."""
    shutil.copytree(fitted, tmp_path, dirs_exist_ok=True)
    anew = dataclasses.replace(SETTINGS, seed=1)
    with pytest.raises(KilledError):
        fit(data, tmp_path, dataclasses.replace(anew, fresh=True), Listener(KilledError, 2))
    resumed = Listener()
    config = fit(data, tmp_path, anew, resumed)
    assert resumed.epochs == [2, 3, 4]
    assert config.training is not None
    assert config.training.seed == 1


def test_a_place_that_cannot_be_written_is_found_before_training(data: LabelledTexts, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    for output in (tmp_path / "file", tmp_path / "file" / "model"):
        listener = Listener()
        with pytest.raises(TrainingError, match=r"cannot be written, .*file is no folder"):
            fit(data, output, SETTINGS, listener)
        assert listener.epochs == []


def test_a_read_only_place_is_found_before_training(
    data: LabelledTexts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(TrainingError, match="is read-only"):
        fit(data, tmp_path / "model", SETTINGS, Listener())
    assert files(tmp_path) == set()


def of_one_label(split: SplitName, part: str) -> LabelledTexts:
    """Make data whose one part, and no other, is all positive."""
    data = labelled(sentiment_rows(tweets=20))
    found = split_rows(data, split, 42)
    inner = hold_out(data, found.train, split, 0.2, 42)
    rows = {"training": inner.train, "validation": inner.test, "test": found.test}[part]
    labels = data.labels.copy()
    labels[rows] = 0
    return dataclasses.replace(data, labels=labels)


@pytest.mark.parametrize("split", list(SplitName))
@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_a_part_of_one_label_is_found_before_training(split: SplitName, part: str, tmp_path: Path) -> None:
    listener = Listener()
    with pytest.raises(
        TrainingError, match=f"the {part} part of the {split} split needs texts of both labels"
    ) as caught:
        fit(of_one_label(split, part), tmp_path, dataclasses.replace(SETTINGS, split=split), listener)
    assert (listener.epochs, files(tmp_path)) == ([], set())
    labels = of_one_label(split, part).labels
    counts = f"{(labels == 0).sum()} positive and {(labels == 1).sum()} negative rows"
    assert str(caught.value).endswith(f"of one; made-up.csv has {counts}, and more are needed")


def test_a_second_split_that_cannot_be_is_found_before_training(tmp_path: Path) -> None:
    data = labelled(sentiment_rows(tweets=20), grouped=False)
    settings = dataclasses.replace(SETTINGS, split=SplitName.ARTICLE, also_score=SplitName.GROUPED)
    listener = Listener()
    with pytest.raises(TrainingError, match="--group-column"):
        fit(data, tmp_path, settings, listener)
    assert listener.epochs == []


@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_a_second_split_with_a_part_of_one_label_is_found_before_training(part: str, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, also_score=SplitName.ARTICLE)
    listener = Listener()
    with pytest.raises(TrainingError, match=f"the {part} part of the article split needs texts of both labels"):
        fit(of_one_label(SplitName.ARTICLE, part), tmp_path, settings, listener)
    assert listener.epochs == []


def test_another_run_in_the_second_ones_place_is_found_before_training(data: LabelledTexts, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        fit(data, tmp_path, dataclasses.replace(changed(epochs=2), split=SplitName.ARTICLE), Listener(KilledError, 1))
    listener = Listener()
    with pytest.raises(CheckpointError, match="other data or settings"):
        fit(data, tmp_path, BOTH_SPLITS, listener)
    assert listener.epochs == []


def test_an_unfinished_run_of_another_split_is_not_lost(data: LabelledTexts, tmp_path: Path) -> None:
    """The end of this run would take it away; what began it goes on with it, and --fresh may replace it."""
    article = dataclasses.replace(SETTINGS, split=SplitName.ARTICLE)
    with pytest.raises(KilledError):
        fit(data, tmp_path, article, Listener(KilledError, 2))
    listener = Listener()
    with pytest.raises(
        CheckpointError, match=r"an unfinished run of the article split .* --split article, or use --fresh"
    ):
        fit(data, tmp_path, SETTINGS, listener)
    assert listener.epochs == []
    fit(data, tmp_path, article, listener)
    assert listener.epochs == [2, 3, 4]
    with pytest.raises(KilledError):
        fit(data, tmp_path, dataclasses.replace(article, fresh=True), Listener(KilledError, 2))
    fit(data, tmp_path, dataclasses.replace(changed(epochs=1), fresh=True), Listener())
    assert files(tmp_path) == FILES


@pytest.mark.parametrize("split", list(SplitName))
def test_one_of_two_that_were_begun_together_does_not_end_the_other(
    data: LabelledTexts, tmp_path: Path, split: SplitName
) -> None:
    with pytest.raises(KilledError):
        fit(data, tmp_path, BOTH_SPLITS, Listener(KilledError, 2, model=1))
    with pytest.raises(CheckpointError, match="finish it with the command that began both"):
        fit(data, tmp_path, dataclasses.replace(SETTINGS, split=split), Listener())
    assert all(last_saved(tmp_path, both) for both in SplitName)


def test_a_run_of_the_other_split_is_gone_on_with_for_its_score(data: LabelledTexts, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        fit(data, tmp_path, dataclasses.replace(SETTINGS, split=SplitName.ARTICLE), Listener(KilledError, 2))
    listener = Listener()
    fit(data, tmp_path, BOTH_SPLITS, listener)
    assert listener.epochs == [*range(SETTINGS.recipe.epochs), 2, 3, 4]


def test_a_new_run_throws_the_old_one_away_before_it_begins(data: LabelledTexts, fitted: Path, tmp_path: Path) -> None:
    """What is there after Ctrl-C is then of this one, or nothing; a run that cannot be takes nothing away."""
    shutil.copytree(fitted, tmp_path, dirs_exist_ok=True)
    fresh = dataclasses.replace(SETTINGS, fresh=True)
    with pytest.raises(KilledError):
        fit(data, tmp_path, fresh, Listener(KilledError, 2))
    with pytest.raises(TrainingError, match="both labels"):
        fit(of_one_label(SplitName.GROUPED, "test"), tmp_path, fresh, Listener())
    assert last_saved(tmp_path, SplitName.GROUPED) is not None
    with pytest.raises(KeyboardInterrupt):
        fit(data, tmp_path, fresh, Listener(KeyboardInterrupt, 0))
    assert last_saved(tmp_path, SplitName.GROUPED) is None


@pytest.mark.parametrize("fresh", [False, True])
def test_a_second_score_is_on_another_split(data: LabelledTexts, tmp_path: Path, *, fresh: bool) -> None:
    listener = Listener()
    twice = dataclasses.replace(SETTINGS, also_score=SETTINGS.split, fresh=fresh)
    with pytest.raises(TrainingError, match="--also-score has to name another split than that of the model"):
        fit(data, tmp_path, twice, listener)
    assert (listener.epochs, files(tmp_path)) == ([], set())


def test_texts_that_a_model_of_words_cannot_read_do_not_count_as_of_a_label(tmp_path: Path) -> None:
    """The test part has texts of both labels, but of one of them white space alone."""
    data = labelled(sentiment_rows(tweets=20))
    test = set(split_rows(data, SplitName.GROUPED, 42).test.tolist())
    texts = tuple("  " if row in test and data.labels[row] else text for row, text in enumerate(data.texts))
    listener = Listener()
    with pytest.raises(TrainingError, match="the test part of the grouped split needs texts of both labels"):
        fit(dataclasses.replace(data, texts=texts), tmp_path, changed(level="word"), listener)
    assert listener.epochs == []


def test_a_second_training_that_fails_leaves_the_first_model(data: LabelledTexts, fitted: Path, tmp_path: Path) -> None:
    """Repeated, the first one is not trained again."""
    with pytest.raises(TrainingError):
        fit(data, tmp_path, BOTH_SPLITS, Listener(TrainingError, 2, model=1))
    assert_same(weights(tmp_path), weights(fitted))
    resumed = Listener()
    assert set(fit(data, tmp_path, BOTH_SPLITS, resumed).metrics) == {"grouped", "article"}
    assert resumed.epochs == [2, 3, 4]
    assert files(tmp_path) == FILES


@pytest.mark.parametrize("damage", [lambda tensor: tensor * float("nan"), lambda tensor: tensor[:1]])
def test_weights_that_loading_would_refuse_are_not_written(
    data: LabelledTexts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Tensor], Tensor]
) -> None:
    def save_damaged(folder: Path, config: ArtifactConfig, vocabulary: Vocabulary, state: Weights, extras: Any) -> None:
        save_artifacts(folder, config, vocabulary, {name: damage(tensor) for name, tensor in state.items()}, extras)

    monkeypatch.setattr("training.fit.save_artifacts", save_damaged)
    with pytest.raises(ArtifactError):
        fit(data, tmp_path, changed(epochs=1), Listener())
    assert files(tmp_path) == UNFINISHED
