"""Simple methods to compare a model with: a good one is hard to beat.

Counted n-grams, weighted by TF-IDF, under a linear classifier, all with scikit-learn's own settings; the more frequent
label; with the package vaderSentiment (extra `lexicon`), a lexicon that learns nothing; and, where texts have been read
by a sentence encoder, what it makes of them, under the same logistic regression, and that beside the words: the teacher
of our own models, but for the half of it that is fine-tuned.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from charlstm.card import Reached
from charlstm.config import NEGATIVE
from training.data import LabelledTexts
from training.errors import TrainingError
from training.metrics import accuracy_and_auc
from training.progress import Step
from training.sentences import Vectors
from training.splits import Split
from training.teacher import Teacher, inverse_penalty

# (R,) the higher, the more negative; from 0 on it is called negative.
_Scores = npt.NDArray[np.float64] | npt.NDArray[np.float32]

MAJORITY: Final = "always the more frequent label"
LEXICON: Final = "VADER, a lexicon"
SENTENCES: Final = "MiniLM, a sentence encoder, logistic regression"
WORDS_AND_SENTENCES: Final = "TF-IDF, words 1-2, and MiniLM together, logistic regression"


class _Counts(NamedTuple):
    """What is counted in a text: pieces of these lengths."""

    name: str
    of: str
    lengths: tuple[int, int]


_COUNTS: Final = (
    _Counts("TF-IDF, words 1-2", "word", (1, 2)),
    _Counts("TF-IDF, characters 2-5", "char", (2, 5)),
)


def lexicon_is_installed() -> bool:
    """Say whether the lexicon can be asked."""
    return find_spec("vaderSentiment") is not None


def score_baselines(
    data: LabelledTexts, split: Split, step: Step, embeddings: Vectors | None = None, *, by_group: bool = True
) -> Iterator[tuple[str, Reached]]:
    """Fit each method to the training part of a split and score it on the test part.

    Args:
        data: R labelled texts.
        split: Which are for training, and which for the test.
        step: Told what is done next.
        embeddings: (R, D) where a sentence encoder sees each text, if it was asked.
        by_group: Whether the split keeps paraphrases on one side.

    Yields:
        The method's name, and what it reached.
    """
    train, test = data.texts_of(split.train), data.texts_of(split.test)
    learn, labels = data.labels[split.train], data.labels[split.test]
    yield MAJORITY, _reached(labels, _majority(learn, len(test)))
    for counts in _COUNTS:
        step(f"counting {counts.name}")
        vectors = TfidfVectorizer(analyzer=counts.of, ngram_range=counts.lengths)
        try:
            features, of_test = vectors.fit_transform(train), vectors.transform(test)
        except ValueError as error:
            raise TrainingError(f"{counts.name}: the training texts hold nothing of that kind to count") from error
        for name, classifier in (
            ("logistic regression", LogisticRegression(max_iter=1000)),
            ("linear SVM", LinearSVC(random_state=0)),
        ):
            step(f"fitting {counts.name}, {name}")
            classifier.fit(features, learn)
            yield f"{counts.name}, {name}", _reached(labels, classifier.decision_function(of_test))
    if embeddings is not None:
        step(f"fitting {SENTENCES}")
        regression = LogisticRegression(max_iter=1000).fit(embeddings[split.train], learn)
        yield SENTENCES, _reached(labels, regression.decision_function(embeddings[split.test]))
        step(f"fitting {WORDS_AND_SENTENCES}")
        teacher = Teacher.fit(train, embeddings[split.train], learn, inverse_penalty(by_group=by_group))
        yield WORDS_AND_SENTENCES, _reached(labels, teacher.log_odds(test, embeddings[split.test]))
    if lexicon_is_installed():
        step(f"asking {LEXICON}")
        yield LEXICON, _reached(labels, _lexicon(test))


def _majority(labels: npt.NDArray[np.int64], rows: int) -> _Scores:
    mostly_negative = (labels == NEGATIVE).mean() >= 0.5
    return np.full(rows, 0.0 if mostly_negative else -1.0)


def _lexicon(texts: Sequence[str]) -> _Scores:
    """Ask VADER (Hutto & Gilbert, 2014): a compound of 0 or less is negative."""
    analyzer = import_module("vaderSentiment.vaderSentiment").SentimentIntensityAnalyzer()
    return -np.array([analyzer.polarity_scores(text)["compound"] for text in texts])


def _reached(labels: npt.NDArray[np.int64], scores: _Scores) -> Reached:
    accuracy, auc = accuracy_and_auc(labels, scores, threshold=0.0)
    return Reached(rows=len(labels), accuracy=accuracy, auc=auc, how="measured")
