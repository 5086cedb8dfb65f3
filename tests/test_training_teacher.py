"""The teacher, and that it never judges a text whose label it has seen."""

import dataclasses

import numpy as np
import pytest
import scipy.special
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from tests.stub_sentences import StubEncoder
from tests.training_data import labelled, sentiment_rows
from training.augmentation import MadeTexts
from training.data import LabelledTexts
from training.errors import TrainingError
from training.sentences import LogOdds, Reading, read_by_words
from training.splits import Rows
from training.teacher import FOLDS, Classroom, Teacher, judge_by_words

UNLABELLED = ("awful broken game", "lovely great game")


@pytest.fixture(scope="module")
def data() -> LabelledTexts:
    return dataclasses.replace(labelled(sentiment_rows(tweets=40)), unlabelled=UNLABELLED)


@pytest.fixture(scope="module")
def reading(data: LabelledTexts) -> Reading:
    return read_by_words(StubEncoder(), [*data.texts, *data.unlabelled])


def judged_by(data: LabelledTexts, reading: Reading, rows: Rows, *, by_group: bool, tuned: bool = False) -> LogOdds:
    return judge_by_words(Classroom(data, rows, by_group=by_group, unlabelled=True, tuned=tuned), reading, StubEncoder)


def test_it_is_logistic_regression_on_words_and_embedding_together(data: LabelledTexts, reading: Reading) -> None:
    """scikit-learn's own, on the same features side by side."""
    texts, labels, embeddings = list(data.texts), data.labels, reading.whole[: len(data.texts)]
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    features = np.hstack([words.fit_transform(texts).toarray(), 2.0 * embeddings.astype(np.float64)])
    expected = LogisticRegression(C=2.0, max_iter=1000).fit(features, labels).decision_function(features)
    found = Teacher.fit(texts, embeddings, labels, 2.0).log_odds(texts, embeddings)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_it_judges_every_beginning_of_the_texts_it_is_asked_about(data: LabelledTexts, reading: Reading) -> None:
    rows = np.arange(0, len(data.texts), 2)
    judged = judged_by(data, reading, rows, by_group=False)
    asked = {*rows.tolist(), *range(len(data.texts), len(data.texts) + len(UNLABELLED))}
    for row in range(len(data.texts) + len(UNLABELLED)):
        of_text = judged[reading.starts[row] : reading.starts[row + 1]]
        assert np.isfinite(of_text).all() if row in asked else np.isnan(of_text).all()


def test_it_is_often_right_on_texts_that_it_has_not_seen(data: LabelledTexts, reading: Reading) -> None:
    judged = judged_by(data, reading, np.arange(len(data.texts)), by_group=True)
    whole = judged[reading.starts[1:] - 1]
    assert np.mean((whole[: len(data.texts)] > 0) == data.labels) > 0.9
    assert ((whole[-2:] > 0) == [True, False]).all()


@pytest.mark.parametrize("tuned", [True, False])
@pytest.mark.parametrize("by_group", [True, False])
def test_no_label_of_its_own_or_of_its_group_shapes_what_is_said_of_a_text(
    data: LabelledTexts, reading: Reading, *, by_group: bool, tuned: bool
) -> None:
    """Turn the labels of one group round: what is said of it stays, and what is said of others does not."""
    rows = np.arange(len(data.texts))
    assert data.groups is not None
    turned = data.groups == data.groups[0] if by_group else rows == 0
    other = dataclasses.replace(data, labels=np.where(turned, 1 - data.labels, data.labels))
    before, after = (judged_by(each, reading, rows, by_group=by_group, tuned=tuned) for each in (data, other))
    same = np.repeat(np.append(turned, [False, False]), np.diff(reading.starts))
    np.testing.assert_array_equal(before[same], after[same])
    assert not np.array_equal(before[~same], after[~same])


def test_who_judges_a_text_judges_what_is_made_of_it(data: LabelledTexts) -> None:
    """Turn the labels of one group round: what is said of texts made of it stays; of others it does not."""
    rows = np.arange(0, len(data.texts), 2)
    unlabelled = len(data.texts)
    made = MadeTexts(("lovely game", "awful console", "broken", "great"), np.array([0, rows[-1], unlabelled, 1]))
    reading = read_by_words(StubEncoder(), [*data.texts, *data.unlabelled, *made.texts])
    assert data.groups is not None
    assert data.groups[0] != data.groups[rows[-1]]
    labels = np.where(data.groups == data.groups[0], 1 - data.labels, data.labels)
    judged = []
    for each in (data, dataclasses.replace(data, labels=labels)):
        log_odds = judge_by_words(
            Classroom(each, rows, by_group=True, unlabelled=True, tuned=False, made=made), reading, StubEncoder
        )
        judged.append(log_odds[reading.starts[1:] - 1][-len(made.texts) :])
    assert (judged[0] == judged[1]).tolist() == [True, False, False, False]
    assert np.isnan(judged[0]).tolist() == [False, False, False, True]  # row 1 is not one of the rows


