"""The commands: `serve` as a process of its own on a port of its own, and `gates`, which needs no server."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from charlstm.errors import DeviceError
from service.cli import cli
from service.errors import StartupError
from service.settings import Settings
from tests.served import Served, eventually, served
from tests.service_fixtures import PATIENCE, stopped
from tests.tiny import tiny_artifacts

MAX_BODY_BYTES = 2000
TEXT = "Worst update ever"


def _command(*arguments: object) -> Sequence[str]:
    return [sys.executable, "-m", "service", "serve", *map(str, arguments)]


def _environment(**variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHARLSTM_")}
    return inherited | {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "200"} | variables


def _run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = _environment(**variables)
    return subprocess.run(
        _command(*arguments), env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def server(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("server")
    with served(folder, artifacts, "--max-texts", "7", max_texts=6, max_body_bytes=MAX_BODY_BYTES) as server:
        eventually(server.is_ready)
        yield server


def _exchange(server: Served, request: bytes) -> bytes:
    """Send raw bytes and read until the service closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _ask(server: Served, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.post(server.url + path, json={"text": TEXT}, headers=headers, timeout=PATIENCE)


def test_both_calls_are_answered_over_a_real_port(server: Served) -> None:
    prediction, trace = _ask(server, "/predict").json(), _ask(server, "/gates").json()
    assert prediction["characters"] == len(trace["tokens"]) == 17
    assert trace["probability_so_far"][-1] == pytest.approx(prediction["probabilities"]["negative"], abs=1e-6)


def test_a_flag_wins_over_its_variable_and_a_variable_over_the_default(server: Served) -> None:
    limits = server.get("/info").json()["limits"]
    assert limits["max_texts"] == 7
    assert limits["max_body_bytes"] == MAX_BODY_BYTES
    assert limits["max_characters"] == Settings.model_fields["max_characters"].default


def test_the_log_states_the_settings_and_the_device(server: Served) -> None:
    log = server.log.read_text()
    for name in Settings.model_fields:
        assert f"{name}=" in log
    assert re.search(r"ready: model tiny, version [0-9a-f]{12}, on cpu", log)


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(server: Served) -> None:
    answer = _exchange(
        server,
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["errors"][0]["limit"] == MAX_BODY_BYTES


def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large(server: Served) -> None:
    chunk = b"fff\r\n" + b" " * 0xFFF + b"\r\n"  # and the request does not end
    answer = _exchange(
        server,
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk,
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


def test_a_port_that_is_taken_is_one_clear_line(server: Served, artifacts: Path) -> None:
    ended = _run("--port", server.port, "--artifacts", artifacts)
    assert ended.returncode == 2
    reason = "Address already in use; --port takes another"
    assert ended.stderr == f"charlstm: cannot listen on 127.0.0.1 port {server.port}: {reason}\n"


def test_a_request_whose_client_hung_up_is_given_up_at_once(server: Served) -> None:
    """Even while the engine stands still, and nobody else notices anything."""
    body = b'{"text": "Worst"}'
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    (engine,) = server.pids("engine")
    with stopped(engine):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
            connection.sendall(head % len(body) + body)
        eventually(lambda: 'status="499"' in server.get("/metrics").text)
    assert server.predict().status_code == 200
    assert "Traceback" not in server.log.read_text()


def test_gates_writes_the_document_that_the_service_answers(server: Served, artifacts: Path, tmp_path: Path) -> None:
    """As JSON and as npz: the same fields and names, and the same numbers but for rounding."""
    ended = _gates(TEXT, f"--json={tmp_path / 'a.json'}", "--npz", tmp_path / "a.npz", artifacts=artifacts)
    assert ended.exit_code == 0
    _assert_same(json.loads((tmp_path / "a.json").read_bytes()), _ask(server, "/gates").json())
    arrays = io.BytesIO(_ask(server, "/gates", {"Accept": "application/x-npz"}).content)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found, np.load(arrays) as expected:
        assert found.files == expected.files
        _assert_same(json.loads(str(found["metadata"])), json.loads(str(expected["metadata"])))
        for name in expected.files:
            if expected[name].dtype.kind == "f":
                np.testing.assert_allclose(found[name], expected[name], atol=1e-6, err_msg=name)
            elif name != "metadata":
                assert found[name].tolist() == expected[name].tolist()


def _assert_same(found: object, expected: object) -> None:
    if isinstance(expected, dict):
        assert isinstance(found, dict)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            _assert_same(found[name], value)
    elif isinstance(expected, list):
        assert isinstance(found, list)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _assert_same(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-6)
    else:
        assert found == expected


def test_sigterm_ends_the_service_with_0(server: Served) -> None:
    """Stands last: it ends the server of this module."""
    server.signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE) == 0
    assert "Traceback" not in server.log.read_text()


def test_sigterm_while_the_model_loads_ends_the_service_with_0(artifacts: Path, tmp_path: Path) -> None:
    with served(tmp_path, artifacts) as server:
        server.signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0
    assert "Traceback" not in server.log.read_text()


def test_damaged_artifacts_are_one_clear_line(tmp_path: Path) -> None:
    tiny_artifacts(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    ended = _run("--port", 0, CHARLSTM_ARTIFACTS=str(tmp_path))
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"charlstm: {weights}: expected SHA-256 ")


def test_missing_artifacts_are_one_clear_line(tmp_path: Path) -> None:
    ended = _run("--port", 0, "--artifacts", tmp_path / "none")
    assert ended.returncode == 2
    assert ended.stderr == f"charlstm: {tmp_path}/none/config.json: expected a file, found nothing there\n"
    assert "Traceback" not in ended.stdout


@pytest.mark.parametrize("error", [DeviceError("no such\ndevice"), StartupError("no such device")])
def test_whatever_keeps_the_service_from_starting_is_one_clear_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_settings: Settings) -> None:
        raise error

    monkeypatch.setattr("service.server.run", fail)
    with pytest.raises(SystemExit) as exit_:
        cli(["serve"])
    assert exit_.value.code == 2
    assert capsys.readouterr() == ("", "charlstm: no such device\n")


@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        (
            ["--port", "70000"],
            {},
            "--port or CHARLSTM_PORT: Input should be less than or equal to 65535, found '70000'",
        ),
        ([], {"CHARLSTM_THREADS": "x"}, "--threads or CHARLSTM_THREADS: Input should be a valid integer"),
    ],
)
def test_an_invalid_setting_is_one_clear_line(arguments: list[str], variables: dict[str, str], expected: str) -> None:
    ended = _run(*arguments, **variables)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"charlstm: {expected}")
    assert ended.stderr.count("\n") == 1


