"""The end of the network: how the last short-term memory becomes a probability. NumPy only, cheap to import."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """A linear readout of the last hidden state, and the temperature that calibrates it.

    P(negative) = sigmoid((weight . hidden_state + bias) / temperature)

    Attributes:
        weight: (H,) of the linear head.
        bias: Of the linear head.
        temperature: As in `Calibration`.
    """

    weight: FloatArray
    bias: float
    temperature: float

    def probabilities(self, logits: FloatArray) -> FloatArray:
        """Turn raw logits of any shape, as the network gives them, into P(negative)."""
        scaled = logits / np.float32(self.temperature)
        probabilities: FloatArray = np.exp(-np.logaddexp(np.float32(0), -scaled))  # the sigmoid; so it can't overflow
        return probabilities
