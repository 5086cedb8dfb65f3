"""Errors as problem documents."""

import json

import pytest
from starlette.exceptions import HTTPException

from charlstm.errors import EmptyTextError, TextTooLongError
from service.body_errors import BodyTooLargeError
from service.errors import (
    CharacterLimitError,
    DeadlineError,
    EngineFailedError,
    EngineLostError,
    MediaTypeError,
    NotReadyError,
    OverloadedError,
    StaleModelError,
    TextFault,
    TooManyTextsError,
    UnreadableTextsError,
)
from service.problems import KINDS_BY_NAME, MEDIA_TYPE, problem_response


def _unreadable(*faults: TextFault) -> UnreadableTextsError:
    return UnreadableTextsError(faults)


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (_unreadable(TextFault("text", EmptyTextError("character"))), 422, "empty-text"),
        (_unreadable(TextFault("text", TextTooLongError(5, 9, "character"))), 413, "text-too-long"),
        (_unreadable(TextFault("text", CharacterLimitError(5, 9))), 413, "text-too-long"),
        (TooManyTextsError(5, 9), 413, "too-many-texts"),
        (BodyTooLargeError(5, 9), 413, "body-too-large"),
        (MediaTypeError(), 415, "unsupported-media-type"),
        (NotReadyError(), 503, "not-ready"),
        (StaleModelError(), 503, "not-ready"),
        (EngineLostError(), 503, "engine-lost"),
        (EngineFailedError(), 500, "internal-error"),
        (OverloadedError(2.5), 429, "overloaded"),
        (DeadlineError(), 504, "deadline-exceeded"),
        (HTTPException(404), 404, "not-found"),
        (RuntimeError("boom"), 500, "internal-error"),
        (EmptyTextError("character"), 422, "empty-text"),
    ],
)
def test_each_error_has_one_status_and_one_type(error: Exception, status: int, name: str) -> None:
    response = problem_response(error)
    problem = json.loads(bytes(response.body))
    assert (response.status_code, problem["status"], problem["type"]) == (status, status, f"/problems/{name}")
    assert response.media_type == MEDIA_TYPE


def test_a_problem_lists_the_field_the_limit_and_what_was_found() -> None:
    response = problem_response(_unreadable(TextFault("texts[3]", TextTooLongError(5, 9, "character"))))
    (error,) = json.loads(bytes(response.body))["errors"]
    assert (error["field"], error["limit"], error["found"]) == ("texts[3]", 5, 9)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(OverloadedError(0.0), "1"), (OverloadedError(2.1), "3"), (NotReadyError(), "1"), (EngineLostError(), "1")],
)
def test_what_will_pass_says_when_to_come_again(error: Exception, seconds: str) -> None:
    assert problem_response(error).headers["retry-after"] == seconds


def test_a_problem_lists_sixteen_errors_at_most() -> None:
    faults = [TextFault(f"texts[{index}]", EmptyTextError("character")) for index in range(100)]
    assert len(json.loads(bytes(problem_response(_unreadable(*faults)).body))["errors"]) == 16


def test_an_unforeseen_error_is_not_described() -> None:
    assert b"secret" not in problem_response(RuntimeError("secret")).body


def test_the_type_starts_with_the_path_that_the_service_is_offered_under() -> None:
    assert b'"/api/problems/not-ready"' in problem_response(NotReadyError(), "/api").body


def test_a_status_that_no_kind_stands_for_is_about_blank() -> None:
    problem = json.loads(bytes(problem_response(HTTPException(418)).body))
    assert problem == {"type": "about:blank", "title": "I'm a Teapot", "status": 418, "detail": "I'm a Teapot"}


def test_no_two_kinds_share_a_name_with_different_statuses() -> None:
    assert all(kind.name == name for name, kind in KINDS_BY_NAME.items())
