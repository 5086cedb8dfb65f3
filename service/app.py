"""Puts the service together: settings and a model in, an ASGI application out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service import problems, routes
from service.body_limit import BodyLimit
from service.inference import Inference
from service.settings import Settings

_DESCRIPTION = """\
Sentiment of short texts, from a character-level LSTM that can show its memory.

Label 1 is negative and label 0 is positive; the model's own output is P(negative), and every number below says whose
probability it is. Errors are problem documents (RFC 9457), `application/problem+json`.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; nothing is loaded before it starts up.

    Args:
        settings: By default those of the environment.
    """
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Inference(settings) as inference:
            app.state.inference = inference
            app.state.settings = settings
            yield

    app = FastAPIOffline(
        title="charlstm",
        version=version("charlstm"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,  # its page loads a logo from elsewhere
        swagger_ui_parameters={"validatorUrl": None},  # by default the page sends the document to a validator
    )
    app.include_router(routes.sentiment)
    app.include_router(routes.operations)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    problems.install(app)
    _document_problems(app)
    return app


def _document_problems(app: FastAPI) -> None:
    """Let the OpenAPI document say application/problem+json, for which FastAPI's `responses` have no word."""
    document_of_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_problem_media_type(document_of_fastapi())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _with_problem_media_type(document: dict[str, Any]) -> dict[str, Any]:
    responses = (
        response
        for path in document["paths"].values()
        for operation in path.values()
        for status, response in operation["responses"].items()
        if int(status) >= 400
    )
    for response in responses:
        response["content"] = {problems.MEDIA_TYPE: response["content"].pop("application/json")}
    return document
