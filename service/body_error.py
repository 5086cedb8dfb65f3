"""The one error that is an HTTPException, the one kind that FastAPI lets through while it reads a body."""

from starlette.exceptions import HTTPException


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
