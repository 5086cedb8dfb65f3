"""How far models of one recipe are apart: other seeds, other splits."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from charlstm.artifacts import Artifacts
from charlstm.card import RunOfRecipe, Spread
from charlstm.config import TrainingRecord
from training.errors import TrainingError
from training.recipe import Recipe

_ABSENT: Final = "absent"


def table_of_runs(runs: Sequence[tuple[Path, Artifacts]]) -> tuple[RunOfRecipe, ...]:
    """Collect what each run scored on the test part of each split when it was trained, in the order of their seeds.

    Args:
        runs: Folder and model; all have to be of the first one's recipe.

    Raises:
        TrainingError: One does not say how it was trained, or was trained in another way or on other rows, or has the
            seeds of another; or one of several was stopped before its last epoch.
    """
    records = [_record(folder, artifacts) for folder, artifacts in runs]
    seen: dict[tuple[int, int], Path] = {}
    for (folder, _), record in zip(runs, records, strict=True):
        if len(runs) > 1:
            _check_whole(folder, record)
        _check_same(folder, record, records[0])
        seeds = (record.split_seed, record.seed)
        if seeds in seen:
            same = f"is the same run as {seen[seeds]}: split seed {record.split_seed}, seed {record.seed}"
            raise TrainingError(f"{folder}: {same}")
        seen[seeds] = folder
    found = [
        RunOfRecipe(
            seed=record.seed,
            split_seed=record.split_seed,
            split=split,
            rows=scores.rows,
            accuracy=scores.accuracy,
            auc=scores.auc,
            calibration_error=scores.calibration_error,
        )
        for (_, artifacts), record in zip(runs, records, strict=True)
        for split, scores in artifacts.config.metrics.items()
    ]
    return tuple(sorted(found, key=_place))


def with_earlier(runs: Sequence[RunOfRecipe], earlier: Sequence[RunOfRecipe]) -> tuple[RunOfRecipe, ...]:
    """Add the runs that an earlier card of the same model tells of: their folders need not be there any more."""
    by_place = {_place(run): run for run in (*earlier, *runs)}
    return tuple(by_place[place] for place in sorted(by_place))


def spreads_of(runs: Sequence[RunOfRecipe]) -> tuple[Spread, ...]:
    """Work out mean and standard deviation over runs that were scored on the same split.

    First over those of each division that has several, which differ in nothing but their seed; then over all, if they
    are of several divisions.
    """
    spreads: list[Spread] = []
    for split in sorted({run.split for run in runs}):
        here = [run for run in runs if run.split == split]
        divisions = sorted({run.split_seed for run in here})
        for division in divisions:
            of_division = [run for run in here if run.split_seed == division]
            if len(of_division) > 1:
                spreads.append(_spread(split, division, of_division))
        if len(divisions) > 1:
            spreads.append(_spread(split, None, here))
    return tuple(spreads)


def _spread(split: str, division: int | None, runs: Sequence[RunOfRecipe]) -> Spread:
    accuracies, aucs = [run.accuracy for run in runs], [run.auc for run in runs]
    return Spread(
        split=split,
        split_seed=division,
        runs=len(runs),
        mean_accuracy=statistics.mean(accuracies),
        mean_auc=statistics.mean(aucs),
        std_accuracy=statistics.stdev(accuracies),
        std_auc=statistics.stdev(aucs),
    )


def _place(run: RunOfRecipe) -> tuple[str, int, int]:
    return run.split, run.split_seed, run.seed


def _record(folder: Path, artifacts: Artifacts) -> TrainingRecord:
    if artifacts.config.training is None:
        raise TrainingError(f"{folder}: does not say how it was trained, so it is no run of this recipe")
    return artifacts.config.training


def _check_whole(folder: Path, record: TrainingRecord) -> None:
    wanted = record.options.get("epochs", record.epochs)
    if record.epochs != wanted:
        raise TrainingError(f"{folder}: was stopped after {record.epochs} of {wanted} epochs, so it is no whole run")


def _check_same(folder: Path, record: TrainingRecord, first: TrainingRecord) -> None:
    if record.rows_sha256 != first.rows_sha256:
        raise TrainingError(f"{folder}: was trained on other rows, so it does not show how far runs are apart")
    ours, theirs = _options(first), _options(record)
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(name, _ABSENT), theirs.get(name, _ABSENT)
        if one != other:
            raise TrainingError(f"{folder}: is of another recipe: {name} is {other}, not {one}")


def _options(record: TrainingRecord) -> dict[str, Any]:
    """Add the choices that there were not yet when a model was trained: it was trained as their defaults do it."""
    defaults = {name: field.default for name, field in Recipe.model_fields.items() if not field.is_required()}
    return defaults | record.options
