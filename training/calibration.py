"""How far a model's probabilities can be taken at their word, bin by bin."""

import numpy as np
import numpy.typing as npt

from charlstm.card import Bin, Reliability
from training.metrics import BINS, calibration_error


def reliability(
    labels: npt.NDArray[np.int64], negative: npt.NDArray[np.float64], temperature: float, bins: int = BINS
) -> Reliability:
    """Compare, in equally wide bins, R probabilities of negative (R,) with the share of negative labels (R,)."""
    index = np.minimum((negative * bins).astype(int), bins - 1)
    return Reliability(
        temperature=temperature,
        calibration_error=calibration_error(labels, negative, bins),
        bins=tuple(
            Bin(
                rows=int((index == number).sum()),
                mean=float(negative[index == number].mean()),
                negative=float(labels[index == number].mean()),
            )
            for number in np.unique(index)
        ),
    )
