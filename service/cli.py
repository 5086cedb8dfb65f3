"""The commands of `python -m service`. The flags are the settings: their names, defaults and help come from there."""

import inspect
import sys
from typing import Annotated, Any, Literal, NoReturn, get_args, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from charlstm.errors import CharLSTMError
from service.errors import ServiceError
from service.server import run
from service.settings import ENV_PREFIX, Settings

cli = typer.Typer(help="charlstm's HTTP service.", no_args_is_help=True, add_completion=False)


@cli.callback()
def _commands() -> None:
    """Serve a character-level LSTM over HTTP: sentiment, and the memory it comes from."""


def _serve(**flags: str | bool | None) -> None:
    """Serve the model until a signal ends it.

    Every flag can be given as an environment variable; a flag wins.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        run(Settings.model_validate(given))
    except ValidationError as error:
        _refuse(_setting_fault(error))
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
    """Say in one line why there is nothing to serve."""
    print("charlstm: " + " ".join(message.split()), file=sys.stderr)  # noqa: T201  a command speaks to its user
    raise SystemExit(2)


_serve.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # functions may have one, typeshed does not say
    [_flag(name, field) for name, field in Settings.model_fields.items()]
)
cli.command("serve")(_serve)
