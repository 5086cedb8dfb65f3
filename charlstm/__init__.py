"""A character-level LSTM for sentiment that shows its memory.

    from charlstm import Predictor

    predictor = Predictor.load("artifacts")
    print(predictor.predict("Worst update ever"))

The names below are imported on first use, so that importing the light modules of this package (`charlstm.config`,
`charlstm.text`, `charlstm.errors`) does not import torch. `Predictor` and whatever else is about a network in this
process needs it, and so the extra `local`; `service.client` asks a service instead, and does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from charlstm.errors import missing_package

if TYPE_CHECKING:
    from charlstm.artifacts import Artifacts, load_artifacts, save_artifacts
    from charlstm.bulk import BulkScorer, Scores
    from charlstm.errors import ArtifactError, CharLSTMError, DeviceError, TextError
    from charlstm.predictor import Predictor
    from charlstm.trace import SIGNALS, GateTrace, LayerTrace, Prediction
    from charlstm.vocabulary import Vocabulary

_MODULES = {
    "artifacts": ("Artifacts", "load_artifacts", "save_artifacts"),
    "bulk": ("BulkScorer", "Scores"),
    "errors": ("ArtifactError", "CharLSTMError", "DeviceError", "TextError"),
    "predictor": ("Predictor",),
    "trace": ("SIGNALS", "GateTrace", "LayerTrace", "Prediction"),
    "vocabulary": ("Vocabulary",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "SIGNALS",
    "ArtifactError",
    "Artifacts",
    "BulkScorer",
    "CharLSTMError",
    "DeviceError",
    "GateTrace",
    "LayerTrace",
    "Prediction",
    "Predictor",
    "Scores",
    "TextError",
    "Vocabulary",
    "load_artifacts",
    "save_artifacts",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{_MODULE_OF[name]}")
    except ModuleNotFoundError as error:
        raise missing_package(error, "local") from error
    return getattr(module, name)
