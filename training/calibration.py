"""How far a model's probabilities can be taken at their word, bin by bin."""

from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.card import Bin, CalibrationFloor, Reliability
from training.metrics import BINS, calibration_error

_DRAWS: Final = 2000


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


def calibration_floor(negative: npt.NDArray[np.float64], groups: npt.NDArray[np.int64] | None) -> CalibrationFloor:
    """Find out what calibration error R probabilities of negative (R,) would show if they were exactly right.

    Labels are drawn as the probabilities say; one draw decides for a whole group of the (R,) groups, because the texts
    of a group share a label. Without groups each text is drawn for itself.
    """
    draw = np.random.default_rng(0)
    _, group = np.unique(np.arange(len(negative)) if groups is None else groups, return_inverse=True)
    errors = [
        calibration_error((draw.random(group.max() + 1)[group] < negative).astype(np.int64), negative)
        for _ in range(_DRAWS)
    ]
    low, high = np.quantile(errors, [0.05, 0.95])
    return CalibrationFloor(mean=float(np.mean(errors)), low=float(low), high=float(high))
