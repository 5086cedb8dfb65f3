"""Scoring a saved model on labelled texts, by the same way that serves them, and honestly: it says what leaked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charlstm.config import Scores, TrainingRecord
from charlstm.errors import EmptyTextError
from charlstm.predictor import Predictor
from training.data import LabelledTexts
from training.errors import TrainingError
from training.metrics import score
from training.splits import Rows, SplitName, paraphrased, part_in_words, split_rows


@dataclass(frozen=True)
class Evaluation:
    """A model's scores on some rows.

    Attributes:
        part: Which rows: `test part of the grouped split (seed 42)`, say.
        scores: The figures.
        seen: How many of the scored rows the model was trained or validated on; None if it can't be told.
        paraphrases_seen: How many have a row of the same group among those; None if it can't be told.
    """

    part: str
    scores: Scores
    seen: int | None
    paraphrases_seen: int | None


def evaluate(predictor: Predictor, data: LabelledTexts, split: SplitName | None, split_seed: int) -> Evaluation:
    """Score a model on the test part of a split, or on all rows if there is no split.

    Raises:
        TrainingError: The data does not allow the split, or the rows are all of one label.
    """
    rows = np.arange(len(data.texts)) if split is None else split_rows(data, split, split_seed).test
    rows = readable_rows(predictor, data, rows)
    trained_on = rows_of_training(data, predictor.artifacts.config.training)
    return Evaluation(
        part=part_in_words(split, split_seed),
        scores=_score_readable(predictor, data, rows),
        seen=None if trained_on is None else int(np.isin(rows, trained_on).sum()),
        paraphrases_seen=None if trained_on is None else paraphrased(data, rows, trained_on),
    )


def score_rows(predictor: Predictor, data: LabelledTexts, rows: Rows) -> Scores:
    """Score a model on these rows; texts over its limit are cut, texts without a token are left out."""
    return _score_readable(predictor, data, readable_rows(predictor, data, rows))


def _score_readable(predictor: Predictor, data: LabelledTexts, rows: Rows) -> Scores:
    labels = data.labels[rows]
    if len(np.unique(labels)) < 2:
        raise TrainingError(f"scores need rows of both labels, found {len(labels)} rows of {len(np.unique(labels))}")
    return score(labels, probabilities_negative(predictor, data.texts_of(rows)))


def readable_rows(predictor: Predictor, data: LabelledTexts, rows: Rows) -> Rows:
    """Leave out the rows whose text has no token for the model."""
    return np.array([row for row in rows if has_token(predictor, data.texts[row])], dtype=np.int64)


def has_token(predictor: Predictor, text: str) -> bool:
    """Say whether there is anything in a text for the model to read: white space alone is no word."""
    try:
        predictor.artifacts.encoder.encode(text, truncate=True)
    except EmptyTextError:
        return False
    return True


def probabilities_negative(predictor: Predictor, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return P(negative) of R texts, (R,); those over the model's limit are cut."""
    return np.array([found.probability_negative for found in predictor.predict(texts, truncate=True)])


def rows_of_training(data: LabelledTexts, record: TrainingRecord | None) -> Rows | None:
    """Return the rows that a model was trained or validated on; None if it can't be told."""
    if record is None or record.rows_sha256 != data.rows_sha256:
        return None
    if record.split == SplitName.GROUPED and data.groups is None:  # read without the groups it was divided by
        return None
    return split_rows(data, SplitName(record.split), record.split_seed).train
