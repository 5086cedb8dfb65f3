"""Processes of the service are killed while clients ask on: no answer is wrong, and nothing is left behind."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.workers import FIGURES_VARIABLE
from tests.chaos_fixtures import LONG, Outcomes, assert_answers, load, processes, right_answers
from tests.served import Served, eventually, served
from tests.service_fixtures import is_running
from tests.tiny import tiny_artifacts

pytestmark = pytest.mark.chaos

WORKERS = 2
KILLS = 2


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def expected(artifacts: Path) -> dict[str, float]:
    return right_answers(artifacts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service has its temporary files."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(artifacts: Path, folder: Path) -> Iterator[Served]:
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("TMPDIR", str(folder))
            server = stack.enter_context(served(folder, artifacts, threads=1, workers=WORKERS))
        eventually(lambda: server.log.read_text().count("ready: model") == WORKERS, LONG)
        yield server


def _await_more(outcomes: Outcomes) -> None:
    """Wait until some more requests have got the right answer."""
    enough = outcomes.right + 20
    eventually(lambda: outcomes.right >= enough)


def _engine(server: Served) -> int | None:
    """Return the process id of the engine, or None while there is none, or nobody to say so."""
    try:
        return next(iter(server.pids("engine")), None)
    except httpx.HTTPError:
        return None


def test_an_engine_that_is_killed_again_and_again_costs_nothing_but_503(
    server: Served, expected: dict[str, float]
) -> None:
    """Every answer is the right one, or says when to come again; and each time the service comes back by itself."""
    killed: list[int] = []
    with load(server, expected) as outcomes:
        for _ in range(KILLS):
            _await_more(outcomes)
            (victim,) = server.pids("engine")
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)
            eventually(lambda: _engine(server) not in {None, *killed} and server.is_ready(), LONG)
        _await_more(outcomes)
    assert (outcomes.wrong, outcomes.lost) == ([], 0)
    assert set(outcomes.refused) <= {503}  # and none if the new engine was there before anybody asked; the log knows
    assert server.log.read_text().count("the engine died") == KILLS
    assert "Traceback" not in server.log.read_text()


def test_a_worker_that_is_killed_costs_its_connections_and_is_replaced(
    server: Served, expected: dict[str, float]
) -> None:
    ready = server.log.read_text().count("ready: model")
    with load(server, expected) as outcomes:
        _await_more(outcomes)
        os.kill(min(server.pids("worker")), signal.SIGKILL)
        eventually(lambda: server.log.read_text().count("ready: model") == ready + 1, LONG)
        _await_more(outcomes)
    assert outcomes.wrong == []
    assert server.log.read_text().count("a worker ended") == 1
    assert_answers(server, expected)


def _figures(server: Served) -> Path:
    """Return the folder that workers count in."""
    environment = Path(f"/proc/{min(server.pids('worker'))}/environ").read_text().split("\0")
    return Path(dict(entry.partition("=")[::2] for entry in environment)[FIGURES_VARIABLE])


def test_nothing_is_left_of_a_service_whose_main_process_is_killed(
    server: Served, folder: Path, expected: dict[str, float]
) -> None:
    """Stands last: it ends the server of this module. Also in the middle of work, no process and no folder stays."""
    everybody = processes(server)
    assert len(everybody) == 2 + WORKERS
    shared = _figures(server)
    assert list(shared.iterdir())
    assert list(folder.glob("charlstm-*"))
    with load(server, expected) as outcomes:
        _await_more(outcomes)
        server.process.kill()
        eventually(lambda: not [pid for pid in everybody if is_running(pid)])
        with pytest.raises(httpx.ConnectError):
            server.predict()
        assert not shared.exists()
        assert not list(folder.glob("charlstm-*"))
    assert outcomes.wrong == []
    assert outcomes.lost
