"""The whole way, with the real programs: a CSV, training, a folder of artifacts, a server on a port, an answer."""

import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from charlstm import SIGNALS
from charlstm.artifacts import load_artifacts
from charlstm.reference import cell_from_state_dict
from tests.served import eventually, served
from tests.training_data import write_kaggle

PATIENCE = 120.0  # seconds, for a machine that does other things too


def run(*arguments: object) -> str:
    """Run one of the project's programs to its end and return what it printed."""
    command = [sys.executable, "-m", *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def post(client: httpx.Client, path: str, document: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=document)
    assert answer.status_code == httpx.codes.OK, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_csv_becomes_a_served_answer_whose_every_gate_is_true(tmp_path: Path) -> None:
    """What was learnt from a CSV is served over HTTP, and the served trace equals the NumPy cell, gate by gate."""
    data, model = write_kaggle(tmp_path / "tweets.csv"), tmp_path / "model"
    flags = (
        "--preset labels --epochs 12 --hidden-size 16 --embedding-dim 8 --min-count 1 --precision float32 "
        "--learning-rate 0.02 --dropout 0"
    )
    run("training", "fit", data, "--output", model, *flags.split())
    scores = json.loads(run("training", "evaluate", model, data, "--json"))["scores"]
    config = load_artifacts(model).config
    assert math.isclose(scores["accuracy"], config.metrics["grouped"].accuracy)
    assert scores["accuracy"] > 0.8  # the data is made to be learnable
    with served(tmp_path, model) as server, httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        eventually(server.is_ready, PATIENCE)
        awful, lovely = (
            post(client, "/predict", {"text": text}) for text in ("awful broken game", "lovely great game")
        )
        assert (awful["label"], lovely["label"]) == ("negative", "positive")
        both = post(client, "/predict/batch", {"texts": ["awful broken game", "lovely great game"]})["predictions"]
        trace = post(client, "/gates", {"text": "awful broken game"})
        server.signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0
    for alone, together in zip((awful, lovely), both, strict=True):
        assert math.isclose(alone["probability"], together["probability"], abs_tol=1e-6)
    assert math.isclose(trace["probability_so_far"][-1], awful["probabilities"]["negative"], abs_tol=1e-6)
    assert "".join(trace["tokens"]) == "awful broken game"
    assert_equals_reference(trace, model)


def assert_equals_reference(trace: dict[str, Any], model: Path) -> None:
    network = load_artifacts(model).model
    weights = {name: tensor.detach().numpy().astype(np.float64) for name, tensor in network.lstm.named_parameters()}
    embedding = network.embedding.weight.detach().numpy().astype(np.float64)
    steps = cell_from_state_dict(weights).forward(embedding[trace["token_ids"]])
    for signal_name in SIGNALS:
        expected = np.array([getattr(step, signal_name) for step in steps])
        np.testing.assert_allclose(trace["layers"][0][signal_name], expected, atol=1e-5)
