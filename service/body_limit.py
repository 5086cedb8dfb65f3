"""Keeps request bodies small: a body over the limit is answered with 413 and read no further.

Pure ASGI, so that it costs nothing but a comparison. A body that announces its length is refused before any of it is
read; one that does not (chunked) is counted as it arrives.
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.body_error import BodyTooLargeError
from service.problems import error_response


class BodyLimit:
    """ASGI middleware that refuses request bodies of more than `max_bytes` bytes."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on with its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = _content_length(scope)
        if announced is not None and announced > self._max_bytes:
            refusal = error_response(BodyTooLargeError(self._max_bytes, announced), scope)
            await refusal(scope, receive, send)
            return
        await self._app(scope, _counting(receive, self._max_bytes), send)


def _content_length(scope: Scope) -> int | None:
    value = Headers(scope=scope).get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() else None


def _counting(receive: Receive, max_bytes: int) -> Receive:
    """Wrap `receive` so that it raises as soon as the body is over the limit."""
    total = 0

    async def receive_within_limit() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > max_bytes:
            raise BodyTooLargeError(max_bytes)
        return message

    return receive_within_limit
