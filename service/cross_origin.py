"""Lets pages of other origins read what the service answers (CORS): those that the setting names, and no others.

Browsers ask before they send JSON for such a page, without a key even where one is needed, so the middleware answers
that itself. It stands around everything else: whoever may read an answer may read an error, too, whatever made it.

No answer allows credentials. A page gets in by its origin alone, and by a key that it shows where keys are needed;
nothing that a browser keeps for the service, such as a cookie of a proxy's, goes along.
"""

from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from service.origins import Origin, Origins
from service.tensors import LENGTH_HEADER

_METHODS: Final = ("GET", "HEAD", "POST")
# Beside those that every page may set, and Content-Type.
_SENT: Final = ("Authorization", "X-API-Key", "X-Request-ID", LENGTH_HEADER)
_READ: Final = ("Retry-After", "Server-Timing", "X-Request-ID", LENGTH_HEADER)
_SECONDS: Final = 3600  # that a browser may go by what it was told before it asks again


class CrossOrigin(CORSMiddleware):
    """ASGI middleware for HTTP requests of pages of other origins.

    Args:
        app: What answers.
        allowed: Whose pages may read it.
    """

    def __init__(self, app: ASGIApp, allowed: Origins) -> None:
        super().__init__(
            app,
            allow_origins=("*",) if allowed.has_all else (),
            allow_methods=_METHODS,
            allow_headers=_SENT,
            expose_headers=_READ,
            max_age=_SECONDS,
        )
        self._allowed = allowed

    def is_allowed_origin(self, origin: str) -> bool:
        """Tell whether a page's origin is one of those; names of the same origin are alike, as for a live session."""
        try:
            return Origin.parse(origin) in self._allowed
        except ValueError:
            return self._allowed.has_all
