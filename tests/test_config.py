"""What config.json may say."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from charlstm.config import LABELS, NEGATIVE, POSITIVE, ArtifactConfig, Calibration, ModelConfig, Scores, TrainingRecord
from charlstm.text import Preprocessing

MODEL = ModelConfig(num_embeddings=10, embedding_dim=4, hidden_size=3)
SCORES = Scores(rows=10, accuracy=0.7, auc=0.8, log_loss=0.5, f1=0.6, calibration_error=0.1, confusion=((4, 1), (2, 3)))
TRAINING = TrainingRecord(
    preset="default",
    data="tweets.csv",
    data_sha256="00",
    rows_sha256="11",
    split="grouped",
    split_seed=1,
    seed=2,
    rows_trained=8,
    rows_validated=1,
    epochs=3,
    best_epoch=2,
    options={"learning_rate": 0.001, "device": "cpu", "epochs": 3, "amp": False, "clip": None},
    seconds=1.5,
    device="cpu",
    versions={"torch": "2"},
)
FULL = ArtifactConfig(
    name="full",
    model=MODEL,
    preprocessing=Preprocessing(level="word", casefold=True, max_length=7),
    calibration=Calibration(temperature=1.5),
    training=TRAINING,
    metrics={"article": SCORES},
    files={"vocabulary.json": "00"},
)


def test_label_1_is_negative() -> None:
    assert (LABELS[NEGATIVE], NEGATIVE, LABELS[POSITIVE], POSITIVE) == ("negative", 1, "positive", 0)


@pytest.mark.parametrize("config", [ArtifactConfig(model=MODEL), FULL])
def test_a_config_survives_its_json(config: ArtifactConfig) -> None:
    assert ArtifactConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"surprise": 1}, "surprise"),
        ({"labels": ["negative", "positive"]}, "labels"),
        ({"format_version": 2}, "format_version"),
        ({"name": ""}, "name"),
        ({"model": {}}, "num_embeddings"),
        ({"model": MODEL.model_dump() | {"hidden_size": 0}}, "hidden_size"),
        ({"model": MODEL.model_dump() | {"num_layers": -1}}, "num_layers"),
        ({"model": MODEL.model_dump() | {"num_embeddings": 1}}, "num_embeddings"),
        ({"model": MODEL.model_dump() | {"dropout": 1.0}}, "dropout"),
        ({"model": MODEL.model_dump() | {"bidirectional": True}}, "bidirectional"),
        ({"preprocessing": {"level": "sentence"}}, "level"),
        ({"preprocessing": {"max_length": 0}}, "max_length"),
        ({"preprocessing": {"stem": True}}, "stem"),
        ({"calibration": {"temperature": 0.0}}, "temperature"),
        ({"calibration": {"temperature": float("inf")}}, "temperature"),
        ({"calibration": {"temperature": float("nan")}}, "temperature"),
        ({"metrics": {"article": SCORES.model_dump() | {"accuracy": 1.1}}}, "accuracy"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(change: dict[str, Any], field: str) -> None:
    document = json.dumps(json.loads(FULL.model_dump_json()) | change)
    with pytest.raises(ValidationError, match=field):
        ArtifactConfig.model_validate_json(document)


@pytest.mark.parametrize("max_length", [None, 21])
def test_a_model_that_pads_must_cut_texts_to_its_padding(max_length: int | None) -> None:
    with pytest.raises(ValidationError, match=rf"max_length must be at most model.pad_to \(20\), found {max_length}"):
        ArtifactConfig(
            model=MODEL.model_copy(update={"pad_to": 20}), preprocessing=Preprocessing(max_length=max_length)
        )


def test_a_limit_up_to_the_padding_is_accepted() -> None:
    padded = MODEL.model_copy(update={"pad_to": 20})
    assert ArtifactConfig(model=padded, preprocessing=Preprocessing(max_length=20)).model.pad_to == 20


def test_records_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(FULL.model, "hidden_size", 5)  # noqa: B010  mypy would rightly refuse the plain assignment
