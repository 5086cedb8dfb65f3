"""Keeps one engine process running: starts it, notices when it dies, and starts it again, a little later each time.

The supervisor holds the listening socket, so workers can connect at any time and under the same path: while there is
no engine they wait in the socket's backlog, and the next engine takes them over.
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from service.backoff import Backoff
from service.errors import StartupError
from service.protocol import EngineSettings
from service.settings import Settings

_logger = logging.getLogger(__name__)

UNUSABLE = 2  # the exit code of an engine that cannot load its model
_STOP_WITHIN = 5.0  # seconds an engine gets to end by itself once it is told to


class Supervisor:
    """An asynchronous context manager: the engine runs while it is entered.

    Args:
        settings: What to run.

    Attributes:
        path: Where workers connect.
        running: Ends when the engine cannot be run at all, with a `StartupError` that says why.

    Raises:
        StartupError: There is no place for the socket.
    """

    running: asyncio.Task[None]

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        try:
            self._open()
        except OSError as error:
            raise StartupError(
                f"cannot open a socket for the engine in the folder for temporary files, which TMPDIR may name: {error}"
            ) from error
        self.running = asyncio.create_task(self._keep_running())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.running.cancel()
        await asyncio.wait([self.running])
        os.close(self._lifeline_writer)  # which tells the engine
        if self._process is not None:
            await _end(self._process)
        os.close(self._lifeline_reader)
        self._opened.close()

    @property
    def engine_pid(self) -> int | None:
        """The process id of the engine, if one runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def _open(self) -> None:
        with contextlib.ExitStack() as opened:
            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="charlstm-"))
            self.path = Path(folder) / "engine.sock"
            self._listener = opened.enter_context(socket.socket(socket.AF_UNIX))
            self._listener.bind(str(self.path))
            self._listener.listen(128)
            self._lifeline_reader, self._lifeline_writer = os.pipe()
            self._opened = opened.pop_all()

    async def _keep_running(self) -> None:
        backoff, first = Backoff(), True
        while True:
            started = time.monotonic()
            code, complaint = await self._run()
            lived = time.monotonic() - started
            if code == UNUSABLE and first:
                raise StartupError(complaint)
            first = first and code is None  # no process could be started
            pause = backoff.after(lived)
            reason = complaint or f"exit code {code}"
            _logger.error("the engine died after %.1f s (%s); starting it again in %.1f s", lived, reason, pause)
            await asyncio.sleep(pause)

    async def _run(self) -> tuple[int | None, str]:
        """Start an engine and wait for its end; return its exit code, and the last line of its standard error."""
        try:
            process = self._process = await self._start()
        except OSError as error:  # no memory, no more processes: it may pass
            return None, str(error)
        complaint = await _pass_on(process.stderr)
        return await process.wait(), complaint

    async def _start(self) -> asyncio.subprocess.Process:
        settings = self._settings
        told = EngineSettings(
            artifacts=str(settings.artifacts),
            device=settings.device,
            precision=settings.precision,
            threads=settings.threads,
            max_waiting_texts=settings.max_waiting_texts,
            max_waiting_tokens=settings.max_waiting_characters,
            listener=self._listener.fileno(),
            lifeline=self._lifeline_reader,
            log_level=settings.log_level,
            log_format=settings.log_format,
        )
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "service.engine_process",
            msgspec.json.encode(told).decode(),
            pass_fds=(told.listener, told.lifeline),
            stderr=asyncio.subprocess.PIPE,
        )


async def _pass_on(stderr: asyncio.StreamReader | None) -> str:
    """Log what an engine says on standard error until it ends, and return the last line."""
    last = ""
    while stderr is not None:
        try:
            line = await stderr.readline()
        except ValueError:  # a line of more than 64 KiB; it is gone
            continue
        if not line:
            break
        last = line.decode(errors="replace").strip() or last
        _logger.warning("engine: %s", last)
    return last


async def _end(process: asyncio.subprocess.Process) -> None:
    """End an engine: one that is loading by the signal, one that serves has seen the end of its lifeline."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.communicate(), _STOP_WITHIN)
    except TimeoutError:
        process.kill()
        await process.communicate()
