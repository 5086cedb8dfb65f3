"""From a text to tokens and offsets."""

import contextlib
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from charlstm.errors import EmptyTextError, InvalidCharacterError, TextError, TextTooLongError
from charlstm.text import Preprocessing
from tests.tiny import texts

CHARACTERS = Preprocessing()
FOLDED = Preprocessing(casefold=True)
WORDS = Preprocessing(level="word")


@given(text=texts())
def test_characters_are_the_text_itself(text: str) -> None:
    read = CHARACTERS.tokenize(text)
    assert "".join(read.tokens) == text
    assert read.offsets == tuple(range(len(text)))
    assert (read.characters, read.truncated) == (len(text), False)


@given(text=texts())
def test_folding_one_character_at_a_time_equals_folding_the_whole(text: str) -> None:
    assert "".join(FOLDED.tokenize(text).tokens) == text.casefold()


@given(text=texts())
def test_offsets_of_folded_tokens_point_at_the_character_they_came_from(text: str) -> None:
    read = FOLDED.tokenize(text)
    assert list(read.offsets) == sorted(read.offsets)
    assert set(read.offsets) == set(range(len(text)))
    for token, offset in zip(read.tokens, read.offsets, strict=True):
        assert token in text[offset].casefold()


@pytest.mark.parametrize(
    ("text", "tokens", "offsets"),
    [
        ("aßc", ("a", "s", "s", "c"), (0, 1, 1, 2)),
        ("İx", ("i", "\u0307", "x"), (0, 0, 1)),
        ("ﬃ!", ("f", "f", "i", "!"), (0, 0, 0, 1)),
        ("ΔΣ", ("δ", "\u03c3"), (0, 1)),  # not the final sigma that lower() would give
    ],
)
def test_a_character_that_folds_into_several_gives_each_its_offset(
    text: str, tokens: tuple[str, ...], offsets: tuple[int, ...]
) -> None:
    read = FOLDED.tokenize(text)
    assert (read.tokens, read.offsets, read.characters) == (tokens, offsets, len(text))


def test_words_are_runs_of_letters_and_single_other_characters() -> None:
    read = WORDS.tokenize("  Don't stop_me 2 day!!\n")
    assert read.tokens == ("Don", "'", "t", "stop_me", "2", "day", "!", "!")
    assert read.offsets == (2, 5, 6, 8, 16, 18, 21, 22)
    assert read.characters == 24


@given(text=texts(max_size=80))
def test_words_stand_in_the_text_at_their_offsets_and_leave_only_white_space(text: str) -> None:
    assume(WORDS.split(text))
    read, rest = WORDS.tokenize(text), list(text)
    for token, offset in zip(read.tokens, read.offsets, strict=True):
        assert text[offset : offset + len(token)] == token
        rest[offset : offset + len(token)] = [" "] * len(token)
    assert re.fullmatch(r"\s*", "".join(rest))


def test_words_are_folded_whole_and_keep_their_original_offset() -> None:
    read = Preprocessing(level="word", casefold=True).tokenize("STRAẞE Straße")
    assert (read.tokens, read.offsets) == (("strasse", "strasse"), (0, 7))


def test_a_text_of_exactly_the_limit_is_read_whole() -> None:
    read = Preprocessing(max_length=5).tokenize("Worst")
    assert (read.tokens, read.truncated) == (tuple("Worst"), False)


@pytest.mark.parametrize(
    ("preprocessing", "text", "message"),
    [
        (Preprocessing(max_length=5), "Worst!", "at most 5 characters long, found 6"),
        (Preprocessing(max_length=2, casefold=True), "aß", "at most 2 characters long, found 3"),
        (Preprocessing(max_length=2, level="word"), "so bad!", "at most 2 words long, found 3"),
    ],
)
def test_a_text_over_the_limit_is_refused_with_limit_and_found(
    preprocessing: Preprocessing, text: str, message: str
) -> None:
    with pytest.raises(TextTooLongError, match=message) as caught:
        preprocessing.tokenize(text)
    assert caught.value.limit == preprocessing.max_length
    assert caught.value.found == len(preprocessing.split(text))


@given(text=texts(), limit=st.integers(1, 50), casefold=st.booleans())
def test_a_cut_text_is_a_prefix_of_the_whole_and_says_so(text: str, limit: int, *, casefold: bool) -> None:
    whole = Preprocessing(casefold=casefold).tokenize(text)
    cut = Preprocessing(casefold=casefold, max_length=limit).tokenize(text, truncate=True)
    assert cut.tokens == whole.tokens[:limit]
    assert cut.offsets == whole.offsets[:limit]
    assert cut.truncated == (len(whole.tokens) > limit)
    assert cut.characters == (max(whole.offsets[limit], whole.offsets[limit - 1] + 1) if cut.truncated else len(text))
    assert all(offset < cut.characters for offset in cut.offsets)


def test_a_cut_at_word_level_counts_characters_up_to_the_first_unread_word() -> None:
    read = Preprocessing(level="word", max_length=2).tokenize("so very bad", truncate=True)
    assert (read.tokens, read.characters, read.truncated) == (("so", "very"), len("so very "), True)


def test_truncation_cuts_nothing_without_a_limit() -> None:
    read = CHARACTERS.tokenize("x" * 10_000, truncate=True)
    assert (len(read.tokens), read.truncated) == (10_000, False)


@pytest.mark.parametrize(
    ("preprocessing", "text", "unit"), [(CHARACTERS, "", "character"), (WORDS, "", "word"), (WORDS, " \t\n", "word")]
)
def test_a_text_without_tokens_is_refused(preprocessing: Preprocessing, text: str, unit: str) -> None:
    with pytest.raises(EmptyTextError, match=f"^must hold at least 1 {unit}, found none$"):
        preprocessing.tokenize(text)


def test_white_space_is_text_at_character_level() -> None:
    assert CHARACTERS.tokenize(" \t").tokens == (" ", "\t")


@pytest.mark.parametrize("preprocessing", [CHARACTERS, FOLDED, WORDS])
@pytest.mark.parametrize(
    ("bad", "name"),
    [("\0", r"NUL character \(U\+0000\)"), ("\ud800", r"surrogate \(U\+D800\)"), ("\udfff", r"surrogate \(U\+DFFF\)")],
)
def test_a_character_that_is_no_text_is_refused_with_its_offset(
    preprocessing: Preprocessing, bad: str, name: str
) -> None:
    with pytest.raises(InvalidCharacterError, match=f"{name} at offset 3$") as caught:
        preprocessing.tokenize(f"abc{bad}{bad}")
    assert caught.value.offset == 3


def test_a_bad_character_beyond_the_cut_is_still_refused() -> None:
    with pytest.raises(InvalidCharacterError, match="offset 4"):
        Preprocessing(max_length=2).tokenize("abcd\0", truncate=True)


@given(text=st.text(max_size=30), level=st.sampled_from(["character", "word"]), casefold=st.booleans())
def test_any_string_is_read_or_refused_as_a_text_error(text: str, level: str, *, casefold: bool) -> None:
    preprocessing = Preprocessing.model_validate({"level": level, "casefold": casefold, "max_length": 10})
    tokens: tuple[str, ...] = ("refused",)
    with contextlib.suppress(TextError):
        tokens = preprocessing.tokenize(text).tokens
    assert 1 <= len(tokens) <= 10
    assert all(tokens)