def test_every_setting_is_a_flag_with_its_variable_default_and_help() -> None:
    shown = re.sub(r"[│\s]+", " ", _run("--help").stdout)
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in shown
        assert f"[env var: CHARLSTM_{name.upper()}]" in shown
        assert str(field.description) in shown
        if field.default not in (None, ""):
            assert f"[default: ({field.default})]" in shown


# The command `gates`


def _gates(*arguments: object, artifacts: Path, given: str | bytes | None = None) -> Result:
    environment = {"COLUMNS": "100", "CHARLSTM_ARTIFACTS": str(artifacts)}
    return CliRunner(env=environment).invoke(cli, ["gates", *map(str, arguments)], input=given)


def _assert_refused(ended: Result, line: str) -> None:
    assert (ended.exit_code, ended.stdout, ended.stderr) == (2, "", f"charlstm: {line}\n")


def test_gates_prints_the_view_for_terminals(artifacts: Path) -> None:
    ended = _gates("Worst update ever", artifacts=artifacts)
    assert ended.exit_code == 0
    assert re.match(r"(negative|positive) \d\d %   17 characters read, tiny [0-9a-f]{12}\n", ended.stdout)
    assert "Worst update ever" in ended.stdout
    assert "\x1b" not in ended.stdout, "no colours in a pipe"
    assert ended.stderr == ""


