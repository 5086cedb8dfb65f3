"""A teacher: logistic regression on TF-IDF words and sentence embeddings, and a sentence encoder fine-tuned beside it.

It is right more often than a network that reads characters and learns from labels alone, and says how sure it is; it
says it of any text, so of every beginning of a text and of texts without a label too. A text's own label is
never part of what its teacher has learnt from; nor, by group, are those of its group.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy.sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold

from training.augmentation import MadeTexts
from training.data import LabelledTexts
from training.errors import TrainingError
from training.sentences import LogOdds, Reading, SentenceEncoder
from training.splits import Rows

FOLDS = 4  # each costs a fine-tuning; with more, a teacher learns from little more

# The weight of an embedding, of length 1, beside the TF-IDF vector, of length 1 too.
_EMBEDDING_SCALE = 2.0

_C_BY_GROUP, _C_BY_ROW = 2.0, 30.0

Embeddings = npt.NDArray[np.float16] | npt.NDArray[np.float32]


def inverse_penalty(*, by_group: bool) -> float:
    """Return the `C` of scikit-learn's logistic regression that does best on held-out texts.

    Where it may learn from paraphrases of the texts that it judges, single words tell which text one is, and large
    weights do better: 30 is right on 0.950 of validation, 2 on 0.915.
    """
    return _C_BY_GROUP if by_group else _C_BY_ROW


@dataclass(frozen=True)
class Teacher:
    """A fitted teacher.

    Attributes:
        words: Turns R texts into TF-IDF vectors (R, V), of words and pairs of words.
        word_weights, embedding_weights, bias: (V,), (D,) and a number; the log-odds of negative are their sum.
    """

    words: TfidfVectorizer
    word_weights: npt.NDArray[np.float64]
    embedding_weights: npt.NDArray[np.float32]
    bias: float

    @classmethod
    def fit(
        cls, texts: Sequence[str], embeddings: Embeddings, labels: npt.NDArray[np.int64], inverse_penalty: float
    ) -> Self:
        """Learn from R texts, their (R, D) embeddings and (R,) labels, both of which have to occur.

        The inverse penalty is scikit-learn's `C`: the larger, the larger weights may be.
        """
        words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        scaled = scipy.sparse.csr_array(embeddings.astype(np.float64) * _EMBEDDING_SCALE)
        try:
            counted = words.fit_transform(texts)  # (R, V)
        except ValueError as error:
            raise TrainingError(f"a teacher needs words that stand in two of {len(texts)} texts, found none") from error
        features = scipy.sparse.hstack([counted, scaled], format="csr")  # (R, V + D)
        fitted = LogisticRegression(C=inverse_penalty, max_iter=1000).fit(features, labels)
        weights = fitted.coef_[0]
        in_words = len(words.vocabulary_)
        embedding_weights = (weights[in_words:] * _EMBEDDING_SCALE).astype(np.float32)
        return cls(words, weights[:in_words], embedding_weights, float(fitted.intercept_[0]))

    def log_odds(self, texts: Sequence[str], embeddings: Embeddings) -> LogOdds:
        """Judge R texts by their words and (R, D) embeddings: (R,) log-odds of negative."""
        by_words = self.words.transform(texts) @ self.word_weights
        by_embedding = embeddings.astype(np.float32) @ self.embedding_weights
        judged: LogOdds = (by_words + by_embedding + self.bias).astype(np.float32)
        return judged


@dataclass(frozen=True)
class Classroom:
    """Who is taught what, and how.

    Attributes:
        data: Whose R labelled texts, and then the unlabelled ones, are read.
        rows: Which labelled texts the teacher may learn from, and judge.
        by_group: Whether a text's whole group is kept from its teacher.
        unlabelled: Whether the unlabelled texts are judged.
        tuned: Whether a fine-tuned sentence encoder has half the say.
        made: Texts made of these, which are read after them. Who judges a text judges what is made of it.
    """

    data: LabelledTexts
    rows: Rows
    by_group: bool
    unlabelled: bool
    tuned: bool
    made: MadeTexts = field(default_factory=MadeTexts)

    @property
    def written(self) -> tuple[str, ...]:
        """The texts of the data."""
        return self.data.texts + self.data.unlabelled

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that are read."""
        return self.written + self.made.texts

    def with_made_of(self, rows: Rows) -> Rows:
        """Return these rows and then those of all texts that are made of them."""
        return np.concatenate([rows, len(self.written) + np.flatnonzero(np.isin(self.made.sources, rows))])

    def sources(self, rows: Rows) -> Rows:
        """Return the row of the text that each of these is made of: its own, for one of the data."""
        made = rows >= len(self.written)
        sources = rows.copy()
        sources[made] = self.made.sources[rows[made] - len(self.written)]
        return sources


