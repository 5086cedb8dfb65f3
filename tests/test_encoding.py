"""Preprocessing and vocabulary together."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.encoding import TextEncoder
from charlstm.errors import EmptyTextError, TextError, TextTooLongError
from charlstm.text import Preprocessing
from charlstm.vocabulary import Vocabulary
from tests.tiny import texts

FOLDED = Preprocessing(casefold=True, max_length=6)
ENCODER = TextEncoder(FOLDED, Vocabulary.build(["strasse 1"], FOLDED))
UNLIMITED = replace(ENCODER, preprocessing=Preprocessing(casefold=True))


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


@given(text=texts(max_size=30), data=st.data())
def test_what_is_left_out_is_not_read_and_offsets_still_count_in_the_whole_text(text: str, data: st.DataObject) -> None:
    """The rest is read as if it were the text, whatever case folding made of a character."""
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    rest = text[:start] + text[stop:]
    if not rest:
        with pytest.raises(EmptyTextError):
            UNLIMITED.encode(text, leave_out=[(start, stop)])
        return
    found, expected = UNLIMITED.encode(text, leave_out=[(start, stop)]), UNLIMITED.encode(rest)
    assert (found.token_ids, found.characters, found.unknown) == (
        expected.token_ids,
        expected.characters,
        expected.unknown,
    )
    assert found.text == text
    assert list(found.offsets) == [
        offset if offset < start else offset + stop - start for offset in expected.offsets if offset is not None
    ]


def test_spans_may_overlap_and_reach_past_the_end() -> None:
    found = UNLIMITED.encode("best game", leave_out=[(0, 3), (2, 5), (8, 99)])
    assert (found.offsets, found.characters) == ((5, 6, 7), 3)
