"""Examples of requests, answers and problems, for the OpenAPI document: they stand in `examples.json`.

The answers, but for those of `info`, `units` and `unit`, are those of a model made for the tests, small enough to
show all of it.
"""

from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

_FILE: Final = Path(__file__).with_name("examples.json")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Example(_Record):
    """A request and its answer.

    Attributes:
        summary: What is asked.
        parameters: Those in the path and the query.
        body: What the request holds, if anything.
        answer: What comes back with status 200.
    """

    summary: str
    parameters: dict[str, str | int] = {}
    body: dict[str, Any] | None = None
    answer: Any


class Examples(_Record):
    """The whole of `examples.json`.

    Attributes:
        operations: The examples of each operation, by its id and their names.
        problems: A problem document of each kind that an operation answers with, by the kind's name.
    """

    operations: dict[str, dict[str, Example]]
    problems: dict[str, dict[str, Any]]


@cache
def load_examples() -> Examples:
    """Read the file."""
    return Examples.model_validate_json(_FILE.read_bytes())
