"""What a browser lets pages of other origins read: the headers that decide it (CORS)."""

from collections.abc import Iterator

import httpx
import pytest

from service.errors import OverloadedError
from tests.service_fixtures import JSON, Client, assert_problem
from tests.stub_service import stubbed

PAGE = "https://blog.example"
ELSEWHERE = "https://elsewhere.example"
ALLOWED = f"http://localhost:3000, {PAGE}"


def preflight(client: Client, path: str = "/gates", **headers: str) -> httpx.Response:
    """Ask what a browser asks before it sends JSON for a page."""
    asked = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.request("OPTIONS", path, headers=asked | given)


def ask(
    client: Client, origin: str = PAGE, path: str = "/predict", body: bytes = b'{"text": "Worst"}'
) -> httpx.Response:
    return client.request("POST", path, body, {**JSON, "origin": origin})


def words(response: httpx.Response, header: str) -> set[str]:
    return {word.strip().lower() for word in response.headers.get(header, "").split(",")} - {""}


def reader_of(response: httpx.Response) -> str | None:
    """Return whose pages a browser lets read the answer."""
    assert "access-control-allow-credentials" not in response.headers
    allowed: str | None = response.headers.get("access-control-allow-origin")
    return allowed


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with stubbed(allowed_origins=ALLOWED) as (client, _):
        yield client


def test_nobody_else_reads_an_answer_unless_a_setting_names_them() -> None:
    """By default there is no such header at all, and what a browser asks before is no request of the service's."""
    with stubbed() as (client, _):
        assert not [name for name in ask(client).headers if name.startswith("access-control")]
        assert_problem(preflight(client), 405, "method-not-allowed")


def test_a_named_page_reads_the_answer(client: Client) -> None:
    """It sees the id and the times of its request, too, and caches are told that the answer is for that page."""
    answer = ask(client)
    assert answer.status_code == 200
    assert reader_of(answer) == PAGE
    assert "origin" in words(answer, "vary")
    assert words(answer, "access-control-expose-headers") == {
        "inference-header-content-length",
        "retry-after",
        "server-timing",
        "x-request-id",
    }
    assert {"server-timing", "x-request-id"} <= set(answer.headers)


def test_a_named_page_may_send_json_and_a_key(client: Client) -> None:
    wanted = "content-type, x-api-key,authorization, x-request-id, inference-header-content-length"
    permission = preflight(client, access_control_request_headers=wanted)
    assert permission.status_code == 200
    assert reader_of(permission) == PAGE
    assert words(permission, "access-control-allow-methods") == {"get", "head", "post"}
    assert {"content-type", "x-api-key"} <= words(permission, "access-control-allow-headers")
    assert int(permission.headers["access-control-max-age"]) > 0


@pytest.mark.parametrize(
    "asked",
    [
        {"origin": ELSEWHERE},
        {"origin": "null"},
        {"origin": f"{PAGE}:8443"},
        {"origin": "http://blog.example"},
        {"access_control_request_method": "DELETE"},
        {"access_control_request_headers": "content-type, cookie"},
    ],
)
def test_what_is_not_allowed_is_refused_before_it_is_sent(client: Client, asked: dict[str, str]) -> None:
    assert preflight(client, **asked).status_code == 400


@pytest.mark.parametrize("origin", [ELSEWHERE, "null", "https://blog.example.evil", "https://evil-blog.example"])
def test_another_page_reads_nothing(client: Client, origin: str) -> None:
    """The service answers, as it does whoever asks, and the browser keeps it from the page."""
    answer = ask(client, origin)
    assert answer.status_code == 200
    assert reader_of(answer) is None
    assert "origin" in words(answer, "vary")


def test_names_of_one_origin_are_alike() -> None:
    """As for live sessions, capitals and a port that the scheme has anyway make no difference."""
    with stubbed(allowed_origins="HTTPS://Blog.Example:443") as (client, _):
        assert reader_of(ask(client)) == PAGE
        assert preflight(client).status_code == 200


@pytest.mark.parametrize("origin", [PAGE, ELSEWHERE, "null"])
def test_with_a_star_everybody_reads(origin: str) -> None:
    """Even a page that was opened as a file."""
    with stubbed(allowed_origins="*") as (client, _):
        assert reader_of(ask(client, origin)) == "*"
        assert reader_of(preflight(client, origin=origin)) == "*"


# Errors


def test_a_browser_asks_without_a_key_and_the_page_with_one() -> None:
    """Where keys are needed, the question before needs none; an answer without a key is an error that a page reads."""
    with stubbed(allowed_origins=ALLOWED, api_keys="secret") as (client, _):
        assert preflight(client, access_control_request_headers="content-type,x-api-key").status_code == 200
        refused = ask(client)
        assert_problem(refused, 401, "unauthorized")
        assert reader_of(refused) == PAGE
        answer = client.request("POST", "/predict", b'{"text": "a"}', {**JSON, "origin": PAGE, "x-api-key": "secret"})
        assert (answer.status_code, reader_of(answer)) == (200, PAGE)


def test_a_named_page_reads_what_middlewares_refuse() -> None:
    with stubbed(allowed_origins=ALLOWED, max_body_bytes=5) as (client, _):
        refused = ask(client)
        assert_problem(refused, 413, "body-too-large")
        assert reader_of(refused) == PAGE


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [(OverloadedError(7), 429, "overloaded"), (RuntimeError("a fault"), 500, "internal-error")],
)
def test_a_named_page_reads_what_went_wrong(error: Exception, status: int, name: str) -> None:
    """Faults of the service's own among it, and how long to wait."""
    with stubbed(allowed_origins=ALLOWED) as (client, inference):
        inference.error = error
        answer = ask(client)
        assert_problem(answer, status, name)
        assert reader_of(answer) == PAGE
        assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
        assert "x-request-id" in answer.headers


@pytest.mark.parametrize(("path", "body", "status"), [("/nowhere", b"{}", 404), ("/predict", b"{", 400)])
def test_a_named_page_reads_that_its_request_is_wrong(client: Client, path: str, body: bytes, status: int) -> None:
    answer = ask(client, path=path, body=body)
    assert (answer.status_code, reader_of(answer)) == (status, PAGE)


# Files


@pytest.mark.parametrize("settings", [{}, {"allowed_origins": ALLOWED}, {"api_keys": "secret"}], ids=str)
def test_every_page_may_load_the_element(settings: dict[str, str]) -> None:
    """Whoever may ask: the script is what anybody can read. Where pages are named, theirs read it by their name."""
    with stubbed(**settings) as (client, _):
        for path in ("/embed.js", "/page/embed.js", "/page/letters.js"):
            assert reader_of(client.request("GET", path, headers={"origin": ELSEWHERE})) == "*"
            assert reader_of(client.request("GET", path, headers={"origin": PAGE})) in {"*", PAGE}


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/plotly.min.js"])
def test_the_page_of_the_service_is_its_own(path: str) -> None:
    with stubbed() as (client, _):
        assert reader_of(client.request("GET", path, headers={"origin": PAGE})) is None
