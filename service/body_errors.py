"""Bodies that are refused while they arrive: HTTPExceptions, the one kind of error that FastAPI lets through then."""

from starlette.exceptions import HTTPException

# What is still on its way would be read as the next request, so the connection ends there.
_CLOSE = {"Connection": "close"}


class BodyTooLargeError(HTTPException):
    """A body of more bytes than the service takes.

    Args:
        limit: The largest number of bytes.
        found: How many bytes the request announced, or None if it was cut off while arriving.
    """

    def __init__(self, limit: int, found: int | None = None) -> None:
        super().__init__(413, headers=_CLOSE)
        self.limit = limit
        self.found = found


class SlowBodyError(HTTPException):
    """A body that has not arrived in time."""

    def __init__(self) -> None:
        super().__init__(408, headers=_CLOSE)
