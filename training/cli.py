"""The commands of `python -m training`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from charlstm.artifacts import SAFETENSORS
from charlstm.atlas import ATLAS, save_atlas
from charlstm.errors import CharLSTMError, TextError
from charlstm.predictor import Predictor, find_device
from training.arguments import (
    LARGEST_SEED,
    AsJson,
    Cache,
    Data,
    Device,
    ModelFolder,
    SplitSeed,
    TestPartOf,
    Threads,
    console,
    limit_threads,
)
from training.atlas import AtlasSettings, compute_atlas
from training.card_commands import card, compare
from training.data import LabelledTexts, read_data
from training.data_format import DataFormat
from training.describe import describe as describe_data
from training.errors import TrainingError
from training.evaluate import evaluate as evaluate_model
from training.export_command import export
from training.fit import LEARNING_CURVE, METRICS, last_saved
from training.fit import fit as fit_model
from training.fit_settings import FitSettings
from training.flags import flag_of, flags_from
from training.plots import confusion_picture, trace_picture
from training.progress import TerminalProgress, texts_bar
from training.recipe import RECIPES, SPLIT_OF, Preset, Recipe
from training.report import description_table, evaluation_table, presets_table, scores_table
from training.splits import SplitName, part_in_words

app = typer.Typer(
    help="Train a character LSTM on labelled texts, and score it honestly.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run a command; what a person can mend is said in one line on standard error, with exit code 2."""
    try:
        app()
    except (CharLSTMError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


@app.command()
@flags_from(DataFormat, into="form", panel="How to read the CSV")
def describe(
    data: Data,
    split: Annotated[SplitName, typer.Option(help="How to divide the rows.")] = SplitName.GROUPED,
    split_seed: SplitSeed = 42,
    *,
    as_json: AsJson = False,
    form: dict[str, Any],
) -> None:
    """Say what is in DATA, how a split divides it, and how much of the test part leaks into training."""
    found = describe_data(read_data(data, DataFormat(**form)), split, split_seed)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1, ensure_ascii=False))
    else:
        console().print(description_table(found))


@app.command()
@flags_from(Recipe, into="changes", panel="Changes to the recipe", show_defaults=False)
@flags_from(DataFormat, into="form", panel="How to read the CSV")
def fit(
    data: Data,
    output: Annotated[Path, typer.Option(help="The folder to write the model to.")],
    preset: Annotated[
        Preset, typer.Option(help="The recipe to start from; the command `presets` shows what is in each.")
    ] = Preset.DEFAULT,
    split: Annotated[
        SplitName | None, typer.Option(help="Default: article for article and memory, else grouped.")
    ] = None,
    also_score: Annotated[
        SplitName | None,
        typer.Option(help="Train a second model on this split's own training part, only for its score."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of weights, order and dropout.")] = 0,
    split_seed: SplitSeed = 42,
    device: Device = "auto",
    threads: Threads = None,
    cache: Cache = FitSettings.cache,
    *,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Begin anew: replace a finished model in the folder, or drop an unfinished run."),
    ] = False,
    changes: dict[str, Any],
    form: dict[str, Any],
) -> None:
    """Train a model on DATA. Ctrl-C keeps the best epoch so far; a killed run goes on where it was when repeated.

    A folder that holds a finished model is left as it is, unless --fresh is given; what that began goes on without it.
    """
    limit_threads(threads)
    settings = FitSettings(
        name=preset.value,
        recipe=_recipe(preset, changes),
        split=split or SPLIT_OF[preset],
        also_score=also_score,
        split_seed=split_seed,
        seed=seed,
        device=find_device(device),
        fresh=fresh,
        cache=cache,
    )
    _fit(read_data(data, DataFormat(**form)), output, settings)


@app.command()
def presets() -> None:
    """Show what is in each preset of `fit`: what its flags are unless they are given."""
    console().print(presets_table({preset: RECIPES[preset] for preset in Preset}))


@app.command()
@flags_from(DataFormat, into="form", panel="How to read the CSV")
def evaluate(
    model: ModelFolder,
    data: Data,
    split: TestPartOf = "grouped",
    split_seed: SplitSeed = 42,
    device: Device = "auto",
    picture: Annotated[Path | None, typer.Option(help="Write the confusion matrix as a PNG here.")] = None,
    *,
    as_json: AsJson = False,
    form: dict[str, Any],
) -> None:
    """Score the model in DIR on DATA, and say how much of it the model was trained on."""
    found = evaluate_model(
        Predictor.load(model, device), read_data(data, DataFormat(**form)), _split_or_all(split), split_seed
    )
    if picture is not None:
        picture.write_bytes(confusion_picture(found.scores, found.part))
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"scores": found.scores.model_dump(mode="json")}, indent=1))
    else:
        console().print(evaluation_table(found))


