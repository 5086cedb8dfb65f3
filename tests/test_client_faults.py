"""Both clients against servers that refuse, fail, stall and talk nonsense; time is a fake, except where it says so."""

import json
from typing import Any

import pytest

from service.client import Policy
from service.client.errors import (
    AnswerTimeoutError,
    BusyError,
    ClientError,
    ConnectionLostError,
    DeadlineError,
    EmptyTextError,
    EngineLostError,
    FailedError,
    NotReadyError,
    OverloadedError,
    RefusedError,
    UnexpectedAnswerError,
    UnreachableError,
)
from tests.client_fixtures import (
    BOTH,
    JUDGED,
    STEADY,
    Connect,
    Deed,
    FakeClock,
    nobody,
    says,
    scripted,
    sends,
    trickles,
    waits,
)
from tests.served import eventually

pytestmark = pytest.mark.parametrize("connect", BOTH, ids=["blocking", "asynchronous"])

GOOD = says(200, JUDGED, Content_Type="application/json")


def problem(name: str, status: int, **headers: str) -> Deed:
    document = {"type": f"/problems/{name}", "title": "Title", "status": status, "detail": "what happened"}
    return says(status, json.dumps(document).encode(), Content_Type="application/problem+json", **headers)


@pytest.mark.parametrize(
    ("failures", "pauses"),
    [
        ([problem("not-ready", 503)], [0.1]),
        ([problem("not-ready", 503, Retry_After="1")], [1.0]),
        ([problem("overloaded", 429, Retry_After="7")], [7.0]),
        (
            [
                says(
                    429,
                    b"<html>",
                    Date="Thu, 01 Jan 2026 00:00:00 GMT",
                    Retry_After="Thu, 01 Jan 2026 00:00:09 GMT",
                )
            ],
            [9.0],
        ),
        ([says(503, b"<html>", Retry_After="soon")], [0.1]),
        ([sends(b"")], [0.1]),
        ([sends(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + JUDGED)], [0.1]),
        ([sends(b"nonsense\r\n\r\n")], [0.1]),
        ([problem("engine-lost", 503), sends(b""), problem("not-ready", 503), sends(b"")], [0.1, 0.2, 0.4, 0.8]),
    ],
    ids=["503", "retry-after", "429", "date", "no-date", "hung-up", "cut", "no-http", "four-in-a-row"],
)
def test_what_may_pass_is_asked_again_after_a_pause(
    connect: Connect, failures: list[Deed], pauses: list[float]
) -> None:
    """As long as the server says, and otherwise twice as long each time; under the same id."""
    clock = FakeClock()
    with scripted(*failures, GOOD) as server, connect(server.url, clock=clock) as client:
        assert client.predict("Worst").label == "negative"
        assert clock.slept == pytest.approx(pauses)
        assert len(server.requests) == len(failures) + 1
        assert all(b"x-request-id: test-id" in request.lower() for request in server.requests)
        assert len({request.partition(b"\r\n\r\n")[2] for request in server.requests}) == 1


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (problem("empty-text", 422), EmptyTextError),
        (problem("news-to-me", 418), RefusedError),
        (problem("deadline-exceeded", 504), DeadlineError),
        (says(404, b"<html>"), RefusedError),
        (says(502, b"<html>"), FailedError),
        (says(307, b"", Location="/elsewhere"), UnexpectedAnswerError),
        (says(200, b"<html>"), UnexpectedAnswerError),
        (says(200, JUDGED.replace(b'"negative","prob', b'"neutral","prob')), UnexpectedAnswerError),
        (says(200, JUDGED, Content_Encoding="gzip"), UnexpectedAnswerError),
        (says(999, b""), FailedError),
    ],
    ids=["422", "418", "504", "404", "502", "307", "html", "other-record", "no-gzip", "999"],
)
def test_what_will_not_pass_is_asked_once(connect: Connect, failure: Deed, expected: type[ClientError]) -> None:
    clock = FakeClock()
    with scripted(failure, GOOD) as server, connect(server.url, clock=clock) as client:
        with pytest.raises(expected) as raised:
            client.predict("confidential")
        assert type(raised.value) is expected
        assert (raised.value.request_id, clock.slept, len(server.requests)) == ("test-id", [], 1)
        assert "confidential" not in f"{raised.value!r} {raised.value} {raised.value.__notes__}"


