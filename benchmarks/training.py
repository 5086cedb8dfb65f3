"""How fast training is, beside a plain loop as the article writes it: `python -m benchmarks.training DATA`.

Two questions, in one run, round after round in turn; medians count.

How many characters a second do both loops read on the article's own network (1 unit, embedding of 16, batches of 32,
every text padded to 200 steps, Adam)? And how long until the article's accuracy on the article's split: its 100 epochs,
or `fit` with a recipe chosen for that? Nobody waits for the 100 epochs: some batches of the plain loop are timed and
multiplied, and the output says so. `fit` is timed from labelled texts in memory to a written, scored model.

Time is processor time of one thread, which is the clock's on a machine that does nothing else, and tells more than the
clock on one that does.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from charlstm.encoding import TextEncoder
from charlstm.model import SentimentLSTM
from charlstm.vocabulary import PADDING_ID, Vocabulary
from training.corpus import encode_corpus
from training.data import LabelledTexts, read_data
from training.fit import fit
from training.fit_settings import FitSettings
from training.progress import TerminalProgress
from training.recipe import RECIPES, Preset, Recipe
from training.speed import machine
from training.splits import Rows, SplitName, split_rows
from training.trainer import Run, train

ARTICLE: Final = RECIPES[Preset.ARTICLE]
ARTICLE_ACCURACY: Final = 0.645
_STEPS = 200

# Whatever the presets become, these stay; what differs from the preset is printed as flags of `fit`.
_CHARACTERS = Recipe(
    casefold=True,
    max_length=60,
    min_count=10,
    embedding_dim=32,
    hidden_size=48,
    forget_bias=1.0,
    epochs=2,
    batch_size=32,
    by_length=True,
    learning_rate=0.01,
    warmup=0.1,
    clip_norm=1.0,
)
FAST: Final = {
    "characters": _CHARACTERS,
    "words": _CHARACTERS.model_copy(
        update={
            "level": "word",
            "max_length": 20,
            "min_count": 3,
            "embedding_dim": 16,
            "hidden_size": 16,
            "epochs": 1,
            "batch_size": 128,
            "learning_rate": 0.03,
        }
    ),
}


class PlainRows(Dataset[tuple[Tensor, Tensor]]):
    """Rows of a data frame, looked up and encoded one at a time, each padded to 200 characters."""

    def __init__(self, frame: pd.DataFrame, ids: dict[str, int]) -> None:
        self._frame, self._ids = frame, ids

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._frame)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Give the token ids (200,) and the label of a row."""
        row = self._frame.iloc[index]
        token_ids = [self._ids.get(character, len(self._ids) + 1) for character in row["text"][:_STEPS]]
        token_ids += [PADDING_ID] * (_STEPS - len(token_ids))
        return torch.tensor(token_ids), torch.tensor(float(row["label"]))


class PlainNetwork(nn.Module):
    """The article's network, as anybody would write it."""

    def __init__(self, num_embeddings: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_embeddings, ARTICLE.embedding_dim)
        self.lstm = nn.LSTM(ARTICLE.embedding_dim, ARTICLE.hidden_size, batch_first=True)
        self.head = nn.Linear(ARTICLE.hidden_size, 1)

    def forward(self, token_ids: Tensor) -> Tensor:
        """Give P(negative) (B,) of texts (B, 200)."""
        hidden_states, _ = self.lstm(self.embedding(token_ids))  # (B, 200, 1)
        probabilities: Tensor = torch.sigmoid(self.head(hidden_states[:, -1])).squeeze(-1)
        return probabilities


class Fit(NamedTuple):
    """What `fit` took, in seconds, and the accuracy of its model on the test part."""

    seconds: float
    accuracy: float


class Loop(NamedTuple):
    """What a loop did: seconds for each batch of 32, and characters read a second, padding not counted."""

    seconds_a_batch: float
    characters_a_second: float


