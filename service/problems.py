"""Every error as a problem document (RFC 9457), or as the sentence that /v2 wants: one table says which status it gets.

A body that is not JSON is a 400; JSON that says something else than the route wants is a 422; anything over a limit
is a 413. No answer repeats a text: a problem names the field, the limit and what was found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from charlstm.errors import EmptyTextError, InvalidCharacterError, TextTooLongError
from service.body_errors import BodyTooLargeError, SlowBodyError
from service.errors import (
    CharacterLimitError,
    ContentEncodingError,
    DeadlineError,
    EngineFailedError,
    EngineLostError,
    ForeignOriginError,
    InferenceRequestError,
    InvalidFieldError,
    MediaTypeError,
    NoAtlasError,
    NotAcceptableError,
    NotReadyError,
    OverloadedError,
    ReloadRefusedError,
    TooManyTextsError,
    TooManyWordsError,
    UnauthorizedError,
    UnknownModelError,
    UnknownUnitError,
    UnreadableTextsError,
)
from service.field_errors import field_errors, is_malformed
from service.open_inference_schemas import InferenceError
from service.schemas import FieldError, Problem

MEDIA_TYPE: Final = "application/problem+json"
PROBLEM_OF_SCOPE: Final = "charlstm.problem"
"""Where a request's scope names the kind of problem that it was answered with."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem.

    Attributes:
        name: The end of its `type`, `/problems/<name>`.
        status: The HTTP status.
        title: The kind in words.
        description: When it happens, and what to do about it.
        headers: What the answer's headers say beside.
    """

    name: str
    status: int
    title: str
    description: str
    headers: Mapping[str, str] = field(default_factory=dict)


_MALFORMED = Kind("malformed-body", 400, "Malformed body", "The body is no JSON document in UTF-8.")
_TOO_LONG = Kind(
    "text-too-long",
    413,
    "Text too long",
    "A text is over the model's limit, which `truncate` lets it be cut to, or over the service's, which nothing does.",
)
_MEDIA_TYPE = Kind(
    "unsupported-media-type",
    415,
    "Unsupported media type",
    "The Content-Type of the body is not application/json, or it is compressed as the route does not read it.",
)
_NOT_FOUND = Kind("not-found", 404, "Not found", "Nothing is served at this path.")
_INVALID = Kind(
    "invalid-request", 422, "Invalid request", "The body is JSON, but not of the fields and types that the route reads."
)
_INTERNAL = Kind("internal-error", 500, "Internal error", "The service failed; its log says how.")

KINDS: Final[Mapping[type[Exception], Kind]] = {
    EmptyTextError: Kind("empty-text", 422, "Empty text", "A text holds nothing that the model could read."),
    InvalidCharacterError: Kind(
        "invalid-character", 422, "Invalid character", "A text holds a NUL or half of a surrogate pair."
    ),
    TextTooLongError: _TOO_LONG,
    CharacterLimitError: _TOO_LONG,
    TooManyTextsError: Kind("too-many-texts", 413, "Too many texts", "A batch holds more texts than are taken."),
    TooManyWordsError: Kind(
        "too-many-words", 413, "Too many words", "A text holds more words than are left out one by one."
    ),
    BodyTooLargeError: Kind("body-too-large", 413, "Body too large", "The body holds more bytes than are taken."),
    SlowBodyError: Kind("slow-body", 408, "Slow body", "The body did not arrive in time."),
    MediaTypeError: _MEDIA_TYPE,
    ContentEncodingError: _MEDIA_TYPE,
    InferenceRequestError: _MALFORMED,
    UnknownModelError: Kind(
        "unknown-model",
        404,
        "Unknown model",
        "No such model is served, or not in this version; `/info` names those that are.",
    ),
    UnknownUnitError: Kind("unknown-unit", 404, "Unknown unit", "The model has no such unit."),
    NoAtlasError: Kind(
        "no-atlas",
        404,
        "No atlas",
        "The units of this model have not been described, or what describes them cannot be read, as the log then "
        "says: `python -m training atlas` does it, into the model's folder, and the service finds it there.",
    ),
    NotAcceptableError: Kind(
        "not-acceptable", 406, "Not acceptable", "There is no answer in a form that Accept allows."
    ),
    UnauthorizedError: Kind(
        "unauthorized",
        401,
        "Unauthorized",
        "The request needs a key, as `Authorization: Bearer <key>` or `X-API-Key: <key>`; it had none that is known.",
    ),
    ForeignOriginError: Kind(
        "foreign-origin",
        403,
        "Foreign origin",
        "A web page of another origin than the service's opens a WebSocket, and `allowed_origins` does not name it.",
    ),
    ReloadRefusedError: Kind(
        "reload-refused", 409, "Reload refused", "The artifacts are not sound now; the model of before serves on."
    ),
    RequestValidationError: _INVALID,
    InvalidFieldError: _INVALID,
    NotReadyError: Kind(
        "not-ready", 503, "Not ready", "The model is not loaded yet, or the service is closing.", {"Retry-After": "1"}
    ),
    EngineLostError: Kind(
        "engine-lost", 503, "Engine lost", "The engine died at it and is being started again.", {"Retry-After": "1"}
    ),
    OverloadedError: Kind("overloaded", 429, "Overloaded", "Too much waits already; Retry-After says for how long."),
    DeadlineError: Kind("deadline-exceeded", 504, "Deadline exceeded", "The request was not answered in time."),
    EngineFailedError: _INTERNAL,
    Exception: _INTERNAL,
}
_KINDS_BY_STATUS = {
    400: _MALFORMED,  # FastAPI's word for a body that it cannot decode
    404: _NOT_FOUND,
    405: Kind("method-not-allowed", 405, "Method not allowed", "The path is served, but not to this method."),
}
KINDS_BY_NAME: Final = {kind.name: kind for kind in (*KINDS.values(), *_KINDS_BY_STATUS.values())}


def install(app: FastAPI) -> None:
    """Answer every error of the application with a problem document."""
    for error_type in (*KINDS, UnreadableTextsError, HTTPException):
        app.add_exception_handler(error_type, _answer)


def problem_response(error: Exception, root_path: str = "") -> Response:
    """Turn an error into the answer to the request that caused it.

    Args:
        error: Any error; one that the table does not know is an internal one and is not described.
        root_path: What the path of the problem's `type` starts with.
    """
    kind, problem = kind_of(error), problem_of(error, root_path)
    return Response(problem.model_dump_json(exclude_none=True), kind.status, _headers(kind, error), MEDIA_TYPE)


def problem_of(error: Exception, root_path: str = "") -> Problem:
    """Describe an error; everything is as in `problem_response`."""
    kind, errors = kind_of(error), field_errors(error)
    return Problem(
        type=type_of(kind, root_path),
        title=kind.title,
        status=kind.status,
        detail=_detail(kind, errors),
        errors=errors or None,
    )


def retry_after(error: Exception) -> int | None:
    """Return the seconds after which it is worth trying again, or None if nobody can say."""
    seconds = _headers(kind_of(error), error).get("Retry-After")
    return None if seconds is None else int(seconds)


def error_response(error: Exception, scope: Scope) -> Response:
    """Answer a request with what went wrong: a problem document, but under /v2 what that protocol knows."""
    scope[PROBLEM_OF_SCOPE] = kind_of(error).name
    root_path = root_path_of(scope)
    if is_open_inference(scope["path"].removeprefix(root_path)):
        return _open_inference_response(error)
    return problem_response(error, root_path)


def is_open_inference(path: str) -> bool:
    """Tell whether a path of the service is the Open Inference Protocol's."""
    return path == "/v2" or path.startswith("/v2/")