def test_a_service_that_is_not_there_is_tried_as_often_as_the_policy_says(connect: Connect) -> None:
    clock = FakeClock()
    with nobody() as url, connect(url, clock=clock) as client, pytest.raises(UnreachableError) as raised:
        client.predict("Worst")
    assert clock.slept == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert raised.value.__notes__ == ["This was try 5 of request test-id."]


def test_no_pause_goes_beyond_the_deadline(connect: Connect) -> None:
    """Rather than to wait for nothing, the last failure is raised at once, and says how long it would have been."""
    clock, policy = FakeClock(), Policy(deadline_seconds=10, jitter=lambda: 0.0)
    busy = [problem("overloaded", 429, Retry_After="4")] * 3
    with scripted(*busy) as server, connect(server.url, policy=policy, clock=clock) as client:
        with pytest.raises(OverloadedError) as raised:
            client.predict("Worst")
        assert (clock.slept, len(server.requests), raised.value.retry_after) == ([4, 4], 3, 4)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [(problem("engine-lost", 503), EngineLostError), (sends(b""), ConnectionLostError)],
    ids=["503", "hung-up"],
)
def test_what_changes_something_is_not_asked_twice(
    connect: Connect, failure: Deed, expected: type[ClientError]
) -> None:
    """Nobody can say whether it was done."""
    with scripted(failure, GOOD) as server, connect(server.url) as client:
        with pytest.raises(expected):
            client.reload()
        assert len(server.requests) == 1


def test_what_changes_something_is_asked_again_if_there_was_no_connection(connect: Connect) -> None:
    clock = FakeClock()
    with nobody() as url, connect(url, clock=clock) as client, pytest.raises(UnreachableError):
        client.reload()
    assert len(clock.slept) == 4


def test_silence_is_a_timeout_and_not_repeated(connect: Connect) -> None:
    """Waits for real, half a second."""
    policy = Policy(silence_seconds=0.5, request_id=STEADY.request_id)
    with scripted(waits, GOOD) as server:
        with connect(server.url, policy=policy) as client, pytest.raises(AnswerTimeoutError) as raised:
            client.predict("Worst")
        eventually(lambda: server.requests)  # the client may be quicker to give up than the server to read
    assert isinstance(raised.value, TimeoutError)
    assert (raised.value.request_id, len(server.requests)) == ("test-id", 1)


def test_an_answer_that_trickles_for_ever_ends_at_the_deadline(connect: Connect) -> None:
    """Each of its pieces comes at once, so no wait for the next one is ever too long."""
    clock = FakeClock(each_look=1.0)
    with (
        scripted(trickles) as server,
        connect(server.url, clock=clock) as client,
        pytest.raises(AnswerTimeoutError, match="not whole after"),
    ):
        client.predict("Worst")


def test_ready_is_no_error_to_ask_for(connect: Connect) -> None:
    script = [problem("not-ready", 503), says(200, b'{"status": "ready"}')]
    with scripted(*script) as server, connect(server.url) as client:
        assert (client.is_ready(), client.is_ready()) == (False, True)
    with scripted(says(502, b"<h1>Bad gateway</h1>")) as server, connect(server.url) as client:
        assert not client.is_ready()
    with nobody() as url, connect(url) as client:
        assert not client.is_ready()


def test_waiting_until_ready_asks_for_as_long_as_it_is_told(connect: Connect) -> None:
    clock = FakeClock()
    late: list[Deed] = [problem("not-ready", 503, Retry_After="1")] * 19 + [says(502, b"<h1>Bad gateway</h1>")]
    with scripted(*late, says(200, b'{"status": "ready"}')) as server, connect(server.url, clock=clock) as client:
        client.wait_until_ready(120)
        assert len(server.requests) == 21
    with scripted(*late) as server, connect(server.url, clock=clock) as client, pytest.raises(NotReadyError):
        client.wait_until_ready(3)


