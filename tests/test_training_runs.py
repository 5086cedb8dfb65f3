"""How far runs of one recipe are apart: what was recorded, in order, and nothing of another recipe."""

from pathlib import Path

import numpy as np
import pytest

from charlstm.artifacts import Artifacts, load_artifacts
from charlstm.config import Scores
from tests.trained import record_of, save_trained
from tests.training_data import labelled, sentiment_rows
from training.errors import TrainingError
from training.runs import spreads_of, table_of_runs, with_earlier
from training.splits import SplitName

DATA = labelled(sentiment_rows(tweets=10))


def scores(accuracy: float) -> Scores:
    return Scores(
        rows=9,
        accuracy=accuracy,
        auc=accuracy / 2,
        log_loss=0.5,
        f1=0.6,
        calibration_error=0.1,
        confusion=((4, 1), (2, 2)),
    )


def run(folder: Path, accuracy: float, **changes: object) -> tuple[Path, Artifacts]:
    record = record_of(DATA, SplitName.GROUPED).model_copy(update=changes)
    return folder, load_artifacts(save_trained(folder, record, {"grouped": scores(accuracy)}))


def test_runs_come_in_the_order_of_their_seeds(tmp_path: Path) -> None:
    runs = table_of_runs(
        [
            run(tmp_path / "a", 0.7, seed=2),
            run(tmp_path / "b", 0.8, seed=1, split_seed=50),
            run(tmp_path / "c", 0.9, seed=1),
        ]
    )
    assert [(one.split_seed, one.seed, one.accuracy) for one in runs] == [(42, 1, 0.9), (42, 2, 0.7), (50, 1, 0.8)]
    division, spread = spreads_of(runs)
    assert (division.split, division.split_seed, division.runs) == ("grouped", 42, 2)
    assert division.mean_accuracy == pytest.approx(0.8)
    assert division.std_accuracy == pytest.approx(np.std([0.7, 0.9], ddof=1))
    assert (spread.split, spread.split_seed, spread.runs) == ("grouped", None, 3)
    assert spread.mean_accuracy == pytest.approx(0.8)
    assert spread.std_accuracy == pytest.approx(np.std([0.7, 0.8, 0.9], ddof=1))
    assert [spread.mean_auc, spread.std_auc] == pytest.approx([0.4, 0.05])


def test_earlier_runs_are_added_and_a_newer_one_of_the_same_seeds_counts(tmp_path: Path) -> None:
    earlier = table_of_runs([run(tmp_path / "a", 0.7, seed=2), run(tmp_path / "b", 0.8, seed=3)])
    newer = table_of_runs([run(tmp_path / "c", 0.9, seed=2), run(tmp_path / "d", 0.6, seed=4)])
    assert [(one.seed, one.accuracy) for one in with_earlier(newer, earlier)] == [(2, 0.9), (3, 0.8), (4, 0.6)]


def test_runs_of_one_division_are_not_told_twice(tmp_path: Path) -> None:
    (spread,) = spreads_of(table_of_runs([run(tmp_path / str(seed), 0.7, seed=seed) for seed in range(3)]))
    assert (spread.split_seed, spread.runs) == (42, 3)


def test_a_run_that_is_there_twice_counts_for_none(tmp_path: Path) -> None:
    """Not even if it scored otherwise: which of them is it?"""
    with pytest.raises(TrainingError, match=r"other: is the same run as .*a: split seed 42, seed 1"):
        table_of_runs([run(tmp_path / "a", 0.9, seed=1), run(tmp_path / "other", 0.1, seed=1)])
    with pytest.raises(TrainingError, match="is the same run as"):
        table_of_runs(2 * [run(tmp_path / "a", 0.9)])


def test_one_run_has_no_spread(tmp_path: Path) -> None:
    assert spreads_of(table_of_runs([run(tmp_path, 0.7)])) == ()


def test_a_model_that_was_stopped_early_can_be_told_of_alone(tmp_path: Path) -> None:
    (found,) = table_of_runs([run(tmp_path, 0.7, options={"epochs": 12})])
    assert found.accuracy == pytest.approx(0.7)


def test_a_choice_that_there_was_not_yet_is_its_default(tmp_path: Path) -> None:
    old, new = run(tmp_path / "a", 0.7, options={}), run(tmp_path / "b", 0.8, seed=1, options={"forget_bias": 0.0})
    assert len(table_of_runs([old, new])) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": {"forget_bias": 1.0}}, "another recipe: forget_bias is 1.0, not 0.0"),
        ({"options": {"hidden_size": 3}}, "another recipe: hidden_size is 3, not absent"),
        ({"rows_sha256": "other"}, "trained on other rows"),
        ({"options": {"epochs": 12}}, "was stopped after 1 of 12 epochs, so it is no whole run"),
    ],
)
def test_a_run_of_another_recipe_is_none(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(TrainingError, match=message) as caught:
        table_of_runs([run(tmp_path / "a", 0.7), run(tmp_path / "other", 0.7, **changes)])
    assert str(tmp_path / "other") in str(caught.value)


def test_a_model_that_does_not_say_how_it_was_trained_is_no_run(tmp_path: Path) -> None:
    unknown = load_artifacts(save_trained(tmp_path / "unknown", None, {}))
    with pytest.raises(TrainingError, match="unknown: does not say how it was trained"):
        table_of_runs([run(tmp_path / "a", 0.7), (tmp_path / "unknown", unknown)])
