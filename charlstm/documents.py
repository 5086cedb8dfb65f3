"""JSON documents of a model's folder, read with errors that name the file, what was expected and what was found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from charlstm.errors import ArtifactError

_Record = TypeVar("_Record", bound=BaseModel)


def parse_object(path: Path, document: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ArtifactError: It is none.
    """
    try:
        values = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(str(path), "a JSON object", f"no valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise ArtifactError(str(path), "a JSON object", type(values).__name__)
    return values


def check_layout(path: Path, values: dict[str, Any], version: int) -> None:
    """Refuse a document of another layout than this release reads.

    Raises:
        ArtifactError: Its `format_version` is another.
    """
    if (found := values.get("format_version")) != version:
        raise ArtifactError(str(path), f"format_version {version}", json.dumps(found))


def validated(path: Path, document: bytes, record: type[_Record], content: str) -> _Record:
    """Check a JSON document against a record. It is read anew, not from `parse_object`: JSON arrays are tuples here.

    Args:
        path: Where the document is from.
        document: Its bytes.
        record: What it has to be.
        content: What it holds, in words, for the error.

    Raises:
        ArtifactError: A field is missing or wrong.
    """
    try:
        return record.model_validate_json(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise ArtifactError(str(path), f"valid {content} in {field}", first["msg"]) from error


def read_of_version(
    path: Path, version: str, record: type[_Record], layout: int, ignored: Callable[[str], object] | None
) -> _Record | None:
    """Read a document that describes one version of a model; None if there is none, or only that of another version.

    Args:
        path: Where it would be.
        version: The model's; the document names its own in `model_version`.
        record: What it has to be.
        layout: The `format_version` that this release reads.
        ignored: Told, in one sentence, why a document that is there is not returned.

    Raises:
        ArtifactError: There is one, but it cannot be read, or is damaged.
    """
    try:
        document = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ArtifactError(str(path), "a readable file", error.strerror or type(error).__name__) from error
    values = parse_object(path, document)
    if not isinstance(found := values.get("model_version"), str):
        raise ArtifactError(str(path), "the model_version that it describes", json.dumps(found))
    if found != version:  # whatever else it holds, it is not about this model
        if ignored is not None:
            ignored(f"{path} describes version {found} of the model, not {version}: it is ignored until made anew")
        return None
    check_layout(path, values, layout)
    return validated(path, document, record, "figures")
