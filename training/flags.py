"""Command-line flags made from the fields of a record, so that each choice is described once."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Optional

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

Command = Callable[..., None]


def flags_from(
    record: type[BaseModel], *, into: str, panel: str, show_defaults: bool = True
) -> Callable[[Command], Command]:
    """Replace the parameter `into` of a command by one flag for each field of the record.

    The command gets a dict of the fields that were set on the command line, by name.

    Args:
        record: A pydantic model whose fields have descriptions.
        into: The parameter to replace.
        panel: The heading they stand under in `--help`.
        show_defaults: Whether `--help` names the record's own defaults; a field whose default is None describes it.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)
        own = [parameter for name, parameter in signature.parameters.items() if name != into]
        flags = [_flag(name, field, panel, show_default=show_defaults) for name, field in record.model_fields.items()]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            given = {name: values.pop(name) for name in record.model_fields}
            command(**values, **{into: {name: value for name, value in given.items() if value is not None}})

        parameters = [*own, *flags]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # what typer reads
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def flag_of(field: str) -> str:
    """Return the flag of a field."""
    return "--" + field.replace("_", "-")


def shown(value: object) -> str:
    """Write a field's value in words."""
    words = {None: "none", False: "no", True: "yes"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _flag(name: str, field: FieldInfo, panel: str, *, show_default: bool) -> inspect.Parameter:
    default = f" Default: {shown(field.default)}." if show_default and field.default is not None else ""
    option = typer.Option(help=f"{field.description}{default}", show_default=False, rich_help_panel=panel)
    # the record checks the value; here None says that the flag was not given
    annotation: Any = Annotated[Optional[field.annotation], option]  # noqa: UP045 - no `|` for a type made at run time
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
