"""Every figure against scikit-learn, or against a plain loop where scikit-learn has none."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, roc_auc_score

from training.metrics import BINS, accuracy_and_auc, calibration_error, fit_temperature, score

Answers = list[tuple[int, float]]

ANSWERS = st.lists(st.tuples(st.integers(0, 1), st.floats(0.0, 1.0)), min_size=2, max_size=60).filter(
    lambda answers: len({label for label, _ in answers}) == 2
)


def arrays(answers: Answers) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    return np.array([label for label, _ in answers]), np.array([probability for _, probability in answers])


def error_by_loop(answers: Answers, bins: int) -> float:
    """Work out the expected calibration error as its paper puts it in words."""
    total = 0.0
    for number in range(bins):
        inside = [(label, p) for label, p in answers if min(int(p * bins), bins - 1) == number]
        if inside:
            share = sum(label for label, _ in inside) / len(inside)
            mean = sum(p for _, p in inside) / len(inside)
            total += len(inside) / len(answers) * abs(share - mean)
    return total


@settings(max_examples=50)  # scikit-learn takes its time
@given(ANSWERS)
def test_scores_are_scikit_learns(answers: Answers) -> None:
    labels, probabilities = arrays(answers)
    predicted = [int(p >= 0.5) for p in probabilities]
    found = score(labels, probabilities)
    assert found.rows == len(answers)
    assert found.accuracy == accuracy_score(labels, predicted)
    assert found.auc == roc_auc_score(labels, probabilities)
    assert found.log_loss == pytest.approx(log_loss(labels, np.stack([1 - probabilities, probabilities], axis=1)))
    assert found.f1 == f1_score(labels, predicted, zero_division=0.0)
    assert np.array_equal(found.confusion, confusion_matrix(labels, predicted))
    assert accuracy_and_auc(labels, probabilities) == (found.accuracy, found.auc)


@given(ANSWERS, st.integers(1, 20))
def test_the_calibration_error_is_that_of_a_plain_loop(answers: Answers, bins: int) -> None:
    assert calibration_error(*arrays(answers), bins) == pytest.approx(error_by_loop(answers, bins), abs=1e-12)
    assert score(*arrays(answers)).calibration_error == pytest.approx(error_by_loop(answers, BINS), abs=1e-12)


def test_perfect_answers_score_perfectly() -> None:
    found = score(np.array([0, 1, 1, 0]), np.array([0.0, 1.0, 1.0, 0.0]))
    assert (found.accuracy, found.auc, found.f1, found.calibration_error) == (1.0, 1.0, 1.0, 0.0)
    assert found.log_loss == pytest.approx(0.0, abs=1e-12)
    assert found.confusion == ((2, 0), (0, 2))


def test_wrong_and_certain_answers_score_nothing() -> None:
    found = score(np.array([0, 1]), np.array([1.0, 0.0], dtype=np.float32))
    assert (found.accuracy, found.auc, found.f1, found.calibration_error) == (0.0, 0.0, 0.0, 1.0)
    assert np.isfinite(found.log_loss)
    assert found.confusion == ((0, 1), (1, 0))


def test_a_model_that_always_says_the_same_has_an_auc_of_a_half() -> None:
    """At 0.5 it says negative, as the label of a prediction does."""
    found = score(np.array([0, 0, 1]), np.array([0.5, 0.5, 0.5]))
    assert (found.auc, found.confusion) == (0.5, ((0, 2), (0, 1)))
    assert found.calibration_error == pytest.approx(1 / 6)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    """Labels drawn with sigmoid(logit) as their probability, and logits then made too sure or not sure enough.

    The loss is then that of the probabilities themselves.
    """
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, 50_000)
    labels = (random.random(50_000) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    found, loss = fit_temperature(labels, (logits * temperature).astype(np.float32))
    assert found == pytest.approx(temperature, rel=0.03)
    assert loss == pytest.approx(log_loss(labels, 1 / (1 + np.exp(-logits))), rel=1e-3)


def test_the_temperature_stays_within_bounds() -> None:
    """A network that is never wrong asks for 0, one that is always wrong for infinity."""
    labels, logits = np.array([0, 1]), np.array([-3.0, 3.0], dtype=np.float32)
    assert fit_temperature(labels, logits)[0] == pytest.approx(0.25, rel=0.01)
    assert fit_temperature(1 - labels, logits)[0] == pytest.approx(10, rel=0.01)
