"""The model that answers in the examples of the OpenAPI document: small enough to show all of it."""

from pathlib import Path

import torch

from charlstm.artifacts import save_artifacts
from charlstm.config import Calibration
from tests.tiny import tiny_config, tiny_model

_SEED, _SCALE = 214, 1.5  # random weights that happen to tell some of the texts apart,
_BIAS, _TEMPERATURE = -1.1, 0.35  # and a readout that takes the difference for sentiment


def example_artifacts(directory: Path) -> Path:
    """Save the model into a folder and return the folder."""
    config, vocabulary = tiny_config()
    weights = tiny_model(config.model, seed=_SEED, scale=_SCALE).state_dict()
    weights["head.bias"] = weights["head.bias"] + torch.tensor([_BIAS])
    config = config.model_copy(update={"name": "default", "calibration": Calibration(temperature=_TEMPERATURE)})
    save_artifacts(directory, config, vocabulary, weights)
    return directory
