"""What `describe` tells, against pandas working from the file on its own."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from tests.training_data import labelled, sentiment_rows, unusable_rows, write_kaggle
from training.data import Dropped, read_data
from training.describe import describe
from training.errors import TrainingError
from training.splits import SplitName


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kaggle(tmp_path_factory.mktemp("describe") / "tweets.csv", tweets=40)


def usable(file: Path) -> pd.DataFrame:
    table = pd.read_csv(file, names=["id", "entity", "sentiment", "text"])
    return table[table["sentiment"].isin(["Positive", "Negative"])].dropna().reset_index(drop=True)


def divided(table: pd.DataFrame, name: SplitName, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    if name is SplitName.ARTICLE:
        train, test = train_test_split(table, test_size=0.2, random_state=seed)
        return train, test
    splitter = GroupShuffleSplit(1, test_size=0.2, random_state=seed)
    train_at, test_at = next(splitter.split(table, groups=table["id"]))
    return table.iloc[train_at], table.iloc[test_at]


@pytest.mark.parametrize("name", list(SplitName))
@pytest.mark.parametrize("seed", [42, 1])
def test_every_figure_is_what_pandas_finds(file: Path, name: SplitName, seed: int) -> None:
    table = usable(file)
    train, test = divided(table, name, seed)
    found = describe(read_data(file), name, seed)
    assert (found.data, found.split, found.split_seed) == (file.name, name.value, seed)
    assert found.rows_kept == len(table)
    assert found.rows_read == len(table) + len(unusable_rows())
    for part, rows in ((found.train, train), (found.test, test)):
        assert part.rows == len(rows)
        assert part.negative == (rows["sentiment"] == "Negative").sum()
        assert part.groups == rows["id"].nunique()
    characters = train["text"].str.len().describe()
    assert [found.lengths.mean, found.lengths.std] == pytest.approx([characters["mean"], characters["std"]])
    assert found.lengths.quartiles == tuple(characters[["25%", "50%", "75%"]])
    assert (found.lengths.min, found.lengths.max) == (characters["min"], characters["max"])
    seen = list(dict.fromkeys(" ".join(train["text"])))
    assert (found.vocabulary_size, found.first_tokens) == (len(seen) + 1, tuple(seen[:10]))
    assert found.test_paraphrased == test["id"].isin(train["id"]).sum()


def test_dropped_rows_are_told_with_their_reason(file: Path) -> None:
    assert set(describe(read_data(file), SplitName.GROUPED, 42).dropped) == {
        Dropped("label 'Neutral'", 2, first_line=1),
        Dropped("label 'Irrelevant'", 1, first_line=2),
        Dropped("no text", 1, first_line=3),
    }


def test_without_groups_nothing_is_said_of_paraphrases() -> None:
    found = describe(labelled(sentiment_rows(tweets=10), grouped=False), SplitName.ARTICLE, 42)
    assert (found.train.groups, found.test.groups, found.test_paraphrased) == (None, None, None)


def test_two_rows_are_enough() -> None:
    """A single training text has no deviation."""
    found = describe(labelled(sentiment_rows(tweets=2, paraphrases=1)), SplitName.GROUPED, 42)
    assert (found.train.rows, found.test.rows, found.lengths.std) == (1, 1, 0.0)


def test_a_split_that_the_data_does_not_allow_is_an_error() -> None:
    data = dataclasses.replace(labelled(sentiment_rows(tweets=10)), groups=None)
    with pytest.raises(TrainingError, match="--group-column"):
        describe(data, SplitName.GROUPED, 42)
