"""Blocks of texts in, columns of predictions out."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.bulk import COLUMNS, NOTES, BulkScorer, Scores
from charlstm.errors import ArtifactError, DeviceError
from charlstm.predictor import Predictor
from tests.tiny import TEXTS, texts, tiny_artifacts

MANY = tuple(f"{text} {'again ' * (n % 7)}{n}" for n in range(40) for text in TEXTS)  # more than the batch has seats


@pytest.fixture(scope="module")
def scorer(tiny_directory: Path) -> BulkScorer:
    return BulkScorer.load(tiny_directory, device="cpu")


def same(found: Scores, expected: Scores) -> bool:
    """Compare to the last bit."""
    negative = found.probability_negative.tobytes() == expected.probability_negative.tobytes()
    return negative and found.note == expected.note


@pytest.mark.parametrize(
    "kind",
    [{}, {"num_layers": 2}, {"pad_to": 50}, {"level": "word"}, {"max_length": None}, {"temperature": 2.5}],
    ids=str,
)
def test_each_row_gets_what_the_predictor_says_of_its_text(tmp_path: Path, kind: dict[str, int]) -> None:
    folder = tiny_artifacts(tmp_path, **kind)  # type: ignore[arg-type]  # each is one of its arguments
    scores = BulkScorer.load(folder, device="cpu").score(MANY)
    expected = Predictor.load(folder, device="cpu").predict(MANY, truncate=True)
    negative = [prediction.probability_negative for prediction in expected]
    np.testing.assert_allclose(scores.probability_negative, negative, atol=1e-6, rtol=0)
    assert len({round(p, 4) for p in negative}) > 5, "the texts must differ for their order to be seen"
    assert scores.label == [prediction.label for prediction in expected]
    np.testing.assert_allclose(scores.probability, [prediction.probability for prediction in expected], atol=1e-6)
    assert scores.note == ["truncated" if prediction.truncated else None for prediction in expected]


@given(block=st.lists(texts(min_size=0) | st.none() | st.just("a\0"), max_size=20))
def test_every_row_has_a_prediction_or_a_note_that_says_why_not(
    scorer: BulkScorer, block: Sequence[str | None]
) -> None:
    scores = scorer.score(block)
    assert len(scores.note) == len(scores.label) == len(scores.probability_negative) == len(block)
    for text, label, note in zip(block, scores.label, scores.note, strict=True):
        if text is None or not text.strip():
            assert (label, note) == (None, "empty")
        elif "\0" in text:
            assert (label, note) == (None, "unreadable")
        else:
            assert (label is not None, note) == (True, "truncated" if len(text) > 64 else None)


def test_a_block_gives_the_same_to_the_last_bit_whatever_came_before(scorer: BulkScorer) -> None:
    expected = scorer.score(MANY[:150])
    scorer.score(MANY[150:])
    assert same(scorer.score(MANY[:150]), expected)
    assert same(scorer.judge(scorer.encode(MANY[:150])), expected)


def test_several_threads_get_what_one_gets(scorer: BulkScorer) -> None:
    blocks = [MANY[start : start + 50] for start in range(0, 200, 50)]
    expected = [scorer.score(block) for block in blocks]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(scorer.score, blocks * 3))
    assert all(same(one, other) for one, other in zip(found, expected * 3, strict=True))


@pytest.mark.parametrize(
    ("value", "note"),
    [
        (None, "empty"),
        (float("nan"), "empty"),
        (pd.NA, "empty"),
        (pd.NaT, "empty"),
        ("", "empty"),
        (" \t\n\u3000", "empty"),
        (7, "unreadable"),
        (b"so bad", "unreadable"),
        (["so bad"], "unreadable"),
        (np.array([1, 2]), "unreadable"),
        ("so \ud83c", "unreadable"),
        ("so \0", "unreadable"),
    ],
)
def test_what_is_no_text_is_noted_and_stops_nothing(scorer: BulkScorer, value: object, note: str) -> None:
    scores = scorer.score(["so bad", value, "I love it"])
    assert scores.note == [None, note, None]
    assert scores.label[1] is None
    assert math.isnan(scores.probability_negative[1])
    assert math.isnan(scores.probability[1])
    assert scores.judged.tolist() == [True, False, True]


@pytest.mark.parametrize("block", [[], [None], ["", None]])
def test_a_block_may_hold_nothing_to_judge(scorer: BulkScorer, block: Sequence[str | None]) -> None:
    scores = scorer.score(block)
    assert scores.label == [None] * len(block)
    assert scores.probability_negative.shape == (len(block),)


def test_the_columns_fit_a_data_frame_of_any_index(scorer: BulkScorer) -> None:
    frame = pd.DataFrame({"text": ["so bad", None, "I love it"]}, index=[7, 8, 9])
    scored = frame.assign(**scorer.score(frame["text"]).columns())
    assert list(scored.columns) == ["text", *COLUMNS]
    assert scored["label"].notna().tolist() == [True, False, True]
    assert scored["probability_negative"].dtype == np.float32
    assert scored["note"].tolist()[1] in NOTES
    assert list(scorer.score(["so"]).columns("model_")) == [f"model_{name}" for name in COLUMNS]


def test_progress_counts_up_to_the_texts_that_were_judged(scorer: BulkScorer) -> None:
    seen: list[int] = []
    scorer.score([*MANY, None], on_judged=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == len(MANY)
    assert len(seen) > 2


def test_half_precision_gives_nearly_the_same(tiny_directory: Path, scorer: BulkScorer) -> None:
    rough = BulkScorer.load(tiny_directory, "cpu", "bfloat16").score(MANY).probability_negative
    exact = scorer.score(MANY).probability_negative
    assert 0 < np.abs(rough - exact).max() < 0.05


def test_what_cannot_be_loaded_is_refused(tmp_path: Path, tiny_directory: Path) -> None:
    with pytest.raises(ArtifactError):
        BulkScorer.load(tmp_path)
    with pytest.raises(DeviceError):
        BulkScorer.load(tiny_directory, device="tpu")
