"""The engine as a process of its own: `python -m service.engine_process`, started by the supervisor.

An engine thread beside an event loop would share its interpreter lock and lose 40 % of its speed to it. So HTTP
workers connect to this process through a Unix socket that the supervisor holds open, and it does one thing at a time:
take in what has arrived, run a chunk, send what is finished.

It ends when the lifeline does, a pipe whose other end only the supervisor holds: also one that was killed leaves no
engine behind.
"""

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import torch

from charlstm.errors import CharLSTMError
from service import logs
from service.admission import Limits
from service.engine import Engine, Reply
from service.loader import Loader, Loading, threads_for
from service.protocol import (
    Answer,
    EngineSettings,
    Frames,
    ProtocolError,
    Question,
    Rejected,
    Reload,
    Reloaded,
    Traced,
    decode_question,
    frame,
)

_logger = logging.getLogger(__name__)
_READ_SIZE = 1 << 20
_STATISTICS_EVERY = 0.2  # seconds
_MOST_UNREAD = 256 << 20  # bytes of answers that may wait for a worker that has stopped reading
_STUCK_AFTER = 10.0  # seconds after which a worker that has read nothing counts as one
_SEND_BUFFER = 4 << 20  # bytes of the socket's, if the system allows: they leave it while a chunk is run


def main() -> None:
    """Load, and serve workers until the supervisor ends; exit code 2 and one line if there is no usable model."""
    settings = msgspec.json.decode(sys.argv[1], type=EngineSettings)
    logs.configure(settings.log_level, settings.log_format)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they reach every process of a terminal; the supervisor decides
    torch.set_num_threads(settings.threads or threads_for(len(os.sched_getaffinity(0))))
    try:
        loader = Loader(settings)
        models = loader.load()
    except CharLSTMError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the supervisor reads it
        sys.exit(2)
    # From here on there may be requests to answer; service managers, too, signal the whole group.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    engine = Engine(models, Limits(settings.max_waiting_texts, settings.max_waiting_tokens))
    EngineServer(engine, loader, settings).serve()


