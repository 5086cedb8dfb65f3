"""Speed is measured on the right texts in the right way; how fast that is depends on the machine and is no test."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from charlstm import Predictor
from charlstm.batching import ContinuousBatch
from charlstm.card import Contestant, Reached
from tests.tiny import TEXTS, tiny_artifacts
from tests.training_data import labelled, sentiment_rows
from training.robustness import Judgement
from training.speed import machine, measure_low_precision, measure_speed

ROWS = sentiment_rows(tweets=20)


@pytest.fixture(params=[None, 40])
def predictor(request: pytest.FixtureRequest, tmp_path: Path) -> Predictor:
    return Predictor.load(tiny_artifacts(tmp_path, temperature=1.7, pad_to=request.param), "cpu")


def test_the_machine_is_named_with_its_torch() -> None:
    assert torch.__version__ in machine()
    assert f"{os.cpu_count()} cores" in machine()


def test_a_model_is_described_beside_its_speed(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by a second at each look, whatever the machine: both precisions look as often."""
    ticks = iter(range(10_000))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(ContinuousBatch, "warm_up", lambda _: None)
    threads = torch.get_num_threads()
    reached = Reached(rows=9, accuracy=0.75, auc=0.8, how="measured")
    contestant = Contestant(name="tiny", is_model=True, reached={"grouped": reached})
    found = measure_speed(contestant, predictor, TEXTS, rounds=3)
    assert torch.get_num_threads() == threads
    assert found.name == "tiny"
    padding = "" if predictor.artifacts.config.model.pad_to is None else ", padded to 40"
    assert found.architecture == f"1 layer of 8 units, embedding of 6{padding}"
    assert found.parameters == sum(value.numel() for value in predictor.artifacts.model.state_dict().values())
    assert found.accuracy == 0.75
    assert 0 < found.float32 <= len(TEXTS)
    assert found.bfloat16 == found.float32


def test_what_bfloat16_costs_is_counted_text_by_text(predictor: Predictor) -> None:
    """Against a batch of each text alone; in float32, against the predictor."""
    data = labelled(ROWS)
    judged = Judgement.of(predictor, data, np.arange(len(ROWS)))
    low = np.array([alone(predictor, text) for text in data.texts])
    found = measure_low_precision(predictor, judged)
    whole = np.array([predictor.predict(text, truncate=True).probability_negative for text in data.texts])
    assert found.rows == len(ROWS)
    assert found.accuracy_float32 == np.mean((whole >= 0.5) == data.labels)
    assert found.accuracy_bfloat16 == pytest.approx(np.mean((low >= 0.5) == data.labels), abs=2 / len(ROWS))
    assert found.other_labels == pytest.approx(np.sum((low >= 0.5) != (whole >= 0.5)), abs=2)
    assert found.mean_difference == pytest.approx(np.abs(low - whole).mean(), rel=0.2)
    assert 0 < found.mean_difference <= found.largest_difference < 0.1


def alone(predictor: Predictor, text: str) -> float:
    artifacts = predictor.artifacts
    batch: ContinuousBatch[int] = ContinuousBatch(artifacts.model, "bfloat16")
    encoded = artifacts.encoder.encode(text, truncate=True).padded(artifacts.config.model.pad_to)
    batch.join(0, encoded.token_ids)
    while True:
        if finished := batch.advance():
            return float(artifacts.readout.probabilities(np.array([finished[0].logit], dtype=np.float32))[0])
