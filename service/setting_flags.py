"""Settings as flags of commands: their names, defaults, help and variables come from `Settings`."""

import inspect
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from typer.models import OptionInfo

from service.settings import ENV_PREFIX, Settings

_FIELDS: Final = Settings.model_fields


def signature() -> inspect.Signature:
    """Make the signature of a command that takes every setting."""
    return inspect.Signature([_parameter(name) for name in _FIELDS])


def option(name: str, **more: Any) -> OptionInfo:
    """Make the flag of one setting.

    Args:
        name: The setting's.
        more: What is otherwise than `typer.Option` would have it.
    """
    field = _FIELDS[name]
    shown = "unset" if field.default is None else str(field.default) or "none"
    switch = field.annotation is bool
    given = {
        "help": field.description,
        "envvar": f"{ENV_PREFIX}{name.upper()}",
        "show_default": shown,
        "metavar": None if switch else "|".join(get_args(field.annotation)) if _is_choice(field) else "VALUE",
    }
    flag = f"{flag_name(name)}/--no-{name.replace('_', '-')}" if switch else flag_name(name)
    made: OptionInfo = typer.Option(flag, **(given | more))
    return made


def fault(error: ValidationError) -> str:
    """Say which setting is wrong, and how; never what a secret is."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    secret = name in _FIELDS and "SecretStr" in str(_FIELDS[name].annotation)
    found = "" if secret else f", found {first['input']!r}"
    return f"{flag_name(name)} or {ENV_PREFIX}{name.upper()}: {first['msg']}{found}"


def flag_name(setting: str) -> str:
    """Name the flag of a setting."""
    return "--" + setting.replace("_", "-")


def _parameter(name: str) -> inspect.Parameter:
    """Make a setting's parameter. A switch apart, it takes any word: what is valid is for `Settings` alone to say."""
    type_: Any = bool | None if _FIELDS[name].annotation is bool else str | None
    annotation = Annotated[type_, option(name)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _is_choice(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is Literal
