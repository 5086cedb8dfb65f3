"""ONNX Runtime, for the tests that run an exported network in it."""

from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from charlstm.readout import FloatArray


class Session:
    """A network in ONNX Runtime, on one thread."""

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    @property
    def inputs(self) -> dict[str, tuple[str, list[str | int]]]:
        return {value.name: (value.type, value.shape) for value in self._session.get_inputs()}

    @property
    def outputs(self) -> dict[str, tuple[str, list[str | int]]]:
        return {value.name: (value.type, value.shape) for value in self._session.get_outputs()}

    @property
    def metadata(self) -> dict[str, str]:
        found: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return found

    def run(self, token_ids: NDArray[np.int64], lengths: Sequence[int]) -> dict[str, FloatArray]:
        """Read texts; give every output by its name."""
        found = self._session.run(None, {"token_ids": token_ids, "lengths": np.array(lengths, dtype=np.int64)})
        return dict(zip(self.outputs, found, strict=True))
