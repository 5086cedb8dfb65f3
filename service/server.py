"""Runs the application on a port, from the first log line to the exit."""

import asyncio
import contextlib
import errno
import logging
import os
import resource
import signal
import socket
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service import logs, telemetry
from service.app import create_app
from service.errors import ServiceError, StartupError
from service.http_protocol import Connections, HttpProtocol
from service.inference import Inference
from service.live_protocol import live_protocol
from service.live_routes import most_message_bytes
from service.problems import kind_of
from service.security import Guard
from service.settings import Settings
from service.workers import run_workers

_logger = logging.getLogger(__name__)

_DESCRIPTORS = 65_536  # wanted, if the system gives so many
_LAST_REQUESTS_WITHIN = 0.5  # seconds in which who has just connected may say what for


def run(settings: Settings) -> None:
    """Serve until a signal ends it.

    SIGTERM and SIGINT: `/readyz` says no while everybody is still answered, for `drain_seconds`; then nobody can
    connect any more, and what is in progress is answered. A second signal ends it at once. SIGHUP loads the artifacts
    again.

    Raises:
        StartupError: The port, the file of keys or a package cannot be had, or the engine says that it cannot run.
        SystemExit: A signal came before there was anything to finish.
    """
    logs.configure(settings.log_level, settings.log_format)
    _raise_descriptor_limit()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, _exit)  # until there is more to do about it
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _logger.info("settings: %s", " ".join(f"{name}={value}" for name, value in settings.model_dump().items()))
    Guard(settings)  # what is wrong with the keys is to be said once, and before anybody connects
    if settings.otel:
        telemetry.check_packages()  # likewise
    with _listen(settings.host, settings.port) as listener:
        host, port = listener.getsockname()[:2]
        _logger.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        if settings.workers > 1:
            run_workers(settings, listener)
        else:
            serve(settings, listener)


def serve(settings: Settings, listener: socket.socket, commands: int | None = None) -> None:
    """Serve in this process.

    Args:
        settings: All but the address.
        listener: Where requests come from.
        commands: A file descriptor to take commands from, if it is another process that decides: `stop`, `reload`,
            and at its end to stop at once.
    """
    app = create_app(settings)
    logging.getLogger("uvicorn.error").addFilter(_is_no_request)
    config = uvicorn.Config(
        app,
        lifespan="off",  # `_serve` sees to it, and learns how loading the model went
        log_config=None,
        log_level="info" if settings.log_level == "debug" else settings.log_level,  # frames and keys would be in it
        access_log=False,  # the application has its own
        http=HttpProtocol,
        ws=live_protocol(settings.live_stall_seconds),
        ws_max_size=most_message_bytes(settings),
        ws_per_message_deflate=False,  # it would take longer than what it saves, and on the event loop
        root_path=settings.root_path,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(app, config, listener, commands))


async def _serve(app: FastAPI, config: uvicorn.Config, listener: socket.socket, commands: int | None) -> None:
    """Serve from the start, and stop if the model cannot be loaded."""
    async with app.router.lifespan_context(app):
        inference: Inference = app.state.inference
        server = GracefulServer(config, inference, app.state.settings.drain_seconds, led=commands is not None)
        stop_if_failed(server, inference)
        connections = Connections(server.server_state.connections, app.state.settings, app.state.metrics.connection_cut)
        inference.trace_slots.unread = lambda: connections.unread
        reload = asyncio.Event()
        beside = [
            asyncio.create_task(_reload_whenever(reload, inference)),
            asyncio.create_task(connections.look_after()),
        ]
        if commands is None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.set)
        else:
            beside.append(asyncio.create_task(_obey_pipe(server, commands, reload)))
        await server.serve(sockets=[listener])
        for task in beside:
            task.cancel()
    if not inference.loading.cancelled():
        inference.loading.result()


class GracefulServer(uvicorn.Server):
    """A server that says that it will close, waits, and then closes without dropping anybody.

    Args:
        config: As uvicorn wants it.
        inference: Who says whether the service is ready.
        drain_seconds: How long to wait in between.
        led: Whether another process decides about its end. Ctrl-C reaches every process of a terminal, so SIGINT is
            ignored then, and SIGTERM means the same however often it comes.
    """

    def __init__(self, config: uvicorn.Config, inference: Inference, drain_seconds: float, *, led: bool) -> None:
        super().__init__(config)
        self.inference = inference
        self._drain_seconds = drain_seconds
        self._led = led
        self._closing_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  uvicorn's own signature
        """Close at the first signal, at once at the second; whatever writes to a log has to wait for a tick."""
        if self._led:
            if sig != signal.SIGINT:
                self.close()
        elif self._closing_at is None:
            self.close()
        else:
            self.end()

    def close(self) -> None:
        """Begin to close, unless that has begun."""
        if self._closing_at is None:
            grace = self._drain_seconds if self.inference.ready else 0.0  # nobody sends here who has been told not to
            self._closing_at = time.monotonic() + grace
            self.inference.draining = True

    def end(self) -> None:
        """Stop, whatever is in progress; who is cut off by that hears that the service closes."""
        self.inference.draining = True
        self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Look whether it is time to close; uvicorn asks ten times a second."""
        if self._closing_at is not None:
            self._part_from_clients()
            self.should_exit |= time.monotonic() >= self._closing_at
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody connect any more, hear out whoever just has, and then close as uvicorn does."""
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        patience = time.monotonic() + _LAST_REQUESTS_WITHIN
        while self.server_state.connections and not self.force_exit and time.monotonic() < patience:  # noqa: ASYNC110  nothing tells
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    def _part_from_clients(self) -> None:
        """End each connection with its next answer, so that none is cut while a request is on its way."""
        parting = (b"connection", b"close")
        if parting not in self.config.encoded_headers:
            _logger.info("closing; not ready from here on")
            self.config.encoded_headers.append(parting)
            self.server_state.default_headers = [*self.server_state.default_headers, parting]


def stop_if_failed(server: GracefulServer, inference: Inference) -> None:
    """Stop the server if there will be no model; who is cut off by that hears that the service closes."""

    def stop(loading: asyncio.Task[None]) -> None:
        if not loading.cancelled() and loading.exception() is not None:
            inference.draining = server.should_exit = True

    inference.loading.add_done_callback(stop)


async def _obey_pipe(server: GracefulServer, commands: int, reload: asyncio.Event) -> None:
    """Do what the main process says, and end when it does."""
    reader = asyncio.StreamReader()
    pipe = os.fdopen(commands, "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    async for command in reader:
        if command == b"reload\n":
            reload.set()
        else:
            server.close()
    server.end()


async def _reload_whenever(asked: asyncio.Event, inference: Inference) -> None:
    """Load the artifacts again each time it is asked for, and once more if it is while that goes on.

    The engine logs what comes of it.
    """
    while True:
        await asked.wait()
        await inference.until_loaded()  # or there is no engine to ask, because it has just been started
        asked.clear()
        try:
            await inference.reload()
        except ServiceError as error:
            _logger.error("the artifacts were not loaded again: %s", kind_of(error).description)  # noqa: TRY400  no fault


def _raise_descriptor_limit() -> None:
    """Let every connection have a descriptor: the usual limit of 1024 is there for programs that call `select`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # the system knows another limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _is_no_request(record: logging.LogRecord) -> bool:
    """Leave out the line that uvicorn writes for each WebSocket, access log or not."""
    return '"WebSocket ' not in str(record.msg)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # what follows says the address once more
        hint = "; --port takes another" if error.errno == errno.EADDRINUSE else ""
        raise StartupError(f"cannot listen on {host} port {port}: {reason}{hint}") from error


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
