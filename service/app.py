"""Puts the service together: settings and a model in, an ASGI application out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from charlstm.card import CARD, load_card
from service import admin, contract, gates_routes, live_routes, open_inference, page, problems, routes, telemetry, units
from service.access_log import AccessLog
from service.beside_model import FilesBesideModels
from service.body_limit import BodyLimit
from service.cross_origin import CrossOrigin
from service.exchange import Watch
from service.hang_up import HangUp
from service.head import HeadAsGet
from service.inference import Inference
from service.metrics import Metrics
from service.origins import Origins
from service.security import Guard, KeyCheck, OriginCheck
from service.session_watch import SessionWatch
from service.settings import Settings

_DESCRIPTION = """\
Sentiment of short texts, from a character-level LSTM that can show its memory.

Label 1 is negative and label 0 is positive; the model's own output is P(negative), and every number below says whose
probability it is. Errors are problem documents (RFC 9457), `application/problem+json`; under `/v2`, whose protocol
has a form of its own, they are `{"error": "..."}`.

`WS /gates/live`, for which this kind of document has no word, shows each step while somebody types: say
`{"back": 2, "text": "xt"}` to take two characters back and put two others there. The page at `/` is made of it.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; nothing is loaded before it starts up.

    Args:
        settings: By default those of the environment.

    Raises:
        StartupError: The file of keys cannot be had, or what OpenTelemetry takes.
    """
    settings = settings or Settings()
    guard, metrics = Guard(settings), Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Inference(settings) as inference:
            app.state.inference = inference
            app.state.settings = settings
            app.state.atlases = units.atlas_files(settings.artifacts)
            app.state.cards = FilesBesideModels(settings.artifacts, CARD, load_card)
            yield

    app = FastAPIOffline(
        title="charlstm",
        version=version("charlstm"),
        description=_DESCRIPTION,
        openapi_tags=contract.TAGS,
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,  # its page loads a logo from elsewhere
        swagger_ui_parameters={"validatorUrl": None},  # by default the page sends the document to a validator
        telemetry=telemetry.configuration(otel=settings.otel),
    )
    app.include_router(routes.sentiment)
    app.include_router(gates_routes.memory)
    app.include_router(units.router)
    app.include_router(routes.operations)
    app.include_router(page.router)
    app.include_router(live_routes.router(settings))
    app.include_router(open_inference.probes)
    app.include_router(open_inference.models)
    if settings.admin_keys is not None:
        app.include_router(admin.router)
    app.state.metrics = metrics
    _add_middlewares(app, settings, guard, metrics)
    problems.install(app)
    _extend_document(app, guard)
    return app


def _add_middlewares(app: FastAPI, settings: Settings, guard: Guard, metrics: Metrics) -> None:
    """Put around the routes what looks at each request; each one here stands above those before it."""
    app.add_middleware(HeadAsGet)
    app.add_middleware(HangUp)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, seconds=settings.request_seconds)
    if guard:
        app.add_middleware(KeyCheck, guard=guard)
    origins = Origins(settings.allowed_origins)
    app.add_middleware(OriginCheck, allowed=origins)
    observers: list[Metrics | AccessLog] = [metrics]
    if settings.access_log:
        observers.append(AccessLog(texts=settings.log_texts))
    app.add_middleware(SessionWatch, observers=observers)
    app.add_middleware(Watch, observers=observers, keep_bodies=settings.access_log and settings.log_texts)
    if origins:
        app.add_middleware(CrossOrigin, allowed=origins)


def _extend_document(app: FastAPI, guard: Guard) -> None:
    """Let the OpenAPI document say what FastAPI has no word for, and who needs a key."""
    document_of_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = document_of_fastapi()
            contract.complete(document)
            if guard:
                guard.describe(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
