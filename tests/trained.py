"""Models with the record of a training that never was."""

import dataclasses
from pathlib import Path

from charlstm.artifacts import load_artifacts, save_artifacts
from charlstm.config import Scores, TrainingRecord
from charlstm.predictor import Predictor
from tests.tiny import tiny_artifacts
from training.data import LabelledTexts
from training.splits import SplitName


def record_of(data: LabelledTexts, split: SplitName, split_seed: int = 42, **changes: object) -> TrainingRecord:
    """Make up where the weights of a model come from."""
    record = TrainingRecord(
        preset="tiny",
        data=data.name,
        data_sha256=data.sha256,
        rows_sha256=data.rows_sha256,
        split=split.value,
        split_seed=split_seed,
        seed=0,
        rows_trained=1,
        rows_validated=1,
        epochs=1,
        best_epoch=0,
        options={},
        seconds=1.0,
        device="cpu",
        versions={},
    )
    return record.model_copy(update=changes)


def trained_on(predictor: Predictor, data: LabelledTexts, split: SplitName, seed: int) -> Predictor:
    """Give a model such a record."""
    config = predictor.artifacts.config.model_copy(update={"training": record_of(data, split, seed)})
    return Predictor(dataclasses.replace(predictor.artifacts, config=config), "cpu")


def save_trained(directory: Path, record: TrainingRecord | None, metrics: dict[str, Scores]) -> Path:
    """Save a small random model that claims to have been trained so, and to have scored so."""
    artifacts = load_artifacts(tiny_artifacts(directory, temperature=1.7))
    config = artifacts.config.model_copy(update={"training": record, "metrics": metrics})
    save_artifacts(directory, config, artifacts.vocabulary, artifacts.model.state_dict())
    return directory
