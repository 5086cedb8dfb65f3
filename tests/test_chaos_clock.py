"""The wall clock jumps with every look at it, by a year, back and forth: nothing that waits or measures notices."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.chaos_fixtures import LONG, assert_answers, connected, is_cut, right_answers
from tests.served import Served, eventually, served
from tests.service_fixtures import PATIENCE, assert_problem, stopped
from tests.tiny import tiny_artifacts

pytestmark = pytest.mark.chaos

ROOT = Path(__file__).parent.parent
SECONDS = 1.0  # of every limit in time that a test waits for
# Python runs it in each process of the service before anything else.
JUMPING_CLOCK = textwrap.dedent(
    """
    import itertools, time

    real, jumps = time.time, itertools.cycle([0.0, 365 * 86400.0, -365 * 86400.0, 3600.0])
    time.time = lambda: real() + next(jumps)
    time.time_ns = lambda: int(time.time() * 1e9)
    """
)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def expected(artifacts: Path) -> dict[str, float]:
    return right_answers(artifacts)


@contextlib.contextmanager
def _serving(folder: Path, artifacts: Path, **limits: float) -> Iterator[Served]:
    """Serve with a clock that jumps, until the service is ready."""
    (folder / "sitecustomize.py").write_text(JUMPING_CLOCK)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT)]))
        with served(folder, artifacts, threads=1, log_format="json", **limits) as server:
            eventually(server.is_ready, LONG)
            yield server


@pytest.fixture(scope="module")
def server(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve with limits that no right answer has to be quick for."""
    limits = {"deadline_seconds": PATIENCE, "request_seconds": PATIENCE, "drain_seconds": SECONDS}
    with _serving(tmp_path_factory.mktemp("server"), artifacts, **limits) as server:
        yield server


@pytest.fixture(scope="module")
def strict(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve with limits for tests that wait until one is over."""
    limits = {"deadline_seconds": SECONDS, "live_idle_seconds": SECONDS, "request_seconds": 2 * SECONDS}
    with _serving(tmp_path_factory.mktemp("strict"), artifacts, **limits) as server:
        yield server


def test_answers_are_right(server: Served, expected: dict[str, float]) -> None:
    for _ in range(5):
        assert_answers(server, expected)


def test_a_deadline_is_kept(strict: Served) -> None:
    (engine,) = strict.pids("engine")
    started = time.monotonic()
    with stopped(engine):
        answer = strict.predict()
    assert_problem(answer, 504, "deadline-exceeded")
    assert time.monotonic() - started >= SECONDS
    eventually(lambda: strict.predict().status_code == 200)


def test_a_client_is_waited_for_as_long_as_ever(strict: Served) -> None:
    started = time.monotonic()
    with contextlib.closing(connected(strict)) as silent:
        assert is_cut(silent)
    assert time.monotonic() - started >= SECONDS


def test_a_live_session_that_says_nothing_ends_as_ever(strict: Served) -> None:
    started = time.monotonic()
    with (
        connect(f"ws://127.0.0.1:{strict.port}/gates/live", proxy=None, open_timeout=PATIENCE) as session,
        pytest.raises(ConnectionClosed, match="4408"),
    ):
        session.recv(PATIENCE)
    assert time.monotonic() - started >= SECONDS


def test_the_end_comes_when_it_should_and_the_clock_did_jump_meanwhile(server: Served) -> None:
    """Stands last: it ends the server of this module. The log has its times from the clock that jumps."""
    started = time.monotonic()
    server.signal(signal.SIGTERM)
    with contextlib.suppress(httpx.TransportError):
        while server.predict().status_code == 200:
            pass
    assert server.process.wait(PATIENCE) == 0
    assert time.monotonic() - started >= SECONDS
    log = server.log.read_text()
    assert "Traceback" not in log
    times = [datetime.fromisoformat(json.loads(line)["time"]) for line in log.splitlines()]
    assert max(times) - min(times) > timedelta(days=700)


@pytest.mark.parametrize(
    "code",
    [
        "import time\n\ntime.time()\n",
        "from time import time\n\ntime()\n",
        "from datetime import UTC, datetime\n\ndatetime.now(UTC)\n",
        "import datetime as dt\n\ndt.datetime.now(dt.UTC)\n",
    ],
)
def test_the_linter_finds_whoever_asks_the_wall_clock(code: str) -> None:
    """And it finds nobody: `test_style` has it look at everything."""
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", "service/new.py", "-"]
    found = subprocess.run(command, cwd=ROOT, input=code, capture_output=True, text=True, check=False)
    assert "TID251" in found.stdout
