"""What is wrapped around Ray's proxy: it ends what a dead replica leaves open, and nothing else; without a cluster."""

import asyncio
from collections.abc import Sequence

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.ray_proxy import LostReplicas
from tests.service_fixtures import assert_problem

ACCEPT: Message = {"type": "websocket.accept"}
ANSWER: Message = {"type": "websocket.send", "text": "{}"}
LEFT: Message = {"type": "websocket.disconnect", "code": 1000}


class Proxy:
    """An application that says its messages, receives as many as the client has, and ends; it may say more then."""

    def __init__(self, *messages: Message, afterwards: Sequence[Message] = ()) -> None:
        self._messages = messages
        self._afterwards = afterwards
        self.received: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for message in self._messages:
            await send(message)
        for _ in range(scope["client_says"]):
            self.received.append(await receive())
        for message in self._afterwards:
            await send(message)


def said(app: ASGIApp, kind: str, *client: Message) -> list[Message]:
    """Ask an application through the middleware, and return all that the client is sent."""
    sent: list[Message] = []
    coming = list(client)
    scope = {"type": kind, "path": "/live", "root_path": "", "headers": [], "client_says": len(client)}

    async def receive() -> Message:
        return coming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(LostReplicas(app)(scope, receive, send))
    return sent


def asked(app: ASGIApp) -> httpx.Response:
    """Send a request through the middleware."""

    async def with_scope(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "client_says": 0}, receive, send)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(LostReplicas(with_scope))
        async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as client:
            return await client.get("/predict")

    return asyncio.run(ask())


def test_a_session_that_the_client_ended_is_left_alone() -> None:
    """It sends and receives, the client leaves, the replica ends: nothing is sent into a connection that is closed."""
    text: Message = {"type": "websocket.receive", "text": "{}"}
    proxy = Proxy(ACCEPT, ANSWER)
    assert said(proxy, "websocket", text, LEFT) == [ACCEPT, ANSWER]
    assert proxy.received == [text, LEFT]


def test_an_answer_that_crosses_the_clients_end_makes_no_difference() -> None:
    assert said(Proxy(ACCEPT, afterwards=[ANSWER]), "websocket", LEFT) == [ACCEPT, ANSWER]


def test_a_session_whose_replica_died_ends_with_1012() -> None:
    *before, last = said(Proxy(ACCEPT, ANSWER), "websocket")
    assert before == [ACCEPT, ANSWER]
    assert last == {"type": "websocket.close", "code": 1012, "reason": "its replica is gone"}


def test_a_session_that_the_service_ended_is_left_alone() -> None:
    messages: list[Message] = [ACCEPT, {"type": "websocket.close", "code": 4408}]
    assert said(Proxy(*messages), "websocket") == messages


def test_a_session_that_no_replica_has_accepted_is_refused_with_503() -> None:
    start, *_ = said(Proxy(), "websocket")
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 503)


def test_a_request_to_which_nothing_was_said_gets_the_problem_of_a_lost_engine() -> None:
    answer = asked(Proxy())
    assert_problem(answer, 503, "engine-lost")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(("kind", "left"), [("http", {"type": "http.disconnect"}), ("websocket", LEFT)])
def test_who_has_gone_is_not_answered(kind: str, left: Message) -> None:
    assert said(Proxy(), kind, left) == []


def test_an_answer_stays_as_it_is_but_for_an_id_that_is_said_twice() -> None:
    headers = [(b"x-request-id", b"mine"), (b"x-request-id", b"mine")]
    start: Message = {"type": "http.response.start", "status": 200, "headers": headers}
    answer = asked(Proxy(start, {"type": "http.response.body", "body": b"all is well"}))
    assert (answer.status_code, answer.text) == (200, "all is well")
    assert answer.headers.get_list("x-request-id") == ["mine"]
