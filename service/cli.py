"""The commands of `python -m service`, which is `charlstm` where the package is installed.

The flags of `serve` are the settings: their names, defaults and help come from there. What a command needs is imported
when it runs: help comes at once, and `serve` starts without torch.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from pydantic import ValidationError
from typer.core import TyperCommand

from charlstm.errors import CharLSTMError, missing_package
from service import setting_flags
from service.errors import CommandError, ServiceError
from service.settings import ENV_PREFIX, Settings

_HELP = """Sentiment from a character-level LSTM that shows its memory: over HTTP, for files, for a text.

What cannot be done is said in one line on standard error, with exit code 2. A flag wins over its variable (env var).
"""
_PIPE_CLOSED = 141  # as a shell says of a program that SIGPIPE ended


def _examples(*lines: str) -> str:
    """Show commands at the end of a help."""
    return "\n\n".join(["Examples:", *(f"python -m service {line}" for line in lines)])


def _program(*, completes: bool) -> typer.Typer:
    examples = _examples("serve", "score tweets.csv --output scored.csv", 'predict "I love it"', 'gates "I love it"')
    names = {"help_option_names": ["-h", "--help"]}
    return typer.Typer(
        help=_HELP, epilog=examples, no_args_is_help=True, add_completion=completes, context_settings=names
    )


cli = _program(completes=False)


def run_completing() -> None:
    """Run as `charlstm`, for which a shell can complete commands and flags; for `python -m service` it could not."""
    program = _program(completes=True)
    program.registered_commands = cli.registered_commands
    program(prog_name="charlstm")


def _serve(**flags: str | bool | None) -> None:
    """Answer over HTTP, until a signal ends it.

    Every flag can be given as an environment variable; a flag wins.
    """
    from service.server import run  # noqa: PLC0415  as said above

    settings = _settings({name: value for name, value in flags.items() if value is not None})
    _in_one_line(lambda: run(settings))


_serve.__signature__ = setting_flags.signature()  # type: ignore[attr-defined]  # functions may have one, typeshed does not say
cli.command(
    "serve", epilog=_examples("serve --port 8080", "serve --artifacts runs/mine --workers 4 --precision bfloat16")
)(_serve)


@cli.command("openapi", epilog=_examples("openapi > openapi.json"))
def _openapi() -> None:
    """Print the OpenAPI document of a service with the settings of the environment, as `/openapi.json` has it.

    Loads no model.
    """
    from service.app import create_app  # noqa: PLC0415  it imports FastAPI
    from service.contract import to_text  # noqa: PLC0415  likewise

    settings = _settings({})
    _in_one_line(lambda: typer.echo(to_text(create_app(settings).openapi())))


_Artifacts = Annotated[Path, typer.Option(envvar=f"{ENV_PREFIX}ARTIFACTS", help="Folder of the trained model.")]
_ARTIFACTS: Path = Settings.model_fields["artifacts"].default


@cli.command(
    "score",
    epilog=_examples(
        "score tweets.csv --output scored.csv",
        "score reviews.parquet --text-column body --output scored.parquet",
        "score - --format jsonl < reviews.jsonl | jq .label",
        "score reviews/ --output scored/ --ray",
    ),
)
def _score(  # noqa: PLR0913  a command's parameters are its arguments and flags
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT", help="The file; - is standard input. With --ray a folder of files.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where rows go, in the format of INPUT; - is standard output.")
    ] = Path("-"),
    *,
    form: Annotated[
        Literal["csv", "jsonl", "parquet"] | None,
        typer.Option("--format", help="Format of INPUT.", show_default="what it ends in"),
    ] = None,
    text_column: Annotated[str, typer.Option(help="Column of texts; with --no-header its number, from 0.")] = "text",
    prefix: Annotated[
        str, typer.Option(help="What the names of the new columns begin with.", show_default="nothing")
    ] = "",
    delimiter: Annotated[
        str | None, typer.Option(help="Between the cells of CSV.", show_default="comma, but tab in .tsv")
    ] = None,
    artifacts: _Artifacts = _ARTIFACTS,
    device: Annotated[str, setting_flags.option("device", metavar=None)] = "auto",
    precision: Annotated[
        Literal["float32", "bfloat16", "auto"], setting_flags.option("precision", metavar=None)
    ] = "float32",
    threads: Annotated[int | None, setting_flags.option("threads", metavar=None, min=1)] = None,
    header: Annotated[bool, typer.Option(help="Whether the first line of CSV names the columns.")] = True,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, whatever is there of an earlier run.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show neither progress nor counts.")] = False,
    ray: Annotated[
        bool, typer.Option("--ray", help="Judge a folder of files on a Ray cluster, into the folder OUTPUT.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="With --ray, models that judge at a time.", show_default="what the cluster holds"
        ),
    ] = None,
) -> None:
    """Judge every row of a file of any size: CSV, JSON lines or Parquet. Needs no server.

    Rows keep their order and their columns. Behind these come label, probability (that of the label),
    probability_negative, and note: empty, unreadable (both without a prediction) or truncated.

    A run that was stopped goes on if the command is repeated; until the end its rows stand in OUTPUT.unfinished.

    The exit code is 0 if the result is written, 1 if it is and not one of its rows could be judged, and 2 if it is not.
    """
    from service.bulk_command import Files, Machine, score  # noqa: PLC0415  it imports torch
    from service.bulk_rows import Asked  # noqa: PLC0415  likewise

    def run() -> int:
        asked = Asked(form, text_column, prefix, delimiter, header)
        machine = Machine(artifacts, device, precision, threads)
        if source.is_dir() and not ray:
            raise CommandError(f"{source} is a folder, which takes --ray")
        if workers is not None and not ray:
            raise CommandError("--workers takes --ray")
        if not ray:
            return score(Files(source, output, asked.layout(source, output)), machine, fresh=fresh, quiet=quiet)
        try:
            from service.bulk_ray import Job, score_folder  # noqa: PLC0415  Ray is large, and optional
        except ModuleNotFoundError as error:
            raise missing_package(error, "ray") from error
        return score_folder(Job(source, output, asked, machine, fresh), workers, quiet=quiet)

    _in_one_line(run)


@cli.command(
    "predict",
    epilog=_examples(
        'predict "Worst update ever" "I love it"', "predict - < texts.txt", "predict --json - | jq .label"
    ),
)
def _predict(
    texts: Annotated[
        list[str],
        typer.Argument(metavar="TEXT...", help="What the model reads; - alone is every line of standard input."),
    ],
    artifacts: _Artifacts = _ARTIFACTS,
    *,
    truncate: Annotated[bool, typer.Option("--truncate", help="Cut texts over the model's limit.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print for each text, on a line, what POST /predict answers.")
    ] = False,
) -> None:
    """Judge some texts. Needs no server.

    The exit code is 0 if all were judged, 1 if one could not be, and 2 if none was tried.
    """
    from service.predict_command import predict  # noqa: PLC0415  it imports torch

    _in_one_line(lambda: predict(texts, artifacts, truncate=truncate, as_json=json))


class _OptionalFile(TyperCommand):
    """A command whose flag `--json` may stand alone: then it is standard output."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a lone `--json` its value."""
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, ["--json=-" if arg == "--json" else arg for arg in args[:end]] + args[end:])


