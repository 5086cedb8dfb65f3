"""The commands that say how good a model is: `compare` and `card`."""

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from charlstm.artifacts import load_artifacts
from charlstm.card import CARD
from training.arguments import AsJson, Cache, Data, ModelFolder, SplitSeed, Threads, console, limit_threads
from training.card import CardSettings, make_card
from training.card_files import MODEL_CARD, write_card
from training.card_plots import comparison_picture
from training.compare import compare as compare_methods
from training.compare import load_candidates
from training.data import LabelledTexts, read_data
from training.data_format import DataFormat
from training.errors import TrainingError
from training.fit_settings import FitSettings
from training.flags import flags_from
from training.minilm import MiniLM
from training.progress import Step, steps_shown
from training.report import comparison_table
from training.sentences import Vectors
from training.splits import SplitName
from training.teaching import embed_texts

_BOTH = "both"


_Sentences = Annotated[
    bool,
    typer.Option("--sentences", help="Ask a sentence encoder, too: minutes, and the extra `teacher`."),
]


@flags_from(DataFormat, into="form", panel="How to read the CSV")
def compare(
    data: Data,
    model: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="A folder that `fit` wrote; may be repeated. Default: artifacts."),
    ] = None,
    split: Annotated[str, typer.Option(help="article, grouped or both.")] = _BOTH,
    split_seed: SplitSeed = 42,
    picture: Annotated[Path | None, typer.Option(help="Draw the accuracies into this PNG.")] = None,
    threads: Threads = None,
    cache: Cache = FitSettings.cache,
    *,
    sentences: _Sentences = False,
    as_json: AsJson = False,
    form: dict[str, Any],
) -> None:
    """Put models beside simple methods that are trained now, on the same splits."""
    limit_threads(threads)
    splits = _splits(split)
    candidates = load_candidates(model or [Path("artifacts")])
    labelled = read_data(data, DataFormat(**form))
    with steps_shown(console(stderr=True)) as step:
        embeddings = _embeddings(labelled, cache, step) if sentences else None
        found = compare_methods(labelled, candidates, splits, split_seed, step, embeddings=embeddings)
    if picture is not None:
        picture.write_bytes(comparison_picture(found))
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
        return
    console().print(comparison_table(found))
    for note in found.notes:
        console().print(note, soft_wrap=True)


@flags_from(DataFormat, into="form", panel="How to read the CSV")
def card(
    model: ModelFolder,
    data: Data,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Another run of the same recipe, to show the spread; remembered, may be repeated.",
        ),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="A model to compare accuracy and speed with; may be repeated."),
    ] = None,
    threads: Threads = None,
    cache: Cache = FitSettings.cache,
    *,
    sentences: _Sentences = False,
    form: dict[str, Any],
) -> None:
    """Measure the model in DIR on the DATA it comes from, and write DIR/MODEL_CARD.md, card.json and pictures."""
    limit_threads(threads)
    artifacts = load_artifacts(model)
    labelled = read_data(data, DataFormat(**form))
    with steps_shown(console(stderr=True)) as step:
        embeddings = _embeddings(labelled, cache, step) if sentences else None
        settings = CardSettings(tuple(runs or ()), tuple(beside or ()), embeddings)
        found = make_card(model, labelled, settings, step)
    write_card(model, found, artifacts)
    typer.echo(f"wrote {model / MODEL_CARD}, {CARD} and pictures", err=True)


def _embeddings(data: LabelledTexts, cache: Path, step: Step) -> Vectors:
    step(f"asking the sentence encoder, minutes unless {cache} holds its answers")
    return embed_texts(data, lambda: MiniLM(torch.device("cpu")), cache)


def _splits(name: str) -> list[SplitName]:
    if name == _BOTH:
        return list(SplitName)
    try:
        return [SplitName(name)]
    except ValueError:
        raise TrainingError(f"--split must be article, grouped or both, found {name!r}") from None
