"""Batches cut from one tensor, against the core's own way of making them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charlstm.encoding import TextEncoder
from charlstm.model import collate
from charlstm.text import Preprocessing
from charlstm.vocabulary import Vocabulary
from tests.tiny import texts
from training.corpus import Corpus, encode_corpus

CPU = torch.device("cpu")
LIMIT = 24


def encoder_for(some: list[str], preprocessing: Preprocessing) -> TextEncoder:
    return TextEncoder(preprocessing, Vocabulary.build(some, preprocessing, min_count=2))


def numbered(lengths: list[int]) -> Corpus:
    """Make a corpus whose labels number the texts, so that a batch tells which ones it holds."""
    some = ["x" * length for length in lengths]
    encoder = encoder_for(some, Preprocessing())
    return encode_corpus(encoder, some, range(len(some)), None, CPU)


@given(
    some=st.lists(texts(), min_size=1, max_size=12),
    pad_to=st.sampled_from([None, LIMIT, LIMIT + 5]),
    draw=st.data(),
    casefold=st.booleans(),
)
def test_a_batch_is_what_collate_makes(
    some: list[str], pad_to: int | None, draw: st.DataObject, *, casefold: bool
) -> None:
    """The same token ids and lengths as for the same texts encoded one at a time, in any choice and order of rows."""
    encoder = encoder_for(some, Preprocessing(casefold=casefold, max_length=LIMIT))
    corpus = encode_corpus(encoder, some, [0] * len(some), pad_to, CPU)
    rows = draw.draw(st.lists(st.integers(0, len(some) - 1), min_size=1, max_size=8))
    token_ids, lengths = collate([encoder.encode(some[row], truncate=True).token_ids for row in rows], pad_to)
    batch = corpus.batch(torch.tensor(rows))
    assert torch.equal(batch.token_ids, token_ids)
    assert torch.equal(batch.lengths, lengths)


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=60),
    batch_size=st.integers(1, 9),
    by_length=st.booleans(),
)
def test_an_epoch_reads_every_text_once(lengths: list[int], batch_size: int, *, by_length: bool) -> None:
    corpus = numbered(lengths)
    batches = list(corpus.shuffled(batch_size, torch.Generator().manual_seed(1), by_length=by_length))
    assert sorted(int(label) for batch in batches for label in batch.labels) == list(range(len(lengths)))
    assert all(len(batch.labels) <= batch_size for batch in batches)
    assert len(batches) == -(-len(lengths) // batch_size)
    for batch in batches:
        assert batch.lengths.tolist() == [lengths[int(label)] for label in batch.labels]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(1, 9))
def test_scoring_reads_every_text_once_and_names_its_row(lengths: list[int], batch_size: int) -> None:
    seen: list[int] = []
    for rows, batch in numbered(lengths).in_order_of_length(batch_size):
        assert rows.tolist() == [int(label) for label in batch.labels]
        seen += rows.tolist()
    assert sorted(seen) == list(range(len(lengths)))
    assert [lengths[row] for row in seen] == sorted(lengths)


def read_steps(corpus: Corpus, *, by_length: bool) -> int:
    generator = torch.Generator().manual_seed(0)
    return sum(batch.token_ids.numel() for batch in corpus.shuffled(16, generator, by_length=by_length))


def test_batches_of_similar_length_save_padding() -> None:
    lengths = torch.randint(1, 200, (2000,), generator=torch.Generator().manual_seed(0)).tolist()
    corpus = numbered(lengths)
    tokens = sum(lengths)
    assert read_steps(corpus, by_length=False) > 1.5 * tokens
    assert read_steps(corpus, by_length=True) < 1.1 * tokens


@pytest.mark.parametrize("by_length", [True, False])
def test_the_seed_decides_the_order(*, by_length: bool) -> None:
    corpus = numbered(list(range(1, 60)))

    def order(seed: int) -> list[float]:
        batches = corpus.shuffled(4, torch.Generator().manual_seed(seed), by_length=by_length)
        return [float(label) for batch in batches for label in batch.labels]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_texts_without_a_word_are_left_out_with_their_labels() -> None:
    encoder = encoder_for(["a b", "c"], Preprocessing(level="word"))
    corpus = encode_corpus(encoder, ["a b", "   ", "c", "\n"], [1, 0, 0, 1], None, CPU)
    assert len(corpus) == 2
    assert (corpus.lengths.tolist(), corpus.labels.tolist()) == ([2, 1], [1.0, 0.0])
    assert corpus.labels.dtype == torch.float32


def test_white_space_is_a_text_at_character_level() -> None:
    corpus = encode_corpus(encoder_for(["  "], Preprocessing()), ["  "], [1], None, CPU)
    assert corpus.lengths.tolist() == [2]
