"""Calibration bin by bin, counted by hand."""

import math

import numpy as np
import pytest

from training.calibration import calibration_floor, reliability, sharing_a_label
from training.metrics import calibration_error


def test_bins_hold_what_was_said_and_what_was_so() -> None:
    """Probabilities of exactly 1 belong to the last bin; empty bins are left out."""
    negative = np.array([0.02, 0.04, 0.95, 1.0, 0.5])
    labels = np.array([0, 1, 1, 1, 0])
    found = reliability(labels, None, negative, 1.7)
    assert [(one.rows, one.mean, one.negative) for one in found.bins] == [
        (2, pytest.approx(0.03), 0.5),
        (1, 0.5, 0.0),
        (2, pytest.approx(0.975), 1.0),
    ]
    assert found.temperature == 1.7
    assert found.calibration_error == pytest.approx((2 * 0.47 + 0.5 + 2 * 0.025) / 5)
    assert found.floor == calibration_floor(negative, np.arange(5))


def test_the_error_is_that_of_the_scores() -> None:
    draw = np.random.default_rng(0)
    negative, labels = draw.random(500), draw.integers(0, 2, 500)
    found = reliability(labels, None, negative, 1.0)
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
        assert found.draws == 400
        assert found.low < found.mean < found.high == pytest.approx(1.96 * math.sqrt(0.25 / 400), rel=0.1)


def test_texts_share_a_draw_where_their_group_has_one_label() -> None:
    """All that somebody wrote is a group, too, and says now this and now that."""
    labels, groups = np.array([1, 0, 1, 0, 1, 0]), np.array([7, 3, 7, 3, 5, 5])
    assert sharing_a_label(labels, groups).tolist() == [1, 0, 1, 0, 2, 3]
    assert sharing_a_label(labels, None).tolist() == [0, 1, 2, 3, 4, 5]


def test_the_fewer_draws_the_higher_the_floor() -> None:
    negative, draws = np.random.default_rng(1).random(600), np.arange(600)
    assert calibration_floor(negative, draws).mean < calibration_floor(negative, draws // 6).mean
    found = reliability(np.ones(600, dtype=np.int64), draws // 6, negative, 1.0)
    assert found.floor == calibration_floor(negative, draws // 6)


def test_probabilities_that_leave_nothing_to_chance_have_no_floor() -> None:
    found = calibration_floor(np.array([0.0, 1.0, 1.0]), np.arange(3))
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)
