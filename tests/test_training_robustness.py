"""Robustness and subgroups against the predictor itself: each text asked alone, each figure by scikit-learn."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from charlstm import Predictor
from charlstm.card import Part
from tests.tiny import tiny_artifacts
from tests.training_data import Row, labelled, sentiment_rows
from training.data import LabelledTexts
from training.robustness import Judgement, by_entity, by_length, judge_neither, measure_changes
from training.variants import CHANGES

ROWS = [
    *sentiment_rows(tweets=15),
    Row("9001", "shop", "Positive", "Best Game 🎮 #now"),
    Row("9002", "bank", "Negative", "🎮"),
    Row("9003", "bank", "Negative", "@Bank I HATE waiting in line, so very long in line: https://t.co/x"),
]


@pytest.fixture(scope="module")
def data() -> LabelledTexts:
    return dataclasses.replace(labelled(ROWS), entities=tuple(row.entity for row in ROWS))


@pytest.fixture(scope="module")
def judged(tiny_predictor: Predictor, data: LabelledTexts) -> Judgement:
    return Judgement.of(tiny_predictor, data, np.arange(len(ROWS)))


def negative(predictor: Predictor, text: str) -> float:
    return predictor.predict(text, truncate=True).probability_negative


def assert_scores(part: Part, rows: list[Row], probabilities: list[float]) -> None:
    labels = [row.sentiment == "Negative" for row in rows]
    assert part.rows == len(rows)
    right = [(p >= 0.5) == label for p, label in zip(probabilities, labels, strict=True)]
    assert part.accuracy == pytest.approx(np.mean(right))
    expected = roc_auc_score(labels, probabilities) if len(set(labels)) == 2 else None
    assert part.auc == (None if expected is None else pytest.approx(expected, abs=2e-3))


def ignore(_: str) -> None:
    """Hear of no step."""


def test_after_each_change_the_changed_texts_are_asked(tiny_predictor: Predictor, judged: Judgement) -> None:
    found = list(measure_changes(tiny_predictor, judged, ignore))
    assert [change.name for change in found] == list(CHANGES)
    for change in found:
        changed = [CHANGES[change.name](row.text) for row in ROWS]
        assert_scores(change, ROWS, [negative(tiny_predictor, text) for text in changed])
        altered = [(row, text) for row, text in zip(ROWS, changed, strict=True) if row.text != text]
        assert change.altered == len(altered)
        before = share_right(tiny_predictor, [(row, row.text) for row, _ in altered])
        assert change.altered_before == pytest.approx(before)
        assert change.altered_after == pytest.approx(share_right(tiny_predictor, altered))
    by_name = {change.name: change for change in found}
    assert by_name["without emoji"].altered == 1  # the text of an emoji alone stays
    assert by_name["without hashtags, mentions and links"].altered == 2
    assert by_name["lower case"].altered == 2


def share_right(predictor: Predictor, asked: list[tuple[Row, str]]) -> float | None:
    right = [(negative(predictor, text) >= 0.5) == (row.sentiment == "Negative") for row, text in asked]
    return float(np.mean(right)) if right else None


def test_a_change_that_alters_nothing_has_no_figures_of_its_own(tiny_predictor: Predictor) -> None:
    data = labelled(sentiment_rows(tweets=4))
    judged = Judgement.of(tiny_predictor, data, np.arange(len(data.texts)))
    (emoji,) = (change for change in measure_changes(tiny_predictor, judged, ignore) if change.name == "without emoji")
    assert (emoji.altered, emoji.altered_before, emoji.altered_after) == (0, None, None)
    assert emoji.accuracy == judged.all().accuracy


def test_each_step_is_told(tiny_predictor: Predictor, judged: Judgement) -> None:
    told: list[str] = []
    list(measure_changes(tiny_predictor, judged, told.append))
    assert [any(name in line for line in told) for name in CHANGES] == [True] * len(CHANGES)


def test_quarters_by_length_hold_every_text_once(tiny_predictor: Predictor, judged: Judgement) -> None:
    parts = list(by_length(judged))
    assert sum(part.rows for part in parts) == len(ROWS)
    shortest = 0
    for part in parts:
        low, high = (int(word) for word in part.name.split() if word.isdecimal())
        assert shortest < low <= high
        inside = [row for row in ROWS if low <= len(row.text) <= high]
        assert_scores(part, inside, [negative(tiny_predictor, row.text) for row in inside])
        shortest = high


def test_texts_of_one_length_are_one_part(tiny_predictor: Predictor) -> None:
    rows = [Row("1", "x", "Positive", "good"), Row("2", "x", "Negative", "evil"), Row("3", "x", "Negative", "crap")]
    judged = Judgement.of(tiny_predictor, labelled(rows), np.arange(3))
    assert [(part.name, part.rows) for part in by_length(judged)] == [("4 to 4 characters", 3)]


def test_texts_are_scored_by_what_they_are_about(
    tiny_predictor: Predictor, judged: Judgement, data: LabelledTexts
) -> None:
    """In the order of the alphabet; where all have one label there is no AUC."""
    parts = list(by_entity(judged, data))
    assert [part.name for part in parts] == sorted({row.entity for row in ROWS})
    for part in parts:
        inside = [row for row in ROWS if row.entity == part.name]
        assert_scores(part, inside, [negative(tiny_predictor, row.text) for row in inside])
    assert {part.auc for part in parts if part.name in ("bank", "shop")} == {None}


def test_without_entities_there_are_no_parts_by_them(judged: Judgement) -> None:
    assert list(by_entity(judged, labelled(ROWS))) == []


def test_what_is_said_of_texts_that_are_neither(tiny_predictor: Predictor, data: LabelledTexts) -> None:
    others = ("it is a game", "so so", "buy shoes", "a game, then another", "wait in line")
    labels = ("Neutral", "Neutral", "Irrelevant", "Neutral", "Neutral")
    data = dataclasses.replace(data, unlabelled=others, unlabelled_as=labels)
    irrelevant, neutral = judge_neither(tiny_predictor, data, ignore)
    assert (irrelevant.label, irrelevant.rows, sum(irrelevant.histogram)) == ("Irrelevant", 1, 1)
    p = [negative(tiny_predictor, text) for text, label in zip(others, labels, strict=True) if label == "Neutral"]
    assert (neutral.label, neutral.rows) == ("Neutral", 4)
    assert neutral.mean == pytest.approx(np.mean(p))
    assert neutral.quartiles == pytest.approx(np.quantile(p, [0.25, 0.5, 0.75]))
    assert neutral.undecided == np.mean([0.4 <= one <= 0.6 for one in p])
    assert neutral.called_negative == np.mean([one >= 0.5 for one in p])
    assert [sum(int(one * 10) == number for one in p) for number in range(10)] == list(neutral.histogram)


def test_texts_without_a_word_are_left_out(tmp_path: Path) -> None:
    """And a change that leaves no word is not made."""
    predictor = Predictor.load(tiny_artifacts(tmp_path, level="word"), "cpu")
    rows = [
        Row("1", "x", "Positive", "best game"),
        Row("2", "x", "Negative", " \n"),
        Row("3", "x", "Negative", "Worst"),
    ]
    data = dataclasses.replace(labelled(rows), unlabelled=(" ", "game"), unlabelled_as=("Neutral", "Neutral"))
    judged = Judgement.of(predictor, data, np.arange(3))
    assert judged.rows.tolist() == [0, 2]
    assert {change.rows for change in measure_changes(predictor, judged, ignore)} == {2}
    assert [texts.rows for texts in judge_neither(predictor, data, ignore)] == [1]
