"""Loading models for the engine: at the start, and again beside the one that serves."""

import logging
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path

import torch

from charlstm.artifacts import CONFIG, SAFETENSORS, holds_model, load_artifacts
from charlstm.config import Precision
from charlstm.errors import ArtifactError, CharLSTMError, DeviceError
from charlstm.predictor import find_device
from service.loaded_model import LoadedModel, describe
from service.protocol import EngineSettings, Loaded

_logger = logging.getLogger(__name__)
_MOST_THREADS = 4
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Loader:
    """Loads the models, at the start and again when asked to.

    The folder itself holds the default model. Each folder in it that holds a `config.json` is a further one, under the
    folder's name; folders whose names begin with a dot are passed over.

    Raises:
        DeviceError: The device is not there, or cannot do the precision.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._artifacts = Path(settings.artifacts)
        self.device = find_device(settings.device)
        self.precision = choose_precision(settings.precision, self.device)

    def load(self) -> list[LoadedModel]:
        """Load, verify and warm up what is in the folder now, the default model first.

        Raises:
            ArtifactError: Something in it is not sound.
        """
        models = [self._load("")]
        for folder in further_folders(self._artifacts):
            if folder == models[0].artifacts.config.name:
                path = str(self._artifacts / folder)
                raise ArtifactError(path, "a folder of another name than the default model's", f"{folder}: rename it")
            models.append(self._load(folder))
        for model in models:
            model.warm_up()
        return models

    def describe(self, models: Sequence[LoadedModel]) -> Loaded:
        """Say what loaded models are."""
        device = str(self.device)
        return Loaded([describe(model.artifacts, device, self.precision, model.folder) for model in models])

    def _load(self, folder: str) -> LoadedModel:
        return LoadedModel(load_artifacts(self._artifacts / folder), self.device, self.precision, folder)


def further_folders(artifacts: Path) -> list[str]:
    """Name the folders in an artifacts folder that hold a model of their own, in alphabetical order.

    Raises:
        ArtifactError: One has a name that would have to be escaped in an address, or may not be looked into; or the
            folder itself may not be listed.
    """
    try:
        inside = sorted(path for path in artifacts.iterdir() if not path.name.startswith(".") and path.is_dir())
    except OSError as error:
        raise ArtifactError(str(artifacts), "a folder that may be listed", error.strerror or "another") from error
    folders = [path.name for path in inside if _is_served(path)]
    for folder in folders:
        if not _NAME.fullmatch(folder):
            raise ArtifactError(
                str(artifacts / folder), "a model's name of at most 64 letters, digits, dots and dashes", folder
            )
    return folders


def _is_served(folder: Path) -> bool:
    try:
        if holds_model(folder):
            return True
        if (folder / SAFETENSORS).exists():
            _logger.warning("%s is not served: it holds %s, but no %s", folder, SAFETENSORS, CONFIG)
    except PermissionError as error:
        if _NAME.fullmatch(folder.name):
            raise ArtifactError(str(folder), "a folder that may be looked into", error.strerror or "another") from error
        _logger.warning("%s is not served: it may not be looked into", folder)  # such as lost+found
    return False


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
    """Loads models beside those that serve.

    Args:
        loader: Loads them.
        asked: The workers that want it, and their questions' numbers.
        wake: Where to write a byte once it is done.
    """

    def __init__(self, loader: Loader, asked: Sequence[tuple[int, int]], wake: int) -> None:
        super().__init__(name="loading", daemon=True)
        self.asked = asked
        self.models: list[LoadedModel] | None = None
        self.error: str | None = None
        self._loader, self._wake = loader, wake

    def run(self) -> None:
        """Load, and wake the engine's turn."""
        try:
            self.models = self._loader.load()
        except CharLSTMError as error:
            self.error = str(error)
        except Exception:  # whatever it is: the models that serve are not concerned, and who asked must hear of it
            _logger.exception("new models could not be loaded")
            self.error = "loading failed; the engine's log says how"
        os.write(self._wake, b"!")
