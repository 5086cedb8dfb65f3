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

from service.errors import StartupError
from service.protocol import EngineSettings
from service.settings import Settings

_logger = logging.getLogger(__name__)

UNUSABLE = 2  # the exit code of an engine that cannot load its model
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0  # seconds before a dead engine is started again
_STABLE_AFTER = 60.0  # seconds after which an engine counts as sound and the pauses begin anew
_STOP_WITHIN = 5.0  # seconds an engine gets to end by itself once it is told to


class Supervisor:
    """An asynchronous context manager: the engine runs while it is entered.

    Args:
        settings: What to run.

    Attributes:
        path: Where workers connect.
        running: Ends when the engine cannot be run at all, with a `StartupError` that says why.
    """

    running: asyncio.Task[None]

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = tempfile.TemporaryDirectory(prefix="charlstm-")
        self.path = Path(self._folder.name) / "engine.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._lifeline_reader, self._lifeline_writer = os.pipe()
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._listener.bind(str(self.path))
        self._listener.listen(128)
        self.running = asyncio.create_task(self._keep_running())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.running.cancel()
        with contextlib.suppress(asyncio.CancelledError, StartupError):
            await self.running
        if self._process is not None and self._process.returncode is None:
            await self._end(self._process)
        os.close(self._lifeline_reader)
        os.close(self._lifeline_writer)
        self._listener.close()
        self._folder.cleanup()

    @property
    def engine_pid(self) -> int | None:
        """The process id of the engine, if one runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def _keep_running(self) -> None:
        pause, loaded_once = _FIRST_PAUSE, False
        while True:
            started = time.monotonic()
            process = self._process = await self._start()
            complaint = await self._wait(process)
            lived = time.monotonic() - started
            if process.returncode == UNUSABLE and not loaded_once:
                raise StartupError(complaint)
            loaded_once = True
            pause = _FIRST_PAUSE if lived > _STABLE_AFTER else min(2 * pause, _LONGEST_PAUSE)
            reason = complaint or f"exit code {process.returncode}"
            _logger.error("the engine died after %.1f s (%s); starting it again in %.1f s", lived, reason, pause)
            await asyncio.sleep(pause)

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
        )
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "service.engine_process",
            msgspec.json.encode(told).decode(),
            pass_fds=(told.listener, told.lifeline),
            stderr=asyncio.subprocess.PIPE,
        )

    async def _wait(self, process: asyncio.subprocess.Process) -> str:
        """Wait for the engine's end; pass on what it says on standard error, and return its last line."""
        if process.stderr is None:
            raise AssertionError("standard error is a pipe")
        last = ""
        async for line in process.stderr:
            last = line.decode(errors="replace").strip() or last
            _logger.warning("engine: %s", last)
        await process.wait()
        return last

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_WITHIN)
        except TimeoutError:
            process.kill()
            await process.wait()
