"""What is in a data file and how a split divides it, before anything is trained."""

from dataclasses import dataclass

import numpy as np

from charlstm.config import NEGATIVE
from charlstm.text import Preprocessing
from charlstm.vocabulary import Vocabulary
from training.data import Dropped, LabelledTexts
from training.splits import Rows, SplitName, paraphrased, split_rows


@dataclass(frozen=True)
class Part:
    """One side of a split.

    Attributes:
        rows: How many.
        negative: How many of them are labelled negative.
        groups: How many distinct tweets they are paraphrases of; None if the data does not say.
    """

    rows: int
    negative: int
    groups: int | None


@dataclass(frozen=True)
class Lengths:
    """The lengths of some texts, in characters; the standard deviation is the sample's."""

    mean: float
    std: float
    min: int
    quartiles: tuple[float, float, float]
    max: int


@dataclass(frozen=True)
class Description:
    """Everything `describe` tells.

    Attributes:
        data: The file's name.
        sha256: Hash of the CSV's bytes.
        rows_read, rows_kept: All rows, and those with a text and one of the two labels.
        dropped: The other rows, by reason.
        split, split_seed: The division described.
        train, test: Its two sides.
        lengths: Of the training texts.
        vocabulary_size: Distinct characters of the training texts joined by a space, and `<UNK>`.
        first_tokens: The first ten of them.
        test_paraphrased: How many test rows have a paraphrase of themselves in training; None if it can't be told.
    """

    data: str
    sha256: str
    rows_read: int
    rows_kept: int
    dropped: tuple[Dropped, ...]
    split: str
    split_seed: int
    train: Part
    test: Part
    lengths: Lengths
    vocabulary_size: int
    first_tokens: tuple[str, ...]
    test_paraphrased: int | None


def describe(data: LabelledTexts, name: SplitName, seed: int) -> Description:
    """Work out a description.

    Raises:
        TrainingError: The data does not allow the split.
    """
    split = split_rows(data, name, seed)
    texts = data.texts_of(split.train)
    vocabulary = Vocabulary.build(texts, Preprocessing())
    return Description(
        data=data.name,
        sha256=data.sha256,
        rows_read=data.rows_read,
        rows_kept=len(data.texts),
        dropped=data.dropped,
        split=name.value,
        split_seed=seed,
        train=_part(data, split.train),
        test=_part(data, split.test),
        lengths=_lengths(texts),
        vocabulary_size=len(vocabulary),
        first_tokens=vocabulary.tokens[1:11],
        test_paraphrased=paraphrased(data, split.test, split.train),
    )


def _part(data: LabelledTexts, rows: Rows) -> Part:
    groups = None if data.groups is None else len(np.unique(data.groups[rows]))
    return Part(len(rows), int((data.labels[rows] == NEGATIVE).sum()), groups)


def _lengths(texts: list[str]) -> Lengths:
    lengths = np.array([len(text) for text in texts])
    low, middle, high = (float(quartile) for quartile in np.percentile(lengths, [25, 50, 75]))
    std = float(lengths.std(ddof=1)) if len(lengths) > 1 else 0.0
    return Lengths(float(lengths.mean()), std, int(lengths.min()), (low, middle, high), int(lengths.max()))
