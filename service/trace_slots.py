"""How many traces a worker has in its hands at a time.

A trace is megabytes, and the engine makes one faster than a worker writes it down as JSON. Without a limit the traces
of a crowd would pile up in between, in the memory of both.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from service.errors import DeadlineError, OverloadedError

_SLOTS = 4  # one being traced, one being written, and what it takes so that neither waits


class TraceSlots:
    """Lets a few in at a time.

    Args:
        deadline_seconds: As in `Settings`.
    """

    def __init__(self, deadline_seconds: float) -> None:
        self._deadline_seconds = deadline_seconds
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
            OverloadedError: Those who wait already will take longer than the deadline.
            DeadlineError: They did.
        """
        deadline = time.monotonic() + self._deadline_seconds
        wait = self._waiting * self._seconds / _SLOTS
        if wait > self._deadline_seconds:
            raise OverloadedError(wait)
        with await self._acquire(traces):
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
