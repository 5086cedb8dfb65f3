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


class JsonRoute(APIRoute):
    """A route whose body is JSON as it is: what does not claim to be, or is compressed, is refused and not parsed."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what handles a request."""
        usual = super().get_route_handler()

        async def handle(request: Request) -> Response:
            await request.body()  # whatever is wrong with it, its size and its pace are seen to first
            _check_claims(request)
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
            body = await request.body()
            _check_claims(request)
            try:
                asked = record.model_validate_json(body)
            except ValidationError:
                return await usual(request)
            answer: Response = await endpoint(asked, request.app.state.inference)
            return answer

        return handle


def _check_claims(request: Request) -> None:
    """Look what the headers say that the body is.

    Raises:
        ContentEncodingError: It is compressed.
        MediaTypeError: It is no JSON.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise ContentEncodingError
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_json_inside = media_type.startswith("application/") and media_type.endswith("+json")
    if media_type != "application/json" and not has_json_inside:
        raise MediaTypeError
