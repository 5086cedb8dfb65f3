"""Several processes that answer HTTP, and one engine for all of them.

The main process answers nothing itself. It holds the listening socket, keeps the engine and the workers running, and
passes on what it is told: the first SIGTERM or SIGINT lets every worker finish, a second one ends them, SIGHUP has one
of them ask for a reload.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from typing import Any, Final

from prometheus_client.multiprocess import mark_process_dead

from service.backoff import Backoff
from service.settings import Settings
from service.supervisor import Supervisor

_logger = logging.getLogger(__name__)

_PATIENCE = 5.0  # seconds a worker gets beyond those that its settings give it
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a folder of its own is made there, for nobody else to read
FIGURES_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Where a worker finds the folder that prometheus_client keeps what the workers count together in."""


def run_workers(settings: Settings, listener: socket.socket) -> None:
    """Serve with several workers until a signal ends it.

    Raises:
        StartupError: The engine says that it cannot run.
    """
    with tempfile.TemporaryDirectory(prefix="charlstm-figures-", dir=_memory()) as figures:
        asyncio.run(_run(settings, listener, figures))


def _memory() -> str | None:
    """Return a folder that is on no disk, if there is one: who counts in a mapped file dies if its disk is full."""
    return _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK | os.X_OK) else None


async def _run(settings: Settings, listener: socket.socket, figures: str) -> None:
    if settings.engine_socket is not None:
        await Workers(settings, listener, figures).run(None)
        return
    async with Supervisor(settings) as engine:
        joined = settings.model_copy(update={"engine_socket": engine.path})
        await Workers(joined, listener, figures).run(engine.running)


class Workers:
    """Keeps as many workers running as the settings say.

    Args:
        settings: What every worker gets; they name the engine's socket.
        listener: The socket that all of them accept connections from.
        figures: The folder in which they count.
    """

    def __init__(self, settings: Settings, listener: socket.socket, figures: str) -> None:
        self._settings = settings
        self._listener = listener
        self._workers = [_Worker(settings, listener, figures) for _ in range(settings.workers)]
        self._stopping = False

    async def run(self, engine: asyncio.Task[None] | None) -> None:
        """Run until a signal says otherwise, or the engine cannot be run at all.

        Args:
            engine: Ends when it cannot, with an error that is raised again here.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        workers = asyncio.gather(*(worker.keep_running() for worker in self._workers))
        ends: list[asyncio.Future[Any]] = [workers] if engine is None else [workers, engine]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if engine is not None and engine.done():
            self._end()
            await workers
            engine.result()
        await workers

    def _stop(self) -> None:
        if self._stopping:
            self._end()
            return
        self._stopping = True
        # It stays open until the last worker closes it; after that nobody should connect and then wait in vain.
        self._listener.close()
        for worker in self._workers:
            worker.stop()
        limit = self._settings.drain_seconds + self._settings.shutdown_seconds + _PATIENCE
        asyncio.get_running_loop().call_later(limit, self._end)

    def _end(self) -> None:
        for worker in self._workers:
            worker.end()

    def _reload(self) -> None:
        """Have one worker ask the engine; it tells them all."""
        if not any(worker.reload() for worker in self._workers):
            _logger.error("the artifacts were not loaded again: no worker runs at the moment")


class _Worker:
    """A process that is started again whenever it ends, a little later each time, until it is told to stop."""

    def __init__(self, settings: Settings, listener: socket.socket, figures: str) -> None:
        self._settings = settings
        self._listener = listener
        self._figures = figures
        self._environment = os.environ | {FIGURES_VARIABLE: figures}
        self._stopped = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    async def keep_running(self) -> None:
        """Start it, wait for its end, and again."""
        backoff = Backoff()
        while not self._stopped.is_set():
            started = time.monotonic()
            try:
                reason = f"exit code {await (await self._start()).wait()}"
            except OSError as error:  # no process or memory left; it may pass
                reason = error.strerror or type(error).__name__
            self._forget_figures()
            if self._stopped.is_set():
                return
            lived = time.monotonic() - started
            pause = backoff.after(lived)
            _logger.error("a worker ended after %.1f s (%s); starting another one in %.1f s", lived, reason, pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), pause)

    def stop(self) -> None:
        """Let it finish."""
        self._stopped.set()
        self._tell(b"stop\n")

    def reload(self) -> bool:
        """Have it ask for a reload; return whether there is a process to do so."""
        return self._tell(b"reload\n")

    def end(self) -> None:
        """Give it a few seconds to end, and then none."""
        self._stopped.set()
        process = self._process
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        asyncio.get_running_loop().call_later(_PATIENCE, self._kill, process)

    def _kill(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.kill()

    def _tell(self, command: bytes) -> bool:
        if self._process is None or self._process.stdin is None or self._process.stdin.is_closing():
            return False
        self._process.stdin.write(command)
        return True

    def _forget_figures(self) -> None:
        """Drop what the dead process said of its present state; what it counted stays."""
        if self._process is not None:
            mark_process_dead(self._process.pid, self._figures)  # type: ignore[no-untyped-call]  # it has no types
        self._process = None

    async def _start(self) -> asyncio.subprocess.Process:
        descriptor = self._listener.fileno()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "service.worker",
            str(descriptor),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(descriptor,),
            env=self._environment,
        )
        self._tell(self._settings.to_json() + b"\n")
        if self._stopped.is_set():
            self.stop()
        return self._process
