"""The OpenAPI document: what FastAPI makes of the routes, and what it has no word for.

Clients in other languages are generated from it, so a name in it is kept: of an operation, of a schema, of a kind of
problem. `tests/openapi.json` is the document of a service with default settings, and shows each change.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, get_args

from pydantic import BaseModel

from charlstm.clamp import SignalName
from charlstm.config import Label, Precision
from service.examples import Example, Examples, load_examples
from service.open_inference_schemas import REQUEST_SCHEMAS, Datatype, InferenceError
from service.problems import KINDS_BY_NAME, MEDIA_TYPE, Kind, open_inference_status
from service.schemas import Problem

Responses = dict[int | str, dict[str, Any]]

TAGS: Final = [
    {"name": "sentiment", "description": "Negative or positive, and how probably."},
    {"name": "memory", "description": "How the network came to its answer, and what its units tell."},
    {"name": "operations", "description": "What runs, and how it is doing."},
    {"name": "open inference protocol", "description": "The same model for KServe, Triton and MLServer clients."},
]
_SCHEMAS: Final = "#/components/schemas/"
_EXAMPLES: Final = "#/components/examples/"
_JSON: Final = "application/json"
_OPEN_INFERENCE: Final = "v2-"  # before the names of examples in that protocol's form
_VALUES: Final = {  # those that several schemas choose among have one name, not one for each place
    get_args(values): name
    for name, values in {
        "Label": Label,
        "Signal": SignalName,
        "Precision": Precision,
        "Datatype": Datatype,
    }.items()
}
_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}
}

OF_A_BODY: Final = ("malformed-body", "slow-body", "body-too-large", "unsupported-media-type")
"""Kinds of problems that a route has which reads a body."""

OF_A_TEXT: Final = ("text-too-long", "empty-text", "invalid-character")
"""Kinds of problems that a route has which reads a text."""

OF_THE_ENGINE: Final = ("overloaded", "internal-error", "not-ready", "engine-lost", "deadline-exceeded")
"""Kinds of problems that a route has which asks the engine."""


def problem_answers(*names: str) -> Responses:
    """Document which kinds of problems a route answers with, each with its example."""
    return {status: _response(MEDIA_TYPE, Problem, kinds) for status, kinds in _by_status(names).items()}


def error_answers(*names: str) -> Responses:
    """Document the same for a route of the Open Inference Protocol, which has a form and statuses of its own."""
    by_status: dict[int, list[Kind]] = {}
    for status, kinds in _by_status(names).items():
        by_status.setdefault(open_inference_status(status), []).extend(kinds)
    return {
        status: _response(_JSON, InferenceError, kinds, _OPEN_INFERENCE) for status, kinds in sorted(by_status.items())
    }


OTHER_ERRORS: Final[Responses] = {  # without it, FastAPI documents a 422 that there is not
    "default": {
        "description": "Any other error",
        "content": {_JSON: {"schema": {"$ref": _SCHEMAS + InferenceError.__name__}}},
    }
}
"""What a route of the Open Inference Protocol with parameters documents beside."""


def complete(document: dict[str, Any]) -> None:
    """Put into FastAPI's document what it refers to, examples, and one name for what stands in several places."""
    components = document["components"]
    schemas = components["schemas"] | REQUEST_SCHEMAS
    for record in (Problem, InferenceError):
        schemas |= _schemas_of(record)
    named: dict[str, Any] = {}
    _name_values({"paths": document["paths"], "schemas": schemas}, named)
    components["schemas"] = dict(sorted((schemas | named).items()))
    examples = load_examples()
    components["examples"] = _problem_examples(examples)
    for operation in operations(document):
        for name, example in examples.operations.get(operation["operationId"], {}).items():
            _show(example, name, operation)


def to_text(document: dict[str, Any]) -> str:
    """Write a document as people read it."""
    return json.dumps(document, indent=1, ensure_ascii=False)


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Go through the operations of a document."""
    for path in document["paths"].values():
        yield from path.values()


def _by_status(names: tuple[str, ...]) -> dict[int, list[Kind]]:
    kinds = sorted((KINDS_BY_NAME[name] for name in names), key=lambda kind: kind.status)
    by_status: dict[int, list[Kind]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    return by_status


def _response(media_type: str, record: type[BaseModel], kinds: list[Kind], prefix: str = "") -> dict[str, Any]:
    examples = {kind.name: {"$ref": f"{_EXAMPLES}{prefix}{kind.name}"} for kind in kinds}
    content = {media_type: {"schema": {"$ref": _SCHEMAS + record.__name__}, "examples": examples}}
    waiting_helps = all(kind.status in {429, 503} for kind in kinds)
    headers = {"headers": _RETRY_AFTER} if waiting_helps else {}
    return {"description": " / ".join(kind.title for kind in kinds), **headers, "content": content}


def _schemas_of(record: type[BaseModel]) -> dict[str, Any]:
    schema = record.model_json_schema(mode="serialization", ref_template=_SCHEMAS + "{model}")
    return {**schema.pop("$defs", {}), record.__name__: schema}


def _name_values(part: Any, named: dict[str, Any]) -> None:
    """Refer to each list of values that has a name by that name, everywhere in a part of the document."""
    if isinstance(part, list):
        for item in part:
            _name_values(item, named)
    elif isinstance(part, dict):
        name = _VALUES.get(tuple(part["enum"])) if isinstance(part.get("enum"), list) else None
        if name is not None:
            named[name] = {"title": name, "type": part.pop("type"), "enum": part.pop("enum")}
            part.pop("title", None)
            part["$ref"] = _SCHEMAS + name
        for item in part.values():
            _name_values(item, named)


def _problem_examples(examples: Examples) -> dict[str, Any]:
    """Give the example of each kind as a problem document, and in the form of the Open Inference Protocol."""
    titles = {name: KINDS_BY_NAME[name].title for name in examples.problems}
    problems = {name: {"summary": titles[name], "value": value} for name, value in examples.problems.items()}
    errors = {
        _OPEN_INFERENCE + name: {"summary": titles[name], "value": {"error": value["detail"]}}
        for name, value in examples.problems.items()
    }
    return problems | errors


def _show(example: Example, name: str, operation: dict[str, Any]) -> None:
    """Put an example into an operation: its parameters, its body and the answer."""

    def put(place: dict[str, Any], value: Any) -> None:
        place.setdefault("examples", {})[name] = {"summary": example.summary, "value": value}

    for parameter in operation.get("parameters", []):
        if parameter["name"] in example.parameters:
            put(parameter, example.parameters[parameter["name"]])
    if example.body is not None:
        put(operation["requestBody"]["content"][_JSON], example.body)
    put(next(iter(operation["responses"]["200"]["content"].values())), example.answer)
