"""Calibration bin by bin, counted by hand."""

import numpy as np
import pytest

from training.calibration import reliability
from training.metrics import calibration_error


def test_bins_hold_what_was_said_and_what_was_so() -> None:
    """Probabilities of exactly 1 belong to the last bin; empty bins are left out."""
    negative = np.array([0.05, 0.15, 0.95, 1.0, 0.5])
    labels = np.array([0, 1, 1, 1, 0])
    found = reliability(labels, negative, 1.7, bins=5)
    assert [(one.rows, one.mean, one.negative) for one in found.bins] == [
        (2, pytest.approx(0.1), 0.5),
        (1, 0.5, 0.0),
        (2, pytest.approx(0.975), 1.0),
    ]
    assert found.temperature == 1.7
    assert found.calibration_error == pytest.approx((2 * 0.4 + 0.5 + 2 * 0.025) / 5)


def test_the_error_is_that_of_the_scores() -> None:
    draw = np.random.default_rng(0)
    negative, labels = draw.random(500), draw.integers(0, 2, 500)
    found = reliability(labels, negative, 1.0)
    assert found.calibration_error == calibration_error(labels, negative)
    gaps = sum(one.rows * abs(one.mean - one.negative) for one in found.bins)
    assert found.calibration_error == pytest.approx(gaps / 500)
    assert len(found.bins) == 15
