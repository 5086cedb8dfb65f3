"""Texts mixed of paraphrases, with words changed as paraphrases change them."""

from collections import Counter
from difflib import SequenceMatcher

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.mixing import mix

KNOWN = ("zebra", "quilt", "violin")

texts_of_words = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["so", "bad", "ß🎮", "game,", "my"]), min_size=1, max_size=8).map(" ".join),
        st.sampled_from(["", " ", "\n "]),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=6,
).map(lambda rows: ({10 * n: words + end for n, (words, end, _) in enumerate(rows)}, np.array([g for *_, g in rows])))

Texts = tuple[dict[int, str], np.ndarray[tuple[int], np.dtype[np.int64]]]


def numbered(texts: int, words: int) -> dict[int, str]:
    """Make texts in which each word says where it stands."""
    return {row: " ".join(f"{row}.{word}" for word in range(words)) for row in range(texts)}


@given(texts_of_words, st.integers(1, 3))
def test_at_most_as_many_are_made_of_each_as_are_asked_for(texts: Texts, times: int) -> None:
    """As many if it has no paraphrase; else nothing may remain where they share nothing."""
    made = mix(*texts, times, KNOWN)
    assert len(made.texts) == len(made.sources)
    assert all(text.strip() for text in made.texts)
    counts = Counter(made.sources.tolist())
    assert set(counts) <= set(texts[0])
    assert all(count <= times for count in counts.values())
    sizes = Counter(texts[1].tolist())
    assert all(
        counts[row] == times for row, group in zip(texts[0], texts[1].tolist(), strict=True) if sizes[group] == 1
    )


@given(texts_of_words)
def test_the_same_is_made_of_the_same(texts: Texts) -> None:
    one, other = (mix(*texts, 2, KNOWN) for _ in range(2))
    assert one.texts == other.texts
    np.testing.assert_array_equal(one.sources, other.sources)


@given(texts_of_words)
def test_a_mixed_text_ends_as_its_source_does(texts: Texts) -> None:
    made = mix(*texts, 2, KNOWN)
    for text, row in zip(made.texts, made.sources.tolist(), strict=True):
        source = texts[0][row]
        assert text[len(text.rstrip()) :] == source[len(source.rstrip()) :]


@given(texts_of_words)
def test_no_two_words_grow_together(texts: Texts) -> None:
    words = {word for text in texts[0].values() for word in text.split()} | set(KNOWN)
    assert all(set(text.split()) <= words for text in mix(*texts, 3, KNOWN).texts)


def test_where_two_differ_it_is_as_in_one_or_the_other() -> None:
    """Each passage by a draw of its own: of four, all sixteen mixtures occur."""
    one = "a0 same b0 same c0 same d0"
    made = mix({0: one, 1: one.replace("0", "1")}, np.array([7, 7]), 2000, ())
    plain = {text for text in made.texts if len(text.split()) == 7 and text.split()[1::2] == ["same"] * 3}
    wanted = {f"a{a} same b{b} same c{c} same d{d}" for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1)}
    assert wanted <= plain


def test_only_texts_of_one_group_are_mixed() -> None:
    """Whatever is put in comes from the words of all texts, but a whole other text does not."""
    texts = {0: "one two three four five six", 1: "un deux trois quatre cinq six", 2: "uno due tre quattro cinque sei"}
    together, apart = (mix(texts, np.array(groups), 300, ()) for groups in ([0, 0, 1], [0, 1, 2]))

    def likeness(made: object, row: int, other: int) -> float:
        found = [text for text, source in zip(*vars(made).values(), strict=True) if source == row]
        return float(np.mean([_likeness(text, texts[other]) for text in found]))

    assert likeness(together, 0, 1) > likeness(apart, 0, 1) + 0.1
    assert likeness(together, 0, 2) == pytest.approx(likeness(apart, 0, 2), abs=0.03)


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one.split(), other.split(), autojunk=False).ratio()


def test_some_words_are_exchanged_half_of_them_for_known_ones() -> None:
    texts = numbered(2000, 12)
    made = mix(texts, np.arange(2000), 1, KNOWN)
    words = [(word, row) for text, row in zip(made.texts, made.sources, strict=True) for word in text.split()]
    new = [word for word, row in words if not word.startswith(f"{row}.")]
    assert len(words) == 12 * 2000
    assert len(new) / len(words) == pytest.approx(0.15, abs=0.01)
    assert sum(word in KNOWN for word in new) / len(new) == pytest.approx(0.5, abs=0.03)


def test_white_space_alone_is_left_out() -> None:
    made = mix({0: "  ", 1: "so bad a game"}, np.array([0, 1]), 3, KNOWN)
    assert made.sources.tolist() == [1, 1, 1]
    assert mix({0: " "}, np.array([0]), 3, KNOWN).texts == ()
