"""The commands of `python -m service`.

The flags of `serve` are the settings: their names, defaults and help come from there. What a command needs is imported
when it runs: help comes at once, and `serve` starts without torch.
"""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, get_args, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from typer.core import TyperCommand

from charlstm.errors import CharLSTMError
from service.errors import ServiceError
from service.settings import ENV_PREFIX, Settings

cli = typer.Typer(help="charlstm's HTTP service.", no_args_is_help=True, add_completion=False)


@cli.callback()
def _commands() -> None:
    """Serve a character-level LSTM over HTTP, or read one text with it: sentiment, and the memory it comes from."""


def _serve(**flags: str | bool | None) -> None:
    """Serve the model until a signal ends it.

    Every flag can be given as an environment variable; a flag wins.
    """
    from service.server import run  # noqa: PLC0415  as said above

    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        _refuse(_setting_fault(error))
    _in_one_line(lambda: run(settings))


class _OptionalFile(TyperCommand):
    """A command whose flag `--json` may stand alone: then it is standard output."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a lone `--json` its value."""
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, ["--json=-" if arg == "--json" else arg for arg in args[:end]] + args[end:])


_File = Path | None


@cli.command("gates", cls=_OptionalFile)
def _gates(  # noqa: PLR0913  a command's parameters are its arguments and flags
    text: Annotated[str, typer.Argument(help="What the model reads; - is standard input.", show_default=False)],
    artifacts: Annotated[
        Path, typer.Option(envvar=f"{ENV_PREFIX}ARTIFACTS", help="Folder of the trained model.")
    ] = Settings.model_fields["artifacts"].default,
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


def _in_one_line(command: Callable[[], None]) -> None:
    """Run a command; what a person can mend is said in one line, with exit code 2."""
    try:
        command()
    except (CharLSTMError, ServiceError) as error:
        _refuse(str(error))


def _flag(name: str, field: FieldInfo) -> inspect.Parameter:
    """Make a setting's flag. A switch apart, it takes any word: what is valid is for `Settings` alone to say."""
    switch = field.annotation is bool
    option = typer.Option(
        f"{_flag_name(name)}/--no-{name.replace('_', '-')}" if switch else _flag_name(name),
        help=field.description,
        envvar=f"{ENV_PREFIX}{name.upper()}",
        show_default="unset" if field.default is None else str(field.default) or "none",
        metavar=None if switch else "|".join(get_args(field.annotation)) if _is_choice(field) else "VALUE",
    )
    annotation: Any = Annotated[bool | None, option] if switch else Annotated[str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _is_choice(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is Literal


def _flag_name(setting: str) -> str:
    return "--" + setting.replace("_", "-")


def _setting_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    name = str(fault["loc"][0])
    secret = name in Settings.model_fields and "SecretStr" in str(Settings.model_fields[name].annotation)
    found = "" if secret else f", found {fault['input']!r}"
    return f"{_flag_name(name)} or {ENV_PREFIX}{name.upper()}: {fault['msg']}{found}"


def _refuse(message: str) -> NoReturn:
    """Say in one line why it cannot be done."""
    print("charlstm: " + " ".join(message.split()), file=sys.stderr)  # noqa: T201  a command speaks to its user
    raise SystemExit(2)


_serve.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # functions may have one, typeshed does not say
    [_flag(name, field) for name, field in Settings.model_fields.items()]
)
cli.command("serve")(_serve)
