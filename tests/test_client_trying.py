"""When a client asks again, and when it gives up; without a service, and without waiting."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.client.errors import (
    AnswerTimeoutError,
    ClientError,
    ConnectionLostError,
    OverloadedError,
    RefusedError,
    UnreachableError,
)
from service.client.policy import Policy
from service.client.trying import Call, Try, drive, trying
from service.schemas import Problem
from tests.client_fixtures import FakeClock

PROBLEM = Problem(type="about:blank", title="Title", status=429, detail="what happened")
FAILURES: Sequence[ClientError] = (
    UnreachableError("no connection"),
    ConnectionLostError("hung up"),
    OverloadedError(PROBLEM, 3.0),
    OverloadedError(PROBLEM),
    AnswerTimeoutError("silence"),
    RefusedError(PROBLEM),
)


class Told:
    """Fails as it is told to, each time after so many seconds, and then answers."""

    def __init__(self, clock: FakeClock, failures: Sequence[ClientError], seconds: float) -> None:
        self.tries: list[tuple[float, float]] = []  # when, and how much time it was given
        self._clock = clock
        self._failures = list(failures)
        self._seconds = seconds

    def ask(self, step: Try[str]) -> str:
        self.tries.append((self._clock.now(), step.seconds))
        self._clock.sleep(self._seconds)
        if self._failures:
            raise self._failures.pop(0)
        return step.question.upper()


def outcome(call: Callable[[], str]) -> str | ClientError:
    try:
        return call()
    except ClientError as error:
        return error


@given(
    failures=st.lists(st.sampled_from(FAILURES), max_size=8),
    seconds=st.floats(0, 3),
    jitter=st.floats(0, 1),
    attempts=st.integers(1, 6),
    pure=st.booleans(),
)
def test_a_call_ends_well_or_with_its_last_failure_and_in_time(
    failures: list[ClientError], seconds: float, jitter: float, attempts: int, *, pure: bool
) -> None:
    """Whatever happens: never too often, never what may not be repeated, no try that begins after the deadline."""
    clock = FakeClock()
    policy = Policy(deadline_seconds=12, attempts=attempts, jitter=lambda: jitter)
    told = Told(clock, failures, seconds)
    found = outcome(lambda: drive(trying(Call("question", str.lower, "id", pure), policy, clock.now), told.ask, clock))
    if isinstance(found, ClientError):
        assert found is failures[len(told.tries) - 1]
        assert found.request_id == "id"
    else:
        assert (found, len(told.tries)) == ("question", len(failures) + 1)
    assert 1 <= len(told.tries) <= attempts
    assert all(began < 12 and given == 12 - began for began, given in told.tries)
    assert all(failure.may_repeat(pure=pure) for failure in failures[: len(told.tries) - 1])


@given(jitter=st.floats(0, 1), attempt=st.integers(1, 10_000))
def test_a_pause_is_as_long_as_the_service_says_and_its_chance_is_bounded(jitter: float, attempt: int) -> None:
    policy = Policy(attempts=20_000, jitter=lambda: jitter)
    usual = policy.pause_after(ConnectionLostError(""), attempt, pure=True)
    told = policy.pause_after(OverloadedError(PROBLEM, 3.0), attempt, pure=True)
    assert usual is not None
    assert told is not None
    assert min(5.0, 0.2 * 2 ** min(attempt - 1, 10)) / 2 <= usual <= 5.0
    assert 3.0 <= told <= 3.0 + 2.5


def test_pauses_that_chance_makes_differ() -> None:
    """Two clients that failed at the same moment do not come back at the same moment."""
    policy = Policy()
    pauses = {policy.pause_after(ConnectionLostError(""), 3, pure=True) for _ in range(20)}
    assert len(pauses) > 1


def test_each_call_has_an_id_of_its_own() -> None:
    assert len({Policy().request_id() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"attempts": 0}, "attempts must be at least 1, found 0"),
        ({"concurrency": 0}, "concurrency must be at least 1, found 0"),
        ({"deadline_seconds": 0}, "deadline_seconds must be more than 0, found 0"),
    ],
)
def test_a_policy_that_would_never_ask_is_refused(setting: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Policy(**setting)  # type: ignore[arg-type]  # the names vary
