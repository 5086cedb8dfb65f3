"""How good probabilities are: all figures by scikit-learn but the calibration error, which it does not have.

Throughout, labels are 1 for negative and probabilities are P(negative), so the positive class of scikit-learn's terms
is our label "negative".
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, roc_auc_score

from charlstm.config import NEGATIVE, POSITIVE, Scores

BINS = 15

Labels = npt.NDArray[np.int64] | npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def score(labels: Labels, probabilities: Probabilities) -> Scores:
    """Work out every figure for R labels (R,) and probabilities (R,); both labels have to occur."""
    predicted = probabilities >= 0.5
    confusion = confusion_matrix(labels, predicted, labels=[POSITIVE, NEGATIVE])
    accuracy, auc = accuracy_and_auc(labels, probabilities)
    return Scores(
        rows=len(labels),
        accuracy=accuracy,
        auc=auc,
        log_loss=float(log_loss(labels, probabilities.astype(np.float64))),
        f1=float(f1_score(labels, predicted, zero_division=0.0)),
        calibration_error=calibration_error(labels, probabilities),
        confusion=((int(confusion[0, 0]), int(confusion[0, 1])), (int(confusion[1, 0]), int(confusion[1, 1]))),
    )


def accuracy_and_auc(labels: Labels, scores: Probabilities, threshold: float = 0.5) -> tuple[float, float]:
    """Return the share of right labels, where scores from the threshold on are negative, and the area under the ROC."""
    return float(accuracy_score(labels, scores >= threshold)), float(roc_auc_score(labels, scores))


def calibration_error(labels: Labels, probabilities: Probabilities, bins: int = BINS) -> float:
    """Return the expected calibration error (Naeini et al., 2015) of P(negative), in equally wide bins.

    In each bin, how far the mean probability lies from the share of negative texts, weighted by the bin's size.
    """
    index = np.minimum((probabilities * bins).astype(int), bins - 1)
    sizes = np.bincount(index, minlength=bins)
    gaps = np.bincount(index, weights=probabilities - labels, minlength=bins)  # size * (mean p - share), by bin
    return float(np.abs(gaps).sum() / sizes.sum())


def fit_temperature(labels: Labels, logits: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Find the temperature that minimises the log loss of sigmoid(logits / temperature) (Guo et al., 2017).

    Returns:
        The temperature, and the mean log loss with it, in nats.
    """
    signed = np.where(labels == NEGATIVE, logits, -logits).astype(np.float64)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, -signed / np.exp(log_temperature)).mean())

    # From 1/4 to 10: a network that is never wrong on a little validation data would ask for 0.
    found = minimize_scalar(loss, bounds=(np.log(0.25), np.log(10.0)), method="bounded")
    return float(np.exp(found.x)), float(found.fun)
