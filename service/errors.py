"""What can go wrong between a request and its answer, beside the core's own errors.

ServiceError
├── StartupError            the service cannot start: a setting, the port
├── NotReadyError           the model is not loaded yet, or the service is closing
├── EngineLostError         the engine died while it had the question
├── EngineFailedError       the engine failed at the question
├── OverloadedError         too much waits already
├── DeadlineError           the request was not answered in time
├── UnreadableTextsError    texts that the model cannot read, each by the field it stands in
├── TooManyTextsError       a batch of more texts than the service takes
└── MediaTypeError          a body that does not claim to be JSON

BodyTooLargeError           a body of more bytes than the service takes; an HTTPException, the one kind of error that
                            FastAPI lets through while it reads a body
CharacterLimitError         a text longer than the service takes, whatever the model takes; one of the core's TextErrors
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from starlette.exceptions import HTTPException

from charlstm.errors import TextError


class ServiceError(Exception):
    """Base of every error that the service raises on purpose."""


class StartupError(ServiceError):
    """The service cannot start; the message is one line for whoever started it."""


class NotReadyError(ServiceError):
    """There is no model to ask: it is not loaded yet, or the service is closing."""


class EngineLostError(ServiceError):
    """The engine died while it had the question; it is being started again."""


class EngineFailedError(ServiceError):
    """The engine failed at the question; its log says how."""


class OverloadedError(ServiceError):
    """Too much waits already.

    Args:
        retry_after: Seconds after which what waits now will be done.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"retry after {retry_after:.1f} s")
        self.headers = {"Retry-After": str(max(1, math.ceil(retry_after)))}


class DeadlineError(ServiceError):
    """The request was not answered in time."""


class TextFault(NamedTuple):
    """Where in a request a text stands, such as `texts[3]`, and why it cannot be read."""

    field: str
    reason: TextError


class UnreadableTextsError(ServiceError):
    """Texts of a request that the model cannot read: all of them, at least one."""

    def __init__(self, faults: Sequence[TextFault]) -> None:
        super().__init__(", ".join(fault.field for fault in faults))
        self.faults = tuple(faults)


class TooManyTextsError(ServiceError):
    """A batch of more texts than the service takes."""

    def __init__(self, limit: int, found: int) -> None:
        super().__init__(f"must hold at most {limit} texts, found {found}")
        self.limit = limit
        self.found = found


class MediaTypeError(ServiceError):
    """A body that does not claim to be JSON."""

    def __init__(self) -> None:
        super().__init__("must be application/json")


class BodyTooLargeError(HTTPException):
    """A body of more bytes than the service takes.

    Args:
        limit: The largest number of bytes.
        found: How many bytes the request announced, or None if it was cut off while arriving.
    """

    def __init__(self, limit: int, found: int | None = None) -> None:
        # What is still on its way would be read as the next request, so this connection ends here.
        super().__init__(413, headers={"Connection": "close"})
        self.limit = limit
        self.found = found


class CharacterLimitError(TextError):
    """A text longer than the service takes, cut or not."""

    def __init__(self, limit: int, found: int) -> None:
        super().__init__(f"must be at most {limit} characters long, found {found}")
        self.limit = limit
        self.found = found
