"""Tokens and their indices."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.text import Preprocessing
from charlstm.vocabulary import PADDING, PADDING_ID, UNKNOWN, Vocabulary
from tests.tiny import texts

several_texts = st.lists(texts(min_size=0), max_size=5)


def test_tokens_are_numbered_from_1_in_order_of_first_appearance_and_unknown_is_last() -> None:
    vocabulary = Vocabulary.build(["hello", "low"])
    assert vocabulary.tokens == (PADDING, "h", "e", "l", "o", " ", "w", UNKNOWN)
    assert vocabulary.encode("hello") == [1, 2, 3, 3, 4]
    assert (vocabulary.unknown_id, PADDING_ID) == (7, 0)
    assert (len(vocabulary), vocabulary.num_embeddings) == (7, 8)


@given(corpus=several_texts)
def test_the_order_is_that_of_the_texts_joined_by_a_space(corpus: list[str]) -> None:
    assert list(Vocabulary.build(corpus).tokens[1:-1]) == list(dict.fromkeys(" ".join(corpus)))


def test_no_text_still_gives_padding_and_unknown() -> None:
    vocabulary = Vocabulary.build([])
    assert vocabulary.tokens == (PADDING, UNKNOWN)
    assert vocabulary.encode("a") == [1]


def test_rare_tokens_are_left_to_unknown_without_changing_the_order_of_the_rest() -> None:
    vocabulary = Vocabulary.build(["abcab"], min_count=2)
    assert vocabulary.tokens == (PADDING, "a", "b", UNKNOWN)
    assert vocabulary.encode("c") == [vocabulary.unknown_id]


@given(corpus=several_texts, min_count=st.integers(1, 4))
def test_min_count_keeps_exactly_the_tokens_seen_so_often(corpus: list[str], min_count: int) -> None:
    joined = " ".join(corpus)
    kept = {character for character in joined if joined.count(character) >= min_count}
    assert set(Vocabulary.build(corpus, min_count=min_count).tokens[1:-1]) == kept


def test_words_can_be_the_tokens() -> None:
    vocabulary = Vocabulary.build(["So bad", "so good, so bad"], Preprocessing(level="word", casefold=True))
    assert vocabulary.tokens == (PADDING, "so", "bad", "good", ",", UNKNOWN)


def test_the_names_of_the_special_tokens_in_a_text_are_ordinary_text() -> None:
    vocabulary = Vocabulary.build([f"{UNKNOWN}{PADDING}"], Preprocessing(level="word"))
    assert vocabulary.tokens == (PADDING, "<", "UNK", ">", "PAD", UNKNOWN)


@given(corpus=st.lists(texts(), min_size=1, max_size=5))
def test_decoding_what_was_encoded_gives_the_tokens_back(corpus: list[str]) -> None:
    vocabulary = Vocabulary.build(corpus)
    for text in corpus:
        assert "".join(vocabulary.decode(vocabulary.encode(text))) == text


@given(corpus=several_texts, text=texts())
def test_exactly_the_unknown_tokens_decode_to_unknown(corpus: list[str], text: str) -> None:
    vocabulary = Vocabulary.build(corpus)
    known = set(" ".join(corpus))
    expected = [character if character in known else UNKNOWN for character in text]
    assert vocabulary.decode(vocabulary.encode(text)) == expected


def test_padding_decodes_to_its_name() -> None:
    assert Vocabulary("ab").decode([0, 1, 0]) == [PADDING, "a", PADDING]


@pytest.mark.parametrize("token_id", [-1, 4])
def test_an_index_outside_the_vocabulary_is_refused_with_the_range(token_id: int) -> None:
    with pytest.raises(ValueError, match=f"^token id {token_id} lies outside 0 to 3$"):
        Vocabulary("ab").decode([1, token_id])


@given(corpus=several_texts)
def test_json_keeps_every_token_of_any_unicode(corpus: list[str]) -> None:
    vocabulary = Vocabulary.build(corpus)
    document = vocabulary.to_json().encode().decode()
    assert Vocabulary.from_json(document) == vocabulary
    assert Vocabulary.from_json(document).encode("a Z") == vocabulary.encode("a Z")


def test_json_is_readable_and_lists_every_token_with_its_index() -> None:
    document = Vocabulary(["ß", "🎮"]).to_json()
    assert json.loads(document) == {PADDING: 0, "ß": 1, "🎮": 2, UNKNOWN: 3}
    assert '"🎮": 2' in document.splitlines()[3]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "Expecting value"),
        ('{"<PAD>": 0', "Expecting"),
        ("[]", "one JSON object"),
        ('"<PAD>"', "one JSON object"),
        ('{"<PAD>": "0", "<UNK>": 1}', "one JSON object"),
        ('{"<PAD>": 0, "<UNK>": 1.0}', "one JSON object"),
        ('{"<PAD>": 0, "<UNK>": true}', "one JSON object"),
        ('{"<PAD>": 0, "a": {"b": 1}, "<UNK>": 2}', "one JSON object"),
        ('{"<PAD>": 0, "a": 1, "a": 2, "<UNK>": 3}', "more than once"),
        ('{"<PAD>": 0, "a": 2, "<UNK>": 3}', "count up from 0"),
        ('{"<PAD>": 0, "b": 2, "a": 1, "<UNK>": 3}', "count up from 0"),
        ('{"<PAD>": 1, "a": 2, "<UNK>": 3}', "count up from 0"),
        ("{}", "<PAD> at index 0 and <UNK> at the last"),
        ('{"<PAD>": 0}', "<PAD> at index 0 and <UNK> at the last"),
        ('{"<PAD>": 0, "a": 1}', "<PAD> at index 0 and <UNK> at the last"),
        ('{"a": 0, "<UNK>": 1}', "<PAD> at index 0 and <UNK> at the last"),
        ('{"<UNK>": 0, "a": 1, "<PAD>": 2}', "<PAD> at index 0 and <UNK> at the last"),
        ('{"<PAD>": 0, "": 1, "<UNK>": 2}', "token is empty"),
    ],
)
def test_bad_json_is_refused_with_what_was_expected(document: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary.from_json(document)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["a", "b", "a"], "token 'a' stands more than once"),
        ([UNKNOWN], "token '<UNK>' stands more than once"),
        ([PADDING], "token '<PAD>' stands more than once"),
        (["a", ""], "token is empty"),
    ],
)
def test_tokens_that_could_not_be_told_apart_are_refused(tokens: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary(tokens)


def test_vocabularies_compare_by_their_tokens_in_order() -> None:
    assert Vocabulary("ab") == Vocabulary(["a", "b"])
    assert hash(Vocabulary("ab")) == hash(Vocabulary(["a", "b"]))
    assert Vocabulary("ab") != Vocabulary("ba")
    assert Vocabulary("ab") != "ab"


def test_the_representation_shows_size_and_first_tokens() -> None:
    assert repr(Vocabulary("abcdefgh")) == "Vocabulary(9 tokens: 'a', 'b', 'c', 'd', 'e', ...)"
