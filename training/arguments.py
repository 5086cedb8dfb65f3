"""Arguments and flags that several commands share, and the terminal that they write to."""

from pathlib import Path
from typing import Annotated, Final

import torch
import typer
from rich.console import Console

LARGEST_SEED: Final = 2**32 - 1  # scikit-learn's limit

Data = Annotated[Path, typer.Argument(metavar="DATA", help="A CSV file, or a zip with one in it.")]
ModelFolder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `fit` wrote.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
SplitSeed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the split.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: torch's choice.")]
Cache = Annotated[
    Path,
    typer.Option(help="The folder in which what a sentence encoder and a teacher find is kept: a gigabyte or two."),
]
TestPartOf = Annotated[str, typer.Option("--split", help="Whose test part: article, grouped; or all rows.")]


def console(*, stderr: bool = False) -> Console:
    """Make a console that shows texts, labels and file names as they are, not as rich's markup."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def limit_threads(threads: int | None) -> None:
    """Have torch use this many threads, or as many as it would."""
    if threads is not None:
        torch.set_num_threads(threads)
