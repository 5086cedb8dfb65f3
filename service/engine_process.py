"""The engine as a process of its own: `python -m service.engine_process`, started by the supervisor.

An engine thread beside an event loop would share its interpreter lock and lose 40 % of its speed to it. So HTTP
workers connect to this process through a Unix socket that the supervisor holds open, and it does one thing at a time:
take in what has arrived, run a chunk, send what is finished.
"""

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import torch

from charlstm.artifacts import Artifacts, load_artifacts
from charlstm.batching import Precision
from charlstm.errors import CharLSTMError, DeviceError
from charlstm.predictor import find_device
from service.engine import Engine, Limits, LoadedModel, Reply
from service.protocol import QUESTIONS, Answer, EngineSettings, Frames, Loaded, Question, Reload, Reloaded, frame

_logger = logging.getLogger(__name__)
_READ_SIZE = 1 << 20
_STATISTICS_EVERY = 0.2  # seconds


def main() -> None:
    """Load, serve workers until the supervisor ends or says so; exit code 2 and one line if the model is unusable."""
    settings = msgspec.json.decode(sys.argv[1], type=EngineSettings)
    logging.basicConfig(
        stream=sys.stdout,
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the supervisor decides
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    try:
        loader = Loader(settings)
        model = loader.load()
    except CharLSTMError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the supervisor reads it
        sys.exit(2)
    engine = Engine(model, Limits(settings.max_waiting_texts, settings.max_waiting_tokens))
    with contextlib.suppress(KeyboardInterrupt):
        EngineServer(engine, loader, settings).serve()


class Loader:
    """Loads the model, at the start and again when asked to.

    Raises:
        DeviceError: The device is not there, or cannot do the precision.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._artifacts = Path(settings.artifacts)
        self.device = find_device(settings.device)
        self.precision = choose_precision(settings.precision, self.device)

    def load(self) -> LoadedModel:
        """Load, verify and warm up what is in the folder now.

        Raises:
            ArtifactError: It is not sound.
        """
        model = LoadedModel(load_artifacts(self._artifacts), self.device, self.precision)
        model.warm_up()
        return model

    def describe(self, artifacts: Artifacts) -> Loaded:
        """Say what a loaded model is."""
        return Loaded(
            version=artifacts.version,
            config=artifacts.config.model_dump_json().encode(),
            vocabulary=artifacts.vocabulary.to_json().encode(),
            device=str(self.device),
            precision=self.precision,
        )


def choose_precision(asked: str, device: torch.device) -> Precision:
    """Turn `auto` into what the device does fast, and refuse what it cannot do.

    Raises:
        DeviceError: bfloat16 is asked for and the device has it not.
    """
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    if asked == "bfloat16" and not able:
        raise DeviceError(f"precision bfloat16 is not available on {device}: it has no such arithmetic")
    return "bfloat16" if able and asked != "float32" else "float32"


class _Worker:
    """One connection: pieces of questions that have arrived, and answers that have not left yet."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.frames = Frames()
        self.outgoing = bytearray()

    def read(self) -> list[Question] | None:
        """Return the questions that are complete, or None if the worker is gone."""
        try:
            data = self.connection.recv(_READ_SIZE)
        except BlockingIOError:
            return []
        except OSError:
            return None
        return [QUESTIONS.decode(payload) for payload in self.frames.feed(data)] if data else None

    def write(self) -> bool:
        """Send what fits; return whether the worker is still there."""
        try:
            while self.outgoing:
                del self.outgoing[: self.connection.send(self.outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True


class EngineServer:
    """Serves workers, one turn after the other.

    Args:
        engine: Does the work.
        loader: Loads new models.
        settings: Where the descriptors are from.
    """

    def __init__(self, engine: Engine, loader: Loader, settings: EngineSettings) -> None:
        self._engine = engine
        self._loader = loader
        self._workers: dict[int, _Worker] = {}
        self._numbers = 0
        self._loading: _Loading | None = None
        self._next_statistics = 0.0
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(fileno=settings.listener)
        self._listener.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
        self._selector.register(self._listener, selectors.EVENT_READ, "listener")
        self._selector.register(settings.lifeline, selectors.EVENT_READ, "lifeline")
        self._wake_reader, self._wake_writer = os.pipe()
        self._selector.register(self._wake_reader, selectors.EVENT_READ, "loaded")

    def serve(self) -> None:
        """Run until the supervisor is gone."""
        while self._turn():
            pass

    def _turn(self) -> bool:
        waiting = 0 if self._engine.busy else None
        for key, mask in self._selector.select(waiting):
            match key.data:
                case "lifeline":
                    return False
                case "listener":
                    self._accept()
                case "loaded":
                    self._finish_loading()
                case number:
                    self._serve_worker(number, mask)
        self._send(self._engine.work())
        self._publish()
        return True

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
            self._numbers += 1
            self._workers[self._numbers] = _Worker(connection)
            self._selector.register(connection, selectors.EVENT_READ, self._numbers)
            self._answer(self._numbers, self._loader.describe(self._engine.model.artifacts))

    def _serve_worker(self, number: int, mask: int) -> None:
        worker = self._workers[number]
        questions = worker.read() if mask & selectors.EVENT_READ else []
        if questions is None:
            self._disconnect(number)
            return
        for question in questions:
            if isinstance(question, Reload):
                self._start_loading(number, question.id)
            else:
                self._send(self._engine.ask(number, question))
        if mask & selectors.EVENT_WRITE:
            self._flush(number)

    def _send(self, replies: Iterable[Reply]) -> None:
        for worker, answer in replies:
            self._answer(worker, answer)

    def _answer(self, number: int, answer: Answer) -> None:
        if (worker := self._workers.get(number)) is None:
            return
        blocked = bool(worker.outgoing)
        worker.outgoing += frame(answer)
        if not blocked:
            self._flush(number)

    def _flush(self, number: int) -> None:
        worker = self._workers[number]
        if not worker.write():
            self._disconnect(number)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.outgoing else 0)
        self._selector.modify(worker.connection, events, number)

    def _disconnect(self, number: int) -> None:
        worker = self._workers.pop(number)
        self._selector.unregister(worker.connection)
        worker.connection.close()
        self._engine.forget(number)

    def _publish(self) -> None:
        now = time.monotonic()
        if now >= self._next_statistics:
            self._next_statistics = now + _STATISTICS_EVERY
            statistics = self._engine.statistics()
            for number in list(self._workers):
                self._answer(number, statistics)

    def _start_loading(self, worker: int, question: int) -> None:
        if self._loading is not None:
            version = self._engine.model.artifacts.version
            self._answer(worker, Reloaded(question, version, "another reload is under way"))
            return
        self._loading = _Loading(self._loader, worker, question, self._wake_writer)
        self._loading.start()

    def _finish_loading(self) -> None:
        os.read(self._wake_reader, 1)
        done, self._loading = self._loading, None
        if done is None:
            return
        if done.model is not None:
            self._engine.replace(done.model)
            loaded = self._loader.describe(done.model.artifacts)
            _logger.info("now serving version %s", loaded.version)
            for number in list(self._workers):
                self._answer(number, loaded)
        else:
            _logger.error("the new model is not used: %s", done.error)
        self._answer(done.worker, Reloaded(done.question, self._engine.model.artifacts.version, done.error))


class _Loading(threading.Thread):
    """Loads a model beside the one that serves."""

    def __init__(self, loader: Loader, worker: int, question: int, wake: int) -> None:
        super().__init__(name="loading", daemon=True)
        self.worker, self.question = worker, question
        self.model: LoadedModel | None = None
        self.error: str | None = None
        self._loader, self._wake = loader, wake

    def run(self) -> None:
        """Load, and wake the engine's turn."""
        try:
            self.model = self._loader.load()
        except (CharLSTMError, RuntimeError) as error:
            self.error = str(error)
        os.write(self._wake, b"!")


if __name__ == "__main__":
    main()