def test_labels_outside_the_rows_are_never_looked_at(data: LabelledTexts, reading: Reading) -> None:
    rows = np.arange(0, len(data.texts), 2)
    others = np.setdiff1d(np.arange(len(data.texts)), rows)
    labels = data.labels.copy()
    labels[others] = 1 - labels[others]
    before, after = (
        judged_by(each, reading, rows, by_group=True) for each in (data, dataclasses.replace(data, labels=labels))
    )
    np.testing.assert_array_equal(before, after)


def test_an_empty_beginning_has_an_opinion_too(data: LabelledTexts, reading: Reading) -> None:
    """A text of unknown words is judged by its embedding alone."""
    teacher = Teacher.fit(list(data.texts), reading.whole[: len(data.texts)], data.labels, 2.0)
    embedding = reading.whole[:1]
    expected = embedding.astype(np.float32) @ teacher.embedding_weights + teacher.bias
    np.testing.assert_allclose(teacher.log_odds(["zzz"], embedding), expected, rtol=1e-5)
    assert 0 < float(scipy.special.expit(expected[0])) < 1


def test_texts_that_share_no_word_teach_nothing() -> None:
    texts = ["alpha", "beta", "gamma", "delta"]
    with pytest.raises(TrainingError, match="words that stand in two of 4 texts, found none"):
        Teacher.fit(texts, np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1]), 1.0)


@pytest.mark.parametrize(("by_group", "message"), [(True, "4 labelled groups of texts, found 3"), (False, "found 3")])
def test_too_few_texts_are_refused(*, by_group: bool, message: str) -> None:
    data = labelled(sentiment_rows(tweets=3, paraphrases=2) if by_group else sentiment_rows(tweets=3, paraphrases=1))
    with pytest.raises(TrainingError, match=message):
        judged_by(data, read_by_words(StubEncoder(), data.texts), np.arange(len(data.texts)), by_group=by_group)


def test_a_fold_of_one_label_is_refused() -> None:
    data = labelled(sentiment_rows(tweets=10, paraphrases=1))
    alone = dataclasses.replace(data, labels=np.eye(1, 10, 0, dtype=np.int64)[0])
    with pytest.raises(TrainingError, match="both labels in every fold, found 8 of one label to learn from"):
        judged_by(alone, read_by_words(StubEncoder(), data.texts), np.arange(10), by_group=False)


@pytest.mark.parametrize("tuned", [True, False])
def test_unlabelled_texts_are_judged_only_if_asked(data: LabelledTexts, reading: Reading, *, tuned: bool) -> None:
    """What is said of the others is the same, and no encoder is tuned in vain."""
    rows, encoder = np.arange(len(data.texts)), StubEncoder()
    room = Classroom(data, rows, by_group=True, unlabelled=False, tuned=tuned)
    judged = judge_by_words(room, reading, lambda: encoder)
    everything = judged_by(data, reading, rows, by_group=True, tuned=tuned)
    labelled_words = reading.starts[len(data.texts)]
    np.testing.assert_array_equal(judged[:labelled_words], everything[:labelled_words])
    assert np.isnan(judged[labelled_words:]).all()
    assert len(encoder.tuned_on) == (FOLDS if tuned else 0)
    none = dataclasses.replace(data, unlabelled=())
    again = judge_by_words(dataclasses.replace(room, data=none, unlabelled=True), reading, lambda: encoder)
    np.testing.assert_array_equal(again, judged)
    assert len(encoder.tuned_on) == (2 * FOLDS if tuned else 0)


def test_a_tuned_encoder_has_half_the_say(data: LabelledTexts, reading: Reading) -> None:
    """For each fold one is tuned on the others, and for unlabelled texts one on all."""
    rows, encoder = np.arange(0, len(data.texts), 2), StubEncoder()
    judged = judge_by_words(Classroom(data, rows, by_group=True, unlabelled=True, tuned=True), reading, lambda: encoder)
    alone = judged_by(data, reading, rows, by_group=True)
    assert len(encoder.tuned_on) == FOLDS + 1
    for row in [*rows.tolist(), len(data.texts)]:
        words = slice(reading.starts[row], reading.starts[row + 1])
        tuned = 2 * judged[words] - alone[words]
        np.testing.assert_allclose(np.diff(tuned), 0.01, atol=1e-5)
        bases = {round(float(np.mean(labels)), 4) for _, labels in encoder.tuned_on}
        assert min(abs(float(tuned[0]) - base) for base in bases) < 1e-3
    assert data.groups is not None
    tweets = {
        tuple(np.unique([data.groups[data.texts.index(text)] for text in texts])) for texts, _ in encoder.tuned_on
    }
    assert len(tweets) == FOLDS + 1
    everything = max(encoder.tuned_on, key=lambda seen: len(seen[0]))
    assert everything[0] == [data.texts[row] for row in rows]
    assert everything[1] == data.labels[rows].tolist()
