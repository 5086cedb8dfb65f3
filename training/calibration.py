"""How far a model's probabilities can be taken at their word, bin by bin."""

from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.card import Bin, CalibrationFloor, Reliability
from training.metrics import BINS, calibration_error

_DRAWS: Final = 2000

_Numbers = npt.NDArray[np.int64]


def reliability(
    labels: _Numbers, groups: _Numbers | None, negative: npt.NDArray[np.float64], temperature: float
) -> Reliability:
    """Compare, in equally wide bins, R probabilities of negative with the share of negative labels.

    Args:
        labels: (R,) labels.
        groups: (R,) which texts belong together, if that is known.
        negative: (R,) P(negative).
        temperature: What its logits were divided by.
    """
    index = np.minimum((negative * BINS).astype(int), BINS - 1)
    return Reliability(
        temperature=temperature,
        calibration_error=calibration_error(labels, negative),
        floor=calibration_floor(negative, sharing_a_label(labels, groups)),
        bins=tuple(
            Bin(
                rows=int((index == number).sum()),
                mean=float(negative[index == number].mean()),
                negative=float(labels[index == number].mean()),
            )
            for number in np.unique(index)
        ),
    )


def sharing_a_label(labels: _Numbers, groups: _Numbers | None) -> _Numbers:
    """Number R texts, (R,) from 0 on, so that those of a group have one number if all have the same of the (R,) labels.

    The texts of a group that holds both labels, such as all that somebody wrote, say different things.
    """
    if groups is None:
        return np.arange(len(labels))
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    ones = np.bincount(group, weights=labels)[group]
    mixed = (ones > 0) & (ones < sizes[group])
    apart = group.max(initial=0) + 1 + np.arange(len(labels))
    return np.unique(np.where(mixed, apart, group), return_inverse=True)[1]


def calibration_floor(negative: npt.NDArray[np.float64], draws: _Numbers) -> CalibrationFloor:
    """Find out what calibration error R probabilities of negative (R,) would show if they were exactly right.

    Labels are drawn as the probabilities say; texts of the same number, of (R,) from 0 on, share a draw.
    """
    random, count = np.random.default_rng(0), int(draws.max()) + 1
    errors = [
        calibration_error((random.random(count)[draws] < negative).astype(np.int64), negative) for _ in range(_DRAWS)
    ]
    low, high = np.quantile(errors, [0.05, 0.95])
    return CalibrationFloor(draws=count, mean=float(np.mean(errors)), low=float(low), high=float(high))
