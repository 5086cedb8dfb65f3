"""Methods beside each other: each baseline against scikit-learn used by hand, and no figure that flatters a model."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.svm import LinearSVC

from charlstm import Predictor
from charlstm.card import Reached
from charlstm.config import Scores
from tests.trained import record_of, save_trained
from tests.training_data import labelled, sentiment_rows
from training import baselines
from training.baselines import LEXICON, MAJORITY, SENTENCES, WORDS_AND_SENTENCES, score_baselines
from training.compare import NO_LEXICON, RECORDED, Candidate, compare, load_candidates
from training.data import LabelledTexts
from training.errors import TrainingError
from training.evaluate import evaluate
from training.splits import SplitName, split_rows

SCORES = Scores(rows=9, accuracy=0.9, auc=0.95, log_loss=0.5, f1=0.6, calibration_error=0.1, confusion=((4, 1), (2, 2)))
BOTH = list(SplitName)


@pytest.fixture(scope="module")
def data() -> LabelledTexts:
    """Give texts some of which say the opposite of their label, so that no method is perfect."""
    data = labelled(sentiment_rows(tweets=60))
    noise = np.random.default_rng(0).random(len(data.labels)) < 0.2
    return dataclasses.replace(data, labels=np.where(noise, 1 - data.labels, data.labels))


@pytest.fixture(scope="module")
def reached(data: LabelledTexts) -> dict[str, Reached]:
    return dict(score_baselines(data, split_rows(data, SplitName.GROUPED, 3), ignore))


def ignore(_: str) -> None:
    """Hear of no step."""


@pytest.mark.parametrize(
    ("counts", "vectorizer"),
    [
        ("TF-IDF, words 1-2", TfidfVectorizer(ngram_range=(1, 2))),
        ("TF-IDF, characters 2-5", TfidfVectorizer(analyzer="char", ngram_range=(2, 5))),
    ],
)
def test_counts_are_scikit_learns(
    data: LabelledTexts, reached: dict[str, Reached], counts: str, vectorizer: TfidfVectorizer
) -> None:
    split = split_rows(data, SplitName.GROUPED, 3)
    train, test = (vectorizer.fit_transform, vectorizer.transform)
    features = train([data.texts[row] for row in split.train])
    of_test = test([data.texts[row] for row in split.test])
    labels = data.labels[split.test]
    regression = LogisticRegression(max_iter=1000).fit(features, data.labels[split.train])
    svm = LinearSVC(random_state=0).fit(features, data.labels[split.train])
    for name, classifier, scores in (
        ("logistic regression", regression, regression.predict_proba(of_test)[:, 1]),
        ("linear SVM", svm, svm.decision_function(of_test)),
    ):
        found = reached[f"{counts}, {name}"]
        assert found.rows == len(labels)
        assert found.accuracy == accuracy_score(labels, classifier.predict(of_test))
        assert found.auc == pytest.approx(roc_auc_score(labels, scores))


@pytest.mark.parametrize("mostly", [0, 1])
def test_the_more_frequent_label_is_that_of_the_training_part(data: LabelledTexts, mostly: int) -> None:
    split = split_rows(data, SplitName.GROUPED, 3)
    labels = data.labels.copy()
    labels[split.train[: len(split.train) * 2 // 3]] = mostly
    found = dict(score_baselines(dataclasses.replace(data, labels=labels), split, ignore))[MAJORITY]
    assert found.accuracy == pytest.approx((labels[split.test] == mostly).mean())
    assert found.auc == 0.5


def test_embeddings_go_under_scikit_learns_logistic_regression(data: LabelledTexts) -> None:
    """Beside all else, and only where there are any."""
    split = split_rows(data, SplitName.GROUPED, 3)
    embeddings = np.random.default_rng(0).normal(size=(len(data.texts), 5)).astype(np.float32)
    embeddings[:, 0] += data.labels
    found = compare(data, [], [SplitName.GROUPED], 3, ignore, embeddings=embeddings)
    (ours,) = (one.reached["grouped"] for one in found.contestants if one.name == SENTENCES)
    regression = LogisticRegression(max_iter=1000).fit(embeddings[split.train], data.labels[split.train])
    assert ours.accuracy == regression.score(embeddings[split.test], data.labels[split.test])
    without = {one.name for one in compare(data, [], [SplitName.GROUPED], 3, ignore).contestants}
    assert not without & {SENTENCES, WORDS_AND_SENTENCES}


@pytest.mark.parametrize(("name", "penalty"), [(SplitName.GROUPED, 2.0), (SplitName.ARTICLE, 30.0)])
def test_words_and_embeddings_go_together_under_logistic_regression(
    data: LabelledTexts, name: SplitName, penalty: float
) -> None:
    split = split_rows(data, name, 3)
    embeddings = np.random.default_rng(0).normal(size=(len(data.texts), 5)).astype(np.float32)
    embeddings[:, 0] += data.labels
    found = compare(data, [], [name], 3, ignore, embeddings=embeddings)
    (ours,) = (one.reached[name] for one in found.contestants if one.name == WORDS_AND_SENTENCES)
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit(data.texts_of(split.train))
    learn, test = (
        np.hstack([words.transform(data.texts_of(rows)).toarray(), 2.0 * embeddings[rows]])
        for rows in (split.train, split.test)
    )
    regression = LogisticRegression(C=penalty, max_iter=1000).fit(learn, data.labels[split.train])
    scores = regression.decision_function(test)
    assert ours.auc == pytest.approx(roc_auc_score(data.labels[split.test], scores), abs=1e-2)
    assert ours.accuracy == pytest.approx(regression.score(test, data.labels[split.test]), abs=2 / len(split.test))


def test_the_lexicon_knows_plain_words(reached: dict[str, Reached], data: LabelledTexts) -> None:
    """Its words are those of the made-up texts; a fifth of the labels says the opposite."""
    assert 0.7 < reached[LEXICON].accuracy < 0.9
    assert reached[LEXICON].rows == len(split_rows(data, SplitName.GROUPED, 3).test)


def test_without_its_package_the_lexicon_is_left_out_and_a_line_says_so(
    data: LabelledTexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "find_spec", lambda _: None)
    found = compare(data, [], [SplitName.GROUPED], 3, ignore)
    assert LEXICON not in {one.name for one in found.contestants}
    assert found.notes == (NO_LEXICON,)


def test_a_model_is_scored_on_the_split_it_was_trained_on_and_quoted_on_the_other(
    data: LabelledTexts, tmp_path: Path
) -> None:
    record = record_of(data, SplitName.GROUPED, 3)
    folder = save_trained(tmp_path, record, {"grouped": SCORES, "article": SCORES})
    candidate = load_candidates([folder])[0]
    found = compare(data, [candidate], BOTH, 3, ignore)
    model = found.contestants[-1]
    assert (model.name, model.is_model, found.splits) == (str(folder), True, ("article", "grouped"))
    measured = evaluate(candidate.predictor, data, SplitName.GROUPED, 3).scores
    assert model.reached["grouped"] == Reached(
        rows=measured.rows, accuracy=measured.accuracy, auc=measured.auc, how="measured"
    )
    assert model.reached["article"] == Reached(rows=9, accuracy=0.9, auc=0.95, how="recorded")
    assert RECORDED in found.notes


def test_a_split_without_an_honest_score_stays_empty(data: LabelledTexts, tmp_path: Path) -> None:
    folder = save_trained(tmp_path, record_of(data, SplitName.ARTICLE, 3), {"article": SCORES})
    found = compare(data, load_candidates([folder]), BOTH, 3, ignore)
    assert set(found.contestants[-1].reached) == {"article"}
    assert any(f"{folder}: learnt from test texts of the grouped split" in note for note in found.notes)


def test_under_another_seed_the_recorded_score_stands_and_a_line_says_so(data: LabelledTexts, tmp_path: Path) -> None:
    folder = save_trained(tmp_path, record_of(data, SplitName.GROUPED, 7), {"grouped": SCORES})
    found = compare(data, load_candidates([folder]), [SplitName.GROUPED], 3, ignore)
    assert found.contestants[-1].reached["grouped"].how == "recorded"
    assert any("trained with split seed 7" in note for note in found.notes)


def test_of_an_unknown_model_it_is_said_that_it_may_know_the_texts(
    data: LabelledTexts, tmp_path: Path, tiny_predictor: Predictor
) -> None:
    elsewhere = dataclasses.replace(data, texts=data.texts[::-1])
    folder = save_trained(tmp_path, record_of(elsewhere, SplitName.GROUPED, 3), {"grouped": SCORES})
    candidates = [Candidate("unknown", tiny_predictor), *load_candidates([folder])]
    found = compare(data, candidates, [SplitName.GROUPED], 3, ignore)
    assert [one.reached["grouped"].how for one in found.contestants[-2:]] == ["measured"] * 2
    assert sum("can't be told" in note for note in found.notes) == 2


def test_data_without_groups_has_no_grouped_split() -> None:
    with pytest.raises(TrainingError, match="--group-column"):
        compare(labelled(sentiment_rows(tweets=10), grouped=False), [], BOTH, 3, ignore)


@pytest.mark.parametrize("part", ["training", "test"])
def test_a_part_of_one_label_is_said_to_be(part: str) -> None:
    """Not by whatever method comes upon it first."""
    data = labelled(sentiment_rows(tweets=10))
    split = split_rows(data, SplitName.GROUPED, 3)
    labels = data.labels.copy()
    labels[split.train if part == "training" else split.test] = 0
    labels[split.test[0] if part == "training" else split.train[0]] = 1
    with pytest.raises(TrainingError, match=f"the {part} part of the grouped split needs texts of both labels"):
        compare(dataclasses.replace(data, labels=labels), [], [SplitName.GROUPED], 3, ignore)


def test_texts_with_nothing_to_count_are_said_to_be() -> None:
    """Such as emoji alone: a word has two letters."""
    data = labelled(sentiment_rows(tweets=10))
    faces = tuple("\N{SMILING FACE WITH HEART-SHAPED EYES}" if label else "!" for label in data.labels)
    with pytest.raises(TrainingError, match="TF-IDF, words 1-2: the training texts hold nothing of that kind"):
        compare(dataclasses.replace(data, texts=faces), [], [SplitName.GROUPED], 3, ignore)


def test_each_step_is_told_with_its_split(data: LabelledTexts) -> None:
    told: list[str] = []
    compare(data, [], [SplitName.GROUPED], 3, told.append)
    assert all(line.startswith("grouped split: ") for line in told)
    assert len(told) == 7
