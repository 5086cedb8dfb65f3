"""What is noted of each request, and the id and the times that every answer carries."""

import asyncio
import logging
import re

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.exchange import CLIENT_GONE, Exchange, Watch
from tests.service_fixtures import JSON, assert_problem
from tests.stub_service import stubbed

ASKED = {"text": "Worst"}


@pytest.mark.parametrize("path", ["/livez", "/nothing", "/predict", "/metrics", "/docs"])
def test_every_answer_has_an_id_and_the_time_it_took(path: str) -> None:
    with stubbed() as (client, _):
        answers = [client.get(path), client.get(path)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", found) for found in ids)
    assert all(re.search(r"total;dur=[0-9.]+$", answer.headers["server-timing"]) for answer in answers)


def test_the_stages_stay_in_front_of_the_whole() -> None:
    with stubbed() as (client, _):
        timing = client.post("/predict", ASKED).headers["server-timing"]
    assert re.fullmatch(
        r"queue;dur=1\.000, inference;dur=20\.000, serialization;dur=[0-9.]+, total;dur=[0-9.]+", timing
    )


@pytest.mark.parametrize("given", ["a", "x" * 128, "7f/3:!~"])
def test_a_request_keeps_the_id_it_came_with(given: str) -> None:
    with stubbed() as (client, _):
        answer = client.request("GET", "/nothing", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", [b"", b"x" * 129, b"a b", b"a\tb", "ä".encode(), b"a\x7f"])
def test_an_id_that_is_no_short_run_of_visible_ascii_is_replaced(given: bytes) -> None:
    with stubbed() as (client, _):
        answer = client.request("GET", "/livez", headers={"X-Request-ID": given})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_an_unforeseen_error_is_answered_with_an_id_and_nothing_of_what_it_says() -> None:
    with stubbed() as (client, inference):
        inference.error = RuntimeError("secret in /etc/secret")
        answer = client.post("/predict", ASKED)
    assert_problem(answer, 500, "internal-error")
    assert b"secret" not in answer.content
    assert answer.headers["x-request-id"]


def _exchange_of(app: ASGIApp, *, keep_bodies: bool = False) -> Exchange:
    seen: list[Exchange] = []
    messages = iter([{"type": "http.request", "body": b"x" * 4000, "more_body": True}] * 3)

    async def receive() -> Message:
        return next(messages)

    async def send(_message: Message) -> None:
        pass

    asked = {"type": "http", "method": "POST", "path": "/a b", "raw_path": b"/a%20b", "headers": []}
    asyncio.run(Watch(app, [seen.append], keep_bodies=keep_bodies)(asked, receive, send))
    (exchange,) = seen
    return exchange


async def _read_and_say_nothing(_scope: Scope, receive: Receive, _send: Send) -> None:
    for _ in range(3):
        await receive()


def test_a_request_that_nobody_answered_is_one_whose_client_did_not_wait() -> None:
    exchange = _exchange_of(_read_and_say_nothing)
    assert (exchange.status, exchange.route, exchange.path) == (CLIENT_GONE, "other", "/a%20b")


def test_bodies_are_kept_when_asked_for_and_only_their_start() -> None:
    assert _exchange_of(_read_and_say_nothing).body == b""
    assert _exchange_of(_read_and_say_nothing, keep_bodies=True).body == b"x" * 4096


def test_an_answer_shared_by_requests_does_not_collect_their_ids() -> None:
    headers = [(b"a", b"b")]

    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": headers})

    assert _exchange_of(answer).status == 204
    assert headers == [(b"a", b"b")]


def test_a_request_in_the_access_log_is_one_line_with_its_route_and_its_problem(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "service.access"), stubbed(access_log=True) as (client, _):
        client.get("/problems/none?secret=1")
        client.post("/predict", ASKED)
    refused, answered = caplog.records
    assert re.fullmatch(r"GET /problems/none 404 [0-9.]+ ms not-found", refused.message)
    assert re.fullmatch(r"POST /predict 200 [0-9.]+ ms", answered.message)
    fields = refused.__dict__["fields"]
    assert (fields["route"], fields["status"], fields["problem"]) == ("/problems/{name}", 404, "not-found")


def test_texts_are_logged_only_if_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for settings in ({}, {"access_log": True}, {"log_texts": True}):
        with stubbed(**settings) as (client, _):
            client.post("/predict", ASKED)
            client.post("/predict", {"text": 5})
    assert "Worst" not in caplog.text
    with stubbed(access_log=True, log_texts=True) as (client, _):
        client.request("POST", "/predict", b'{"text": "Worst\xff\n"}', JSON)
    (line,) = (record.message for record in caplog.records if "Worst" in record.message)
    assert line.endswith(r"""'{"text": "Worst\\xff\n"}'""")
