"""JSON bodies: what claims to be one, and a short way for those that are valid.

FastAPI prepares each request for whatever an endpoint might want: it parses the body with the standard library, solves
a tree of dependencies, and so spends a third of what HTTP costs here on things that judging a text has no use for.
"""

from collections.abc import Callable, Coroutine
from inspect import signature
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from service.errors import ContentEncodingError, MediaTypeError


async def json_only(request: Request) -> None:
    """Refuse a body that does not claim to be JSON."""
    if not _claims_json(request):
        raise MediaTypeError


class JsonRoute(APIRoute):
    """A route whose body is JSON as it is: one that is compressed is refused, and not taken for damaged JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what handles a request."""
        usual = super().get_route_handler()

        async def handle(request: Request) -> Response:
            if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
                raise ContentEncodingError
            return await usual(request)

        return handle


class DirectRoute(JsonRoute):
    """A route whose endpoint takes the record in the body and the inference, in this order, and nothing else.

    A valid body goes straight there. Any other goes FastAPI's way, which says what is wrong with it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what handles a request."""
        usual, endpoint = super().get_route_handler(), self.endpoint
        record: type[BaseModel] = next(iter(signature(endpoint).parameters.values())).annotation

        async def handle(request: Request) -> Response:
            if not _claims_json(request) or "content-encoding" in request.headers:
                return await usual(request)
            try:
                asked = record.model_validate_json(await request.body())
            except ValidationError:
                return await usual(request)
            answer: Response = await endpoint(asked, request.app.state.inference)
            return answer

        return handle


def _claims_json(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))
