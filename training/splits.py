"""The two ways to divide the rows, and why there are two.

`article` draws rows at random, as the article does. In its data every tweet stands about six times, paraphrased, so
nearly every test row has a twin in training, and a score on it measures memory. `grouped` keeps a tweet and its
paraphrases on one side: it measures what a model does with a tweet that it has never seen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from training.data import LabelledTexts
from training.errors import TrainingError

TEST_FRACTION = 0.2

Rows = npt.NDArray[np.int64]


class SplitName(StrEnum):
    """How rows are divided."""

    ARTICLE = "article"
    GROUPED = "grouped"


@dataclass(frozen=True)
class Split:
    """Row numbers of the two parts, in no particular order but always the same."""

    train: Rows
    test: Rows


def split_rows(data: LabelledTexts, name: SplitName, seed: int) -> Split:
    """Divide all rows into 80 % training and 20 % test.

    Raises:
        TrainingError: A grouped split is asked for and the data has no groups, or there is too little of anything.
    """
    return _divide(data, np.arange(len(data.texts)), name, TEST_FRACTION, seed)


def part_in_words(split: SplitName | None, seed: int) -> str:
    """Say which rows are read: the test part of a split, or all if there is no split."""
    return "all rows" if split is None else f"test part of the {split} split (seed {seed})"


def hold_out(data: LabelledTexts, train: Rows, name: SplitName, fraction: float, seed: int) -> Split:
    """Divide the training rows again, in the same way, into those to fit and those to validate on."""
    if fraction == 0:
        return Split(train, train[:0])
    return _divide(data, train, name, fraction, seed)


def paraphrased(data: LabelledTexts, rows: Rows, others: Rows) -> int | None:
    """Count the rows of which a paraphrase, a row of the same group, is among the others."""
    return None if data.groups is None else int(np.isin(data.groups[rows], data.groups[others]).sum())


def repeated(texts: Sequence[str], others: Iterable[str]) -> npt.NDArray[np.bool_]:
    """Tell which of R texts stand word for word, in whatever case, among the others: (R,)."""
    known = {_plain(other) for other in others}
    return np.array([_plain(text) in known for text in texts], dtype=np.bool_)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _divide(data: LabelledTexts, rows: Rows, name: SplitName, fraction: float, seed: int) -> Split:
    if name is SplitName.ARTICLE:
        try:
            train, test = train_test_split(rows, test_size=fraction, random_state=seed)
        except ValueError as error:  # one side would be empty
            raise TrainingError(f"{len(rows)} rows are too few to set {fraction:.0%} of them apart") from error
        return Split(train, test)
    if data.groups is None:
        raise TrainingError(
            "a grouped split needs a --group-column, which says what texts belong together, such as one author's; "
            "without one, --split article divides the rows at random"
        )
    groups = data.groups[rows]
    if len(np.unique(groups)) < 2:
        raise TrainingError("a grouped split needs at least 2 groups, found 1")
    splitter = GroupShuffleSplit(n_splits=1, test_size=fraction, random_state=seed)
    try:
        train_at, test_at = next(splitter.split(rows, groups=groups))
    except ValueError as error:  # one side would be empty
        found = len(np.unique(groups))
        raise TrainingError(f"{found} groups are too few to set {fraction:.0%} of them apart") from error
    return Split(rows[train_at], rows[test_at])