def test_gates_reads_standard_input_but_for_its_last_line_break(artifacts: Path) -> None:
    for given in ("so\nbad", "so\nbad\n", "so\nbad\r\n"):
        document = json.loads(_gates("-", "--json", artifacts=artifacts, given=given).stdout)
        assert document["text"] == "so\nbad"


def test_a_lone_json_prints_json_and_nothing_else(artifacts: Path) -> None:
    for arguments in (
        ["--json", "so bad"],
        ["so bad", "--json"],
        ["so bad", "--json", "-"][:2],
        ["--json=-", "so bad"],
    ):
        document = json.loads(_gates(*arguments, artifacts=artifacts).stdout)
        assert document["tokens"] == list("so bad")
    assert json.loads(_gates("--json", "--", "--json", artifacts=artifacts).stdout)["text"] == "--json"


def test_gates_writes_a_page(artifacts: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    ended = _gates("so bad", "--html", page, artifacts=artifacts)
    assert ended.stderr == f"wrote {page}\n"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "so bad" in page.read_text(encoding="utf-8")
    assert "6 characters read" in ended.stdout, "the view is printed as well"


def test_gates_cuts_a_long_text_only_when_told_to(artifacts: Path) -> None:
    text = "so bad " * 20
    _assert_refused(
        _gates(text, artifacts=artifacts),
        "the text must be at most 64 characters long, found 140; --truncate cuts it",
    )
    assert json.loads(_gates(text, "--truncate", "--json", artifacts=artifacts).stdout)["truncated"]


@pytest.mark.parametrize(
    ("arguments", "given", "line"),
    [
        ([""], None, "the text must hold at least 1 character, found none"),
        (["-"], "\n", "the text must hold at least 1 character, found none"),
        (["-"], b"so \xff", "standard input must be UTF-8, found another byte at 3"),
        (["x", "--json", "--npz", "-"], None, "only one of --html, --npz and --json can go to standard output"),
        (["x", "--html", "--json=-"], None, "--html needs a file, found --json"),
        (["x", "--npz", "--html", "--json"], None, "--npz needs a file, found --html"),
        (["x", "--json=--truncate"], None, "--json needs a file, found --truncate"),
        (["x", "--npz", "/dev/null/x"], None, "cannot write /dev/null/x: Not a directory"),
    ],
)
def test_gates_says_in_one_line_what_cannot_be_done(
    artifacts: Path, arguments: list[str], given: str | bytes | None, line: str
) -> None:
    _assert_refused(_gates(*arguments, artifacts=artifacts, given=given), line)


def test_gates_without_a_model_is_one_clear_line(tmp_path: Path) -> None:
    line = f"{tmp_path}/config.json: expected a file, found nothing there"
    _assert_refused(_gates("x", artifacts=tmp_path), line)
    _assert_refused(_gates("x", "--artifacts", tmp_path, artifacts=tmp_path / "other"), line)


def test_a_file_is_replaced_whole_or_not_at_all(
    artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "trace.npz"
    file.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", full)
    _assert_refused(_gates("x", "--npz", file, artifacts=artifacts), f"cannot write {file}: No space left on device")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_stays_one_and_a_device_is_written_into(artifacts: Path, tmp_path: Path) -> None:
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to(file)
    assert _gates("s", "--npz", link, artifacts=artifacts).exit_code == 0
    assert link.is_symlink()
    with np.load(file, allow_pickle=False) as trace:
        assert trace["tokens"].tolist() == ["s"]
    assert _gates("x", "--npz", "/dev/null", artifacts=artifacts).exit_code == 0
    assert Path("/dev/null").is_char_device()


def test_help_needs_neither_torch_nor_the_server() -> None:
    code = (
        "import sys; from service.cli import cli\n"
        "try: cli(['gates', '--help'])\n"
        "except SystemExit: print([name for name in ('torch', 'fastapi', 'uvicorn') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.stdout.splitlines()[-1] == "[]", ended.stderr
    assert "--truncate" in ended.stdout
