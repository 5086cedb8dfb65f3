"""Runs the application on a port, from the first log line to the exit."""

import asyncio
import logging
import signal
import socket
import sys
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.errors import StartupError
from service.settings import Settings

_logger = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Serve until a signal ends it.

    Raises:
        StartupError: The port cannot be had.
        CharLSTMError: The model cannot be loaded, or its device is not there.
        SystemExit: SIGTERM or SIGINT came, and every request in progress has been answered.
    """
    logging.basicConfig(
        stream=sys.stdout,
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, _exit)  # uvicorn drains first, and then raises the signal again
    _logger.info("settings: %s", " ".join(f"{name}={value}" for name, value in settings.model_dump().items()))
    with _listen(settings.host, settings.port) as listener:
        host, port = listener.getsockname()[:2]
        _logger.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        _serve(settings, listener)


def _serve(settings: Settings, listener: socket.socket) -> None:
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        lifespan="off",  # `_run` sees to it, and learns how loading the model went
        log_config=None,
        access_log=settings.log_level == "debug",
        root_path=settings.root_path,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_run(app, uvicorn.Server(config), listener))


async def _run(app: FastAPI, server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve from the start, and stop if the model cannot be loaded."""
    async with app.router.lifespan_context(app):
        loading: asyncio.Task[None] = app.state.inference.loading

        def stop_if_failed(loading: asyncio.Task[None]) -> None:
            server.should_exit |= not loading.cancelled() and loading.exception() is not None

        loading.add_done_callback(stop_if_failed)
        await server.serve(sockets=[listener])
    loading.result()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # what follows says the address once more
        raise StartupError(f"cannot listen on {host} port {port}: {reason}") from error


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
