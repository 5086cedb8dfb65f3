"""The command, as a process of its own on a port of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from charlstm.errors import DeviceError
from service.cli import cli
from service.errors import StartupError
from service.settings import Settings
from tests.service_fixtures import PATIENCE, stopped
from tests.tiny import tiny_artifacts

MAX_BODY_BYTES = 2000


@dataclass(frozen=True)
class _Server:
    process: subprocess.Popen[bytes]
    log: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def exchange(self, request: bytes) -> bytes:
        """Send raw bytes and read until the service closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))


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


def _wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)", log.read_text()):
            return int(found[1])
        time.sleep(0.05)
    raise TimeoutError(log.read_text())


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if httpx.get(f"{url}/readyz").status_code == 200:
            return
        time.sleep(0.05)
    raise TimeoutError(url)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def server(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Server]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    command = _command("--port", 0, "--artifacts", artifacts, "--max-texts", 7, "--device", "cpu")
    environment = _environment(CHARLSTM_MAX_BODY_BYTES=str(MAX_BODY_BYTES), CHARLSTM_MAX_TEXTS="6")
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        try:
            server = _Server(process, log, _wait_for_port(process, log))
            _wait_until_ready(server.url)
            yield server
        finally:
            process.kill()


def test_both_calls_are_answered_over_a_real_port(server: _Server) -> None:
    text = {"text": "Worst update ever"}
    prediction = httpx.post(f"{server.url}/predict", json=text).json()
    trace = httpx.post(f"{server.url}/gates", json=text).json()
    assert prediction["characters"] == len(trace["tokens"]) == 17
    assert trace["probability_so_far"][-1] == pytest.approx(prediction["probabilities"]["negative"], abs=1e-6)


def test_a_flag_wins_over_its_variable_and_a_variable_over_the_default(server: _Server) -> None:
    limits = httpx.get(f"{server.url}/info").json()["limits"]
    assert limits["max_texts"] == 7
    assert limits["max_body_bytes"] == MAX_BODY_BYTES
    assert limits["max_characters"] == Settings.model_fields["max_characters"].default


def test_the_log_states_the_settings_and_the_device(server: _Server) -> None:
    log = server.log.read_text()
    for name in Settings.model_fields:
        assert f"{name}=" in log
    assert re.search(r"ready: model tiny, version [0-9a-f]{12}, on cpu", log)


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(server: _Server) -> None:
    answer = server.exchange(
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["errors"][0]["limit"] == MAX_BODY_BYTES


def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large(server: _Server) -> None:
    chunk = b"fff\r\n" + b" " * 0xFFF + b"\r\n"  # and the request does not end
    answer = server.exchange(
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


def test_a_port_that_is_taken_is_one_clear_line(server: _Server, artifacts: Path) -> None:
    ended = _run("--port", server.port, "--artifacts", artifacts)
    assert ended.returncode == 2
    assert ended.stderr == f"charlstm: cannot listen on 127.0.0.1 port {server.port}: Address already in use\n"


def test_a_request_whose_client_hung_up_is_given_up_at_once(server: _Server) -> None:
    """Even while the engine stands still, and nobody else notices anything."""
    body = b'{"text": "Worst"}'
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with stopped(_engine_of(server)):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
            connection.sendall(head % len(body) + body)
        deadline = time.monotonic() + PATIENCE
        while 'status="499"' not in httpx.get(f"{server.url}/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert httpx.post(f"{server.url}/predict", json={"text": "Worst"}).status_code == 200
    assert "Traceback" not in server.log.read_text()


def _engine_of(server: _Server) -> int:
    pid = server.process.pid
    (engine,) = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return int(engine)


def test_sigterm_ends_the_service_with_0(server: _Server) -> None:
    """Stands last: it ends the server of this module."""
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE) == 0
    assert "Traceback" not in server.log.read_text()


def test_sigterm_while_the_model_loads_ends_the_service_with_0(artifacts: Path, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            _command("--port", 0, "--artifacts", artifacts), env=_environment(), stdout=output, stderr=output
        ) as process,
    ):
        _wait_for_port(process, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert "Traceback" not in log.read_text()


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

    monkeypatch.setattr("service.cli.run", fail)
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
