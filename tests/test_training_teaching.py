"""What is taught is worked out once, and found again where nothing that shapes it has changed."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.special
from safetensors import SafetensorError

from tests.stub_sentences import StubEncoder
from tests.training_data import labelled, sentiment_rows
from training import teaching
from training.augmentation import MadeTexts
from training.data import LabelledTexts
from training.distillation import Teaching
from training.errors import TrainingError
from training.sentences import read_by_words
from training.splits import Rows
from training.teacher import FOLDS, Classroom, judge_by_words
from training.teaching import embed_texts, teach


@pytest.fixture(scope="module")
def data() -> LabelledTexts:
    return dataclasses.replace(labelled(sentiment_rows(tweets=20)), unlabelled=("awful game",))


@pytest.fixture(scope="module")
def rows(data: LabelledTexts) -> Rows:
    return np.arange(len(data.texts))


def taught(
    data: LabelledTexts, rows: Rows, load_encoder: Callable[[], StubEncoder], cache: Path, *, by_group: bool
) -> Teaching:
    return teach(Classroom(data, rows, by_group=by_group, unlabelled=True, tuned=False), load_encoder, cache)


def assert_same(found: Teaching, expected: Teaching) -> None:
    for name in ("starts", "ends", "embeddings"):
        np.testing.assert_array_equal(getattr(found.reading, name), getattr(expected.reading, name))
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_it_is_what_the_teacher_says_of_what_the_encoder_read(data: LabelledTexts, rows: Rows, tmp_path: Path) -> None:
    reading = read_by_words(StubEncoder(), [*data.texts, *data.unlabelled])
    log_odds = judge_by_words(Classroom(data, rows, by_group=True, unlabelled=True, tuned=False), reading, StubEncoder)
    expected = Teaching(reading, scipy.special.expit(log_odds))
    assert_same(taught(data, rows, StubEncoder, tmp_path / "deep" / "cache", by_group=True), expected)


def test_it_is_not_worked_out_twice(
    data: LabelledTexts, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the sentence encoder is loaded the second time, bit for bit the same is found."""
    first = taught(data, rows, StubEncoder, tmp_path, by_group=True)
    monkeypatch.setattr(teaching, "judge_by_words", None)
    assert_same(taught(data, rows, lambda: pytest.fail("was loaded"), tmp_path, by_group=True), first)


def test_another_split_is_judged_anew_but_not_read_anew(data: LabelledTexts, rows: Rows, tmp_path: Path) -> None:
    encoder = StubEncoder()
    taught(data, rows, lambda: encoder, tmp_path, by_group=True)
    half = taught(data, rows[::2], lambda: encoder, tmp_path, by_group=True)
    assert encoder.texts_read == len(data.texts) + 1
    assert np.isnan(half.probabilities).any()
    by_row = taught(data, rows, lambda: encoder, tmp_path, by_group=False)
    assert not np.array_equal(
        by_row.probabilities, taught(data, rows, lambda: encoder, tmp_path, by_group=True).probabilities
    )


def test_made_texts_are_read_and_judged_beside_the_others(data: LabelledTexts, rows: Rows, tmp_path: Path) -> None:
    encoder = StubEncoder()
    plain = taught(data, rows, lambda: encoder, tmp_path, by_group=True)
    made = MadeTexts(("lovely console", "awful"), np.array([0, len(data.texts)]))
    room = Classroom(data, rows, by_group=True, unlabelled=True, tuned=False, made=made)
    found = teach(room, lambda: encoder, tmp_path)
    assert encoder.texts_read == len(room.texts) == len(data.texts) + 1 + 2
    words = len(plain.probabilities)
    np.testing.assert_array_equal(found.probabilities[:words], plain.probabilities)
    assert np.isfinite(found.probabilities[words:]).all()
    expected = read_by_words(StubEncoder(), room.texts)
    np.testing.assert_array_equal(found.reading.starts, expected.starts)
    np.testing.assert_array_equal(found.reading.ends, expected.ends)
    np.testing.assert_array_equal(found.reading.embeddings, expected.embeddings)


