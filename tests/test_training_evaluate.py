"""Scoring a saved model: the figures are those of its predictions, and what it has seen is counted."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, roc_auc_score

from charlstm import Predictor
from tests.tiny import tiny_artifacts
from tests.trained import trained_on
from tests.training_data import Row, labelled, sentiment_rows
from training.data import LabelledTexts
from training.errors import TrainingError
from training.evaluate import evaluate
from training.splits import SplitName, split_rows

ROWS = sentiment_rows(tweets=50)


@pytest.fixture(scope="module")
def data() -> LabelledTexts:
    return labelled(ROWS)


@pytest.mark.parametrize("split", [*SplitName, None])
def test_the_scores_are_scikit_learns_of_the_predictions(
    tiny_predictor: Predictor, data: LabelledTexts, split: SplitName | None
) -> None:
    rows = np.arange(len(ROWS)) if split is None else split_rows(data, split, 5).test
    labels = [int(ROWS[row].sentiment == "Negative") for row in rows]
    said = [tiny_predictor.predict(ROWS[row].text) for row in rows]
    p = [prediction.probability_negative for prediction in said]
    negative = [prediction.label == "negative" for prediction in said]
    found = evaluate(tiny_predictor, data, split, 5)
    assert found.part == ("all rows" if split is None else f"test part of the {split} split (seed 5)")
    assert found.scores.rows == len(rows)
    assert found.scores.accuracy == accuracy_score(labels, negative)
    assert found.scores.auc == pytest.approx(roc_auc_score(labels, p))
    assert found.scores.log_loss == pytest.approx(log_loss(labels, p))
    assert found.scores.f1 == pytest.approx(f1_score(labels, negative))
    assert np.array_equal(found.scores.confusion, confusion_matrix(labels, negative))


@pytest.mark.parametrize("trained", list(SplitName))
@pytest.mark.parametrize("tested", [*SplitName, None])
@pytest.mark.parametrize("seed", [7, 8])
def test_rows_and_paraphrases_seen_in_training_are_counted(
    tiny_predictor: Predictor, data: LabelledTexts, trained: SplitName, tested: SplitName | None, seed: int
) -> None:
    """As sets count them, whatever the split and the seed of the training and of the test are."""
    seen = set(split_rows(data, trained, 7).train.tolist())
    rows = range(len(ROWS)) if tested is None else split_rows(data, tested, seed).test.tolist()
    tweets = {ROWS[row].tweet_id for row in seen}
    found = evaluate(trained_on(tiny_predictor, data, trained, seed=7), data, tested, seed)
    assert found.seen == len(seen.intersection(rows))
    assert found.paraphrases_seen == sum(ROWS[row].tweet_id in tweets for row in rows)


def test_nothing_was_seen_of_the_split_trained_on(tiny_predictor: Predictor, data: LabelledTexts) -> None:
    found = evaluate(trained_on(tiny_predictor, data, SplitName.GROUPED, 42), data, SplitName.GROUPED, 42)
    assert (found.seen, found.paraphrases_seen) == (0, 0)


def test_of_other_data_or_an_unknown_model_nothing_can_be_told(tiny_predictor: Predictor, data: LabelledTexts) -> None:
    elsewhere = dataclasses.replace(data, texts=data.texts[::-1])
    for predictor in (tiny_predictor, trained_on(tiny_predictor, elsewhere, SplitName.ARTICLE, 1)):
        found = evaluate(predictor, data, SplitName.ARTICLE, 1)
        assert (found.seen, found.paraphrases_seen) == (None, None)


def test_without_groups_what_a_grouped_training_saw_cannot_be_told(
    tiny_predictor: Predictor, data: LabelledTexts
) -> None:
    predictor = trained_on(tiny_predictor, data, SplitName.GROUPED, 1)
    found = evaluate(predictor, labelled(ROWS, grouped=False), SplitName.ARTICLE, 1)
    assert (found.seen, found.paraphrases_seen) == (None, None)


def test_without_groups_rows_seen_are_counted_alone(tiny_predictor: Predictor) -> None:
    ungrouped = labelled(ROWS, grouped=False)
    found = evaluate(trained_on(tiny_predictor, ungrouped, SplitName.ARTICLE, 1), ungrouped, None, 1)
    assert (found.seen, found.paraphrases_seen) == (len(split_rows(ungrouped, SplitName.ARTICLE, 1).train), None)


def test_rows_of_one_label_cannot_be_scored(tiny_predictor: Predictor) -> None:
    rows = [row for row in ROWS if row.sentiment == "Positive"]
    with pytest.raises(TrainingError, match=f"rows of both labels, found {len(rows)} rows of 1"):
        evaluate(tiny_predictor, labelled(rows), None, 0)


def test_long_texts_are_cut_and_texts_without_a_word_left_out(tmp_path: Path) -> None:
    predictor = Predictor.load(tiny_artifacts(tmp_path, level="word", max_length=3), "cpu")
    rows = [
        Row("1", "game", "Positive", "best game this year ever"),
        Row("2", "game", "Negative", " \n"),
        Row("3", "game", "Negative", "Worst update"),
    ]
    data = labelled(rows)
    found = evaluate(trained_on(predictor, data, SplitName.ARTICLE, seed=0), data, None, 0)
    scores = found.scores
    said = [p.probability_negative for p in predictor.predict(["best game this", "Worst update"])]
    assert scores.rows == 2
    assert scores.log_loss == pytest.approx(log_loss([0, 1], said))
    read = set(split_rows(data, SplitName.ARTICLE, 0).train.tolist()) - {1}
    assert (found.seen, found.paraphrases_seen) == (len(read), len(read))
