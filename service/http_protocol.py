"""uvicorn's HTTP, but no client is waited for for ever: neither for the head of a request, nor to take its answer.

uvicorn waits as long as it takes for whoever has connected to ask something, takes a head of any length, and keeps an
answer in memory until the last byte of it is taken. A timer for each request would cost all those that need none, so
all connections are looked at now and then. Bodies are the matter of `BodyLimit`, which can still answer.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.settings import Settings

LEAST_TAKEN: Final = 65_536
"""Bytes of an answer that have to be taken in each `stall_seconds`, unless there are no more."""
MOST_OF_A_HEAD: Final = 65_536
"""Bytes of a request that may come without a part of its body among them, if they come in several pieces."""
LOOK_EVERY: Final = 0.5  # seconds


class HttpProtocol(HttpToolsProtocol):
    """A connection that knows for how long its client has kept it waiting.

    That is counted in looks at it, not by a clock: while this process itself stands still, nobody is late.
    """

    _awaited = 0  # looks in which there was no request
    _stalled = 0  # looks in which too little was taken
    _unread = 0  # bytes that there were to take when it was last enough; 0 if there were none
    _of_a_head = 0  # bytes that have come since the last head or piece of a body

    @property
    def unread(self) -> int:
        """Bytes of answers that the system does not take off our hands, because the client does not take them."""
        return self.transport.get_write_buffer_size()

    def data_received(self, data: bytes) -> None:
        """Take in what there is, unless it is too much for a head, or for what may stand behind a body."""
        self._of_a_head += len(data)
        super().data_received(data)
        if self._of_a_head > MOST_OF_A_HEAD:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        """Begin to count anew."""
        super().on_headers_complete()
        self._of_a_head = 0

    def on_body(self, body: bytes) -> None:
        """Begin to count anew; this is counted elsewhere."""
        super().on_body(body)
        self._of_a_head = 0

    def on_response_complete(self) -> None:
        """Wait for the next request from here on."""
        super().on_response_complete()
        self._awaited = 0

    def resume_writing(self) -> None:
        """Take it as read: there is next to nothing left."""
        super().resume_writing()
        self._unread = 0

    def look(self, request_seconds: float, stall_seconds: float) -> str | None:
        """Look at it, every `LOOK_EVERY` seconds, and say what the client has been waited for too long.

        Args:
            request_seconds: How long the head of a request may take.
            stall_seconds: How long next to nothing of an answer may be taken.

        Returns:
            `request`, `answer` or None.
        """
        if unread := self.unread:
            enough = not self._unread or unread <= self._unread - LEAST_TAKEN
            self._unread = unread if enough else self._unread
            self._stalled = 0 if enough else self._stalled + 1
            self._awaited = 0  # who reads may take a while until it asks again
            return "answer" if self._stalled * LOOK_EVERY > stall_seconds else None
        self._unread = 0
        answering: RequestResponseCycle | None = self.cycle  # None before the first request, whatever uvicorn says
        asked = answering is not None and not answering.response_complete
        self._awaited = 0 if asked else self._awaited + 1
        return "request" if self._awaited * LOOK_EVERY > request_seconds else None


class Connections:
    """The HTTP connections of this process.

    Args:
        connections: Those that are open, kept by uvicorn; some may be WebSockets, which are left alone.
        settings: How patient to be.
        note: Told of each connection that is cut: `request` or `answer`.
    """

    def __init__(self, connections: Collection[object], settings: Settings, note: Callable[[str], None]) -> None:
        self._connections = connections
        self._patience = settings.request_seconds, settings.stall_seconds
        self._note = note

    @property
    def unread(self) -> int:
        """Bytes of answers that clients have not taken yet."""
        return sum(connection.unread for connection in self._http())

    async def look_after(self) -> None:
        """Cut those whose clients keep them waiting, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for connection in self._http():
                if awaited := connection.look(*self._patience):
                    self._note(awaited)
                    connection.transport.abort()

    def _http(self) -> list[HttpProtocol]:
        return [connection for connection in self._connections if isinstance(connection, HttpProtocol)]
