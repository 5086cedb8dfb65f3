"""What the client sends, and how it reads answers; over no network."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from charlstm.clamp import Clamp
from service.client import calls
from service.client.calls import Answer, GatesOptions, Request, raise_problem, to_json
from service.client.conversation import ViewOptions
from service.client.core import Core
from service.client.errors import BusyError, ProblemError
from service.client.policy import Policy
from service.comparison_schemas import CompareRequest
from service.gates_schemas import GatesRequest
from service.live_schemas import LiveMessage
from service.schemas import BatchRequest, PredictRequest
from service.selection import Foremost, Range


def test_every_choice_that_a_route_has_can_be_made() -> None:
    """Of `/gates` all but the decimals of its JSON; of a live session all."""
    of_gates = GatesRequest.model_fields.keys() - {"text", "model", "precision"}
    assert get_type_hints(GatesOptions).keys() == of_gates
    of_live = LiveMessage.model_fields.keys() - {"text", "back", "model"}
    assert get_type_hints(ViewOptions).keys() == of_live


@given(st.text(st.characters()), st.booleans())
def test_any_text_is_sent_as_it_is(text: str, truncate: bool) -> None:  # noqa: FBT001  hypothesis gives it
    """Half of a surrogate pair too: whether that is text is for the service to say."""
    body = calls.predict(text, truncate=truncate, model=None).body
    assert body is not None
    assert json.loads(body) == {"text": text, "truncate": truncate}


CLAMP = Clamp("cell_state", 0, 0.5, (1, 2), 1, 3)
REQUESTS: list[tuple[Request[Any], type[BaseModel]]] = [
    (calls.predict("Worst", truncate=True, model=None), PredictRequest),
    (calls.predict_batch(["Worst", "best"], truncate=False, model=None), BatchRequest),
    (calls.compare("Worst", "best", truncate=False, model=None), CompareRequest),
    (calls.occlusion("Worst", truncate=False, model=None), PredictRequest),
    (
        calls.trace("Worst", truncate=False, clamps=[Clamp("cell_state", 0, 0.5, (1, 2), 1, 3)], model=None),
        GatesRequest,
    ),
    (
        calls.gates(
            "Worst",
            {
                "detail": "summary",
                "signals": ("cell_state",),
                "layers": range(2),
                "units": np.array([3, 1]),
                "steps": Range(start=1),
                "clamps": [Clamp("forget_gate", 0, 1.0)],
                "cut": [Range(start=0, stop=1)],
            },
            None,
        ),
        GatesRequest,
    ),
    (calls.gates("Worst", {"units": Foremost(top=3), "steps": np.array([0])}, None), GatesRequest),
]


@pytest.mark.parametrize(("request_", "schema"), REQUESTS, ids=lambda value: getattr(value, "path", ""))
def test_what_is_sent_is_what_the_route_reads(request_: Request[Any], schema: type[BaseModel]) -> None:
    body = request_.body
    assert body is not None
    asked = schema.model_validate_json(body)
    if isinstance(asked, GatesRequest) and asked.clamps and asked.detail == "full":
        assert asked.clamps[0].to_clamp() == CLAMP
    assert "model" not in json.loads(body)


def test_a_model_is_named_only_if_it_is_given() -> None:
    named: list[Request[Any]] = [
        calls.predict("Worst", truncate=False, model="other"),
        calls.predict_batch(["Worst"], truncate=False, model="other"),
        calls.gates("Worst", {}, "other"),
        calls.trace("Worst", truncate=False, clamps=(), model="other"),
        calls.compare("Worst", "best", truncate=False, model="other"),
        calls.occlusion("Worst", truncate=False, model="other"),
    ]
    for request in named:
        assert request.body is not None
        assert json.loads(request.body)["model"] == "other"
    assert calls.units("a&b c").path == "/units?model=a%26b%20c"
    assert calls.unit(3, 1, "other").path == "/units/3?layer=1&model=other"
    assert calls.info("other").path == "/info?model=other"
    assert (calls.units(None).path, calls.info().path) == ("/units", "/info")


def test_only_reloading_changes_anything() -> None:
    assert not calls.reload().pure
    assert calls.ready().pure
    assert all(request.pure for request, _ in REQUESTS)


def test_what_json_has_no_word_for_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="found set"):
        to_json({"units": {1, 2}})


def retry_after(**headers: str) -> float | None:
    lowered = {name.replace("_", "-"): value for name, value in headers.items()}
    with pytest.raises(BusyError) as raised:
        raise_problem(Answer(503, lowered, b""))
    return raised.value.retry_after


@given(st.integers(0, 10**6), st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001  UTC below
def test_a_date_to_retry_after_is_one_beside_that_of_the_answer(seconds: int, moment: datetime) -> None:
    """So it does not matter what the client's clock says."""
    now = moment.replace(microsecond=0, tzinfo=UTC)
    later = now + timedelta(seconds=seconds)
    dates = {"date": format_datetime(now, usegmt=True), "retry_after": format_datetime(later, usegmt=True)}
    assert retry_after(**dates) == retry_after(retry_after=str(seconds)) == seconds


@pytest.mark.parametrize("value", ["", "soon", "-1", "1.5", "²", "Thu, 01 Jan 2026 00:00:09 GMT"])
def test_what_says_no_time_is_passed_over(value: str) -> None:
    assert retry_after(retry_after=value) is None


def test_an_answer_without_a_problem_document_says_so() -> None:
    with pytest.raises(ProblemError) as raised:
        raise_problem(Answer(502, {"content-type": "text/html"}, b"<html>"))
    assert raised.value.problem.title == "Bad Gateway"
    assert raised.value.problem.detail == "answered without a problem document: 6 bytes of text/html"


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://localhost", "http://", "", "/predict", "http://localhost:80a", "http://[::1"]
)
def test_a_url_that_is_none_of_http_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="url must be such as http://localhost:8000"):
        Core(url, None, Policy(), float)


@pytest.mark.parametrize("key", ["", "two words", "schlüssel", "a\nb"])
def test_a_key_that_is_none_is_refused_at_once_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match=r"^api_key must be visible ASCII characters$"):
        Core("http://localhost", key, Policy(), float)


def test_a_service_below_a_path_is_asked_there() -> None:
    core = Core("https://example.com/api/", "key", Policy(request_id=lambda: "id"), float)
    sending = next(core.flow(calls.predict("Worst", truncate=False, model=None)))
    assert not isinstance(sending, calls.Answer)
    method, url, headers, _ = sending.question  # type: ignore[union-attr]  # it is a try
    assert (method, url) == ("POST", "https://example.com/api/predict")
    assert (headers["Authorization"], headers["X-Request-ID"]) == ("Bearer key", "id")
    opening = next(core.opening(None))
    assert opening.question["uri"] == "wss://example.com/api/gates/live"  # type: ignore[union-attr]  # likewise
