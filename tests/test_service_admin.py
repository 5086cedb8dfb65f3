"""`POST /admin/reload`: there with a key alone, and honest about what came of it."""

from pathlib import Path
from typing import Any

import pytest

from service.admin import refusal
from service.protocol import Reloaded
from tests.service_fixtures import JSON, assert_problem
from tests.stub_service import stubbed

KEY = {**JSON, "X-API-Key": "root"}


def _reload(client: Any) -> Any:
    return client.request("POST", "/admin/reload", headers=KEY)


def test_without_an_admin_key_there_is_no_such_route() -> None:
    with stubbed() as (client, _):
        assert_problem(_reload(client), 404, "not-found")
        assert "/admin/reload" not in client.get("/openapi.json").json()["paths"]


@pytest.mark.parametrize(("version", "changed"), [("new", True), ("old", False)])
def test_the_answer_says_what_is_served_now_and_whether_it_is_another(version: str, *, changed: bool) -> None:
    with stubbed(admin_keys="root") as (client, inference):
        inference.reloaded = Reloaded(0, [version], None)
        answer = _reload(client).json()
        assert (answer["version"], answer["changed"]) == (version, changed)


def test_a_set_that_is_not_sound_is_a_problem_that_names_the_file_but_no_folder() -> None:
    with stubbed(admin_keys="root") as (client, inference):
        inference.reloaded = Reloaded(0, ["old"], "/srv/my models/config.json: expected a file, found nothing there")
        problem = assert_problem(_reload(client), 409, "reload-refused")
    assert problem["detail"] == "config.json expected a file, found nothing there"
    assert problem["errors"][0]["field"] == "config.json"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("loading failed", ("artifacts", "loading failed")),
        ("artifacts/a.json: expected b, found c (1/2)", ("a.json", "expected b, found c (1/2)")),
        ("/a/b.json: expected c, found no '/a/b.json'", ("b.json", "expected c, found no 'b.json'")),
        ("artifacts/article/a.json: expected b, found c", ("article/a.json", "expected b, found c")),
        ("cannot open /a/b/c", ("artifacts", "cannot open c")),
    ],
)
def test_no_reason_shows_a_path(reason: str, expected: tuple[str, str]) -> None:
    error = refusal(reason, Path("artifacts"))
    assert (error.field, str(error)) == expected
