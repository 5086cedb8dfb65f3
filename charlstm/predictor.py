"""The in-process way to a prediction and to its trace: no server, no other process.

predictor = Predictor.load("artifacts")
predictor.predict("Worst update ever").label
predictor.trace("Worst update ever").layers[0].forget_gate
"""

import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Self, overload

import numpy as np
import torch

from charlstm.artifacts import Artifacts, load_artifacts
from charlstm.clamp import Clamp
from charlstm.encoding import EncodedText
from charlstm.errors import DeviceError, TextError
from charlstm.gates import trace_layers
from charlstm.model import collate, use_whole_float32
from charlstm.readout import FloatArray
from charlstm.trace import GateTrace, Prediction
from charlstm.what_if import trace_clamped

# A forked process has none of the threads that OpenMP would wait for in it. PyTorch's own data loaders do the same.
os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))

# Texts of one batch are of similar length, so padding stays small; larger batches gain nothing on a CPU.
_BATCH_SIZE = 64


class Predictor:
    """A loaded model on a device.

    Calls may come from several threads: nothing is changed after construction. They may also come from processes that
    are forked after it, each of which computes with one thread; on a GPU they may not, because CUDA does not survive a
    fork. Constructing one turns TensorFloat-32 off for LSTMs on the GPUs of this process.

    Args:
        artifacts: A verified model; its network is moved to the device.
        device: `auto` (CUDA where there is one, else the CPU), `cpu`, `cuda`, or `cuda:N`.

    Raises:
        DeviceError: The device is asked for by name and is not there.
    """

    def __init__(self, artifacts: Artifacts, device: str = "auto") -> None:
        use_whole_float32()
        self.artifacts = artifacts
        self.device = find_device(device)
        self._model = artifacts.model.to(self.device)
        self._model.lstm.flatten_parameters()
        self._encoder = artifacts.encoder
        self._readout = artifacts.readout

    @classmethod
    def load(cls, directory: str | os.PathLike[str], device: str = "auto") -> Self:
        """Load and verify the model in a folder.

        Raises:
            ArtifactError: A file is missing, damaged, or does not fit the others.
            DeviceError: The device is asked for by name and is not there.
        """
        return cls(load_artifacts(Path(directory)), device)

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is an Iterable[str] too; this overload comes first and wins
        self, texts: str, *, truncate: bool = ...
    ) -> Prediction: ...
    @overload
    def predict(self, texts: Iterable[str], *, truncate: bool = ...) -> list[Prediction]: ...
    def predict(self, texts: str | Iterable[str], *, truncate: bool = False) -> Prediction | list[Prediction]:
        """Predict one text, or many in their order.

        Args:
            texts: A text, or any iterable of texts such as a list or a pandas column.
            truncate: Whether texts over the model's limit are cut instead of refused.

        Raises:
            TextError: A text is empty, no valid Unicode, or too long and may not be cut; its `index` says which.
            TypeError: A text is no string, such as the NaN of an empty cell in a pandas column.
        """
        if isinstance(texts, str):
            return self.predict([texts], truncate=truncate)[0]
        encoded = [self._encode(index, text, truncate=truncate) for index, text in enumerate(texts)]
        probabilities = self._probabilities_negative(encoded)
        return [Prediction.of(text, float(p)) for text, p in zip(encoded, probabilities, strict=True)]

    def trace(self, text: str, *, truncate: bool = False, clamps: Sequence[Clamp] = ()) -> GateTrace:
        """Predict one text and show every step of the way; prediction and trace are of one pass.

        Args:
            text: Any valid Unicode text of at least one token.
            truncate: Whether a text over the model's limit is cut instead of refused.
            clamps: Signals to hold by force, to see what becomes of the prediction then.

        Raises:
            TextError: The text is empty, no valid Unicode, or too long and may not be cut.
            ValueError, IndexError: A clamp names a signal, a value, a layer, a unit or a step that there is not.
        """
        return self._trace(self._encoder.encode(text, truncate=truncate), clamps)

    def _encode(self, index: int, text: object, *, truncate: bool) -> EncodedText:
        if not isinstance(text, str):
            raise TypeError(f"texts[{index}] must be a string, found {type(text).__name__}")
        try:
            return self._encoder.encode(text, truncate=truncate)
        except TextError as error:
            error.index = index
            error.add_note(f"It is texts[{index}].")
            raise

    @torch.inference_mode()
    def _probabilities_negative(self, texts: list[EncodedText]) -> FloatArray:
        by_length = sorted(range(len(texts)), key=lambda index: len(texts[index].token_ids))
        result = np.empty(len(texts), dtype=np.float32)
        for start in range(0, len(texts), _BATCH_SIZE):
            batch = by_length[start : start + _BATCH_SIZE]
            token_ids, lengths = collate([texts[index].token_ids for index in batch], self._pad_to)  # (B, T), (B,)
            logits = self._model(token_ids.to(self.device), lengths.to(self.device))  # (B,)
            result[batch] = logits.cpu().numpy()
        return self._readout.probabilities(result)

    @torch.inference_mode()
    def _trace(self, text: EncodedText, clamps: Sequence[Clamp]) -> GateTrace:
        read = text.padded(self._pad_to)
        token_ids, _ = collate([read.token_ids])  # (1, T)
        embedded = self._model.embed(token_ids.to(self.device))  # (1, T, E)
        layers = trace_clamped(self._model, embedded, clamps) if clamps else trace_layers(self._model, embedded)
        logits = self._model.readout(layers[-1].hidden_state[0])  # (T,)
        signals = np.stack([[signal[0].cpu().numpy() for signal in layer] for layer in layers])  # (layers, 6, T, H)
        tokens = self.artifacts.vocabulary.decode(read.token_ids)
        return GateTrace.of(read, tokens, signals, logits.cpu().numpy(), self._readout)

    @property
    def _pad_to(self) -> int | None:
        return self.artifacts.config.model.pad_to


def find_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device that is there.

    Raises:
        DeviceError: It is not there, or the name means nothing.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"device must be auto, cpu, cuda or cuda:N, found {name!r}") from None
    if device.type != "cuda" and name != "cpu":
        raise DeviceError(f"device must be auto, cpu, cuda or cuda:N, found {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise DeviceError(f"device {name!r} is not available: this machine shows {found} CUDA devices to PyTorch")
    return device
