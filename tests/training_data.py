"""Small data files that tests of training make for themselves: sentiment that a tiny network can learn in seconds."""

import csv
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.data import LabelledTexts

_WORDS = {
    "Positive": ("lovely", "great", "fun", "happy", "superb", "love"),
    "Negative": ("awful", "broken", "worst", "hate", "bug", "crap"),
}
_THINGS = ("game", "update", "server", "patch", "console")
_FILLERS = ("", "the ", "this ", "my ")


class Row(NamedTuple):
    """One row of Kaggle's file, in its order of columns."""

    tweet_id: str
    entity: str
    sentiment: str
    text: str


def sentiment_rows(tweets: int = 120, paraphrases: int = 4, seed: int = 0) -> list[Row]:
    """Make up tweets of two feelings, each several times in other words, under IDs that are in no order."""
    draw = random.Random(seed)  # noqa: S311  made-up tweets are no secret
    tweet_ids = draw.sample(range(1, 20 * tweets), tweets)
    rows = []
    for number, tweet_id in enumerate(tweet_ids):
        sentiment = "Positive" if number % 2 else "Negative"
        thing = draw.choice(_THINGS)
        for _ in range(paraphrases):
            first, second = draw.sample(_WORDS[sentiment], 2)
            text = f"{draw.choice(_FILLERS)}{first} {second} {thing}"
            rows.append(Row(str(tweet_id), thing, sentiment, text))
    draw.shuffle(rows)
    return rows


def unusable_rows() -> list[Row]:
    """Give rows as real files have them and no model is trained on: other labels, and no text."""
    return [
        Row("1", "game", "Neutral", "it is a game"),
        Row("2", "game", "Irrelevant", "buy shoes"),
        Row("3", "game", "Positive", ""),
        Row("4", "game", "Neutral", "another game"),
    ]


def write_rows(path: Path, rows: Iterable[Sequence[str]]) -> Path:
    """Write rows as Kaggle's file is written: no header, CRLF, UTF-8, quotes where they are needed."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\r\n").writerows(rows)
    return path


def write_kaggle(path: Path, *, tweets: int = 120, paraphrases: int = 4, seed: int = 0) -> Path:
    """Write a learnable file in Kaggle's form, with a few rows that are no use."""
    return write_rows(path, [*unusable_rows(), *sentiment_rows(tweets, paraphrases, seed)])


def labelled(rows: Sequence[Row], *, grouped: bool = True) -> LabelledTexts:
    """Take rows as `read_data` would give them, without a file."""
    ids = sorted({int(row.tweet_id) for row in rows})
    groups = np.array([ids.index(int(row.tweet_id)) for row in rows], dtype=np.int64)
    return LabelledTexts(
        name="made-up.csv",
        sha256="0" * 64,
        texts=tuple(row.text for row in rows),
        labels=np.array([row.sentiment == "Negative" for row in rows], dtype=np.int64),
        groups=groups if grouped else None,
        rows_read=len(rows),
        dropped=(),
    )
