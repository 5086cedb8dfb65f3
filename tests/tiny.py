"""Small models and strategies that the tests of every room share."""

from pathlib import Path

import torch
from hypothesis import strategies as st
from torch import Tensor

from charlstm.artifacts import save_artifacts
from charlstm.config import ArtifactConfig, Calibration, ModelConfig
from charlstm.model import SentimentLSTM
from charlstm.text import Level, Preprocessing
from charlstm.vocabulary import Vocabulary

TEXTS = (
    "Worst update ever",
    "best game this year",
    "Straße gesperrt, İstanbul too!",
    "I hate waiting in line",
    "so much fun with friends 🎮",
)
HIDDEN_SIZE = 8
EMBEDDING_DIM = 6


def tiny_model(config: ModelConfig, *, seed: int = 0, scale: float = 0.7) -> SentimentLSTM:
    """Make a network with lively random weights, in evaluation mode, leaving torch's own random numbers alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SentimentLSTM(config)
        for parameter in model.parameters():
            torch.nn.init.uniform_(parameter, -scale, scale)
    return model.eval()


def tiny_config(  # noqa: PLR0913  each has a default, and tests vary one at a time
    *,
    level: Level = "character",
    casefold: bool = False,
    max_length: int | None = 64,
    num_layers: int = 1,
    pad_to: int | None = None,
    temperature: float = 1.0,
) -> tuple[ArtifactConfig, Vocabulary]:
    """Describe a small model over `TEXTS`. With `pad_to`, its limit is never above that."""
    limit = pad_to if pad_to is not None and (max_length is None or max_length > pad_to) else max_length
    preprocessing = Preprocessing(level=level, casefold=casefold, max_length=limit)
    vocabulary = Vocabulary.build(TEXTS, preprocessing)
    config = ArtifactConfig(
        name="tiny",
        model=ModelConfig(
            num_embeddings=vocabulary.num_embeddings,
            embedding_dim=EMBEDDING_DIM,
            hidden_size=HIDDEN_SIZE,
            num_layers=num_layers,
            pad_to=pad_to,
        ),
        preprocessing=preprocessing,
        calibration=Calibration(temperature=temperature),
    )
    return config, vocabulary


def tiny_artifacts(  # noqa: PLR0913  each has a default, and tests vary one at a time
    directory: Path,
    *,
    level: Level = "character",
    casefold: bool = False,
    max_length: int | None = 64,
    num_layers: int = 1,
    pad_to: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
) -> Path:
    """Save a small random model into a folder and return the folder."""
    config, vocabulary = tiny_config(
        level=level,
        casefold=casefold,
        max_length=max_length,
        num_layers=num_layers,
        pad_to=pad_to,
        temperature=temperature,
    )
    save_artifacts(directory, config, vocabulary, tiny_model(config.model, seed=seed).state_dict())
    return directory


def texts(*, min_size: int = 1, max_size: int = 40) -> st.SearchStrategy[str]:
    """Any text the core accepts at character level: all of Unicode but NUL and lone surrogates."""
    anything = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    known = st.sampled_from(sorted(set("".join(TEXTS))))
    return st.text(anything | known, min_size=min_size, max_size=max_size)


def token_sequences(num_embeddings: int, *, max_size: int = 20) -> st.SearchStrategy[list[int]]:
    """Token ids of one text, padding excluded."""
    return st.lists(st.integers(1, num_embeddings - 1), min_size=1, max_size=max_size)


def random_tensor(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw a standard normal tensor that depends on nothing but its arguments."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
