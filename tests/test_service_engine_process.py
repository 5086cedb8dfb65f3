"""The engine behind its socket: workers that misbehave, models that are exchanged, and its start and end."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TypeVar

import msgspec
import numpy as np
import pytest
import torch

from charlstm.artifacts import Artifacts, load_artifacts
from service import engine_process
from service.engine import Engine, Reply
from service.loaded_model import LoadedModel
from service.loader import Loader
from service.protocol import (
    Answer,
    Cancel,
    Described,
    Frames,
    Loaded,
    Logits,
    Question,
    Rejected,
    Reload,
    Reloaded,
    Statistics,
    Submit,
    Trace,
    Traced,
    decode_answer,
    frame,
)
from tests.served import eventually
from tests.service_fixtures import LIMITS, PATIENCE, engine_settings, engine_thread
from tests.tiny import tiny_artifacts

LATER = 1e12
A = TypeVar("A", bound=Answer)


class Worker:
    """A connection that says what it likes and hears everything."""

    def __init__(self, path: Path) -> None:
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(PATIENCE)
        self.connection.connect(str(path))
        self._frames = Frames()
        self._heard: list[Answer] = []
        self.loaded = self.hear(Loaded)

    def say(self, *questions: Question) -> None:
        self.connection.sendall(b"".join(map(frame, questions)))

    def hear_any(self) -> Answer:
        """Wait for the next message; EOFError if there will be none."""
        while not self._heard:
            try:
                data = self.connection.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                raise EOFError
            self._heard += map(decode_answer, self._frames.feed(data))
        return self._heard.pop(0)

    def hear(self, kind: type[A]) -> A:
        """Wait for the next message of this kind, passing statistics over."""
        while isinstance(answer := self.hear_any(), Statistics) and kind is not Statistics:
            pass
        assert isinstance(answer, kind)
        return answer

    def hear_answer(self) -> Logits | Traced:
        """Wait for the next answer, which is no refusal."""
        while isinstance(answer := self.hear_any(), Statistics):
            pass
        assert isinstance(answer, Logits | Traced)
        return answer

    @property
    def model(self) -> Described:
        """What is served, as far as this worker was told."""
        return self.loaded.models[0]

    def hear_the_end(self) -> None:
        """Wait until the engine has disconnected this worker."""
        with contextlib.suppress(EOFError):
            while True:
                self.hear_any()

    def submit(self, number: int, *lengths: int) -> Submit:
        token_ids = np.ones(sum(lengths), "<i4").tobytes()
        return Submit(number, self.model.version, token_ids, list(lengths), LATER)

    def trace(self, number: int, length: int) -> Trace:
        return Trace(number, self.model.version, np.ones(length, "<i4").tobytes(), LATER)


@contextlib.contextmanager
def _worker(path: Path) -> Iterator[Worker]:
    worker = Worker(path)
    try:
        yield worker
    finally:
        worker.connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "engine.sock"


@pytest.fixture
def engine(tiny_directory: Path, path: Path) -> Iterator[Engine]:
    with engine_thread(tiny_directory, path) as engine:
        yield engine


@pytest.fixture
def worker(engine: Engine, path: Path) -> Iterator[Worker]:
    assert not engine.busy
    with _worker(path) as worker:
        yield worker


def test_the_first_message_is_the_model(worker: Worker, tiny_directory: Path) -> None:
    artifacts = load_artifacts(tiny_directory)
    assert worker.model.version == artifacts.version
    assert msgspec.json.decode(worker.model.config)["name"] == "tiny"
    assert worker.model.vocabulary.decode() == artifacts.vocabulary.to_json()
    assert (worker.model.device, worker.model.precision) == ("cpu", "float32")


def test_questions_in_pieces_and_in_bulk_are_answered(worker: Worker) -> None:
    stream = b"".join(frame(worker.submit(number, 3, 20)) for number in range(50)) + frame(worker.trace(50, 4))
    for byte in stream[:200]:
        worker.connection.sendall(bytes([byte]))
    worker.connection.sendall(stream[200:])
    answers = [worker.hear_answer() for _ in range(51)]
    assert sorted(answer.id for answer in answers if isinstance(answer, Logits)) == list(range(50))
    assert [answer.id for answer in answers if isinstance(answer, Traced)] == [50]


def test_statistics_come_with_the_model_and_once_more_when_the_work_has_ended(worker: Worker) -> None:
    assert worker.hear(Statistics) == Statistics(*[0] * 9)
    worker.say(worker.submit(0, *[300] * 300))
    statistics: list[Statistics] = []
    while not statistics or statistics[-1].waiting_texts or not statistics[-1].chunks:
        answer = worker.hear_any()
        if isinstance(answer, Statistics):
            statistics.append(answer)
    last = statistics[-1]
    assert (last.waiting_texts, last.waiting_tokens, last.seated_texts) == (0, 0, 0)
    assert last.tokens == 300 * 300
    assert last.capacity >= last.tokens


def test_a_worker_that_hangs_up_is_forgotten(
    engine: Engine, worker: Worker, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine does no work meanwhile: what does not wait any more has been dropped."""

    def rest() -> list[Reply]:
        time.sleep(0.001)
        return []

    with monkeypatch.context() as resting:
        resting.setattr(engine, "work", rest)
        with _worker(path) as another:
            another.say(*(another.submit(number, *[300] * 300) for number in range(10)), another.trace(10, 5))
            eventually(lambda: engine.statistics().waiting_texts == 3001)
        eventually(lambda: not engine.busy)
    assert (engine.statistics().waiting_texts, engine.statistics().waiting_tokens) == (0, 0)
    worker.say(worker.submit(0, 5))
    assert len(worker.hear(Logits).logits) == 1
    assert engine.statistics().tokens == 5