def plain_loop(data: LabelledTexts, rows: Rows, vocabulary: Vocabulary, seed: int) -> Loop:
    """Train the article's network on some rows, once, in a loop as the article writes it."""
    torch.manual_seed(seed)
    frame, ids = as_frame(data, rows, vocabulary)
    loader = DataLoader(PlainRows(frame, ids), batch_size=ARTICLE.batch_size, shuffle=True)
    model, loss_of = PlainNetwork(vocabulary.num_embeddings), nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=ARTICLE.learning_rate)
    total = 0.0
    started = time.process_time()
    for token_ids, labels in loader:
        optimizer.zero_grad()
        loss = loss_of(model(token_ids), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
    seconds = time.process_time() - started
    characters = sum(min(len(text), _STEPS) for text in frame["text"])
    return Loop(seconds / len(loader), characters / seconds)


def as_frame(data: LabelledTexts, rows: Rows, vocabulary: Vocabulary) -> tuple[pd.DataFrame, dict[str, int]]:
    """Give some rows as a data frame, and the token id of each known character."""
    frame = pd.DataFrame({"text": data.texts_of(rows), "label": data.labels[rows]})
    return frame, {
        token: token_id for token_id, token in enumerate(vocabulary.tokens) if 0 < token_id < len(vocabulary)
    }


def our_loop(data: LabelledTexts, rows: Rows, vocabulary: Vocabulary, seed: int) -> Loop:
    """Train the same network on the same rows, once, in this project's loop."""
    torch.manual_seed(seed)
    encoder = TextEncoder(ARTICLE.preprocessing, vocabulary)
    cpu = torch.device("cpu")
    corpus = encode_corpus(encoder, data.texts_of(rows), data.labels[rows].tolist(), ARTICLE.pad_to, cpu)
    nothing = encode_corpus(encoder, [], [], ARTICLE.pad_to, cpu)
    once = ARTICLE.model_copy(update={"epochs": 1})
    with tempfile.TemporaryDirectory() as folder, _unseen() as progress:
        run = Run(once, corpus, nothing, seed, Path(folder) / "checkpoint.pt", fingerprint="")
        model = SentimentLSTM(once.model_settings(vocabulary.num_embeddings))
        started = time.process_time()
        train(model, run, progress)
        seconds = time.process_time() - started
    return Loop(seconds / -(-len(rows) // once.batch_size), int(corpus.lengths.sum()) / seconds)


def fast_fit(data: LabelledTexts, recipe: Recipe, seed: int) -> Fit:
    """Train, score and write a model by a fast recipe."""
    settings = FitSettings(
        name=Preset.LABELS.value,
        recipe=recipe,
        split=SplitName.ARTICLE,
        also_score=None,
        split_seed=42,
        seed=seed,
        device=torch.device("cpu"),
    )
    with tempfile.TemporaryDirectory() as folder, _unseen() as progress:
        started = time.process_time()
        config = fit(data, Path(folder), settings, progress)
        seconds = time.process_time() - started
    return Fit(seconds, config.metrics[SplitName.ARTICLE].accuracy)


def _unseen() -> TerminalProgress:
    return TerminalProgress(Console(quiet=True))


def flags(recipe: Recipe) -> Iterator[str]:
    """Write a fast recipe as what is to be added to `fit --preset labels`."""
    preset = RECIPES[Preset.LABELS]
    for name, value in recipe:
        flag = name.replace("_", "-")
        if value == getattr(preset, name):
            continue
        if isinstance(value, bool):
            yield f"--{flag}" if value else f"--no-{flag}"
        else:
            yield f"--{flag} {value}"


def main() -> None:
    """Measure in turn, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the data, as the training commands read it")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts (default: 5)")
    parser.add_argument("--batches", type=int, default=150, help="batches of 32 for each loop and round (default: 150)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = read_data(options.data)
    train_rows = split_rows(data, SplitName.ARTICLE, 42).train
    vocabulary = Vocabulary.build(data.texts_of(train_rows), ARTICLE.preprocessing)
    plain, ours = [], []
    fits: dict[str, list[Fit]] = {name: [] for name in FAST}
    for number in range(options.rounds):
        start = number * options.batches * ARTICLE.batch_size % len(train_rows)
        rows = train_rows[start : start + options.batches * ARTICLE.batch_size]
        plain.append(plain_loop(data, rows, vocabulary, number))
        ours.append(our_loop(data, rows, vocabulary, number))
        for name, recipe in FAST.items():
            fits[name].append(fast_fit(data, recipe, seed=number))
        last = {name: found[-1] for name, found in fits.items()}
        print(f"round {number + 1} of {options.rounds}: {plain[-1]}, {ours[-1]}, {last}", file=sys.stderr, flush=True)
    print_loops(plain, ours)
    print_times(plain, fits, -(-len(train_rows) // ARTICLE.batch_size))
    print(
        f"\n{machine()}; processor time of one thread, medians of {options.rounds} rounds of {options.batches} batches"
    )


def print_loops(plain: list[Loop], ours: list[Loop]) -> None:
    """Print how fast both loops are on the article's network."""
    rates = [statistics.median(loop.characters_a_second for loop in loops) for loops in (plain, ours)]
    print("| loop, on the article's network | characters/s | ratio |\n|---|---|---|")
    for name, rate in zip(("plain, as the article writes it", "ours, `--preset article`"), rates, strict=True):
        print(f"| {name} | {rate:,.0f} | {rate / rates[0]:.2f} |")


def print_times(plain: list[Loop], fits: dict[str, list[Fit]], batches: int) -> None:
    """Print how long it takes to the article's accuracy."""
    a_batch = statistics.median(loop.seconds_a_batch for loop in plain)
    article = a_batch * batches * ARTICLE.epochs
    print(f"\n| to an accuracy of {ARTICLE_ACCURACY} on the article's split | s | times less | accuracy reached |")
    print("|---|---|---|---|")
    epochs = f"{ARTICLE.epochs} epochs of {batches:,} batches"
    print(f"| plain loop, {epochs} (extrapolated) | {article:,.0f} | 1 | as published |")
    for name, found in fits.items():
        seconds = statistics.median(fit.seconds for fit in found)
        reached = ", ".join(f"{fit.accuracy:.3f}" for fit in found)
        print(f"| `fit`, {name} | {seconds:.1f} | {article / seconds:.0f} | {reached} |")
    print(
        f"\n{a_batch * 1e3:.1f} ms a batch of the plain loop, times {batches:,} batches, times {ARTICLE.epochs} epochs."
    )
    for name, recipe in FAST.items():
        command = "python -m training fit DATA --preset labels --split article --threads 1 --output runs/fast"
        print(f"\n{name}: {command} {' '.join(flags(recipe))}")


if __name__ == "__main__":
    main()
