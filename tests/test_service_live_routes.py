"""Live sessions over a WebSocket: who may have one, how long, and how it ends."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from service.app import create_app
from service.errors import EngineLostError, NotReadyError, OverloadedError
from service.live_reading import Readings
from service.live_routes import Pace
from service.session_watch import ClosedWebSocket, SessionWatch
from service.settings import Settings
from tests.live_fixtures import PROTOCOL, Closed, DirectReader, Socket, as_subprotocol


class Line:
    """An application whose texts are read in this process, and the sockets to it."""

    def __init__(self, runner: asyncio.Runner, reader: DirectReader, **settings: Any) -> None:
        self.app = create_app(Settings.model_validate(settings))
        self.app.state.inference = self.reader = reader
        self._runner = runner

    def open(
        self,
        subprotocols: Sequence[str] = (PROTOCOL,),
        headers: Sequence[tuple[bytes, bytes]] = (),
        client: str = "127.0.0.1",
    ) -> Socket:
        return Socket(self.app, self._runner, subprotocols=subprotocols, headers=headers, client=client)

    def figures(self) -> dict[str, float]:
        metrics = self.app.state.metrics
        return {
            sample.name + "".join(sample.labels.values()): sample.value
            for metric in metrics._registry.collect()
            for sample in metric.samples
        }


@contextmanager
def line(artifacts: Path, **settings: Any) -> Iterator[Line]:
    with asyncio.Runner() as runner:
        yield Line(runner, DirectReader(artifacts), **settings)


def test_each_message_has_an_answer_in_its_turn(tiny_directory: Path) -> None:
    with line(tiny_directory) as service:
        socket = service.open()
        for message in ({"text": "Wor"}, {"text": "st!"}, {"back": 1}):
            socket.say(message)
        heard = [socket.hear() for _ in range(3)]
        assert [(answer["start"], answer["characters"]) for answer in heard] == [(0, 3), (3, 6), (5, 5)]
        socket.leave()


def test_half_a_surrogate_pair_is_a_problem_and_the_session_goes_on(tiny_directory: Path) -> None:
    with line(tiny_directory) as service:
        socket = service.open()
        socket.ask(text="b")
        socket.say('{"text": "\\ud83c"}')
        assert socket.hear()["problem"]["type"] == "/problems/invalid-character"
        assert socket.ask(text="\U0001f3ae")["characters"] == 2


def test_two_sessions_know_nothing_of_each_other(tiny_directory: Path) -> None:
    with line(tiny_directory) as service:
        one, other = service.open(), service.open()
        assert one.ask(text="Worst", detail="none")["characters"] == 5
        answer = other.ask(text="b")
        assert (answer["characters"], len(answer["layers"])) == (1, 1)
        assert one.ask(text="!")["characters"] == 6


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("{", "must be valid JSON, found a fault at character 1 ("),
        (b"{}", "must be text, found a binary message"),
        ("[" * 100_000, "must be valid JSON, found a fault at character "),
        ([], "body must be a JSON object, found array"),
        ({"text": 1}, "text must be a string, found number"),
        ({"back": -1}, "back "),
        ({"back": True}, "back "),
        ({"back": 1.0}, "back "),
        ({"backs": 1}, "backs is no field of this request"),
        ({"detail": "all"}, "detail "),
        ({"signals": []}, "signals "),
        ({"units": {"top": "many"}}, "units.top "),
        ({"text": None, "x" * 1000: "ß" * 1000}, "text must be a string, found null"),
    ],
)
def test_a_message_that_cannot_be_understood_ends_the_session(
    tiny_directory: Path, message: object, reason: str
) -> None:
    with line(tiny_directory) as service:
        socket = service.open()
        socket.say(message)
        closed = socket.hear()
        assert closed.code == 4400
        assert closed.reason.startswith(reason)
        assert len(closed.reason.encode()) <= 123
        socket.wait()


def test_a_text_over_the_limit_is_a_problem_and_the_session_goes_on(tiny_directory: Path) -> None:
    with line(tiny_directory, live_characters=10) as service:
        socket = service.open()
        socket.ask(text="Worst")
        problem = socket.ask(text="x" * 6)["problem"]
        assert (problem["type"], problem["status"]) == ("/problems/text-too-long", 413)
        assert problem["detail"] == "text must be at most 10 characters long, found 11"
        assert problem["errors"] == [
            {
                "field": "text",
                "message": "must be at most 10 characters long, found 11",
                "limit": 10,
                "found": 11,
            }
        ]
        assert "retry_after" not in problem
        assert socket.ask(text="x" * 5)["characters"] == 10


@pytest.mark.parametrize(
    ("error", "name", "seconds"),
    [(OverloadedError(2.5), "overloaded", 3), (EngineLostError(), "engine-lost", 1), (NotReadyError(), "not-ready", 1)],
)
def test_a_fault_that_passes_is_a_problem_that_says_when_to_try_again(
    tiny_directory: Path, error: Exception, name: str, seconds: int
) -> None:
    with line(tiny_directory) as service:
        socket = service.open()
        service.reader.errors = [error]
        problem = socket.ask(text="Worst")["problem"]
        assert (problem["type"], problem["retry_after"]) == (f"/problems/{name}", seconds)
        assert socket.ask(text="best")["characters"] == 4
        assert service.figures()[f"charlstm_refusals_total{name}"] == 1
        assert service.figures()["charlstm_live_answer_duration_seconds_count"] == 2


def test_who_says_nothing_is_parted_from(tiny_directory: Path) -> None:
    with line(tiny_directory, live_idle_seconds=0.05) as service:
        socket = service.open()
        assert socket.hear() == Closed(4408, "nothing was said for 0.05 seconds")
        socket.wait()
        assert service.figures()["charlstm_live_closes_total4408"] == 1


@pytest.mark.parametrize("fault", [OSError("gone"), RuntimeError("after sending 'websocket.close'")])
def test_an_answer_to_a_client_that_is_gone_is_dropped(tiny_directory: Path, fault: Exception) -> None:
    with line(tiny_directory) as service:
        socket = service.open()
        socket.fault = fault
        socket.say({"text": "a"})
        socket.wait()
        assert service.figures()["charlstm_live_closes_total1006"] == 1


def test_who_says_too_much_is_parted_from(tiny_directory: Path) -> None:
    with line(tiny_directory, live_messages_per_second=0.5) as service:
        socket = service.open()
        for _ in range(5):
            assert socket.ask(text="a")["characters"]
        assert socket.ask(text="a") == Closed(4429, "must be at most 0.5 messages a second, over 10 seconds")


def test_a_pace_is_kept_on_average_over_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("service.live_routes.time.monotonic", lambda: now)
    pace = Pace(30)
    assert all(pace.keeps() for _ in range(300))
    assert not pace.keeps()
    now += 1.0
    assert [pace.keeps() for _ in range(30)].count(True) == 29
    now += 3600.0
    assert [pace.keeps() for _ in range(301)].count(True) == 300


def test_there_is_room_for_so_many_sessions_and_again_when_one_ends(tiny_directory: Path) -> None:
    with line(tiny_directory, max_live_sessions=2) as service:
        first, second = service.open(), service.open()
        third = service.open()
        assert third.subprotocol == PROTOCOL
        assert third.hear() == Closed(4503, "all 2 live sessions are taken; try again later")
        third.wait()
        assert service.figures()["charlstm_live_sessions"] == 2
        first.leave()
        assert service.open().ask(text="a")["characters"] == 1
        assert second.ask(text="a")["characters"] == 1
        closes = {name: value for name, value in service.figures().items() if "closes_total" in name}
        assert closes == {"charlstm_live_closes_total4503": 1, "charlstm_live_closes_total1001": 1}


def test_one_address_has_some_of_the_sessions_and_others_have_the_rest(tiny_directory: Path) -> None:
    with line(tiny_directory, max_live_sessions=3, max_live_sessions_per_client=2) as service:
        first, _ = service.open(), service.open()
        assert service.open().hear() == Closed(4503, "all 2 live sessions of your address are taken")
        assert service.open(client="10.0.0.1").ask(text="a")["characters"] == 1
        assert service.open(client="10.0.0.1").hear() == Closed(4503, "all 3 live sessions are taken; try again later")
        first.leave()
        assert service.open().ask(text="a")["characters"] == 1
        assert service.figures()["charlstm_live_closes_total4503"] == 2


def test_a_view_that_the_model_has_not_is_a_problem_at_once(tiny_directory: Path) -> None:
    with line(tiny_directory) as service:
        socket = service.open()
        problem = socket.ask(units=[999], detail="full")["problem"]
        assert (problem["status"], problem["errors"][0]["field"]) == (422, "units[0]")
        assert socket.ask(text="Worst")["characters"] == 5


def test_nothing_is_kept_of_a_session_that_is_over(tiny_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = Readings(1_000_000)
    monkeypatch.setattr("service.live_routes.Readings", lambda _: readings)
    with line(tiny_directory) as service:
        gone, parted = service.open(), service.open()
        for socket in (gone, parted):
            socket.ask(text="Worst")
        assert readings.bytes > 0
        gone.leave()
        parted.say("nonsense")
        assert parted.hear().code == 4400
        parted.wait()
        assert readings.bytes == 0


@pytest.mark.parametrize(
    ("subprotocols", "headers", "opens"),
    [
        ([PROTOCOL, as_subprotocol("one")], [], True),
        ([as_subprotocol("one"), PROTOCOL], [], True),
        ([PROTOCOL], [(b"authorization", b"Bearer one")], True),
        ([], [(b"x-api-key", b"one")], True),
        ([PROTOCOL], [], False),
        ([PROTOCOL, as_subprotocol("two")], [], False),
        ([PROTOCOL, "bearer.one"], [], False),
        ([PROTOCOL, "bearer.ö"], [], False),
        ([PROTOCOL, "bearer.", "bearer"], [], False),
        ([PROTOCOL, as_subprotocol("one") + "!"], [], False),
    ],
)
def test_a_session_needs_a_key_as_everything_does(
    tiny_directory: Path, subprotocols: list[str], headers: list[tuple[bytes, bytes]], *, opens: bool
) -> None:
    with line(tiny_directory, api_keys="one") as service:
        socket = service.open(subprotocols, headers)
        assert socket.subprotocol == (PROTOCOL if PROTOCOL in subprotocols else None)
        if opens:
            assert socket.ask(text="a")["characters"] == 1
        else:
            assert socket.hear() == Closed(4401, "a key is needed")
            socket.wait()
            assert service.figures()["charlstm_live_closes_total4401"] == 1


def test_any_key_can_be_shown_as_a_subprotocol(tiny_directory: Path) -> None:
    key = "~~~???>>>" + "".join(map(chr, range(0x21, 0x7F))).replace(",", "")
    with line(tiny_directory, api_keys=key) as service:
        protocol = as_subprotocol(key)
        assert {"-", "_"} <= set(protocol)
        assert service.open([PROTOCOL, protocol]).ask(text="a")["characters"] == 1


def test_the_access_log_has_a_line_for_each_session_and_no_text(
    tiny_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "service.access")
    with line(tiny_directory, access_log=True, log_texts=True) as service:
        socket = service.open()
        socket.ask(text="secret")
        socket.leave()
    (record,) = caplog.records
    assert record.getMessage().startswith("WebSocket /gates/live 1001 1 messages ")
    fields = record.__dict__["fields"]
    assert (fields["route"], fields["code"], fields["messages"]) == ("/gates/live", 1001, 1)
    assert "secret" not in caplog.text


def test_a_fault_of_the_service_closes_with_1011_and_is_for_the_server_to_log(tiny_directory: Path) -> None:
    with line(tiny_directory) as service:
        socket = service.open()
        service.reader.errors = [ZeroDivisionError()]
        assert socket.ask(text="secret") == Closed(1011, "the service failed")
        with pytest.raises(ZeroDivisionError):
            socket.wait()
        assert service.figures()["charlstm_live_closes_total1011"] == 1


def test_a_path_that_is_not_there_is_refused_before_it_opens_and_counted() -> None:
    seen: list[ClosedWebSocket] = []

    class Observer:
        def session_opened(self) -> None:
            raise AssertionError

        def session_closed(self, closed: ClosedWebSocket) -> None:
            seen.append(closed)

    async def refuse(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "websocket.close", "code": 1000})

    async def ignore(_message: Message) -> None:
        pass

    scope = {"type": "websocket", "raw_path": b"/none", "client": None}
    asyncio.run(SessionWatch(refuse, [Observer()])(scope, lambda: None, ignore))  # type: ignore[arg-type, return-value]
    assert (seen[0].code, seen[0].route, seen[0].path, seen[0].client) == (403, "other", "/none", None)
