"""The whole service inside another application: its routes below a path, its engine for as long as that one runs."""

import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from service.app import create_app
from service.close_codes import CloseCode
from service.settings import Settings

_logger = logging.getLogger(__name__)


def mount_service(host: FastAPI, path: str, settings: Settings | None = None) -> FastAPI:
    """Offer the service below a path of another application, before that one starts.

    The host's lifespan starts the engine and, after the last request was answered, ends it; what the host does itself
    at its start and its end comes before and after. The service keeps its own errors, limits, keys and metrics, and
    leaves those of the host alone. As in `create_app`, nothing waits for the model: until it is loaded, `/readyz` below
    the path says no, and whoever asks gets a 503. If it cannot be loaded, that stays so, and the log says why.

    Args:
        host: The application to extend.
        path: Where, such as `/sentiment`.
        settings: As for `create_app`. What concerns a server of its own (`host`, `port`, `workers`, `drain_seconds`,
            ...) has no meaning here.

    Returns:
        The service, as an application of its own that the host hands requests to.

    Raises:
        ValueError: The path is not one.
        StartupError: As from `create_app`.
    """
    if not path.startswith("/") or path.endswith("/"):
        raise ValueError(f"path must start with / and end otherwise, found {path!r}")
    service = create_app(settings)

    @asynccontextmanager
    async def lifespan(_host: FastAPI) -> AsyncIterator[None]:
        async with service.router.lifespan_context(service):
            yield

    host.mount(path, _Separate(service))
    host.include_router(APIRouter(lifespan=lifespan))  # a mounted application's own lifespan does not run
    return service


class _Separate:
    """ASGI application that keeps another to itself: its paths begin where it is mounted, its failures end there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app({**scope, "app_root_path": scope["root_path"]}, receive, send)
        except Exception:  # a request has been answered with a 500 by now; handlers of the host would answer it again
            _logger.exception("the service failed")
            if scope["type"] == "websocket":
                with contextlib.suppress(RuntimeError):  # it is closed already
                    await send({"type": "websocket.close", "code": CloseCode.FAULT})
