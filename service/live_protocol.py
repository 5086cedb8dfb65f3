"""uvicorn's WebSockets, but none waits for ever for a client that does not take what it is sent.

uvicorn puts a whole message into the connection's buffer and goes on, and whatever ends the connection later, waits
until that is empty. A client that stopped reading keeps it full for as long as it likes.
"""

import asyncio
from typing import ClassVar

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class LiveProtocol(WebSocketsSansIOProtocol):
    """Cuts the connection to a client that leaves something untaken for too long, or when its session has ended."""

    patience: ClassVar[float]
    """Seconds in which all that was sent has to be taken, once the system's own buffers are full."""
    _cut: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have writing paused as soon as anything stays in the buffer, and resumed when nothing does."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=0)

    def pause_writing(self) -> None:
        """Begin to wait for the client."""
        super().pause_writing()
        self._cut = self.loop.call_later(self.patience, self.transport.abort)

    def resume_writing(self) -> None:
        """Wait no longer: it has taken everything."""
        super().resume_writing()
        self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer: it is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Leave nothing behind a session that is over, since no limit counts it any more."""
        super().on_task_complete(task)
        if self._cut is not None:
            self.transport.abort()

    def _stop_waiting(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None


def live_protocol(seconds: float) -> type[LiveProtocol]:
    """Return the protocol with so much patience, in the form that uvicorn takes one."""

    class Patient(LiveProtocol):
        patience = seconds

    return Patient