class _Peer:
    """One connection: pieces of questions that have arrived, and answers that have not left yet."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._frames = Frames()
        self._outgoing = bytearray()
        self._read_at = time.monotonic()  # when the worker last took something, or there was nothing to take

    @property
    def blocked(self) -> bool:
        """Whether there is more for the worker than it has read."""
        return bool(self._outgoing)

    def read(self) -> list[Question]:
        """Return the questions that are complete.

        Raises:
            OSError: The worker is gone.
            ProtocolError: It says what is no question.
        """
        try:
            data = self.connection.recv(_READ_SIZE)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionResetError
        return [decode_question(payload) for payload in self._frames.feed(data)]

    def write(self, data: bytes = b"") -> None:
        """Send this behind what is waiting already, or as much of it as fits.

        Raises:
            OSError: The worker is gone, or has stopped reading.
        """
        now = time.monotonic()
        if not self._outgoing:
            self._read_at = now
        self._outgoing += data
        with contextlib.suppress(BlockingIOError):
            while self._outgoing:
                del self._outgoing[: self.connection.send(self._outgoing)]
                self._read_at = now
        if len(self._outgoing) > _MOST_UNREAD and now - self._read_at > _STUCK_AFTER:
            raise TimeoutError(f"{len(self._outgoing)} bytes of answers were not read for {_STUCK_AFTER:g} s")


class EngineServer:
    """Serves workers, one turn after the other.

    Args:
        engine: Does the work.
        loader: Loads new models.
        settings: Where the descriptors are from. They belong to the server from here on.
    """

    def __init__(self, engine: Engine, loader: Loader, settings: EngineSettings) -> None:
        self._engine = engine
        self._loader = loader
        self._workers: dict[int, _Peer] = {}
        self._numbers = 0
        self._loading: Loading | None = None
        self._asked_to_load: list[tuple[int, int]] = []  # worker and question, since the loading under way began
        self._next_statistics = 0.0
        self._worked = False  # since the last statistics
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(fileno=settings.listener)
        self._listener.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
        self._selector.register(self._listener, selectors.EVENT_READ, "listener")
        self._lifeline = settings.lifeline
        self._selector.register(self._lifeline, selectors.EVENT_READ, "lifeline")
        self._wake_reader, self._wake_writer = os.pipe()
        self._selector.register(self._wake_reader, selectors.EVENT_READ, "loaded")

    def serve(self) -> None:
        """Run until the supervisor is gone.

        Raises:
            RuntimeError: The device is no good any more.
        """
        try:
            while self._turn():
                pass
            _remove(self._listener.getsockname())
        finally:
            self._close()

    def _turn(self) -> bool:
        for key, mask in self._selector.select(self._patience()):
            match key.data:
                case "lifeline":
                    return False
                case "listener":
                    self._accept()
                case "loaded":
                    self._finish_loading()
                case number:
                    self._serve_worker(number, mask)
        if self._engine.busy:
            self._worked = True
            self._send(self._engine.work())
        self._publish()
        return True

    def _patience(self) -> float | None:
        """Return how long a turn may wait for something to happen: until it does, if there is nothing to tell."""
        if self._engine.busy:
            return 0.0
        return max(0.0, self._next_statistics - time.monotonic()) if self._worked else None

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:  # it is gone again, or there are no descriptors left
            _logger.warning("a worker could not connect: %s", error)
            return
        connection.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._numbers += 1
        self._workers[self._numbers] = _Peer(connection)
        self._selector.register(connection, selectors.EVENT_READ, self._numbers)
        self._answer(self._numbers, self._loader.describe(self._engine.models))
        self._answer(self._numbers, self._engine.statistics())

    def _serve_worker(self, number: int, mask: int) -> None:
        if (worker := self._workers.get(number)) is None:
            return  # disconnected earlier in this turn
        try:
            if mask & selectors.EVENT_WRITE:
                self._write(number, worker)
            for question in worker.read() if mask & selectors.EVENT_READ else ():
                if number in self._workers:  # it may have been found gone at the answer to the last one
                    self._ask(number, question)
        except (OSError, ProtocolError) as error:
            self._disconnect(number, error)

    def _ask(self, number: int, question: Question) -> None:
        if isinstance(question, Reload):
            self._asked_to_load.append((number, question.id))
            self._load()
        else:
            self._worked = True
            self._send(self._engine.ask(number, question))

    def _send(self, replies: Iterable[Reply]) -> None:
        for worker, answer in replies:
            self._answer(worker, answer)

    def _answer(self, number: int, answer: Answer) -> None:
        if (worker := self._workers.get(number)) is None:
            return
        try:
            data = frame(answer)
        except ProtocolError as error:
            if not isinstance(answer, Traced):
                raise
            _logger.error("a trace cannot be sent: %s", error)  # noqa: TRY400 - there is nothing to trace back to
            data = frame(Rejected(answer.id, "failed"))
        try:
            self._write(number, worker, data)
        except OSError as error:
            self._disconnect(number, error)

    def _write(self, number: int, worker: _Peer, data: bytes = b"") -> None:
        blocked = worker.blocked
        worker.write(data)
        if worker.blocked != blocked:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.blocked else 0)
            self._selector.modify(worker.connection, events, number)

    def _disconnect(self, number: int, reason: Exception) -> None:
        if (worker := self._workers.pop(number, None)) is None:
            return
        if not isinstance(reason, ConnectionError):  # that is how workers end
            _logger.error("a worker is disconnected: %s", reason)
        self._selector.unregister(worker.connection)
        worker.connection.close()
        self._engine.forget(number)
        self._worked = True

    def _publish(self) -> None:
        """Send statistics now and then while there is work, and once when it has ended."""
        now = time.monotonic()
        if self._worked and now >= self._next_statistics:
            self._next_statistics = now + _STATISTICS_EVERY
            self._worked = False
            self._broadcast(self._engine.statistics())

    def _broadcast(self, answer: Answer) -> None:
        for number in list(self._workers):
            self._answer(number, answer)

    def _load(self) -> None:
        """Load what is there now, if it is asked for; what is under way may have read what was there before."""
        if self._loading is None and self._asked_to_load:
            self._loading = Loading(self._loader, self._asked_to_load, self._wake_writer)
            self._asked_to_load = []
            self._loading.start()

    def _finish_loading(self) -> None:
        os.read(self._wake_reader, 1)
        done, self._loading = self._loading, None
        if done is None:
            return
        if done.models is not None:
            self._engine.replace(done.models)
            _logger.info("now serving versions %s", ", ".join(self._versions()))
            self._broadcast(self._loader.describe(done.models))
        else:
            _logger.error("the new models are not used: %s", done.error)
        for worker, question in done.asked:
            self._answer(worker, Reloaded(question, self._versions(), done.error))
        self._load()

    def _versions(self) -> list[str]:
        return [model.version for model in self._engine.models]

    def _close(self) -> None:
        self._selector.close()
        for connection in (self._listener, *(worker.connection for worker in self._workers.values())):
            connection.close()
        os.close(self._lifeline)
        if self._loading is None:  # or else it will write to this pipe
            os.close(self._wake_reader)
            os.close(self._wake_writer)


def _remove(path: str) -> None:
    """Remove the socket and the folder that was made for it: the supervisor may have been killed before it could."""
    with contextlib.suppress(OSError):  # it could, or there is something else in the folder
        Path(path).unlink(missing_ok=True)
        Path(path).parent.rmdir()


if __name__ == "__main__":
    main()