def info(**limits: int) -> Deed:
    """Answer as a service does that has these limits."""
    whole: dict[str, Any] = {
        "model": {"name": "tiny", "version": "0", "precision": "float32"},
        "models": [{"name": "tiny", "version": "0", "precision": "float32"}],
        "card": None,
        "architecture": {"num_embeddings": 9, "embedding_dim": 2, "hidden_size": 2, "from_a_later_version": 1},
        "preprocessing": {},
        "labels": ["positive", "negative"],
        "calibration": {},
        "training": None,
        "metrics": {},
        "device": "cpu",
        "precision": "float32",
        "package_version": "9.9",
        "limits": {
            "max_texts": 512,
            "max_characters": 10_000,
            "max_body_bytes": 2_000_000,
            "max_tokens": None,
            "max_waiting_texts": 4096,
            "max_waiting_characters": 1_000_000,
            "deadline_seconds": 10,
            "request_seconds": 30,
            "stall_seconds": 60,
            "max_unread_bytes": 1_000_000,
            "live_sessions": 64,
            "live_sessions_per_client": 8,
            "live_characters": 1000,
            "live_messages_per_second": 50,
            "live_idle_seconds": 300,
            "live_stall_seconds": 20,
        }
        | limits,
    }
    return says(200, json.dumps(whole).encode())


def predictions(count: int) -> Deed:
    return says(200, b'{"predictions":[' + b",".join([JUDGED] * count) + b"]}")


ALONE = Policy(concurrency=1, jitter=lambda: 0.0)


def test_a_batch_is_sent_in_parts_that_the_service_takes(connect: Connect) -> None:
    """It says so once; fields that only a later service knows are passed over."""
    script = [info(max_texts=3), predictions(3), predictions(2), predictions(1)]
    with scripted(*script) as server, connect(server.url, policy=ALONE) as client:
        assert len(client.predict_batch(["Worst"] * 5)) == 5
        assert len(client.predict_batch(["Worst"])) == 1
        assert client.predict_batch([]) == []
        bodies = [json.loads(request.partition(b"\r\n\r\n")[2] or b"{}") for request in server.requests]
        assert [len(body.get("texts", [])) for body in bodies] == [0, 3, 2, 1]


def test_a_service_that_does_not_say_what_it_takes_gets_small_parts(connect: Connect) -> None:
    script = [says(404, b""), predictions(64), predictions(6)]
    with scripted(*script) as server, connect(server.url, policy=ALONE) as client:
        assert len(client.predict_batch(["Worst"] * 70)) == 70


def test_an_answer_of_another_length_is_none(connect: Connect) -> None:
    expected = "must hold 3 predictions, found 2"
    with (
        scripted(info(), predictions(2)) as server,
        connect(server.url, policy=ALONE) as client,
        pytest.raises(UnexpectedAnswerError, match=expected),
    ):
        client.predict_batch(["Worst"] * 3)


def test_the_first_part_that_fails_fails_the_batch(connect: Connect) -> None:
    """What comes behind it is not sent."""
    script = [info(max_texts=1), predictions(1), problem("empty-text", 422), predictions(1)]
    with scripted(*script) as server, connect(server.url, policy=ALONE) as client:
        with pytest.raises(EmptyTextError):
            client.predict_batch(["Worst", "", "update"] * 20)
        assert len(server.requests) == 3


def test_a_part_that_was_too_much_at_once_is_asked_in_halves(connect: Connect) -> None:
    """What is done stays done; errors still name a text by its number in the whole batch."""
    late = problem("deadline-exceeded", 504)
    document = {"type": "/problems/empty-text", "title": "", "status": 422, "detail": "texts[0] is empty"}
    empty = says(422, json.dumps(document).encode())
    script = [info(max_texts=4), predictions(4), late, predictions(2), late, predictions(1), empty]
    with scripted(*script) as server, connect(server.url, policy=ALONE) as client:
        with pytest.raises(EmptyTextError) as raised:
            client.predict_batch(["Worst"] * 7 + [""])
        assert raised.value.problem.detail == "texts[7] is empty"
        bodies = [json.loads(request.partition(b"\r\n\r\n")[2] or b"{}") for request in server.requests]
        assert [len(body.get("texts", [])) for body in bodies] == [0, 4, 4, 2, 2, 1, 1]


def test_a_text_that_is_too_much_alone_fails_the_batch(connect: Connect) -> None:
    with (
        scripted(info(), *[problem("deadline-exceeded", 504)] * 2) as server,
        connect(server.url, policy=ALONE) as client,
        pytest.raises(DeadlineError),
    ):
        client.predict_batch(["Worst"] * 2)
    assert len(server.requests) == 3


def test_a_batch_waits_for_a_service_that_is_busy_when_asked_what_it_takes(connect: Connect) -> None:
    script = [problem("not-ready", 503)] * 5
    with scripted(*script) as server, connect(server.url) as client, pytest.raises(BusyError):
        client.predict_batch(["Worst"])
