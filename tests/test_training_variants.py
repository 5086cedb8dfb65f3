"""Changes that leave a text's meaning alone: what each takes out or puts in, and that it is always the same."""

import re

import pytest
from hypothesis import given

from tests.tiny import texts
from training.variants import CHANGES, with_typos, without_emoji, without_tags

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("so much fun 🎮", "so much fun"),
        ("🎮🎮 so ❤️ much", "so much"),
        ("a 👩‍🚀 in space", "a in space"),
        ("thumbs 👍🏽 up", "thumbs up"),
        ("🎮", "🎮"),
        ("no  picture, İ ß €", "no  picture, İ ß €"),
    ],
)
def test_emoji_are_taken_out_with_the_gap_they_leave(text: str, left: str) -> None:
    """A text of nothing else stays, since there has to be something to read."""
    assert without_emoji(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("@Blizzard fix #Overwatch now", "fix now"),
        ("look https://t.co/abc?x=1 there", "look there"),
        ("look pic.twitter.com/abc", "look"),
        ("dlvr.it/RM1f news", "news"),
        ("version 2.0/3.0, 3/4 of it; e.g. this", "version 2.0/3.0, 3/4 of it; e.g. this"),
        ("#only", "#only"),
    ],
)
def test_hashtags_mentions_and_links_are_taken_out(text: str, left: str) -> None:
    assert without_tags(text) == left


def is_typo(word: str, mistyped: str) -> bool:
    """Say whether one wrong key, or one letter left out, doubled or swapped, makes one of the other."""
    beside = {
        word[:at] + (near.upper() if word[at].isupper() else near) + word[at + 1 :]
        for at in range(len(word))
        for near in near_keys(word[at].lower())
    }
    left_out = {word[:at] + word[at + 1 :] for at in range(len(word))}
    doubled = {word[:at] + word[at] + word[at:] for at in range(len(word))}
    swapped = {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)}
    return mistyped in beside | left_out | doubled | swapped


def near_keys(letter: str) -> set[str]:
    """Measure a keyboard, whose lower rows stand half a key further to the right each."""
    places = {key: (column + row / 2, row) for row, keys in enumerate(ROWS) for column, key in enumerate(keys)}
    x, y = places[letter]
    return {key for key, (column, row) in places.items() if 0 < (column - x) ** 2 + (row - y) ** 2 < 1.5}


def test_each_word_gets_one_typing_error() -> None:
    text = "The LAST update broke everything, and a 2nd one is not in sight: aa zz"
    words = re.findall(r"[A-Za-z]+|[^A-Za-z]+", text)
    for seed in range(50):
        mistyped = with_typos(text, seed)
        pattern = "".join("([A-Za-z]+)" if len(word) > 1 and word.isalpha() else re.escape(word) for word in words)
        found = re.fullmatch(pattern, mistyped)
        assert found is not None
        for word, other in zip(
            [word for word in words if len(word) > 1 and word.isalpha()], found.groups(), strict=True
        ):
            assert word != other
            assert is_typo(word, other)


def test_all_kinds_of_error_happen() -> None:
    lengths = [len(with_typos("keyboard", seed)) for seed in range(200)]
    same = {with_typos("keyboard", seed) for seed in range(200) if len(with_typos("keyboard", seed)) == 8}
    swapped = {word for word in same if sorted(word) == sorted("keyboard")}
    assert {7, 8, 9} == set(lengths)
    assert swapped
    assert same - swapped


@given(texts())
def test_the_same_text_is_always_changed_alike_and_never_to_nothing(text: str) -> None:
    for change in CHANGES.values():
        assert change(text) == change(text)
        assert change(text)


def test_typing_errors_depend_on_the_seed() -> None:
    text = "worst update ever, and nobody answers"
    assert len({with_typos(text, seed) for seed in range(20)}) > 15
