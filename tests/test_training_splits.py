"""The two splits, against scikit-learn called directly and against plain sets."""

import numpy as np
import pytest
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from tests.training_data import labelled, sentiment_rows
from training.data import LabelledTexts
from training.errors import TrainingError
from training.splits import Split, SplitName, hold_out, paraphrased, repeated, split_rows

ROWS = sentiment_rows(tweets=50)
TWEET_IDS = [int(row.tweet_id) for row in ROWS]


@pytest.fixture(scope="module")
def data() -> LabelledTexts:
    return labelled(ROWS)


def ids_of(rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> set[int]:
    return {TWEET_IDS[row] for row in rows}


@pytest.mark.parametrize("seed", [0, 42])
def test_the_article_split_is_train_test_split(data: LabelledTexts, seed: int) -> None:
    """As the article calls it, on the texts themselves."""
    train, test = train_test_split(list(data.texts), test_size=0.2, random_state=seed)
    split = split_rows(data, SplitName.ARTICLE, seed)
    assert [data.texts[row] for row in split.train] == train
    assert [data.texts[row] for row in split.test] == test


@pytest.mark.parametrize("seed", [0, 42])
def test_the_grouped_split_is_group_shuffle_split(data: LabelledTexts, seed: int) -> None:
    """With the original IDs, whose numeric order differs from that of the alphabet and of their appearance."""
    assert sorted(set(TWEET_IDS)) != sorted(set(TWEET_IDS), key=str)
    assert sorted(set(TWEET_IDS)) != list(dict.fromkeys(TWEET_IDS))
    splitter = GroupShuffleSplit(n_splits=1, test_size=0.2, random_state=seed)
    train, test = next(splitter.split(TWEET_IDS, groups=TWEET_IDS))
    split = split_rows(data, SplitName.GROUPED, seed)
    assert (split.train.tolist(), split.test.tolist()) == (train.tolist(), test.tolist())


@pytest.mark.parametrize("name", list(SplitName))
def test_every_row_is_on_one_side_once(data: LabelledTexts, name: SplitName) -> None:
    split = split_rows(data, name, seed=1)
    parts = hold_out(data, split.train, name, 0.25, seed=1)
    assert sorted([*split.train, *split.test]) == list(range(len(ROWS)))
    assert sorted([*parts.train, *parts.test]) == sorted(split.train)
    assert 0 < len(parts.test) < len(parts.train)


def test_no_tweet_is_on_two_sides_of_the_grouped_split(data: LabelledTexts) -> None:
    split = split_rows(data, SplitName.GROUPED, seed=3)
    parts = hold_out(data, split.train, SplitName.GROUPED, 0.1, seed=3)
    training, validation, test = ids_of(parts.train), ids_of(parts.test), ids_of(split.test)
    assert training.isdisjoint(validation)
    assert test.isdisjoint(training | validation)
    assert training | validation | test == set(TWEET_IDS)


def test_the_validation_part_is_drawn_as_the_test_part_is(data: LabelledTexts) -> None:
    split = split_rows(data, SplitName.GROUPED, seed=7)
    ids = [TWEET_IDS[row] for row in split.train]
    splitter = GroupShuffleSplit(n_splits=1, test_size=0.3, random_state=7)
    train, validation = next(splitter.split(ids, groups=ids))
    parts = hold_out(data, split.train, SplitName.GROUPED, 0.3, seed=7)
    assert parts.train.tolist() == split.train[train].tolist()
    assert parts.test.tolist() == split.train[validation].tolist()


def test_holding_nothing_out_keeps_every_row(data: LabelledTexts) -> None:
    split = split_rows(data, SplitName.GROUPED, seed=7)
    parts = hold_out(data, split.train, SplitName.GROUPED, 0.0, seed=7)
    assert (parts.train.tolist(), len(parts.test)) == (split.train.tolist(), 0)


@pytest.mark.parametrize("name", list(SplitName))
def test_seeds_draw_different_splits(data: LabelledTexts, name: SplitName) -> None:
    first, second = (set(split_rows(data, name, seed).test.tolist()) for seed in (1, 2))
    assert first != second


def test_paraphrases_are_counted(data: LabelledTexts) -> None:
    """As a loop over sets of IDs counts them; none across the grouped split, nearly all across the article's."""
    split = split_rows(data, SplitName.ARTICLE, seed=42)
    known = ids_of(split.train)
    expected = sum(TWEET_IDS[row] in known for row in split.test)
    assert paraphrased(data, split.test, split.train) == expected
    assert expected > 0.9 * len(split.test)
    grouped = split_rows(data, SplitName.GROUPED, seed=42)
    assert paraphrased(data, grouped.test, grouped.train) == 0


def test_without_groups_paraphrases_cannot_be_told() -> None:
    ungrouped = labelled(ROWS, grouped=False)
    split = split_rows(ungrouped, SplitName.ARTICLE, seed=42)
    assert paraphrased(ungrouped, split.test, split.train) is None


def test_a_grouped_split_needs_groups() -> None:
    with pytest.raises(
        TrainingError, match=r"a --group-column, which says what texts belong.*without one, --split article"
    ):
        split_rows(labelled(ROWS, grouped=False), SplitName.GROUPED, seed=0)


def test_a_grouped_split_needs_two_groups() -> None:
    with pytest.raises(TrainingError, match="at least 2 groups, found 1"):
        split_rows(labelled([row._replace(tweet_id="1") for row in ROWS]), SplitName.GROUPED, seed=0)


@pytest.mark.parametrize(("name", "kind"), [(SplitName.ARTICLE, "rows"), (SplitName.GROUPED, "groups")])
def test_a_part_that_would_be_empty_is_an_error(name: SplitName, kind: str) -> None:
    data = labelled(sentiment_rows(tweets=3, paraphrases=1))
    split = Split(train=np.arange(3), test=np.arange(0))
    with pytest.raises(TrainingError, match=f"3 {kind} are too few to set 99% of them apart"):
        hold_out(data, split.train, name, 0.99, seed=0)


def test_a_text_is_repeated_by_one_of_the_same_words() -> None:
    texts = ["So  BAD", "so bad!", "STRASSE", ""]
    assert repeated(texts, ["so bad", "straße"]).tolist() == [True, False, True, False]
    assert repeated([], ["so bad"]).tolist() == []
