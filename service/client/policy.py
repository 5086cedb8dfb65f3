"""How much patience a client has: how long it waits, how often it asks again, and how much it asks at once."""

import asyncio
import random
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self

from service.client.errors import ClientError

_MOST_DOUBLINGS = 30  # of a pause: it is at its longest long before


def new_request_id() -> str:
    """Return an id that no other request has."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a client waits for, and when it gives up.

    Asked again is what changes nothing, after 429, 503 or a lost connection; and anything at all to which no connection
    could be had. Whatever the service says of the request itself (other 4xx) is final, and so is what took too long,
    unless one is patient.

    Attributes:
        deadline_seconds: For a call with all its tries and pauses. No pause is begun that would end behind it. A batch
            has as much for each of its parts.
        connect_seconds: For a connection.
        silence_seconds: For the next bytes of an answer.
        attempts: Tries of a call, the first among them.
        first_pause_seconds: Before the second try; each pause after it is twice as long, and `Retry-After`, where the
            service sends it, is kept to. Up to half of a pause is chance, so that clients do not return all at once.
        longest_pause_seconds: Where doubling ends.
        concurrency: Parts of a batch that are under way at the same time.
        patient: Whether a service that fails, or does not answer in time, is asked again as a busy one is, for what
            changes nothing. While it starts, what stands before it may say so in its place.
        jitter: Draws that chance, from 0 to 1.
        request_id: Gives each call its `X-Request-ID`, which all its tries share.
    """

    deadline_seconds: float = 60.0
    connect_seconds: float = 5.0
    silence_seconds: float = 30.0
    attempts: int = 5
    first_pause_seconds: float = 0.2
    longest_pause_seconds: float = 5.0
    concurrency: int = 4
    patient: bool = False
    jitter: Callable[[], float] = random.random
    request_id: Callable[[], str] = new_request_id

    def __post_init__(self) -> None:
        """Refuse what would never ask anything."""
        for name in ("attempts", "concurrency"):
            if (found := getattr(self, name)) < 1:
                raise ValueError(f"{name} must be at least 1, found {found}")
        if self.deadline_seconds <= 0:
            raise ValueError(f"deadline_seconds must be more than 0, found {self.deadline_seconds:g}")

    def for_as_long_as(self, seconds: float) -> Self:
        """Return one that asks again until so much time is over, however often that is."""
        return replace(self, deadline_seconds=seconds, attempts=sys.maxsize, patient=True)

    def pause_after(self, error: ClientError, attempt: int, *, pure: bool) -> float | None:
        """Return the seconds until a failed call is tried again, or None if it is not.

        Args:
            error: How it failed.
            attempt: Which try that was, from 1.
            pure: Whether the call changes nothing.
        """
        if attempt >= self.attempts or not error.may_repeat(pure=pure, patient=self.patient):
            return None
        doublings = min(attempt - 1, _MOST_DOUBLINGS)
        half = min(self.longest_pause_seconds, self.first_pause_seconds * 2.0**doublings) / 2
        return max(half, error.retry_after or 0.0) + self.jitter() * half


class Clock(Protocol):
    """The time, for whoever can wait for it in a thread."""

    def now(self) -> float:
        """Return seconds since whenever."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class AsyncClock(Protocol):
    """The time, for whoever waits for it in an event loop."""

    def now(self) -> float:
        """Return seconds since whenever."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The real time."""

    def now(self) -> float:
        """Return the seconds of a clock that nobody sets."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class AsyncSystemClock:
    """The real time in an event loop."""

    def now(self) -> float:
        """Return the seconds of a clock that nobody sets."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
