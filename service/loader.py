"""Loading models for the engine: at the start, and again beside the one that serves."""

import logging
import os
import threading
from pathlib import Path

import torch

from charlstm.artifacts import Artifacts, load_artifacts
from charlstm.config import Precision
from charlstm.errors import CharLSTMError, DeviceError
from charlstm.predictor import find_device
from service.loaded_model import LoadedModel, describe
from service.protocol import EngineSettings, Loaded

_logger = logging.getLogger(__name__)
_MOST_THREADS = 4


class Loader:
    """Loads the model, at the start and again when asked to.

    Raises:
        DeviceError: The device is not there, or cannot do the precision.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._artifacts = Path(settings.artifacts)
        self.device = find_device(settings.device)
        self.precision = choose_precision(settings.precision, self.device)

    def load(self) -> LoadedModel:
        """Load, verify and warm up what is in the folder now.

        Raises:
            ArtifactError: It is not sound.
        """
        model = LoadedModel(load_artifacts(self._artifacts), self.device, self.precision)
        model.warm_up()
        return model

    def describe(self, artifacts: Artifacts) -> Loaded:
        """Say what a loaded model is."""
        return describe(artifacts, str(self.device), self.precision)


def threads_for(cores: int) -> int:
    """Leave one core to HTTP, and do not spread the small products of this network over more than four."""
    return max(1, min(cores - 1, _MOST_THREADS))


def choose_precision(asked: str, device: torch.device) -> Precision:
    """Turn `auto` into what the device does fast, and refuse what it cannot do.

    Raises:
        DeviceError: bfloat16 is asked for and the device has it not.
    """
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    if asked == "bfloat16" and not able:
        raise DeviceError(f"precision bfloat16 is not available on {device}: it has no such arithmetic")
    return "bfloat16" if able and asked != "float32" else "float32"


class Loading(threading.Thread):
    """Loads a model beside the one that serves."""

    def __init__(self, loader: Loader, worker: int, question: int, wake: int) -> None:
        super().__init__(name="loading", daemon=True)
        self.worker, self.question = worker, question
        self.model: LoadedModel | None = None
        self.error: str | None = None
        self._loader, self._wake = loader, wake

    def run(self) -> None:
        """Load, and wake the engine's turn."""
        try:
            self.model = self._loader.load()
        except CharLSTMError as error:
            self.error = str(error)
        except Exception:  # whatever it is: the model that serves is not concerned, and who asked must hear of it
            _logger.exception("a new model could not be loaded")
            self.error = "loading failed; the engine's log says how"
        os.write(self._wake, b"!")