@pytest.mark.parametrize(
    "nonsense",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\x01\xc1",
        frame(Logits(1, [0.5], 0.0, 0.0)),
        frame(Trace(1, "", b"", 0.0)) + b"\xff\xff\xff\xff",
    ],
)
def test_a_worker_that_breaks_the_protocol_is_disconnected_and_nobody_else(
    worker: Worker, path: Path, nonsense: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with _worker(path) as another:
        another.connection.sendall(nonsense)
        another.hear_the_end()
    worker.say(worker.submit(0, 5))
    assert worker.hear(Logits).id == 0
    assert "a worker is disconnected" in caplog.text


def test_a_worker_that_asks_what_cannot_be_meant_is_disconnected(worker: Worker, path: Path) -> None:
    with _worker(path) as another:
        another.say(Submit(0, another.model.version, np.full(3, 10**6, "<i4").tobytes(), [3], LATER))
        another.hear_the_end()
    worker.say(worker.submit(0, 5))
    assert worker.hear(Logits).id == 0


def test_a_worker_that_never_reads_is_disconnected_and_holds_nobody_up(
    engine: Engine, worker: Worker, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine_process, "_MOST_UNREAD", 1 << 20)
    monkeypatch.setattr(engine_process, "_STUCK_AFTER", 0.0)
    with _worker(path) as idle:
        number = 0
        with pytest.raises(ConnectionError):  # noqa: PT012 - which of them is the one too many depends on the system
            while True:
                idle.say(idle.trace(number, 300))
                number += 1
                worker.say(worker.submit(number, 5))
                assert worker.hear(Logits).id == number
    assert number * 300 * 6 * 8 * 4 > 1 << 20
    assert "were not read" in caplog.text
    worker.say(worker.submit(0, 5))
    assert worker.hear(Logits).id == 0
    assert engine.statistics().waiting_texts == 0


def test_a_worker_that_reads_late_gets_everything(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the socket's buffer holds waits in the engine, and leaves it as the worker reads: however much."""
    monkeypatch.setattr(engine_process, "_SEND_BUFFER", 1 << 12)
    monkeypatch.setattr(engine_process, "_MOST_UNREAD", 1 << 12)
    worker.say(*(worker.trace(number, 2000) for number in range(10)))
    worker.say(worker.submit(10, 5))
    assert {worker.hear_answer().id for _ in range(11)} == set(range(11))


def test_a_trace_that_fits_no_frame_fails_alone(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.protocol.LARGEST_FRAME", 10_000)
    worker.say(worker.trace(1, 300), worker.trace(2, 3))
    assert worker.hear(Traced).id == 2  # brief ones go first
    assert worker.hear(Rejected) == Rejected(1, "failed")
    assert "a trace cannot be sent" in caplog.text


def test_a_cancelled_question_gets_no_answer(worker: Worker) -> None:
    worker.say(worker.submit(0, *[300] * 100), Cancel(0), worker.submit(1, 5))
    assert worker.hear(Logits).id == 1


def test_a_new_model_is_told_to_everybody_and_serves_from_then_on(tmp_path: Path, path: Path) -> None:
    directory = tiny_artifacts(tmp_path / "artifacts")
    with engine_thread(directory, path), _worker(path) as worker, _worker(path) as another:
        tiny_artifacts(directory, seed=1)
        worker.say(Reload(7))
        expected = load_artifacts(directory).version
        loaded = worker.hear(Loaded)
        assert loaded.models[0].version == another.hear(Loaded).models[0].version == expected != worker.model.version
        assert worker.hear(Reloaded) == Reloaded(7, [expected], None)
        old = worker.submit(0, 5)
        worker.loaded = loaded
        worker.say(old, worker.submit(1, 5))
        answers = {answer.id: answer.logits[0] for answer in (worker.hear(Logits), worker.hear(Logits))}
        assert abs(answers[0] - answers[1]) > 1e-3


def test_a_bad_set_of_artifacts_leaves_the_old_model_serving(tmp_path: Path, path: Path) -> None:
    directory = tiny_artifacts(tmp_path / "artifacts")
    with engine_thread(directory, path), _worker(path) as worker:
        (directory / "model.safetensors").write_bytes(b"nonsense")
        worker.say(Reload(7))
        answer = worker.hear(Reloaded)
        assert answer.versions == [worker.model.version]
        assert answer.error is not None
        assert "model.safetensors: expected SHA-256" in answer.error
        worker.say(worker.submit(0, 5))
        assert worker.hear(Logits).id == 0


def test_whatever_happens_while_a_model_loads_is_told_without_giving_anything_away(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Path) -> None:
        raise MemoryError("secret")

    monkeypatch.setattr("service.loader.load_artifacts", fail)
    worker.say(Reload(7))
    assert worker.hear(Reloaded).error == "loading failed; the engine's log says how"
    assert "secret" in caplog.text
    monkeypatch.undo()
    worker.say(Reload(8))
    worker.hear(Loaded)
    assert worker.hear(Reloaded).error is None


def test_the_engine_answers_while_it_loads_and_loads_one_model_at_a_time(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked for meanwhile may be about newer files, so it is done once more, for all who asked."""
    go_on = Event()
    loads = 0

    def load_slowly(directory: Path) -> Artifacts:
        nonlocal loads
        loads += 1
        assert go_on.wait(PATIENCE)
        return load_artifacts(directory)

    monkeypatch.setattr("service.loader.load_artifacts", load_slowly)
    worker.say(Reload(0), Reload(1), Reload(2), worker.submit(3, 5))
    assert worker.hear(Logits).id == 3
    go_on.set()
    worker.hear(Loaded)
    assert worker.hear(Reloaded) == Reloaded(0, [worker.model.version], None)
    worker.hear(Loaded)
    assert {worker.hear(Reloaded).id for _ in range(2)} == {1, 2}
    assert loads == 2


def test_the_process_sets_its_threads_and_its_signals(tiny_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in this process up to the point where it would serve."""
    served: list[int] = []
    handlers: dict[int, object] = {}

    class Server:
        def __init__(self, engine: Engine, *_: object) -> None:
            assert isinstance(engine.models[0], LoadedModel)

        def serve(self) -> None:
            served.append(torch.get_num_threads())

    def note(number: int, handler: signal.Handlers | FrameType) -> None:
        handlers[number] = handler

    settings = msgspec.structs.replace(engine_settings(tiny_directory), threads=3)
    monkeypatch.setattr(engine_process, "EngineServer", Server)
    monkeypatch.setattr(signal, "signal", note)
    monkeypatch.setattr(sys, "argv", ["engine", msgspec.json.encode(settings).decode()])
    before = torch.get_num_threads()
    try:
        engine_process.main()
    finally:
        torch.set_num_threads(before)
    assert served == [3]
    assert handlers == dict.fromkeys((signal.SIGINT, signal.SIGHUP, signal.SIGTERM), signal.SIG_IGN)


def test_unusable_artifacts_are_one_line_and_exit_code_2(tmp_path: Path) -> None:
    settings = engine_settings(tmp_path / "nothing")
    command = [sys.executable, "-m", "service.engine_process", msgspec.json.encode(settings).decode()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 2
    assert ended.stderr == f"{tmp_path}/nothing/config.json: expected a file, found nothing there\n"


def test_an_engine_whose_device_is_broken_ends_with_an_error(
    tiny_directory: Path, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And closes all its connections, so that workers notice at once."""

    def fail(_: object) -> None:
        raise RuntimeError("CUDA error")

    lifeline, supervisor = os.pipe()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    settings = engine_settings(tiny_directory, listener=listener.detach(), lifeline=lifeline)
    loader = Loader(settings)
    (model,) = loader.load()
    monkeypatch.setattr(model.network, "embed", fail)
    monkeypatch.setattr("service.engine._MOST_FAILURES", 1)
    server = engine_process.EngineServer(Engine([model], LIMITS), loader, settings)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    token_ids = np.ones(3, "<i4").tobytes()
    connection.sendall(frame(Submit(0, model.artifacts.version, token_ids, [3], LATER)))
    with connection, pytest.raises(RuntimeError, match="CUDA error"):
        server.serve()
    os.close(supervisor)
    assert "inference failed" in caplog.text
