"""The client's errors: each kind of problem has one, and they say what they have to."""

import pickle

import pytest

from service.client.errors import (
    ERRORS_BY_KIND,
    BusyError,
    ClientError,
    ConnectionLostError,
    FailedError,
    ProblemError,
    RefusedError,
    SessionEndedError,
    UnreachableError,
    error_of,
)
from service.problems import KINDS, KINDS_BY_NAME, type_of
from service.schemas import FieldError, Problem


def a_problem(kind: str, status: int) -> Problem:
    return Problem(type=f"/problems/{kind}", title="Title", status=status, detail="what happened")


def test_every_kind_of_problem_has_its_error_and_there_are_no_others() -> None:
    """Whoever adds a kind to the service's table adds a class with that `kind` to the client's tree."""
    assert {kind.name for kind in KINDS.values()} <= ERRORS_BY_KIND.keys()
    assert ERRORS_BY_KIND.keys() == KINDS_BY_NAME.keys()


@pytest.mark.parametrize("name", KINDS_BY_NAME)
def test_an_error_is_of_the_family_of_its_status(name: str) -> None:
    status = KINDS_BY_NAME[name].status
    family = BusyError if status in (429, 503) else FailedError if status >= 500 else RefusedError
    found = error_of(a_problem(name, status))
    assert (type(found), issubclass(type(found), family)) == (ERRORS_BY_KIND[name], True)
    assert found.may_repeat(pure=True) == (family is BusyError)
    assert not found.may_repeat(pure=False)


@pytest.mark.parametrize("error", KINDS, ids=lambda error: error.__name__)
def test_what_the_service_raises_is_what_the_client_raises(error: type[Exception]) -> None:
    """By its document alone, below whatever path the service is offered."""
    kind = KINDS[error]
    problem = Problem(type=type_of(kind, "/api"), title=kind.title, status=kind.status, detail=kind.description)
    assert error_of(problem).kind == kind.name


@pytest.mark.parametrize(
    ("status", "family"), [(418, RefusedError), (429, BusyError), (503, BusyError), (507, FailedError)]
)
def test_a_kind_that_only_a_later_service_knows_is_of_its_family(status: int, family: type[ProblemError]) -> None:
    assert type(error_of(a_problem("news", status))) is family
    assert type(error_of(Problem(type="about:blank", title="", status=status, detail=""))) is family


def test_only_what_was_never_sent_may_always_be_repeated() -> None:
    assert UnreachableError("").may_repeat(pure=False)
    assert not ConnectionLostError("").may_repeat(pure=False)
    assert ConnectionLostError("").may_repeat(pure=True)
    assert not ClientError("").may_repeat(pure=True)


def test_an_error_says_what_happened_and_survives_being_sent_to_another_process() -> None:
    problem = Problem(
        type="/problems/empty-text",
        title="Empty text",
        status=422,
        detail="text must hold at least 1 character, found none",
        errors=[FieldError(field="text", message="must hold at least 1 character, found none", limit=1, found=0)],
    )
    error = error_of(problem, 2.0)
    error.request_id = "some-id"
    error.add_note("a note")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  it is our own
    assert str(error) == str(copy) == "text must hold at least 1 character, found none (422 Empty text)"
    assert (type(copy), copy.problem, copy.retry_after, copy.request_id) == (type(error), problem, 2.0, "some-id")
    ended = pickle.loads(pickle.dumps(SessionEndedError(4408, "nothing was said")))  # noqa: S301  likewise
    assert str(ended) == "the live session ended with 4408 (nothing was said)"