def judge_by_words(room: Classroom, reading: Reading, load_encoder: Callable[[], SentenceEncoder]) -> LogOdds:
    """Say of beginnings of texts what a teacher says who has not seen the text's label.

    Args:
        room: Who is taught what.
        reading: All M beginnings of its texts.
        load_encoder: Makes the sentence encoder that is fine-tuned; called only where it is needed.

    Returns:
        (M,) log-odds of negative: of the labelled texts in `rows` by the teacher of the folds that they are not in, of
        unlabelled texts, if they are judged, by the teacher of all `rows`, of texts made of either by the same teacher,
        and not a number for the others.

    Raises:
        TrainingError: There are too few texts or groups for the folds, or a fold's teacher would see one label only.
    """
    texts, labels, rows = room.texts, room.data.labels, room.rows
    judged = np.full(len(reading.ends), np.nan, dtype=np.float32)
    groups = room.data.groups[rows] if room.by_group and room.data.groups is not None else None
    encoder = load_encoder() if room.tuned else None
    lessons = list(_folds(rows, groups))
    if room.unlabelled and room.data.unlabelled:
        lessons.append((rows, np.arange(len(labels), len(room.written))))
    for learn, judge_of in lessons:
        tell = room.with_made_of(judge_of)
        if len(np.unique(labels[learn])) < 2:
            raise TrainingError(
                f"a teacher needs texts of both labels in every fold, found {len(learn)} of one label to learn from"
            )
        told = _by_regression(room, reading, learn, tell)
        if encoder is not None:
            of_learn = None if room.data.groups is None else room.data.groups[learn]
            judge = encoder.tuned([texts[row] for row in learn], labels[learn], of_learn)
            tuned = judge.log_odds_by_words([texts[row] for row in tell])
            told = [((one + other) / 2).astype(np.float32) for one, other in zip(told, tuned, strict=True)]
        for row, log_odds in zip(tell, told, strict=True):
            judged[reading.starts[row] : reading.starts[row + 1]] = log_odds
    return judged


def _by_regression(room: Classroom, reading: Reading, learn: Rows, tell: Rows) -> list[LogOdds]:
    texts, labels = room.texts, room.data.labels
    penalty = inverse_penalty(by_group=room.by_group)
    teacher = Teacher.fit([texts[row] for row in learn], reading.whole[learn], labels[learn], penalty)
    told = []
    for row in tell:
        words = slice(reading.starts[row], reading.starts[row + 1])
        beginnings = [texts[row][:end] for end in reading.ends[words]]
        told.append(teacher.log_odds(beginnings, reading.embeddings[words]))
    return told


def _folds(rows: Rows, groups: npt.NDArray[np.int64] | None) -> Iterator[tuple[Rows, Rows]]:
    splitter = KFold(FOLDS, shuffle=True, random_state=0) if groups is None else GroupKFold(FOLDS)
    found = len(rows) if groups is None else len(np.unique(groups))
    if found < FOLDS:
        kind = "texts" if groups is None else "groups of texts"
        raise TrainingError(f"a teacher needs at least {FOLDS} labelled {kind}, found {found}")
    for learn, tell in splitter.split(rows, groups=groups):
        yield rows[learn], rows[tell]
