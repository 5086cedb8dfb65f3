"""Keeps request bodies small and quick: one over a limit is answered with 413 or 408 and read no further.

Pure ASGI, so that it costs nothing but a comparison. A body that announces its length is refused before any of it is
read; one that does not (chunked) is counted as it arrives.
"""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.body_errors import BodyTooLargeError, SlowBodyError
from service.problems import error_response


class BodyLimit:
    """ASGI middleware that refuses request bodies of more than `max_bytes` bytes, or that take over `seconds`."""

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._seconds = seconds

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
        await self._app(scope, _limited(receive, self._max_bytes, self._seconds), send)


def _content_length(scope: Scope) -> int | None:
    value = Headers(scope=scope).get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() else None


def _limited(receive: Receive, max_bytes: int, seconds: float) -> Receive:
    """Wrap `receive` so that it raises as soon as the body is over a limit; what comes behind it may take its time."""
    total, complete = 0, False
    deadline = asyncio.get_running_loop().time() + seconds

    async def receive_within_limit() -> Message:
        nonlocal total, complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise SlowBodyError from None
        complete = not message.get("more_body")
        total += len(message.get("body", b""))
        if total > max_bytes:
            raise BodyTooLargeError(max_bytes)
        return message

    return receive_within_limit
