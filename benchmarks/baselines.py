"""What simple methods reach on the same splits: `python -m benchmarks.baselines DATA`.

Always the more frequent label, and a bag of words and pairs (TF-IDF) under logistic regression with scikit-learn's
own settings. With the package vaderSentiment installed, its lexicon as well, which learns nothing.
"""

import argparse
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score

from training.data import LabelledTexts, read_data
from training.splits import Split, SplitName, split_rows


def bag_of_words(data: LabelledTexts, split: Split) -> tuple[float, float]:
    """Return accuracy and area under the curve of words and pairs on the test part."""
    texts = np.array(data.texts, dtype=object)
    vectors = TfidfVectorizer(ngram_range=(1, 2))
    classifier = LogisticRegression(max_iter=1000)
    classifier.fit(vectors.fit_transform(texts[split.train]), data.labels[split.train])
    negative = classifier.predict_proba(vectors.transform(texts[split.test]))[:, 1]
    return _scores(data, split, negative - 0.5)


def lexicon(data: LabelledTexts, split: Split) -> tuple[float, float]:
    """Return accuracy and area under the curve of VADER on the test part; a compound of 0 or less is negative."""
    analyzer = import_module("vaderSentiment.vaderSentiment").SentimentIntensityAnalyzer()
    compounds = [analyzer.polarity_scores(data.texts[row])["compound"] for row in split.test]
    return _scores(data, split, -np.array(compounds))


def _scores(data: LabelledTexts, split: Split, negative: np.ndarray) -> tuple[float, float]:
    labels = data.labels[split.test]
    return float(accuracy_score(labels, negative >= 0)), float(roc_auc_score(labels, negative))


def main() -> None:
    """Print a row for each method and split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the data, as the training commands read it")
    data = read_data(parser.parse_args().data)
    for name in SplitName:
        split = split_rows(data, name, seed=42)
        negative = float(data.labels[split.test].mean())
        print(f"{name:>8}  more frequent label       accuracy {max(negative, 1 - negative):.4f}")
        print("{:>8}  bag of words and pairs    accuracy {:.4f}  AUC {:.4f}".format(name, *bag_of_words(data, split)))
        if find_spec("vaderSentiment"):
            print("{:>8}  VADER                     accuracy {:.4f}  AUC {:.4f}".format(name, *lexicon(data, split)))


if __name__ == "__main__":
    main()
