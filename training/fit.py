"""From labelled texts to a folder of artifacts: split, vocabulary, training, calibration, scores, files."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from charlstm.artifacts import Artifacts, save_artifacts
from charlstm.config import ArtifactConfig, Calibration, Scores, TrainingRecord
from charlstm.encoding import TextEncoder
from charlstm.model import SentimentLSTM
from charlstm.predictor import Predictor
from charlstm.vocabulary import Vocabulary
from training.checkpoint import EpochRecord, RunState, load_checkpoint
from training.corpus import Corpus, encode_corpus
from training.data import LabelledTexts
from training.errors import CheckpointError, TrainingError
from training.evaluate import score_rows
from training.fit_settings import FitSettings
from training.metrics import fit_temperature
from training.plots import learning_curve
from training.preconditions import check_labels, check_no_finished_model, check_place
from training.recipe import Recipe
from training.splits import Rows, SplitName, hold_out, split_rows
from training.taught import taught_corpus
from training.trainer import Progress, Run, predict_logits, train

LEARNING_CURVE, METRICS = "learning-curve.png", "metrics.json"


@dataclass(frozen=True)
class Fitted:
    """A trained model before it is written.

    Attributes:
        artifacts: The model, with its scores on its own split.
        history: One record an epoch.
        interrupted: Whether Ctrl-C ended its training, after whichever epoch.
    """

    artifacts: Artifacts
    history: tuple[EpochRecord, ...]
    interrupted: bool


def fit(data: LabelledTexts, output: Path, settings: FitSettings, progress: Progress) -> ArtifactConfig:
    """Train, score and write a model; continue a run of the same settings that was cut short.

    Args:
        data: The labelled texts.
        output: The folder for the three artifacts, the learning curve (`learning-curve.png`) and every figure
            (`metrics.json`). Written whole or not at all; until then only checkpoints stand in it. With a second split
            to score on they are written twice, so that nothing that ends the second training costs the first one.
        settings: What to train.
        progress: Whom to tell how far it is.

    Raises:
        TrainingError: The data does not allow the split, or a finished model or another unfinished run stands in the
            output folder.
        KeyboardInterrupt: Ctrl-C before the first epoch was over. Later, Ctrl-C keeps the best epoch so far.
    """
    _check_beforehand(data, output, settings)
    fitted = _fit_split(data, settings.split, output, settings, progress)
    config = fitted.artifacts.config
    _save(output, config, fitted)
    finished = len(fitted.history) == settings.recipe.epochs
    if settings.also_score is not None and finished:
        # Ctrl-C in the last epoch of the first training is about what comes, too.
        second = None if fitted.interrupted else _second_score(data, settings.also_score, output, settings, progress)
        finished = second is not None
        config = config.model_copy(update={"metrics": config.metrics | (second or {})})
        _save(output, config, fitted)
    if finished:
        _forget(output)
    return config


def last_saved(output: Path, split: SplitName) -> int | None:
    """Return when the unfinished run of a split in a folder was saved, in nanoseconds; None if there is none."""
    checkpoint = _checkpoint(output, split)
    return checkpoint.stat().st_mtime_ns if checkpoint.exists() else None


def _forget(output: Path) -> None:
    for split in SplitName:
        _checkpoint(output, split).unlink(missing_ok=True)


def _save(output: Path, config: ArtifactConfig, fitted: Fitted) -> None:
    extras = {
        LEARNING_CURVE: learning_curve(fitted.history, config.training.best_epoch if config.training else 0),
        METRICS: _metrics_document(config, fitted.history),
    }
    save_artifacts(output, config, fitted.artifacts.vocabulary, fitted.artifacts.model.state_dict(), extras)


def _check_beforehand(data: LabelledTexts, output: Path, settings: FitSettings) -> None:
    """Find out before any training, and before a teacher is asked, what would end either.

    Raises:
        TrainingError: As `fit` does.
    """
    if settings.also_score is settings.split:
        raise TrainingError(f"--also-score has to name another split than that of the model, found {settings.split}")
    check_place(output)
    if not settings.fresh:
        check_no_finished_model(output, _checkpoint(output, settings.split))
    if settings.recipe.teacher_share > 0:
        check_place(settings.cache)
    # Texts without a token are neither trained nor scored on.
    readable = np.array([bool(settings.recipe.preprocessing.split(text)) for text in data.texts])
    for split in _splits(settings):
        _check_split(data, split, readable, settings)
    if not settings.fresh:
        _check_unfinished(data, output, settings)


def _check_split(data: LabelledTexts, name: SplitName, readable: npt.NDArray[np.bool_], settings: FitSettings) -> None:
    fraction = settings.recipe.validation_fraction
    split = split_rows(data, name, settings.split_seed)
    parts = hold_out(data, split.train, name, fraction, settings.split_seed)
    rows = {"training": parts.train, "test": split.test}
    if fraction > 0:
        rows["validation"] = parts.test
    check_labels(data, name, {part: data.labels[found[readable[found]]] for part, found in rows.items()})


def _check_unfinished(data: LabelledTexts, output: Path, settings: FitSettings) -> None:
    """See that what is unfinished in the folder is this run: what it would replace may be hours of work."""
    for split in _splits(settings):
        load_checkpoint(_checkpoint(output, split), _fingerprint(data, split, settings))
    begun = last_saved(output, settings.split) is not None
    for split in set(SplitName) - set(_splits(settings)):
        if last_saved(output, split) is not None:
            how = "the command that began both" if begun else f"--split {split}"
            raise CheckpointError(
                f"{_checkpoint(output, split)}: an unfinished run of the {split} split stands here; "
                f"finish it with {how}, or use --fresh to start over"
            )


def _splits(settings: FitSettings) -> list[SplitName]:
    return [settings.split] if settings.also_score is None else [settings.split, settings.also_score]


def _second_score(
    data: LabelledTexts, split: SplitName, output: Path, settings: FitSettings, progress: Progress
) -> dict[str, Scores] | None:
    """Score a second model; None if Ctrl-C came first, which must not cost the first one."""
    try:
        second = _fit_split(data, split, output, settings, progress)
    except KeyboardInterrupt:
        return None
    return second.artifacts.config.metrics if len(second.history) == settings.recipe.epochs else None


def _fit_split(
    data: LabelledTexts, split_name: SplitName, output: Path, settings: FitSettings, progress: Progress
) -> Fitted:
    recipe, device = settings.recipe, settings.device
    split = split_rows(data, split_name, settings.split_seed)
    parts = hold_out(data, split.train, split_name, recipe.validation_fraction, settings.split_seed)
    # From the whole training part, as in the article: which characters exist says nothing of a label.
    vocabulary = Vocabulary.build(data.texts_of(split.train), recipe.preprocessing, min_count=recipe.min_count)
    encoder = TextEncoder(recipe.preprocessing, vocabulary)
    train_on, validate_on = (_encode(data, rows, encoder, recipe, device) for rows in (parts.train, parts.test))
    learn_from = train_on
    if recipe.teacher_share > 0:
        progress.preparing(f"{split_name} split: asking the teacher, minutes unless {settings.cache} holds its answers")
        learn_from = taught_corpus(data, parts.train, encoder, split_name, settings)
    if settings.fresh and split_name is settings.split:
        _forget(output)  # only now: nothing that a teacher lacks has ended this run
    model = _new_network(recipe, vocabulary, settings.seed).to(device)
    checkpoint = _checkpoint(output, split_name)
    progress.run_started(f"{split_name} split", recipe.epochs)
    run = Run(recipe, learn_from, validate_on, settings.seed, checkpoint, _fingerprint(data, split_name, settings))
    state = train(model, run, progress)
    record = _training_record(data, split_name, settings, state, (train_on, validate_on))
    config = ArtifactConfig(
        name=settings.name,
        model=model.config,
        preprocessing=recipe.preprocessing,
        calibration=_calibrate(model, validate_on),
        training=record,
    )
    artifacts = Artifacts(config, vocabulary, model.eval(), version="unsaved")
    scores = score_rows(Predictor(artifacts, str(device)), data, split.test)
    config = config.model_copy(update={"metrics": {split_name.value: scores}})
    return Fitted(Artifacts(config, vocabulary, model, version="unsaved"), tuple(state.history), state.interrupted)


def _new_network(recipe: Recipe, vocabulary: Vocabulary, seed: int) -> SentimentLSTM:
    torch.manual_seed(seed)
    model = SentimentLSTM(recipe.model_settings(vocabulary.num_embeddings))
    with torch.no_grad():
        for layer in range(recipe.num_layers):
            biases = model.lstm.get_parameter(f"bias_ih_l{layer}")
            biases[recipe.hidden_size : 2 * recipe.hidden_size] += recipe.forget_bias  # PyTorch stacks i, f, g, o
    return model


def _encode(data: LabelledTexts, rows: Rows, encoder: TextEncoder, recipe: Recipe, device: torch.device) -> Corpus:
    return encode_corpus(encoder, data.texts_of(rows), data.labels[rows].tolist(), recipe.pad_to, device)


def _calibrate(model: SentimentLSTM, validation: Corpus) -> Calibration:
    if len(validation) == 0:
        return Calibration()
    logits = predict_logits(model, validation).numpy()
    temperature, _ = fit_temperature(validation.labels.cpu().numpy(), logits)
    return Calibration(temperature=temperature)


def _training_record(
    data: LabelledTexts,
    split: SplitName,
    settings: FitSettings,
    state: RunState,
    corpora: tuple[Corpus, Corpus],
) -> TrainingRecord:
    return TrainingRecord(
        preset=settings.name,
        data=data.name,
        data_sha256=data.sha256,
        rows_sha256=data.rows_sha256,
        split=split.value,
        split_seed=settings.split_seed,
        seed=settings.seed,
        rows_trained=len(corpora[0]),
        rows_validated=len(corpora[1]),
        epochs=len(state.history),
        best_epoch=state.best_epoch,
        options=settings.recipe.model_dump(mode="json"),
        seconds=round(sum(record.seconds for record in state.history), 1),
        device=settings.device.type,
        versions={"python": platform.python_version(), "torch": version("torch"), "charlstm": version("charlstm")},
    )


def _fingerprint(data: LabelledTexts, split: SplitName, settings: FitSettings) -> str:
    return json.dumps(
        {
            "rows": data.rows_sha256,
            "unlabelled": data.unlabelled_sha256 if settings.recipe.unlabelled else None,
            "split": split.value,
            "split_seed": settings.split_seed,
            "seed": settings.seed,
            "device": settings.device.type,
            "recipe": settings.recipe.model_dump(mode="json"),
        }
    )


def _checkpoint(output: Path, split: SplitName) -> Path:
    return output / f".unfinished-{split.value}.pt"


def _metrics_document(config: ArtifactConfig, history: Sequence[EpochRecord]) -> bytes:
    scores = {split: found.model_dump(mode="json") for split, found in config.metrics.items()}
    epochs = [asdict(record) for record in history]
    document = {"test": scores, "calibration": config.calibration.model_dump(), "epochs": epochs}
    return json.dumps(document, indent=1).encode() + b"\n"