@app.command()
@flags_from(DataFormat, into="form", panel="How to read the CSV")
def atlas(
    model: ModelFolder,
    data: Data,
    split: TestPartOf = "grouped",
    split_seed: SplitSeed = 42,
    limit: Annotated[int, typer.Option(min=2, help="Read at most this many texts, drawn at random.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    minimum_texts: Annotated[
        int, typer.Option(min=2, help="Name only characters (or words) that stand in this many of the texts.")
    ] = 50,
    device: Device = "auto",
    threads: Threads = None,
    *,
    snippets: Annotated[
        bool,
        typer.Option(
            "--snippets",
            help="Also keep, for each unit, pieces of the texts that moved it most. Without it the atlas holds "
            "statistics and characters, and nobody's texts; with it, whoever may read the file, or ask a service "
            "that serves it, reads pieces of DATA.",
        ),
    ] = False,
    form: dict[str, Any],
) -> None:
    """Find out what moves each hidden unit of the model in DIR, and write it to DIR/atlas.json."""
    limit_threads(threads)
    settings = AtlasSettings(
        split=_split_or_all(split),
        split_seed=split_seed,
        limit=limit,
        seed=seed,
        minimum_texts=minimum_texts,
        snippets=snippets,
    )
    predictor = Predictor.load(model, device)
    labelled = read_data(data, DataFormat(**form))
    with texts_bar(console(stderr=True)) as progress:
        found = compute_atlas(predictor, labelled, settings, progress)
    save_atlas(model, found)
    texts = found.rows.positive + found.rows.negative
    typer.echo(f"wrote {model / ATLAS}, from {texts:,} texts: {found.part}", err=True)


app.command()(compare)
app.command()(card)
app.command()(export)


@app.command()
def trace(
    model: ModelFolder,
    text: Annotated[str, typer.Argument(help="What the model reads.")],
    picture: Annotated[Path, typer.Option(help="Write the picture, a PNG, here.")],
) -> None:
    """Draw what happens in the memory of the model in DIR while it reads a text."""
    predictor = Predictor.load(model, "cpu")
    try:
        traced = predictor.trace(text, truncate=True)
    except TextError as error:
        raise TrainingError(f"the text {error}") from error
    title = f"{text[:80]!r}: {traced.prediction.label}, {traced.prediction.probability:.2f}"
    picture.write_bytes(trace_picture(traced, title))
    typer.echo(f"{title}; wrote {picture}")


def _recipe(preset: Preset, changes: dict[str, Any]) -> Recipe:
    try:
        return Recipe.model_validate(RECIPES[preset].model_dump() | changes)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # two flags that do not go together; the message names them
            raise TrainingError(first["msg"].removeprefix("Value error, ")) from None
        flag = flag_of(str(first["loc"][0]))
        raise TrainingError(f"{flag}: {first['msg'].lower()}, found {first['input']!r}") from None


def _split_or_all(name: str) -> SplitName | None:
    if name == "all":
        return None
    try:
        return SplitName(name)
    except ValueError:
        raise TrainingError(f"--split must be article, grouped or all, found {name!r}") from None


def _fit(data: LabelledTexts, output: Path, settings: FitSettings) -> None:
    to_go_on = "repeat the command without --fresh" if settings.fresh else "repeat the command"
    replaced = last_saved(output, settings.split) if settings.fresh else None
    try:
        with TerminalProgress(console(stderr=True)) as progress:
            config = fit_model(data, output, settings, progress)
    except KeyboardInterrupt:
        if last_saved(output, settings.split) in (None, replaced):
            ended = "interrupted before the first epoch was over: no model is written"
        else:
            ended = f"interrupted: no model is written; {to_go_on} to go on after the last whole epoch"
        typer.echo(ended, err=True)
        raise typer.Exit(130) from None
    for split, scores in config.metrics.items():
        console().print(scores_table(scores, part_in_words(SplitName(split), settings.split_seed)))
    if config.training is not None and config.training.epochs < settings.recipe.epochs:
        typer.echo(f"stopped after epoch {config.training.epochs - 1}; {to_go_on} to go on", err=True)
    elif settings.also_score is not None and settings.also_score.value not in config.metrics:
        typer.echo(f"stopped before the score on the {settings.also_score} split; {to_go_on} to go on", err=True)
    typer.echo(f"wrote {output / SAFETENSORS}, {LEARNING_CURVE}, {METRICS} and what they need", err=True)
