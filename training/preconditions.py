"""What is found out before a training that may take hours, not after it."""

import os
from collections.abc import Mapping
from pathlib import Path

from charlstm.artifacts import holds_model
from charlstm.config import NEGATIVE
from training.data import LabelledTexts
from training.errors import TrainingError
from training.metrics import Labels
from training.splits import SplitName


def check_place(folder: Path) -> None:
    """Find out that a folder can be written.

    Raises:
        TrainingError: It cannot.
    """
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not place.is_dir():
        raise TrainingError(f"{folder}: cannot be written, {place} is no folder")
    if not os.access(place, os.W_OK):
        raise TrainingError(f"{folder}: cannot be written, {place} is read-only")


def check_no_finished_model(output: Path, checkpoint: Path) -> None:
    """Find out that a repeated command would replace no model; one of an unfinished run is there to be replaced.

    Raises:
        TrainingError: It would.
    """
    if holds_model(output) and not checkpoint.exists():
        raise TrainingError(f"{output} holds a finished model; --fresh replaces it")


def check_labels(data: LabelledTexts, split: SplitName, labels: Mapping[str, Labels]) -> None:
    """Find out that every part of the data can be trained on and scored.

    Raises:
        TrainingError: One has texts of one label only.
    """
    for part, found in labels.items():
        if len(set(found.tolist())) < 2:
            needed = f"the {part} part of the {split} split needs texts of both labels, found {len(found)} of one"
            raise TrainingError(f"{needed}; {_rows_in(data)}, and more are needed")


def _rows_in(data: LabelledTexts) -> str:
    negative = int((data.labels == NEGATIVE).sum())
    return f"{data.name} has {len(data.labels) - negative:,} positive and {negative:,} negative rows"
