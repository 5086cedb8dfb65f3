"""The log: its two forms, and the request that each line belongs to."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from service.logs import REQUEST_ID, JsonFormatter, TextFormatter


@pytest.fixture
def request_id() -> Iterator[str]:
    token = REQUEST_ID.set("abc")
    yield "abc"
    REQUEST_ID.reset(token)


def _record(message: str = "two %s", **extra: object) -> logging.LogRecord:
    record = logging.LogRecord("service.x", logging.WARNING, __file__, 1, message, ("words",), None)
    record.__dict__.update(extra)
    return record


def test_a_line_for_people_ends_with_the_request(request_id: str) -> None:
    assert TextFormatter().format(_record()).endswith(f" WARNING service.x: two words [{request_id}]")


def test_a_line_outside_of_any_request_names_none() -> None:
    assert TextFormatter().format(_record()).endswith(" WARNING service.x: two words")
    assert "request_id" not in json.loads(JsonFormatter().format(_record()))


def test_a_line_of_json_holds_the_event_and_what_it_has_beside(request_id: str) -> None:
    line = json.loads(JsonFormatter().format(_record(fields={"status": 200, "path": "/a"})))
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "service.x",
        "message": "two words",
        "request_id": request_id,
        "status": 200,
        "path": "/a",
    }


def test_an_exception_and_whatever_a_message_holds_stay_on_one_line_of_json() -> None:
    record = _record("two\nlines \ud800 %s")
    error = RuntimeError("boom")
    record.exc_info = (type(error), error, None)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == "two\nlines \ud800 words"
    assert json.loads(line)["exception"].endswith("RuntimeError: boom")


@pytest.mark.parametrize(("form", "expected"), [("text", "INFO root: hello\n"), ("json", '"message": "hello"}\n')])
def test_everything_of_the_level_goes_to_standard_output(form: str, expected: str) -> None:
    code = "import logging as log, sys; from service import logs; logs.configure('info', sys.argv[1])"
    code += "; log.debug('x'); log.info('hello')"
    ended = subprocess.run([sys.executable, "-c", code, form], capture_output=True, text=True, check=True)
    assert ended.stdout.count("\n") == 1
    assert ended.stdout.endswith(expected)
    assert not ended.stderr
