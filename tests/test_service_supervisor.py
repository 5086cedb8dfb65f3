"""The supervisor and the engine processes it keeps running."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from charlstm.artifacts import load_artifacts
from charlstm.predictor import Predictor
from service import backoff
from service import supervisor as supervisor_module
from service.connection import EngineConnection
from service.errors import EngineLostError, NotReadyError, StartupError
from service.inference import Inference
from service.settings import Settings
from service.supervisor import UNUSABLE, Supervisor
from tests.service_fixtures import PATIENCE, engine_pid, is_running, make_settings, stopped, until
from tests.tiny import tiny_artifacts

TEXT = {"text": "Worst update ever"}


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    return tiny_artifacts(tmp_path / "artifacts")


def test_an_engine_that_is_killed_comes_back_by_itself_and_serves_what_is_in_the_folder_then(artifacts: Path) -> None:
    """Each question under way gets an error, none is left waiting; then readiness goes and comes."""

    async def kill() -> None:
        async with asyncio.timeout(4 * PATIENCE), Inference(make_settings(artifacts)) as model:  # two engines start
            await model.loading
            before = await model.judge(TEXT, truncate=False)
            pid = engine_pid(model)
            with stopped(pid):
                asked = [asyncio.create_task(model.judge(TEXT, truncate=False)) for _ in range(50)]
                await until(lambda: len(model._connection._waiting) == 50)
                os.kill(pid, signal.SIGKILL)
                outcomes = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [EngineLostError] * 50
            assert not model.ready
            with pytest.raises(NotReadyError):
                await model.judge(TEXT, truncate=False)
            tiny_artifacts(artifacts, seed=1)
            await until(lambda: model.ready)
            assert engine_pid(model) != pid
            after = await model.judge(TEXT, truncate=False)
            assert after.model.version == load_artifacts(artifacts).version != before.model.version
            expected = Predictor.load(artifacts, "cpu").predict(TEXT["text"]).probability_negative
            assert after.predictions[0].probability_negative == pytest.approx(expected, abs=1e-6)
            last = engine_pid(model)
        assert not is_running(last)

    asyncio.run(kill())


def test_new_artifacts_are_loaded_beside_the_old_and_bad_ones_are_not(artifacts: Path) -> None:
    async def reload() -> None:
        async with asyncio.timeout(PATIENCE), Inference(make_settings(artifacts)) as model:
            await model.loading
            pid, old = engine_pid(model), model.models[0].version
            (artifacts / "vocabulary.json").write_text("{}")
            failed = await model.reload()
            assert (failed.versions, model.models[0].version) == ([old], old)
            assert failed.error is not None
            assert "vocabulary.json" in failed.error
            assert (await model.judge(TEXT, truncate=False)).model.version == old
            tiny_artifacts(artifacts, seed=1)
            done = await model.reload()
            expected = load_artifacts(artifacts).version
            assert (done.versions, done.error) == ([expected], None)
            judged = await model.judge(TEXT, truncate=False)
            assert judged.model.version == model.models[0].version == expected != old
            assert engine_pid(model) == pid

    asyncio.run(reload())


def test_an_engine_that_cannot_load_its_model_is_not_started_again(tmp_path: Path) -> None:
    async def start() -> None:
        async with asyncio.timeout(PATIENCE), Inference(make_settings(tmp_path / "nothing")) as model:
            with pytest.raises(StartupError, match=r"nothing/config\.json: expected a file, found nothing there"):
                await model.loading
            assert model.supervisor is not None
            assert model.supervisor.engine_pid is None
            assert not model.ready

    asyncio.run(start())


def test_an_engine_ends_with_its_supervisor_even_if_that_is_killed(artifacts: Path) -> None:
    """Also one that ignores the signals which whole groups of processes get."""
    program = textwrap.dedent(
        """
        import asyncio, sys
        from service.inference import Inference
        from service.settings import Settings

        async def serve():
            async with Inference(Settings(artifacts=sys.argv[1], device="cpu", threads=1)) as model:
                await model.loading
                print(model.supervisor.engine_pid, flush=True)
                await asyncio.sleep(600)

        asyncio.run(serve())
        """
    )
    command = [sys.executable, "-c", program, str(artifacts)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervising:
        assert supervising.stdout is not None
        lines = (line for line in supervising.stdout if line.strip().isdigit())
        engine = int(next(lines))
        assert {signal.SIGTERM, signal.SIGINT, signal.SIGHUP} <= _ignored(engine)
        supervising.kill()
        supervising.wait(PATIENCE)
    deadline = time.monotonic() + PATIENCE
    while is_running(engine):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _ignored(pid: int) -> set[signal.Signals]:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines())
    mask = int(status["SigIgn"], 16)
    return {number for number in signal.Signals if mask >> (number - 1) & 1}


# Engines that are quicker to start, because they are none.


@pytest.fixture
def settings(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(backoff, "_FIRST_PAUSE", 0.001)
    return make_settings(artifacts)


@pytest.fixture
def engine_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let a shell script stand for the engine."""
    program = tmp_path / "engine"
    program.touch(mode=0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    yield program
    monkeypatch.undo()


def _script(program: Path, *lines: str) -> None:
    program.write_text("\n".join(("#!/bin/sh", *lines, "")))


def test_an_engine_that_dies_is_started_again_a_little_later_each_time(
    settings: Settings,
    engine_program: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(backoff, "_LONGEST_PAUSE", 0.005)
    starts = tmp_path / "starts"
    _script(engine_program, f"echo >>{starts}", "echo the reason >&2", "exit 3")

    async def supervise() -> None:
        async with asyncio.timeout(PATIENCE), Supervisor(settings):
            await until(lambda: starts.exists() and starts.read_text().count("\n") >= 5)

    asyncio.run(supervise())
    pauses = [record.args[2] for record in caplog.records if record.args and "the engine died" in record.message]  # type: ignore[index]  # three arguments
    assert pauses[:4] == [0.001, 0.002, 0.004, 0.005]
    assert "engine: the reason" in caplog.text
    assert "(the reason)" in caplog.text


def test_an_engine_that_lived_long_starts_the_pauses_anew(
    settings: Settings, engine_program: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backoff, "_STABLE_AFTER", 0.0)
    _script(engine_program, "exit 3")

    async def supervise() -> None:
        async with asyncio.timeout(PATIENCE), Supervisor(settings):
            await until(lambda: caplog.text.count("the engine died") >= 3)

    asyncio.run(supervise())
    assert "exit code 3" in caplog.text
    assert "again in 0.0 s" in caplog.text


def test_an_engine_that_was_good_once_may_find_bad_artifacts_and_is_started_again(
    settings: Settings, engine_program: Path, tmp_path: Path
) -> None:
    """Whoever put them there can put it right; meanwhile the service says not ready."""
    mark = tmp_path / "mark"
    _script(engine_program, f"if [ -e {mark} ]; then echo bad >&2; echo >>{mark}; exit {UNUSABLE}; fi", f"touch {mark}")

    async def supervise() -> None:
        async with asyncio.timeout(PATIENCE), Supervisor(settings) as supervisor:
            await until(lambda: mark.exists() and mark.read_text().count("\n") >= 2)
            assert not supervisor.running.done()

    asyncio.run(supervise())


def test_an_engine_that_cannot_even_be_started_is_tried_again(
    settings: Settings, engine_program: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And is still the first one: without a usable model the service ends."""
    engine_program.chmod(0o600)
    _script(engine_program, "echo no model >&2", f"exit {UNUSABLE}")

    async def supervise() -> None:
        async with asyncio.timeout(PATIENCE), Supervisor(settings) as supervisor:
            await until(lambda: "the engine died" in caplog.text)
            os.chmod(engine_program, 0o700)  # noqa: PTH101 - a method of Path would be said to block
            with pytest.raises(StartupError, match="no model"):
                await asyncio.shield(supervisor.running)

    asyncio.run(supervise())
    assert "Permission denied" in caplog.text


def test_whatever_an_engine_says_is_passed_on_line_by_line(
    settings: Settings, engine_program: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Lines that are too long are left out, and bytes that are no text are marked; neither stops anything."""
    long_line = "head -c 200000 /dev/zero | tr '\\0' x >&2; echo >&2"
    _script(engine_program, "echo first >&2", long_line, "printf 'no \\377 text\\n\\n' >&2", f"exit {UNUSABLE}")

    async def supervise() -> None:
        async with asyncio.timeout(PATIENCE), Supervisor(settings) as supervisor:
            with pytest.raises(StartupError, match="no \N{REPLACEMENT CHARACTER} text"):
                await asyncio.shield(supervisor.running)

    asyncio.run(supervise())
    assert "engine: first" in caplog.text


def test_an_engine_that_does_not_end_is_killed(
    settings: Settings, engine_program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "_STOP_WITHIN", 0.01)
    started = tmp_path / "started"
    _script(engine_program, "trap '' TERM", f"touch {started}", "while true; do sleep 0.1; done")

    async def supervise() -> int:
        async with asyncio.timeout(PATIENCE), Supervisor(settings) as supervisor:
            await until(lambda: started.exists() and supervisor.engine_pid)  # the engine may be first to know of itself
            assert supervisor.engine_pid is not None
            return supervisor.engine_pid

    assert not is_running(asyncio.run(supervise()))


def test_leaving_at_once_leaves_nothing_behind(settings: Settings) -> None:
    async def supervise() -> tuple[Path, int | None]:
        async with asyncio.timeout(PATIENCE), Supervisor(settings) as supervisor, EngineConnection(supervisor.path):
            await until(lambda: supervisor.engine_pid)
            return supervisor.path, supervisor.engine_pid

    path, pid = asyncio.run(supervise())
    assert pid is not None
    assert not is_running(pid)
    assert not path.parent.exists()


def test_a_folder_that_no_socket_can_be_in_is_explained(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket's path has some hundred bytes; nothing is left behind."""
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))

    async def supervise() -> None:
        with pytest.raises(StartupError, match="which TMPDIR may name: AF_UNIX path too long"):
            async with Supervisor(settings):
                pass

    asyncio.run(supervise())
    assert not list(deep.iterdir())


def test_nobody_else_may_connect_to_the_engine(settings: Settings) -> None:
    async def supervise() -> int:
        async with Supervisor(settings) as supervisor:
            return supervisor.path.parent.stat().st_mode & 0o777

    assert asyncio.run(supervise()) == 0o700