_File = Path | None


@cli.command(
    "gates",
    cls=_OptionalFile,
    epilog=_examples('gates "Worst update ever"', 'gates "Worst update ever" --html memory.html --npz memory.npz'),
)
def _gates(  # noqa: PLR0913  a command's parameters are its arguments and flags
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="What the model reads; - is standard input.", show_default=False)
    ],
    artifacts: _Artifacts = _ARTIFACTS,
    *,
    truncate: Annotated[bool, typer.Option("--truncate", help="Cut a text over the model's limit.")] = False,
    html: Annotated[
        _File, typer.Option(metavar="FILE", help="Write a page that needs no network; - prints it.")
    ] = None,
    npz: Annotated[_File, typer.Option(metavar="FILE", help="Write the trace as NumPy arrays; - prints them.")] = None,
    json: Annotated[_File, typer.Option(metavar="[=FILE]", help="Print the trace as JSON, or write it.")] = None,
) -> None:
    """Read a text and show its memory: which characters count, and what the network keeps of them. Needs no server."""
    for flag, path in (("--html", html), ("--npz", npz), ("--json", json)):
        if str(path).startswith("--"):  # another flag, which a file was forgotten before
            _refuse(f"{flag} needs a file, found {str(path).partition('=')[0]}")
    from service.gates_command import Files, show_gates  # noqa: PLC0415  it imports torch

    _in_one_line(lambda: show_gates(text, artifacts, Files(html, npz, json), truncate=truncate))


def _settings(given: dict[str, str | bool]) -> Settings:
    """Read the settings of the environment, and what flags say."""
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        _refuse(setting_flags.fault(error))


def _in_one_line(command: Callable[[], int | None]) -> None:
    """Run a command and end with its exit code; what a person can mend is said in one line, with exit code 2."""
    try:
        code = command()
    except (CharLSTMError, ServiceError) as error:
        _refuse(str(error))
    except BrokenPipeError:  # whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what the interpreter flushes at its end
        code = _PIPE_CLOSED
    if code:
        raise SystemExit(code)


def _refuse(message: str) -> NoReturn:
    """Say in one line why it cannot be done."""
    print("charlstm: " + " ".join(message.split()), file=sys.stderr)  # noqa: T201  a command speaks to its user
    raise SystemExit(2)
