"""Preprocessing and vocabulary together."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.encoding import TextEncoder
from charlstm.errors import EmptyTextError, InvalidCharacterError, TextError, TextTooLongError
from charlstm.text import Preprocessing
from charlstm.vocabulary import Vocabulary
from tests.tiny import texts

FOLDED = Preprocessing(casefold=True, max_length=6)
ENCODER = TextEncoder(FOLDED, Vocabulary.build(["strasse 1"], FOLDED))
UNLIMITED = replace(ENCODER, preprocessing=Preprocessing(casefold=True))
WORDS = Preprocessing(level="word", casefold=True)
WORD_ENCODER = TextEncoder(WORDS, Vocabulary.build(["so much fun", "so mh fun"], WORDS))


def test_a_text_is_folded_then_numbered_with_offsets_into_the_original() -> None:
    encoded = ENCODER.encode("Maße")
    assert ENCODER.vocabulary.decode(encoded.token_ids) == ["<UNK>", "a", "s", "s", "e"]
    assert encoded.offsets == (0, 1, 2, 2, 3)
    assert (encoded.characters, encoded.unknown, encoded.truncated) == (4, 1, False)


def test_only_what_was_read_counts_as_unknown() -> None:
    encoded = ENCODER.encode("strassXYZ", truncate=True)
    assert (encoded.characters, encoded.unknown, encoded.truncated) == (6, 0, True)


def test_a_cut_has_to_be_allowed() -> None:
    with pytest.raises(TextTooLongError, match="at most 6 characters long, found 9"):
        ENCODER.encode("strassXYZ")


@given(text=texts())
def test_every_token_has_an_index_and_an_offset(text: str) -> None:
    encoded = ENCODER.encode(text, truncate=True)
    assert 1 <= len(encoded.token_ids) == len(encoded.offsets) <= 6
    assert all(1 <= token_id < ENCODER.vocabulary.num_embeddings for token_id in encoded.token_ids)
    assert encoded.unknown == ENCODER.vocabulary.decode(encoded.token_ids).count("<UNK>")


@pytest.mark.parametrize("text", ["", "a\0", "\udc00"])
def test_what_is_no_text_is_refused(text: str) -> None:
    with pytest.raises(TextError):
        ENCODER.encode(text)


def encoder_of(level: str, limit: int | None) -> TextEncoder:
    encoder = UNLIMITED if level == "character" else WORD_ENCODER
    return replace(encoder, preprocessing=encoder.preprocessing.model_copy(update={"max_length": limit}))


TYPED = texts(max_size=30) | st.text("so much, fun\n", max_size=30)  # the second has words, and marks between them


@pytest.mark.parametrize("level", ["character", "word"])
@given(text=TYPED, limit=st.none() | st.integers(1, 8), data=st.data())
def test_what_is_left_out_is_not_read_and_offsets_still_count_in_the_whole_text(
    level: str, text: str, limit: int | None, data: st.DataObject
) -> None:
    """The rest is read as if it were the text, whatever case folding made of a character and a span of a word."""
    encoder = encoder_of(level, limit)
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    rest = text[:start] + text[stop:]
    if not encoder.preprocessing.split(rest):
        with pytest.raises(EmptyTextError):
            encoder.encode(text, leave_out=[(start, stop)])
        return
    found = encoder.encode(text, truncate=True, leave_out=[(start, stop)])
    expected = encoder.encode(rest, truncate=True)
    assert (found.token_ids, found.characters, found.unknown, found.truncated) == (
        expected.token_ids,
        expected.characters,
        expected.unknown,
        expected.truncated,
    )
    assert list(found.offsets) == [
        offset if offset < start else offset + stop - start for offset in expected.offsets if offset is not None
    ]
    assert text.startswith(found.text)
    assert found.text[:start] + found.text[stop:] == expected.text


@pytest.mark.parametrize(
    ("span", "tokens", "offsets", "characters"),
    [
        ((4, 6), ["so", "mh", "fun"], (0, 3, 8), 9),
        ((3, 5), ["so", "ch", "fun"], (0, 5, 8), 9),
        ((2, 8), ["sofun"], (0,), 5),
    ],
)
def test_a_word_is_read_without_the_part_of_it_that_is_left_out(
    span: tuple[int, int], tokens: list[str], offsets: tuple[int, ...], characters: int
) -> None:
    """A model of words reads what is left of each, and what a cut joins is one word."""
    encoder = TextEncoder(WORDS, Vocabulary.build([" ".join(tokens)], WORDS))
    found = encoder.encode("so much fun", leave_out=[span])
    assert encoder.vocabulary.decode(found.token_ids) == tokens
    assert (found.offsets, found.characters, found.text) == (offsets, characters, "so much fun")


@pytest.mark.parametrize(
    "spans",
    [
        [(0, 3), (2, 5), (8, 99)],
        [(8, 99), (2, 5), (0, 3)],
        [(-4, 5), (5, 5), (8, 9), (20, 30)],
        [(0, 5), (1, 2), (7, 6), (8, 9)],
    ],
)
def test_spans_may_come_in_any_order_overlap_and_reach_past_the_ends(spans: list[tuple[int, int]]) -> None:
    found = UNLIMITED.encode("best game", leave_out=spans)
    assert (found.offsets, found.characters) == ((5, 6, 7), 3)


def test_the_limit_is_that_of_what_is_read() -> None:
    """And a text that is cut at it ends where the first unread character stands."""
    assert ENCODER.encode("strassXYZ", leave_out=[(6, 9)]).characters == 6
    found = ENCODER.encode("strassXYZ", leave_out=[(1, 3)], truncate=True)
    assert (found.text, found.characters, found.truncated) == ("strassXY", 6, True)


def test_what_is_left_out_has_to_be_text_too() -> None:
    """It is shown beside what was read; JSON has no lone surrogates."""
    with pytest.raises(InvalidCharacterError) as raised:
        UNLIMITED.encode("ab\ud800c", leave_out=[(1, 3)])
    assert raised.value.offset == 2
