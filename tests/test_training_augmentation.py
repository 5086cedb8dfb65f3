"""Texts made of other texts: pieces of them, with words exchanged."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.augmentation import augment

KNOWN = ("zebra", "quilt", "violin")

texts_of_words = st.lists(
    st.lists(st.sampled_from(["so", "bad", "ß🎮", "game,", "my"]), min_size=1, max_size=8), min_size=1, max_size=5
).map(lambda texts: {10 * row: " ".join(words) for row, words in enumerate(texts)})


def numbered(texts: int, words: int) -> dict[int, str]:
    """Make texts in which each word says where it stands."""
    return {row: " ".join(f"{row}.{word}" for word in range(words)) for row in range(texts)}


@given(texts_of_words, st.integers(1, 3))
def test_as_many_are_made_of_each_as_are_asked_for(texts: dict[int, str], times: int) -> None:
    made = augment(texts, times, KNOWN)
    assert Counter(made.sources.tolist()) == dict.fromkeys(texts, times)
    assert len(made.texts) == len(made.sources)
    assert all(text.strip() for text in made.texts)


@given(texts_of_words)
def test_the_same_is_made_of_the_same(texts: dict[int, str]) -> None:
    one, other = (augment(texts, 2, KNOWN) for _ in range(2))
    assert one.texts == other.texts
    np.testing.assert_array_equal(one.sources, other.sources)


def test_words_that_are_kept_are_those_of_a_piece_of_the_source_in_their_order() -> None:
    texts = numbered(300, 12)
    made = augment(texts, 1, KNOWN)
    lengths, starts = set(), set()
    for text, row in zip(made.texts, made.sources.tolist(), strict=True):
        words = text.split()
        own = {place - int(word.split(".")[1]) for place, word in enumerate(words) if word.startswith(f"{row}.")}
        if len(own) == 1:  # where a word was drawn from the same text, it may stand anywhere
            starts.add(-own.pop())
        lengths.add(len(words))
    assert lengths == set(range(3, 13))
    assert starts == set(range(10))


def test_some_words_are_exchanged_half_of_them_for_known_ones() -> None:
    texts = numbered(2000, 12)
    made = augment(texts, 1, KNOWN)
    words = [(word, row) for text, row in zip(made.texts, made.sources, strict=True) for word in text.split()]
    new = [word for word, row in words if not word.startswith(f"{row}.")]
    assert len(new) / len(words) == pytest.approx(0.15, abs=0.01)
    assert sum(word in KNOWN for word in new) / len(new) == pytest.approx(0.5, abs=0.03)


def test_words_of_the_texts_are_drawn_as_often_as_they_stand_there() -> None:
    """`often` is nine of ten words; of all distinct words it would be one of 101."""
    texts = {row: "often " * 9 + f"rare{row}" for row in range(100)}
    new = [
        word
        for text, row in zip(*vars(augment(texts, 20, ())).values(), strict=True)
        for word in text.split()
        if word.startswith("rare") and word != f"rare{row}"
    ]
    words = sum(len(text.split()) for text in augment(texts, 20, ()).texts)
    assert len(new) / words == pytest.approx(0.15 * 0.1, abs=0.005)


def test_short_texts_stay_whole() -> None:
    made = augment({7: "so bad"}, 50, ())
    assert all(len(text.split()) == 2 for text in made.texts)


def test_new_words_stand_where_the_old_ones_stood() -> None:
    """With the white space of the old, so that no two words grow together."""
    made = augment({0: "a\n\nb  c", 1: "d"}, 200, KNOWN)
    of_first = [text for text, source in zip(made.texts, made.sources, strict=True) if source == 0]
    assert {"".join(filter(str.isspace, text)) for text in of_first} == {"\n\n  "}


def test_white_space_alone_is_left_out() -> None:
    made = augment({0: "  ", 1: "bad"}, 3, KNOWN)
    assert made.sources.tolist() == [1, 1, 1]
    assert augment({0: " "}, 3, KNOWN).texts == ()