def open_inference_status(status: int) -> int:
    """Return what the Open Inference Protocol has for a status: 400 for whatever a request gets wrong."""
    return 400 if status == 422 else status


def _open_inference_response(error: Exception) -> Response:
    """Say it as the Open Inference Protocol does: in one sentence."""
    kind = kind_of(error)
    body = InferenceError(error=_detail(kind, field_errors(error)))
    return Response(
        body.model_dump_json(), open_inference_status(kind.status), _headers(kind, error), "application/json"
    )


def type_of(kind: Kind, root_path: str = "") -> str:
    """Return the `type` of a kind of problem: a path of this service that describes it.

    A status that no kind stands for is nothing but that status, which RFC 9457 writes as `about:blank`.
    """
    return f"{root_path}/problems/{kind.name}" if kind.name in KINDS_BY_NAME else "about:blank"


def root_path_of(scope: Scope) -> str:
    """Return the path under which the whole service is offered, wherever in it a request has got to."""
    path: str = scope.get("app_root_path", scope.get("root_path", ""))  # a mounted folder has a root of its own
    return path


def kind_of(error: Exception) -> Kind:
    """Look up an error in the table, by its class or the nearest of its bases."""
    if isinstance(error, UnreadableTextsError):
        return kind_of(error.faults[0].reason)
    if isinstance(error, RequestValidationError) and is_malformed(error):
        return _MALFORMED
    for error_type in type(error).__mro__:
        if error_type in KINDS and error_type is not Exception:
            return KINDS[error_type]
    return _kind_of_status(error.status_code) if isinstance(error, HTTPException) else _INTERNAL


def _kind_of_status(status: int) -> Kind:
    phrase = HTTPStatus(status).phrase
    return _KINDS_BY_STATUS.get(status) or Kind("", status, phrase, phrase)


def _headers(kind: Kind, error: Exception) -> dict[str, str]:
    return {**kind.headers, **(getattr(error, "headers", None) or {})}


async def _answer(request: Request, error: Exception) -> Response:
    return error_response(error, request.scope)


def _detail(kind: Kind, errors: Sequence[FieldError]) -> str:
    if not errors:
        return kind.description
    more = ", and more is wrong" if len(errors) > 1 else ""
    return f"{errors[0].field} {errors[0].message}{more}"
