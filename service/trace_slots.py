"""How many traces a worker has in its hands at a time.

A trace is megabytes, and the engine makes one faster than a worker writes it down as JSON. Without a limit the traces
of a crowd would pile up in between, in the memory of both. And those of clients that do not take what they asked for
would pile up behind.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import TypeVar

from service.errors import DeadlineError, OverloadedError

_RETRY_AFTER = 1.0  # seconds, when nobody can say
_SLOTS = 4  # one being traced, one being written, and what it takes so that neither waits

_Written = TypeVar("_Written")


async def written_out(write: Callable[[], _Written]) -> _Written:
    """Write a trace down in a thread; if that is cancelled, see the thread through first.

    A thread cannot be stopped, and until it ends it has the trace in its hands.
    """
    writing = asyncio.create_task(asyncio.to_thread(write))
    try:
        await asyncio.wait([writing])
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        writing.exception()  # nobody waits for it any more
        raise
    return writing.result()


class TraceSlots:
    """Lets a few in at a time.

    Args:
        deadline_seconds, max_unread_bytes: As in `Settings`.

    Attributes:
        unread: Says how many bytes of answers clients have not taken yet. Whoever has the connections sets it.
    """

    unread: Callable[[], int]

    def __init__(self, deadline_seconds: float, max_unread_bytes: int) -> None:
        self.unread = lambda: 0
        self._deadline_seconds = deadline_seconds
        self._max_unread_bytes = max_unread_bytes
        self._slots = asyncio.Semaphore(_SLOTS)
        self._turn = asyncio.Lock()
        self._waiting = 0  # traces
        self._seconds = 0.0  # that a slot was taken for, on average

    @asynccontextmanager
    async def take(self, traces: int = 1) -> AsyncIterator[float]:
        """Wait for a slot for each trace, and keep them from asking the engine until the answer is written.

        Gives the request's deadline, which the wait is a part of, on this machine's monotonic clock.

        Args:
            traces: How many the answer takes; at most as many as there are slots.

        Raises:
            OverloadedError: Those who wait already will take longer than the deadline, or too much is not taken yet.
            DeadlineError: They did.
        """
        deadline = time.monotonic() + self._deadline_seconds
        wait = self._waiting * self._seconds / _SLOTS
        if wait > self._deadline_seconds:
            raise OverloadedError(wait)
        with await self._acquire(traces):
            if self.unread() > self._max_unread_bytes:
                raise OverloadedError(_RETRY_AFTER)
            started = time.perf_counter()
            try:
                yield deadline
            finally:
                self._seconds += 0.1 * (time.perf_counter() - started - self._seconds)

    async def _acquire(self, traces: int) -> ExitStack:
        """Take some slots; leaving what is returned gives them back."""
        self._waiting += traces
        try:
            # In turn: else each of two that want several might hold some and wait for the other's.
            async with asyncio.timeout(self._deadline_seconds), self._turn:
                with ExitStack() as taken:
                    for _ in range(traces):
                        await self._slots.acquire()
                        taken.callback(self._slots.release)
                    return taken.pop_all()
        except TimeoutError:
            raise DeadlineError from None
        finally:
            self._waiting -= traces
