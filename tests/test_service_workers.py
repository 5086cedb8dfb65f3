"""Several workers: one engine, one set of figures, and an end in order."""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service import backoff, workers
from service.workers import _SHARED_MEMORY
from tests.served import LONG, Served, eventually, served
from tests.service_fixtures import PATIENCE, is_running, make_settings, until
from tests.tiny import tiny_artifacts

WORKERS = 2
TEXT = "Worst"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def server(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("server")
    with served(folder, artifacts, workers=WORKERS, drain_seconds=LONG, api_keys="hush-hush") as server:
        eventually(lambda: server.log.read_text().count("ready: model") == WORKERS)
        yield server


def _predict(server: Served) -> httpx.Response:
    headers = {"Authorization": "Bearer hush-hush"}
    return httpx.post(f"{server.url}/predict", json={"text": TEXT}, headers=headers, timeout=PATIENCE)


def _version(server: Served) -> str:
    version: str = _predict(server).json()["model"]["version"]
    return version


def _predict_until_nobody_listens(server: Served) -> list[int]:
    """Send requests that all have to be answered, each over a connection of its own."""
    statuses = []
    while True:
        try:
            statuses.append(_predict(server).status_code)
        except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
            # Refused; or the kernel had taken the connection in, and no worker had when the last one stopped listening.
            return statuses


def _counted(server: Served) -> float:
    return server.figures().get('charlstm_http_requests_total{method="POST",route="/predict",status="200"}', 0.0)


def test_there_is_one_engine_for_all_workers(server: Served) -> None:
    assert len(eventually(lambda: pids if len(pids := server.pids("worker")) == WORKERS else None) or ()) == WORKERS
    assert len(server.pids("engine")) == len(server.pids("main")) == 1


def test_requests_are_added_up_over_the_workers_and_the_engine_is_counted_once(server: Served) -> None:
    before, tokens_before = _counted(server), server.figures()["charlstm_tokens_total"]
    for _ in range(20):
        assert _predict(server).status_code == 200
    for _ in range(5):
        assert _counted(server) == before + 20
    eventually(lambda: server.figures()["charlstm_tokens_total"] == tokens_before + 20 * len(TEXT))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="there is no /proc to look into")
def test_neither_workers_nor_the_main_process_hold_torch(server: Served) -> None:
    for pid in server.pids("worker") | server.pids("main"):
        assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text()
    (engine,) = server.pids("engine")
    assert "libtorch" in Path(f"/proc/{engine}/maps").read_text()


def test_no_key_is_in_the_log_or_the_command_of_any_process(server: Served) -> None:
    assert "hush-hush" not in server.log.read_text()
    for pid in server.pids("worker"):
        assert b"hush-hush" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_hangup_reaches_the_engine_once_and_then_every_worker(server: Served, artifacts: Path) -> None:
    before = _version(server)
    tiny_artifacts(artifacts, seed=1)
    server.signal(signal.SIGHUP)
    eventually(lambda: before not in {_version(server) for _ in range(10)})
    eventually(lambda: "now serving version" in server.log.read_text())  # by the main process
    assert server.log.read_text().count("now serving version") == 1


def test_a_worker_that_dies_is_replaced_and_what_it_counted_stays(server: Served) -> None:
    counted = _counted(server)
    victim = min(server.pids("worker"))
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: "a worker ended" in server.log.read_text())
    eventually(lambda: server.log.read_text().count("ready: model") == WORKERS + 1)
    assert _predict(server).status_code == 200
    eventually(lambda: len(server.pids("worker")) == WORKERS)
    assert victim not in server.pids("worker")
    assert _counted(server) == counted + 1


@pytest.mark.skipif(not Path(_SHARED_MEMORY).is_dir(), reason="the system has no folder in memory")
def test_figures_are_on_no_disk_that_may_be_full(server: Served) -> None:
    """A process that writes into a mapped file is ended by the system if there is no room for it."""
    for pid in server.pids("worker"):
        mapped = [line.split()[-1] for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if ".db" in line]
        assert mapped
        assert all(path.startswith(f"{_SHARED_MEMORY}/charlstm-figures-") for path in mapped)


def test_after_sigterm_everybody_is_still_answered_and_a_second_one_ends_all_of_them(server: Served) -> None:
    """Stands last: it ends the server of this module."""
    pids = server.pids("worker") | server.pids("engine")
    server.signal(signal.SIGTERM)
    eventually(lambda: {server.get("/readyz").status_code for _ in range(10)} == {503})
    assert {_predict(server).status_code for _ in range(10)} == {200}
    server.signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE) == 0
    assert not [pid for pid in pids if is_running(pid)]
    assert "Traceback" not in server.log.read_text()


def test_sigterm_lets_all_of_them_finish(artifacts: Path, tmp_path: Path) -> None:
    settings = {"workers": WORKERS, "drain_seconds": 0.5, "api_keys": "hush-hush"}
    with ThreadPoolExecutor(8) as senders, served(tmp_path, artifacts, **settings) as server:
        eventually(lambda: server.log.read_text().count("ready: model") == WORKERS)
        pids = server.pids("worker") | server.pids("engine")
        sent = [senders.submit(_predict_until_nobody_listens, server) for _ in range(8)]
        eventually(lambda: _counted(server) > 50)
        server.signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0
    assert {status for statuses in sent for status in statuses.result()} == {200}
    assert not [pid for pid in pids if is_running(pid)]
    assert "Traceback" not in server.log.read_text()


def test_workers_end_with_the_main_process_however_it_ends(artifacts: Path, tmp_path: Path) -> None:
    with served(tmp_path, artifacts, workers=WORKERS) as server:
        pids = (
            eventually(lambda: pids if len(pids := server.pids("worker") | server.pids("engine")) == 3 else None) or ()
        )
        server.process.kill()
        eventually(lambda: not [pid for pid in pids if is_running(pid)])


def test_an_engine_that_cannot_run_is_one_clear_line(tmp_path: Path) -> None:
    with served(tmp_path, tmp_path / "none", workers=WORKERS) as server:
        assert server.process.wait(PATIENCE) == 2
    last = server.log.read_text().splitlines()[-1]
    assert last == f"charlstm: {tmp_path}/none/config.json: expected a file, found nothing there"
    assert "Traceback" not in server.log.read_text()


def test_a_worker_that_ends_is_started_again_a_little_later_each_time(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first time after the first pause, as an engine is."""
    monkeypatch.setattr(backoff, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(backoff, "_LONGEST_PAUSE", 0.005)

    async def run() -> None:
        with socket.socket() as listener:
            worker = workers._Worker(make_settings(artifacts), listener, "")
            monkeypatch.setattr(worker, "_start", fail)
            running = asyncio.create_task(worker.keep_running())
            await until(lambda: caplog.text.count("a worker ended") >= 5)
            worker.stop()
            await running

    async def fail() -> None:
        raise OSError(errno.EAGAIN, "no process left")

    asyncio.run(run())
    pauses = [record.args[2] for record in caplog.records if record.args and "a worker ended" in record.message]  # type: ignore[index]  # three arguments
    assert pauses[:4] == [0.001, 0.002, 0.004, 0.005]
    assert "no process left" in caplog.text
