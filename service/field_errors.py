"""Which fields of a request are wrong, what is expected of them and what was found: never the text itself."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from charlstm.errors import TextError
from service.body_errors import BodyTooLargeError
from service.errors import (
    ContentEncodingError,
    ForeignOriginError,
    InferenceRequestError,
    InvalidFieldError,
    MediaTypeError,
    NotAcceptableError,
    ReloadRefusedError,
    TooManyTextsError,
    TooManyWordsError,
    UnknownModelError,
    UnknownUnitError,
    UnreadableTextsError,
)
from service.schemas import FieldError

_MOST_ERRORS = 16  # a body can hold thousands of mistakes, an answer need not list them all
_LONGEST_NAME = 40  # of a field that only the sender knows


def field_errors(error: Exception) -> list[FieldError]:
    """Name the fields that are wrong, up to 16; none if the error is about no field."""
    match error:
        case UnreadableTextsError():
            return [_of_text(fault.field, fault.reason) for fault in error.faults[:_MOST_ERRORS]]
        case TooManyTextsError() | TooManyWordsError() | InvalidFieldError() | UnknownUnitError():
            return [FieldError(field=error.field, message=str(error), limit=error.limit, found=error.found)]
        case BodyTooLargeError():
            return [_of_body_size(error)]
        case (
            MediaTypeError()
            | ForeignOriginError()
            | ContentEncodingError()
            | InferenceRequestError()
            | NotAcceptableError()
            | ReloadRefusedError()
            | UnknownModelError()
        ):
            return [FieldError(field=error.field, message=str(error))]
        case RequestValidationError() | HTTPException():
            return _of_a_request(error)
        case _:
            return []


def _of_text(name: str, reason: TextError) -> FieldError:
    limit, found = getattr(reason, "limit", None), getattr(reason, "found", None)
    return FieldError(field=name, message=str(reason), limit=limit, found=found)


def _of_body_size(error: BodyTooLargeError) -> FieldError:
    found = "more" if error.found is None else str(error.found)
    message = f"must be at most {error.limit} bytes long, found {found}"
    return FieldError(field="body", message=message, limit=error.limit, found=error.found)


def _of_a_request(error: RequestValidationError | HTTPException) -> list[FieldError]:
    """Name what FastAPI found wrong."""
    if isinstance(error, HTTPException):
        message = _unreadable(error.__cause__) if error.status_code == HTTPStatus.BAD_REQUEST else None
        return [] if message is None else [FieldError(field="body", message=message)]
    fault = _json_fault(error)
    return [_of_json(fault)] if fault else [_of_validation(found) for found in error.errors()[:_MOST_ERRORS]]


def _unreadable(cause: BaseException | None) -> str | None:
    """Say why FastAPI could not read a body at all, though it may be JSON; None if that is not what happened."""
    match cause:
        case RecursionError():
            return "must be nested less deeply"
        case UnicodeDecodeError():
            return "must be in UTF-8, found bytes that are none"
        case ValueError():  # Python limits the digits of an integer
            return "must hold no number of thousands of digits"
        case _:
            return None


def is_malformed(error: RequestValidationError) -> bool:
    """Tell whether a body was no JSON at all."""
    return _json_fault(error) is not None


def _json_fault(error: RequestValidationError) -> Mapping[str, Any] | None:
    return next((found for found in error.errors() if found["type"] == "json_invalid"), None)


def _of_json(fault: Mapping[str, Any]) -> FieldError:
    message = f"must be valid JSON, found a fault at character {fault['loc'][-1]} ({fault['ctx']['error']})"
    return FieldError(field="body", message=message)


_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is no field of this request",
    "string_type": "must be a string",
    "string_too_long": "must be at most {max_length} characters long, found {actual_length}",
    "string_unicode": "must be valid Unicode text, found a lone surrogate",
    "bool_type": "must be true or false",
    "list_type": "must be an array",
    "too_short": "must hold at least {min_length}, found none",
    "too_long": "must hold at most {max_length}, found {actual_length}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of a few digits",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "model_attributes_type": "must be a JSON object",
    "model_type": "must be a JSON object",
}
_ABOUT_TYPES = {
    "string_type",
    "bool_type",
    "list_type",
    "int_type",
    "float_type",
    "array_or_object",
    "model_attributes_type",
    "model_type",
}
_ABOUT_NUMBERS = {"greater_than_equal", "less_than_equal", "less_than"}
_LARGEST_SHOWN = 1 << 53  # of the numbers that a request may hold
_LIMITS = ("limit", "min_length", "max_length", "ge", "le", "lt")  # what pydantic calls them
_JSON_TYPES = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def _of_validation(fault: Mapping[str, Any]) -> FieldError:
    kind, context, given = fault["type"], fault.get("ctx", {}), fault["input"]
    if kind == "string_too_long":  # of a list pydantic says how long it is
        context = {**context, "actual_length": len(given)}
    message = _MESSAGES[kind].format_map(context) if kind in _MESSAGES else fault["msg"]
    limit: int | None = next((context[name] for name in _LIMITS if name in context), None)
    found: int | str | None = context.get("actual_length")
    if kind in _ABOUT_TYPES:
        found = _JSON_TYPES.get(type(given), "no JSON")
        message = f"{message}, found {found}"
    elif kind in _ABOUT_NUMBERS and abs(given) < _LARGEST_SHOWN:
        found = given
        message = f"{message}, found {found}"
    return FieldError(field=_field_name(fault["loc"]), message=message, limit=limit, found=found)


def _field_name(location: Sequence[str | int]) -> str:
    """Write ("body", "texts", 3) as `texts[3]`, safely: a name can be anything that JSON can hold."""
    name = ""
    for part in location[1:]:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    name = name.encode("utf-8", "backslashreplace").decode()
    return (name[:_LONGEST_NAME] + "..." if len(name) > _LONGEST_NAME else name) or "body"