def test_two_runs_that_want_the_same_make_it_once(data: LabelledTexts, rows: Rows, tmp_path: Path) -> None:
    """The other one waits, and finds it; neither leaves anything else behind."""
    encoder = StubEncoder()
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(taught, data, rows, lambda: encoder, tmp_path, by_group=True) for _ in range(4)]
        found = [run.result().probabilities for run in runs]
    assert encoder.texts_read == len(data.texts) + 1
    assert all(np.array_equal(one, found[0], equal_nan=True) for one in found)
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors"}


def test_other_texts_are_read_anew(data: LabelledTexts, rows: Rows, tmp_path: Path) -> None:
    encoder = StubEncoder()
    for other in (data, dataclasses.replace(data, unlabelled=("lovely game",))):
        taught(other, rows, lambda: encoder, tmp_path, by_group=True)
    assert encoder.texts_read == 2 * (len(data.texts) + 1)


def test_other_labels_are_judged_anew(data: LabelledTexts, rows: Rows, tmp_path: Path) -> None:
    turned = dataclasses.replace(data, labels=1 - data.labels)
    one, other = (taught(each, rows, StubEncoder, tmp_path, by_group=True).probabilities for each in (data, turned))
    np.testing.assert_allclose(one, 1 - other, atol=1e-3)


def test_nothing_half_written_is_left(
    data: LabelledTexts, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves no file that a later run would take for whole."""

    def fail(_: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device")  # as the real one does

    monkeypatch.setattr(teaching, "save_file", fail)
    with pytest.raises(TrainingError, match=r"cannot be written: .*No space left"):
        taught(data, rows, StubEncoder, tmp_path, by_group=True)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_reported(data: LabelledTexts, rows: Rows, tmp_path: Path) -> None:
    taught(data, rows, StubEncoder, tmp_path, by_group=True)
    reading = next(tmp_path.glob("reading-*"))
    reading.write_bytes(reading.read_bytes()[:-1])
    with pytest.raises(TrainingError, match=r"reading-.*cannot be read; delete it"):
        taught(data, rows, StubEncoder, tmp_path, by_group=True)


def test_what_is_said_of_whole_texts_is_what_is_said_after_their_last_word(
    data: LabelledTexts, rows: Rows, tmp_path: Path
) -> None:
    found = taught(data, rows, StubEncoder, tmp_path, by_group=True)
    last = [found.probabilities[found.reading.starts[row + 1] - 1] for row in (3, 0)]
    np.testing.assert_array_equal(found.of_whole_texts([3, 0]), last)


def test_a_tuned_teacher_is_asked_anew(data: LabelledTexts, rows: Rows, tmp_path: Path) -> None:
    encoder = StubEncoder()
    plain = taught(data, rows, lambda: encoder, tmp_path, by_group=True)
    room = Classroom(data, rows, by_group=True, unlabelled=True, tuned=True)
    tuned = [teach(room, lambda: encoder, tmp_path).probabilities for _ in range(2)]
    assert not np.array_equal(tuned[0], plain.probabilities)
    np.testing.assert_array_equal(tuned[0], tuned[1])
    assert len(encoder.tuned_on) == FOLDS + 1


def test_what_is_made_of_other_texts_is_judged_anew(data: LabelledTexts, rows: Rows, tmp_path: Path) -> None:
    """Though its words are the same: whose teacher judges it depends on its source."""
    found = []
    for source in range(0, len(data.texts), 20):
        made = MadeTexts(("awful game",), np.array([source]))
        room = Classroom(data, rows, by_group=True, unlabelled=True, tuned=False, made=made)
        kept = teach(room, StubEncoder, tmp_path).of_whole_texts([len(room.written)])
        assert kept == teach(room, StubEncoder, tmp_path / str(source)).of_whole_texts([len(room.written)])
        found.append(float(kept[0]))
    assert len(set(found)) > 1


def test_the_embeddings_of_the_labelled_texts_are_those_a_teacher_reads(
    data: LabelledTexts, rows: Rows, tmp_path: Path
) -> None:
    """And are read once for both."""
    found = embed_texts(data, StubEncoder, tmp_path)
    np.testing.assert_array_equal(found, read_by_words(StubEncoder(), data.texts).whole.astype(np.float32))
    reading = taught(data, rows, lambda: pytest.fail("was loaded"), tmp_path, by_group=True).reading
    np.testing.assert_array_equal(reading.whole[: len(data.texts)], found)
