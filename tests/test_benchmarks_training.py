"""The benchmark of training: the recipe it praises is the one that its flags give, and both loops train one network."""

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import training as benchmark
from benchmarks.training import FAST, PlainNetwork, PlainRows, flags, main
from charlstm.config import ModelConfig
from charlstm.encoding import TextEncoder
from charlstm.model import SentimentLSTM
from charlstm.vocabulary import Vocabulary
from tests.training_data import write_kaggle
from training import cli
from training.data import read_data
from training.fit_settings import FitSettings
from training.splits import SplitName


@pytest.mark.parametrize("name", list(FAST))
def test_its_flags_give_its_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    asked: list[FitSettings] = []
    monkeypatch.setattr(cli, "_fit", lambda _data, _output, settings: asked.append(settings))
    data = write_kaggle(tmp_path / "tweets.csv", tweets=10)
    command = f"fit {data} --preset labels --split article --output {tmp_path / 'out'} {' '.join(flags(FAST[name]))}"
    monkeypatch.setattr(sys, "argv", ["training", *shlex.split(command)])
    with pytest.raises(SystemExit):
        cli.main()
    assert (asked[0].recipe, asked[0].split) == (FAST[name], SplitName.ARTICLE)


def test_the_plain_network_is_the_articles() -> None:
    """With the same weights it gives the same probabilities as the network of the preset."""
    plain = PlainNetwork(num_embeddings=20)
    ours = SentimentLSTM(ModelConfig(num_embeddings=20, embedding_dim=16, hidden_size=1, pad_to=200))
    ours.load_state_dict(plain.state_dict())
    token_ids = torch.randint(20, (5, 200), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = ours(token_ids, torch.full((5,), 200)).sigmoid()
        torch.testing.assert_close(plain(token_ids), expected)


def test_plain_rows_are_encoded_as_the_vocabulary_has_it(tmp_path: Path) -> None:
    data = read_data(write_kaggle(tmp_path / "tweets.csv", tweets=10))
    vocabulary = Vocabulary.build(data.texts, benchmark.ARTICLE.preprocessing)
    encoder = TextEncoder(benchmark.ARTICLE.preprocessing, vocabulary)
    rows = PlainRows(*benchmark.as_frame(data, np.arange(len(data.texts)), vocabulary))
    for row, text in enumerate(data.texts):
        token_ids, label = rows[row]
        assert token_ids.tolist() == list(encoder.encode(text).padded(200).token_ids)
        assert label == data.labels[row]


def test_it_prints_both_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_kaggle(tmp_path / "tweets.csv", tweets=100)
    monkeypatch.setattr(sys, "argv", ["benchmark", str(data), "--rounds", "2", "--batches", "2"])
    main()
    printed = capsys.readouterr().out
    written = [" ".join(flags(recipe)) for recipe in FAST.values()]
    for part in (
        "| plain, as the article writes it |",
        "| 1.00 |",
        "100 epochs of 10 batches (extrapolated)",
        *written,
    ):
        assert part in printed
