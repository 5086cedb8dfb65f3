"""Keys: who needs one, how it is shown, and that it is never shown back."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.types import Message

from service.cli import cli
from service.errors import StartupError
from service.origins import Origins
from service.security import Guard, KeyCheck, Keys, OriginCheck
from service.settings import Settings
from tests.service_fixtures import JSON, assert_problem
from tests.stub_service import stubbed

BODY = b'{"text": "Worst"}'


def _status(client: Any, path: str = "/predict", method: str = "POST", **headers: str) -> int:
    status: int = client.request(method, path, BODY, {**JSON, **headers}).status_code
    return status


def test_without_keys_nobody_needs_one() -> None:
    with stubbed() as (client, _):
        assert _status(client) == 200
        assert "securitySchemes" not in client.get("/openapi.json").json()["components"]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": "one"},
        {"X-API-Key": "two"},
        {"Authorization": "Bearer one"},
        {"Authorization": "bearer  two"},
        {"Authorization": "Bearer a-gateway's", "X-API-Key": "one"},
        {"X-API-Key": "a-gateway's", "Authorization": "Bearer two"},
    ],
)
def test_each_key_opens_in_either_header(headers: dict[str, str]) -> None:
    with stubbed(api_keys="one, two,") as (client, _):
        assert _status(client, **headers) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "three"},
        {"X-API-Key": "one,two"},
        {"X-API-Key": "On"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic one"},
        {"Authorization": "one"},
    ],
)
def test_no_key_or_another_one_is_401(headers: dict[str, str]) -> None:
    with stubbed(api_keys="one,two") as (client, _):
        answer = client.request("POST", "/predict", BODY, {**JSON, **headers})
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_key_is_wanted_before_anything_of_the_request_is_judged() -> None:
    with stubbed(api_keys="one", max_body_bytes=1) as (client, _):
        assert _status(client) == 401
        assert _status(client, "/nothing") == 401
        assert _status(client, "/predict", "GET") == 401
        assert _status(client, "/v2/models/tiny/infer") == 401


def test_probes_figures_and_documentation_need_no_key() -> None:
    with stubbed(api_keys="one") as (client, _):
        for path in ("/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json"):
            assert _status(client, path, "GET") == 200
        assert _status(client, "/problems/unauthorized", "GET") == 200
        assert _status(client, "/static-offline-docs/swagger-ui.css", "GET") == 200


def test_probes_and_figures_need_one_if_told() -> None:
    with stubbed(api_keys="one", protect_operations=True) as (client, _):
        for path in ("/livez", "/readyz", "/metrics", "/v2/health/live"):
            assert _status(client, path, "GET") == 401
            assert _status(client, path, "GET", **{"X-API-Key": "one"}) == 200
        assert _status(client, "/docs", "GET") == 200


def test_keys_come_from_a_file_as_well(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("three\n\n four \n")
    with stubbed(api_keys="one", api_keys_file=file) as (client, _):
        assert [_status(client, **{"X-API-Key": key}) for key in ("one", "three", "four", "five")] == [
            200,
            200,
            200,
            401,
        ]


@pytest.mark.parametrize("content", [None, "", "\n \n", "two words\n", "schlüssel\n"])
def test_a_file_without_usable_keys_keeps_the_service_from_starting(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_text(content)
    with pytest.raises(StartupError, match="keys: expected") as caught:
        Guard(Settings(api_keys_file=file))
    assert "words" not in str(caught.value)


@pytest.mark.parametrize("keys", [",", " ", "two words", "schlüssel"])
def test_unusable_keys_are_refused_and_not_shown(keys: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValidationError, match="api_keys"):
        Settings(api_keys=keys)
    with pytest.raises(SystemExit):
        cli(["serve", "--api-keys", keys])
    shown = capsys.readouterr().err
    assert shown.startswith("charlstm: --api-keys or CHARLSTM_API_KEYS: ")
    assert "found" not in shown


def test_settings_never_show_a_key_but_to_the_processes_of_the_service() -> None:
    settings = Settings(api_keys="hush", admin_keys="hush")
    assert "hush" not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    assert settings.to_json().count(b"hush") == 2


def test_the_admin_key_opens_everything_and_no_other_key_opens_the_admin_routes() -> None:
    with stubbed(api_keys="one", admin_keys="root") as (client, _):
        assert _status(client, **{"X-API-Key": "root"}) == 200
        assert _status(client, "/admin/reload", **{"X-API-Key": "one"}) == 401
        assert _status(client, "/admin/reload", **{"X-API-Key": "root"}) == 200


def test_with_an_admin_key_alone_only_the_admin_routes_need_one() -> None:
    with stubbed(admin_keys="root") as (client, _):
        assert _status(client) == 200
        assert _status(client, "/admin/reload") == 401


def test_the_path_of_a_proxy_opens_nothing() -> None:
    guard = Guard(Settings(api_keys="one", root_path="/api"))
    sent: list[Message] = []

    async def answer(*_: Any) -> None:
        sent.append({"status": 200})

    async def never() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    def status(path: str) -> int:
        sent.clear()
        scope = {"type": "http", "method": "GET", "path": path, "root_path": "/api", "headers": []}
        asyncio.run(KeyCheck(answer, guard)(scope, never, send))
        found: int = sent[0]["status"]
        return found

    assert [status(path) for path in ("/api/livez", "/livez", "/api/predict", "/apilivez", "/api")] == [
        200,
        200,
        401,
        401,
        401,
    ]


def test_a_websocket_without_a_key_is_opened_only_to_say_so_and_nothing_answers_it() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def never(*_: Any) -> Any:
        raise AssertionError

    scope = {"type": "websocket", "path": "/gates/live", "headers": [], "subprotocols": ["other"]}
    asyncio.run(KeyCheck(never, Guard(Settings(api_keys="one")))(scope, receive, send))
    assert sent == [
        {"type": "websocket.accept", "subprotocol": None, "headers": []},
        {"type": "websocket.close", "code": 4401, "reason": "a key is needed"},
    ]


HOST = (b"host", b"service:8000")


@pytest.mark.parametrize(
    ("headers", "allowed", "passes"),
    [
        ([HOST], "", True),
        ([HOST, (b"origin", b"http://service:8000")], "", True),
        ([HOST, (b"origin", b"https://service:8000")], "", True),
        ([HOST, (b"origin", b"http://elsewhere")], "", False),
        ([HOST, (b"origin", b"http://service")], "", False),
        ([HOST, (b"origin", b"null")], "", False),
        ([HOST, (b"origin", b"http://service:8000"), (b"origin", b"http://elsewhere")], "", False),
        ([(b"origin", b"http://service:8000")], "", False),
        ([HOST, (b"x-forwarded-host", b"example.com"), (b"origin", b"https://example.com")], "", True),
        ([HOST, (b"x-forwarded-host", b"example.com, inner"), (b"origin", b"https://example.com")], "", True),
        ([HOST, (b"x-forwarded-host", b"example.com"), (b"origin", b"https://elsewhere")], "", False),
        ([HOST, (b"origin", b"http://elsewhere")], "https://elsewhere", False),
        ([HOST, (b"origin", b"http://elsewhere")], "https://other, http://elsewhere", True),
        ([HOST, (b"origin", b"http://elsewhere")], "*", True),
        ([HOST, (b"origin", b"null")], "*", True),
    ],
)
def test_a_websocket_of_a_page_of_elsewhere_is_refused_before_it_opens(
    headers: list[tuple[bytes, bytes]], allowed: str, *, passes: bool
) -> None:
    sent: list[Message] = []
    passed: list[str] = []

    async def answer(scope: Any, *_: Any) -> None:
        passed.append(scope["type"])

    async def never() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"path": "/gates/live", "headers": headers, "subprotocols": []}
    check = OriginCheck(answer, Origins(allowed))
    asyncio.run(check({"type": "http", **scope}, never, send))
    asyncio.run(check({"type": "websocket", **scope}, never, send))
    assert passed == (["http", "websocket"] if passes else ["http"])
    if not passes:
        start, body = sent
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 403)
        origin = b",".join(value for name, value in headers if name == b"origin").decode()
        detail = f"Origin must be the service's own, or one of its allowed_origins, found {origin}"
        assert json.loads(body["body"])["detail"] == detail


def test_every_key_is_compared_whatever_the_first_ones_say(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(_left: bytes, right: bytes) -> bool:
        compared.append(right)
        return True

    monkeypatch.setattr("hmac.compare_digest", compare)
    assert b"x" in Keys(["a", "b", "c"])
    assert len(compared) == 3
    assert {len(digest) for digest in compared} == {32}


def test_the_document_says_which_operations_need_a_key_and_only_if_there_are_any() -> None:
    with stubbed(api_keys="one") as (client, _):
        document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["apiKey"]["name"] == "X-API-Key"
    assert document["paths"]["/predict"]["post"]["security"] == [{"bearer": []}, {"apiKey": []}]
    assert "security" not in document["paths"]["/livez"]["get"]
