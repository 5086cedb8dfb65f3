"""Whether a model keeps its answers when a text changes and its meaning does not, and whose texts it does worse on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from charlstm.card import Changed, OtherTexts, Part
from charlstm.predictor import Predictor
from training.data import LabelledTexts
from training.evaluate import has_token, probabilities_negative, readable_rows
from training.metrics import accuracy_and_auc
from training.progress import Step
from training.splits import Rows
from training.variants import CHANGES

UNCHANGED = "as they are"
_HISTOGRAM_BINS = 10

_Labels = npt.NDArray[np.int64]
_Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Judgement:
    """What a model says of R rows.

    Attributes:
        rows: (R,) which rows of the data.
        texts: R texts.
        labels: (R,) 1 for negative, 0 for positive.
        negative: (R,) P(negative).
    """

    rows: Rows
    texts: list[str]
    labels: _Labels
    negative: _Probabilities

    @classmethod
    def of(cls, predictor: Predictor, data: LabelledTexts, rows: Rows) -> Self:
        """Ask a model; texts over its limit are cut, texts without a token are left out."""
        readable = readable_rows(predictor, data, rows)
        texts = data.texts_of(readable)
        return cls(readable, texts, data.labels[readable], probabilities_negative(predictor, texts))

    def part(self, name: str, inside: npt.NDArray[np.bool_]) -> Part:
        """Score the rows that lie inside (R,)."""
        return _part(name, self.labels[inside], self.negative[inside])

    def all(self) -> Part:
        """Score all rows."""
        return self.part(UNCHANGED, np.ones(len(self.rows), dtype=np.bool_))


def measure_changes(predictor: Predictor, judged: Judgement, step: Step) -> Iterator[Changed]:
    """Ask again after each change; a text of which the change would leave nothing to read stays as it is."""
    for name, change in CHANGES.items():
        step(f"scoring texts {name}")
        texts = [changed if has_token(predictor, changed := change(text)) else text for text in judged.texts]
        altered = np.array([one != other for one, other in zip(texts, judged.texts, strict=True)])
        negative = probabilities_negative(predictor, texts)
        whole = _part(name, judged.labels, negative)
        yield Changed(
            **dict(whole),
            altered=int(altered.sum()),
            altered_before=_accuracy(judged.labels[altered], judged.negative[altered]),
            altered_after=_accuracy(judged.labels[altered], negative[altered]),
        )


def by_length(judged: Judgement) -> Iterator[Part]:
    """Score the four quarters of the texts by their length in characters; texts of equal length stay together."""
    lengths = np.array([len(text) for text in judged.texts])
    edges = np.percentile(lengths, [25, 50, 75])
    quarter = np.searchsorted(edges, lengths)  # 0 up to the first edge, 3 above the last
    for number in np.unique(quarter):
        inside = quarter == number
        shortest, longest = int(lengths[inside].min()), int(lengths[inside].max())
        yield judged.part(f"{shortest} to {longest} characters", inside)


def by_entity(judged: Judgement, data: LabelledTexts) -> Iterator[Part]:
    """Score the texts about each thing, if the data says what they are about, in the order of the alphabet."""
    if data.entities is None:
        return
    entities = np.array([data.entities[row] for row in judged.rows])
    for entity in np.unique(entities):
        yield judged.part(str(entity), entities == entity)


def judge_neither(predictor: Predictor, data: LabelledTexts, step: Step) -> Iterator[OtherTexts]:
    """Say what a model makes of the texts with other labels, label by label.

    None of them shares a group with a labelled row, so none is a paraphrase of a text that was trained on with a label.
    """
    labels = np.array(data.unlabelled_as)
    for label in np.unique(labels):
        step(f"reading texts labelled {label}")
        texts = [
            text
            for text, its in zip(data.unlabelled, data.unlabelled_as, strict=True)
            if its == label and has_token(predictor, text)
        ]
        if texts:
            yield _neither(str(label), probabilities_negative(predictor, texts))


def _neither(label: str, negative: _Probabilities) -> OtherTexts:
    low, middle, high = (float(quartile) for quartile in np.percentile(negative, [25, 50, 75]))
    counts, _ = np.histogram(negative, bins=_HISTOGRAM_BINS, range=(0.0, 1.0))
    return OtherTexts(
        label=label,
        rows=len(negative),
        mean=float(negative.mean()),
        undecided=float(((negative >= 0.4) & (negative <= 0.6)).mean()),
        called_negative=float((negative >= 0.5).mean()),
        quartiles=(low, middle, high),
        histogram=tuple(counts.tolist()),
    )


def _part(name: str, labels: _Labels, negative: _Probabilities) -> Part:
    if len(np.unique(labels)) < 2:  # no curve to have an area under
        accuracy = float(((negative >= 0.5) == labels).mean())
        return Part(name=name, rows=len(labels), accuracy=accuracy, auc=None)
    accuracy, auc = accuracy_and_auc(labels, negative)
    return Part(name=name, rows=len(labels), accuracy=accuracy, auc=auc)


def _accuracy(labels: _Labels, negative: _Probabilities) -> float | None:
    return float(((negative >= 0.5) == labels).mean()) if len(labels) else None
