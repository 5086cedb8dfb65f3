"""Calibration bin by bin, counted by hand."""

import math

import numpy as np
import pytest

from training.calibration import calibration_floor, reliability
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


def test_the_floor_of_one_bin_is_that_of_a_mean_of_draws() -> None:
    """All probabilities are 0.5: the error is how far the share of heads lies from one half, a binomial's deviation."""
    expected = math.sqrt(0.25 / 400) * math.sqrt(2 / math.pi)  # the mean of a normal deviate without its sign
    for rows_of_group in (1, 6):
        groups = np.repeat(np.arange(400), rows_of_group)
        found = calibration_floor(np.full(len(groups), 0.5), groups)
        assert found.mean == pytest.approx(expected, rel=0.05)
        assert found.low < found.mean < found.high == pytest.approx(1.96 * math.sqrt(0.25 / 400), rel=0.1)


def test_without_groups_each_text_is_drawn_for_itself() -> None:
    negative = np.random.default_rng(1).random(600)
    alone = calibration_floor(negative, None)
    assert alone == calibration_floor(negative, np.arange(600))
    assert alone.mean < calibration_floor(negative, np.arange(600) // 6).mean


def test_probabilities_that_leave_nothing_to_chance_have_no_floor() -> None:
    found = calibration_floor(np.array([0.0, 1.0, 1.0]), None)
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)
