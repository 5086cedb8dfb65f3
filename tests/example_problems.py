"""An error of each kind that a route can answer with; `service/examples.json` shows what is said about it."""

from collections.abc import Mapping
from typing import Final

from fastapi.exceptions import RequestValidationError

from charlstm.errors import EmptyTextError, InvalidCharacterError, TextTooLongError
from service.body_errors import BodyTooLargeError, SlowBodyError
from service.errors import (
    DeadlineError,
    EngineLostError,
    MediaTypeError,
    NoAtlasError,
    NotAcceptableError,
    NotReadyError,
    OverloadedError,
    ReloadRefusedError,
    TextFault,
    TooManyTextsError,
    TooManyWordsError,
    UnauthorizedError,
    UnknownModelError,
    UnknownUnitError,
    UnreadableTextsError,
)
from service.forms import MEDIA_TYPES

ERRORS: Final[Mapping[str, Exception]] = {
    "malformed-body": RequestValidationError(
        [{"type": "json_invalid", "loc": ("body", 9), "ctx": {"error": "Expecting value"}}]
    ),
    "unauthorized": UnauthorizedError(),
    "unknown-model": UnknownModelError({"default": "e86a53482a9e"}, "large"),
    "no-atlas": NoAtlasError(),
    "unknown-unit": UnknownUnitError(256, 256),
    "not-acceptable": NotAcceptableError(MEDIA_TYPES),
    "slow-body": SlowBodyError(),
    "reload-refused": ReloadRefusedError("config.json", "expected a file, found nothing there"),
    "text-too-long": UnreadableTextsError([TextFault("text", TextTooLongError(1000, 1001, "character"))]),
    "too-many-texts": TooManyTextsError(512, 513),
    "too-many-words": TooManyWordsError(512, 513),
    "body-too-large": BodyTooLargeError(2097152, 2500000),
    "unsupported-media-type": MediaTypeError(),
    "invalid-request": RequestValidationError([{"type": "missing", "loc": ("body", "text"), "input": {}}]),
    "empty-text": UnreadableTextsError([TextFault("text", EmptyTextError("character"))]),
    "invalid-character": UnreadableTextsError([TextFault("text", InvalidCharacterError("\0", 5))]),
    "overloaded": OverloadedError(1.0),
    "internal-error": RuntimeError("which nobody foresaw"),
    "not-ready": NotReadyError(),
    "engine-lost": EngineLostError(),
    "deadline-exceeded": DeadlineError(),
}
