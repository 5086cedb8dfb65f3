"""The service as a process of its own, for tests that start and stop it."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from tests.service_fixtures import PATIENCE

LONG = 1000  # seconds, more than any test takes: what lasts so long ends because a test ends it

T = TypeVar("T")


@dataclass(frozen=True)
class Served:
    """A running service."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=PATIENCE)

    def predict(self, text: str = "Worst") -> httpx.Response:
        return httpx.post(self.url + "/predict", json={"text": text}, timeout=PATIENCE)

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def figures(self) -> dict[str, float]:
        lines = self.get("/metrics").raise_for_status().text.splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def pids(self, process: str) -> set[int]:
        """Return the process ids of the `main` process, the `engine` or the `worker`s."""
        pattern = rf'process_open_fds{{pid="(\d+)",process="{process}"}}'
        return {int(match[1]) for name in self.figures() if (match := re.fullmatch(pattern, name))}


def eventually(found: Callable[[], T], patience: float = PATIENCE, pause: float = 0.05) -> T:
    """Return the first thing found that is true, within so many seconds; look again after each pause."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(pause)
    raise TimeoutError(found)


def free_port() -> int:
    """Find a port for what is started later: none that a system gives away to whoever asks for any, meanwhile."""
    for port in random.sample(range(20_000, 32_000), 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


@contextmanager
def served(folder: Path, artifacts: Path, *flags: str, **settings: object) -> Iterator[Served]:
    """Start the service, on a free port if nothing says which, and kill it in the end if it still runs.

    Args:
        folder: Where its log is written.
        artifacts: What it serves.
        flags: Go onto its command line.
        settings: Go into its environment.
    """
    log = folder / "server.log"
    command = [sys.executable, "-m", "service", "serve", "--artifacts", str(artifacts), *flags]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHARLSTM_")}
    given = {f"CHARLSTM_{name.upper()}": str(value) for name, value in settings.items()}
    defaults = {"PYTHONUNBUFFERED": "1", "CHARLSTM_DEVICE": "cpu", "CHARLSTM_PORT": "0"}
    environment = inherited | defaults | given
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        try:
            yield Served(process, log, eventually(lambda: _port(process, log)))
        finally:
            process.kill()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    ended = process.poll() is not None  # asked before the log is read, so that whatever it said last is in it
    found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", log.read_text())
    assert found or not ended, log.read_text()
    return int(found[1]) if found else 0
