"""The network."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits

from charlstm.config import ModelConfig
from charlstm.model import SentimentLSTM, collate, last_step
from tests.tiny import random_tensor, tiny_model, token_sequences

NUM_EMBEDDINGS = 12
CONFIG = ModelConfig(num_embeddings=NUM_EMBEDDINGS, embedding_dim=5, hidden_size=6)
MODELS = {layers: tiny_model(CONFIG.model_copy(update={"num_layers": layers})) for layers in (1, 2)}
PADDED = tiny_model(CONFIG.model_copy(update={"pad_to": 24}))

layer_counts = st.sampled_from(sorted(MODELS))
batches = st.lists(token_sequences(NUM_EMBEDDINGS), min_size=1, max_size=6)


@torch.inference_mode()
def logits_of(model: SentimentLSTM, sequences: list[list[int]]) -> torch.Tensor:
    logits: torch.Tensor = model(*collate(sequences, model.config.pad_to))
    return logits


@pytest.mark.parametrize("num_layers", [1, 2])
def test_one_logit_a_text(num_layers: int) -> None:
    assert logits_of(MODELS[num_layers], [[1, 2, 3], [4], [5, 6]]).shape == (3,)


@given(sequences=batches, num_layers=layer_counts)
def test_a_text_alone_gets_the_logit_it_gets_in_company(sequences: list[list[int]], num_layers: int) -> None:
    together = logits_of(MODELS[num_layers], sequences)
    alone = torch.cat([logits_of(MODELS[num_layers], [sequence]) for sequence in sequences])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


@given(sequence=token_sequences(NUM_EMBEDDINGS), padding=token_sequences(NUM_EMBEDDINGS), num_layers=layer_counts)
def test_nothing_after_the_last_real_step_is_read(sequence: list[int], padding: list[int], num_layers: int) -> None:
    lengths = torch.tensor([len(sequence)])
    with torch.inference_mode():
        short = MODELS[num_layers](torch.tensor([sequence]), lengths)
        long = MODELS[num_layers](torch.tensor([sequence + padding]), lengths)
    torch.testing.assert_close(short, long, atol=1e-6, rtol=0)


@given(sequence=token_sequences(NUM_EMBEDDINGS), num_layers=layer_counts)
def test_the_logit_is_the_head_of_the_last_hidden_state(sequence: list[int], num_layers: int) -> None:
    model = MODELS[num_layers]
    with torch.inference_mode():
        _, (hidden, _) = model.lstm(model.embedding(torch.tensor([sequence])))
        expected = hidden[-1, 0] @ model.head.weight[0] + model.head.bias[0]
    torch.testing.assert_close(logits_of(model, [sequence])[0], expected, atol=1e-6, rtol=0)


def test_every_step_changes_the_logit() -> None:
    """So the tests of invariance above compare logits that do depend on the text."""
    base = logits_of(MODELS[2], [[1, 2, 3, 4]])
    for step in range(4):
        changed = [1, 2, 3, 4]
        changed[step] = 9
        assert (logits_of(MODELS[2], [changed]) - base).abs().item() > 1e-4


def test_last_step_picks_by_length() -> None:
    hidden = random_tensor(3, 4, 2)
    picked = last_step(hidden, torch.tensor([1, 4, 2]))
    assert torch.equal(picked, torch.stack([hidden[0, 0], hidden[1, 3], hidden[2, 1]]))


@given(sequence=token_sequences(NUM_EMBEDDINGS))
def test_with_pad_to_the_padding_is_read_as_steps(sequence: list[int]) -> None:
    by_hand = torch.tensor([sequence + [0] * (24 - len(sequence))])
    with torch.inference_mode():
        expected = PADDED.head(PADDED.lstm(PADDED.embedding(by_hand))[0][:, -1])[:, 0]
    torch.testing.assert_close(logits_of(PADDED, [sequence]), expected, atol=1e-6, rtol=0)


def test_the_padding_vector_is_learnt_only_where_padding_is_read() -> None:
    assert MODELS[1].embedding.padding_idx == 0
    assert PADDED.embedding.padding_idx is None


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("pad_to", [None, 24])
def test_gradients_reach_every_parameter(num_layers: int, pad_to: int | None) -> None:
    model = tiny_model(CONFIG.model_copy(update={"num_layers": num_layers, "pad_to": pad_to}))
    logits = model(*collate([list(range(1, NUM_EMBEDDINGS)), [1, 2]], pad_to))
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = dict(zip(names, torch.autograd.grad(logits.square().sum(), parameters), strict=True))
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 0, name
    rows_without = (gradients["embedding.weight"].abs().sum(dim=1) == 0).nonzero().flatten().tolist()
    assert rows_without == ([0] if pad_to is None else [])


def test_dropout_varies_training_and_leaves_evaluation_alone() -> None:
    model = tiny_model(CONFIG.model_copy(update={"dropout": 0.5, "num_layers": 2}))
    batch = collate([list(range(1, NUM_EMBEDDINGS))])
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        assert torch.equal(model(*batch), model(*batch))
        model.train()
        assert not torch.equal(model(*batch), model(*batch))


@pytest.mark.parametrize(("num_layers", "between"), [(1, 0.0), (2, 0.3)])
def test_dropout_between_layers_needs_two_layers(num_layers: int, between: float) -> None:
    """PyTorch warns of dropout in a single layer, and warnings are errors here."""
    model = SentimentLSTM(CONFIG.model_copy(update={"dropout": 0.3, "num_layers": num_layers}))
    assert (model.lstm.dropout, model.dropout.p) == (between, 0.3)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_four_texts_are_learnt_by_heart_in_a_few_steps(num_layers: int) -> None:
    model = tiny_model(CONFIG.model_copy(update={"num_layers": num_layers, "hidden_size": 16}), scale=0.3).train()
    batch = collate([[1, 2, 3], [3, 2, 1], [1, 2, 4, 4, 4], [5]])
    labels = torch.tensor([1.0, 0.0, 0.0, 1.0])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        torch.autograd.backward(binary_cross_entropy_with_logits(model(*batch), labels))
        optimizer.step()
    with torch.inference_mode():
        logits = model(*batch)
    assert binary_cross_entropy_with_logits(logits, labels) < 0.01
    assert ((logits > 0) == labels.bool()).all()


@given(sequences=batches)
def test_collate_pads_at_the_end_with_zeros(sequences: list[list[int]]) -> None:
    token_ids, lengths = collate(sequences)
    assert token_ids.dtype == lengths.dtype == torch.int64
    assert lengths.tolist() == [len(sequence) for sequence in sequences]
    longest = max(map(len, sequences))
    assert token_ids.tolist() == [sequence + [0] * (longest - len(sequence)) for sequence in sequences]


@given(sequences=batches)
def test_collate_to_a_fixed_size_counts_every_step(sequences: list[list[int]]) -> None:
    token_ids, lengths = collate(sequences, pad_to=24)
    assert token_ids.tolist() == [sequence + [0] * (24 - len(sequence)) for sequence in sequences]
    assert lengths.dtype == torch.int64
    assert lengths.tolist() == [24] * len(sequences)


def test_a_text_as_long_as_the_padding_fits() -> None:
    assert collate([[1, 2, 3]], pad_to=3)[0].tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("sequences", [[], [[]], [[1], []]])
def test_nothing_to_read_is_refused(sequences: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="at least one text and every text at least one token"):
        collate(sequences)


def test_a_text_longer_than_the_padding_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match="a text of 4 tokens does not fit into 3 steps"):
        collate([[1], [1, 2, 3, 4]], pad_to=3)


def test_the_model_says_where_its_weights_are() -> None:
    assert MODELS[1].device == torch.device("cpu")
