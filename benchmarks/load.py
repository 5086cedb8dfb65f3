"""Load from wrk, and servers to put it on: each a process of its own, on a port of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil

_PATIENCE = 120.0  # seconds until a server has to answer
_SCRIPT = """
local bodies, at = {{}}, 0
for line in io.lines("{bodies}") do bodies[#bodies + 1] = line end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  at = at % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end
"""
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


class Measured(NamedTuple):
    """One round of load: requests per second, milliseconds, and requests that did not get a 200."""

    rate: float
    p50: float
    p99: float
    errors: int


@dataclass(frozen=True)
class Server:
    """A running server."""

    process: subprocess.Popen[bytes]
    url: str
    seconds_to_ready: float

    def memory(self) -> float:
        """Return the resident memory of the process and its children, in megabytes."""
        processes = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        return float(sum(process.memory_info().rss for process in processes) / 1e6)


@contextmanager
def serving(command: Sequence[str], port: int, probe: bytes, path: str, **variables: str) -> Iterator[Server]:
    """Run a server until the block ends.

    Args:
        command: Arguments of this Python.
        port: Where it will listen.
        probe: A body that it answers with 200 once it is ready.
        path: What to post it to.
        variables: Environment variables to add.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *command], env=os.environ | variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while not _answers(f"{url}{path}", probe):
            if process.poll() is not None or time.monotonic() - started > _PATIENCE:
                raise RuntimeError(f"{' '.join(command)} did not get ready")
            time.sleep(0.02)
        yield Server(process, url, time.monotonic() - started)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=10)
    for survivor in alive:
        survivor.kill()
    process.wait()


def _answers(url: str, body: bytes) -> bool:
    request = Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - an http address of this machine
    try:
        with urlopen(request, timeout=5) as answer:  # noqa: S310 - likewise
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def load(url: str, documents: Sequence[object], connections: int, seconds: float) -> Measured:
    """Post the documents, one after the other and again, over so many connections.

    Raises:
        RuntimeError: There is no wrk on this machine.
    """
    with tempfile.TemporaryDirectory() as folder:
        bodies, script = Path(folder) / "bodies", Path(folder) / "post.lua"
        bodies.write_text("".join(json.dumps(document) + "\n" for document in documents))
        script.write_text(_SCRIPT.format(bodies=bodies))
        return _wrk(["--script", str(script), url], connections, seconds)


def load_get(url: str, connections: int, seconds: float) -> Measured:
    """Get one address again and again."""
    return _wrk([url], connections, seconds)


def _wrk(arguments: Sequence[str], connections: int, seconds: float) -> Measured:
    if (wrk := shutil.which("wrk")) is None:
        raise RuntimeError("the load comes from wrk; install it, on Debian by `apt-get install wrk`")
    # wrk gives an answer two seconds by default; a server that takes longer is slow, not wrong
    options = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds:g}s", "--timeout", "30s"]
    said = subprocess.run([wrk, *options, "--latency", *arguments], capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    if rate is None:
        raise RuntimeError(said)
    errors = (int(bad[1]) if bad else 0) + (sum(map(int, sockets.groups())) if sockets else 0)
    return Measured(float(rate[1]), _percentile(said, 50), _percentile(said, 99), errors)


def _percentile(said: str, percent: int) -> float:
    found = re.search(rf"^\s*{percent}%\s+([\d.]+)(us|ms|s|m)", said, flags=re.MULTILINE)
    if found is None:
        raise RuntimeError(said)
    return float(found[1]) * _UNITS[found[2]]
