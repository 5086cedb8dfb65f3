"""Asking until there is an answer, without asking: what to do next, step by step, for whoever does it.

A flow is a generator. It says `Try` or `Pause`, is sent what a try brought or has its failure thrown into it, and
returns what the answer says or raises why there is none. `drive` and `drive_async` do what it says.
"""

import itertools
import logging
from collections.abc import Awaitable, Callable, Generator
from typing import Generic, NamedTuple, TypeVar

from service.client.errors import ClientError
from service.client.policy import AsyncClock, Clock, Policy

_logger = logging.getLogger(__name__)

Q = TypeVar("Q")  # what is asked
A = TypeVar("A")  # what comes of it
T = TypeVar("T")  # what that says


class Try(NamedTuple, Generic[Q]):
    """Ask now.

    Attributes:
        question: This.
        seconds: Until the answer has to be there.
    """

    question: Q
    seconds: float


class Pause(NamedTuple):
    """Wait for so many seconds."""

    seconds: float


Flow = Generator[Try[Q] | Pause, A, T]


class Call(NamedTuple, Generic[Q, A, T]):
    """What to ask, and how to understand the answer.

    Attributes:
        question: As it is sent.
        judge: Says what an answer says, or raises a `ClientError`.
        request_id: Whatever goes wrong is said to have gone wrong with this.
        pure: Whether being asked changes nothing.
    """

    question: Q
    judge: Callable[[A], T]
    request_id: str
    pure: bool = True


def trying(call: Call[Q, A, T], policy: Policy, now: Callable[[], float]) -> Flow[Q, A, T]:
    """Ask again for as long as that is safe, may help, and there is time.

    Args:
        call: What to ask.
        policy: What is how often worth it.
        now: Tells the time in seconds.

    Raises:
        ClientError: Why the last try failed.
    """
    deadline = now() + policy.deadline_seconds
    for attempt in itertools.count(1):
        try:
            return call.judge((yield Try(call.question, deadline - now())))
        except ClientError as error:
            error.request_id = call.request_id
            pause = policy.pause_after(error, attempt, pure=call.pure)
            if pause is None or now() + pause >= deadline:
                error.add_note(f"This was try {attempt} of request {call.request_id}.")
                raise
            _logger.info("request %s is sent again in %.2f s: %s", call.request_id, pause, error)
            failure = error
        yield Pause(pause)
        if now() >= deadline:  # it was a longer one: the machine was busy, or slept
            raise failure
    raise AssertionError("counting does not end")


def drive(flow: Flow[Q, A, T], ask: Callable[[Try[Q]], A], clock: Clock) -> T:
    """Do what a flow says, in this thread.

    Args:
        flow: Says what to do.
        ask: Asks once.
        clock: Waits.
    """
    try:
        step = next(flow)
        while True:
            if isinstance(step, Pause):
                clock.sleep(step.seconds)
                step = next(flow)
                continue
            try:
                answer = ask(step)
            except ClientError as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


async def drive_async(flow: Flow[Q, A, T], ask: Callable[[Try[Q]], Awaitable[A]], clock: AsyncClock) -> T:
    """Do what a flow says, in this event loop; everything else as in `drive`."""
    try:
        step = next(flow)
        while True:
            if isinstance(step, Pause):
                await clock.sleep(step.seconds)
                step = next(flow)
                continue
            try:
                answer = await ask(step)
            except ClientError as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as end:  # a coroutine could not raise it
        result: T = end.value
        return result
