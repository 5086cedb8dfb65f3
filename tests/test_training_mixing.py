"""Texts mixed of paraphrases, with some words exchanged."""

from collections import Counter
from difflib import SequenceMatcher

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.augmentation import MadeTexts
from training.mixing import mix

KNOWN = ("zebra", "quilt", "violin")

Texts = tuple[dict[int, str], dict[int, int]]

texts_in_groups = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["so", "bad", "ß🎮", "game,", "my"]), min_size=1, max_size=8).map(" ".join),
        st.sampled_from(["", " ", "\n "]),
        st.sampled_from([None, 0, 1, 2]),
    ),
    min_size=1,
    max_size=6,
).map(
    lambda rows: (
        {10 * number: words + end for number, (words, end, _) in enumerate(rows)},
        {10 * number: group for number, (*_, group) in enumerate(rows) if group is not None},
    )
)


def of_row(made: MadeTexts, row: int) -> list[str]:
    """Pick what is made of one text."""
    return [text for text, source in zip(made.texts, made.sources, strict=True) if source == row]


@given(texts_in_groups, st.integers(1, 3))
def test_as_many_are_made_of_each_as_are_asked_for(texts: Texts, times: int) -> None:
    made = mix(*texts, times, KNOWN)
    assert Counter(made.sources.tolist()) == dict.fromkeys(texts[0], times)
    assert len(made.texts) == len(made.sources)
    assert all(text.strip() for text in made.texts)


@given(texts_in_groups)
def test_the_same_is_made_of_the_same(texts: Texts) -> None:
    one, other = (mix(*texts, 2, KNOWN) for _ in range(2))
    assert one.texts == other.texts
    np.testing.assert_array_equal(one.sources, other.sources)


@given(texts_in_groups)
def test_a_mixture_ends_as_its_own_text_does(texts: Texts) -> None:
    made = mix(*texts, 2, KNOWN)
    for text, row in zip(made.texts, made.sources.tolist(), strict=True):
        source = texts[0][row]
        assert text[len(text.rstrip()) :] == source[len(source.rstrip()) :]


@given(texts_in_groups)
def test_no_two_words_grow_together(texts: Texts) -> None:
    words = {word for text in texts[0].values() for word in text.split()} | set(KNOWN)
    assert all(set(text.split()) <= words for text in mix(*texts, 3, KNOWN).texts)


def test_where_two_differ_it_is_as_in_one_or_the_other() -> None:
    """Each passage by a draw of its own: of four, all sixteen mixtures occur."""
    one = "a0 same b0 same c0 same d0"
    made = mix({0: one, 1: one.replace("0", "1")}, {0: 7, 1: 7}, 2000, ())
    mixtures = {f"a{a} same b{b} same c{c} same d{d}" for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1)}
    assert mixtures <= set(made.texts)


def test_what_one_of_them_says_beside_is_said_or_not() -> None:
    """Whatever stood at the end of a text and no longer does gets its space."""
    made = mix({0: "so bad", 1: "so bad, really so bad a game"}, {0: 0, 1: 0}, 500, ())
    assert {"so bad", "so bad, really so bad a game", "so bad, really so bad"} <= set(made.texts)


def test_only_texts_of_one_group_are_mixed() -> None:
    """Single words are drawn from all texts, but passages are not."""
    texts = {0: "one two three four five six", 1: "un deux trois quatre cinq six", 2: "uno due tre quattro cinque sei"}
    together, apart = (mix(texts, groups, 300, ()) for groups in ({0: 0, 1: 0, 2: 1}, {1: 0, 2: 1}))

    def likeness(made: MadeTexts, other: int) -> float:
        """Say how alike what is made of the first text is to another one."""
        ratios = [SequenceMatcher(None, text.split(), texts[other].split()).ratio() for text in of_row(made, 0)]
        return float(np.mean(ratios))

    assert likeness(together, 1) > likeness(apart, 1) + 0.1
    assert likeness(together, 2) == pytest.approx(likeness(apart, 2), abs=0.03)


def test_some_words_of_mixtures_are_exchanged() -> None:
    """15 % of them, half for known ones; what is mixed of two equal texts has no other word that is new."""
    text = " ".join(f"word{place}" for place in range(12))
    made = mix({0: text, 1: text}, {0: 0, 1: 0}, 2000, KNOWN)
    words = [(word, place) for made_text in made.texts for place, word in enumerate(made_text.split())]
    assert len(words) == 12 * 4000
    assert sum(word in KNOWN for word, _ in words) / len(words) == pytest.approx(0.15 / 2, abs=0.01)
    other = sum(word not in KNOWN and word != f"word{place}" for word, place in words)
    assert other / len(words) == pytest.approx(0.15 / 2 * 11 / 12, abs=0.01)


def test_white_space_alone_is_left_out() -> None:
    """It is drawn as a paraphrase like any text, and may then be all that is left of another one."""
    made = mix({0: "  ", 1: "so bad a game"}, {}, 3, KNOWN)
    assert made.sources.tolist() == [1, 1, 1]
    assert mix({0: " "}, {0: 0}, 3, KNOWN).texts == ()
    some = mix({0: " ", 1: "bad"}, {0: 0, 1: 0}, 100, ())
    assert 100 < len(some.texts) < 200
    assert all(text.strip() == "bad" for text in some.texts)
