"""Who may ask: keys, and whose pages; the middlewares that look before anything of a request is read.

Everything needs a key but what is listed here, so a new route is never open by accident.

A browser sets no headers when it opens a WebSocket, so a key may come as one of the subprotocols there:
`bearer.<key in base64url without padding>`, beside the one that is really spoken.

It does open one for any page whatever, and says in `Origin` for whose. Without keys that is all there is to tell the
pages of the service from those of anybody else that its users may come upon.
"""

import hmac
from base64 import b64decode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from service.close_codes import CloseCode
from service.contract import error_answers, problem_answers
from service.errors import ForeignOriginError, StartupError, UnauthorizedError
from service.live_schemas import SUBPROTOCOL
from service.origins import Origin, Origins
from service.problems import error_response, is_open_inference, root_path_of
from service.settings import Settings, parse_keys

OPERATIONS: Final = frozenset({"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
_PAGES: Final = frozenset({"/", "/embed.js", "/docs", "/docs/oauth2-redirect", "/openapi.json"})
_FOLDERS: Final = ("/page/", "/static-offline-docs/", "/problems/")  # of the pages, and of every problem's `type`
_ADMIN: Final = "/admin/"
_KEY_PROTOCOL: Final = "bearer."


class Keys:
    """A set of keys. It takes the same time to find that it does not hold a key, whatever that key looks like."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._digests)

    def __contains__(self, key: bytes) -> bool:
        """Compare a key with each of these."""
        digest = _digest(key)
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(matches)


class Guard:
    """Says which requests need which keys.

    Args:
        settings: Where the keys are.

    Raises:
        StartupError: The file of keys cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        admin = _keys_of(settings.admin_keys.get_secret_value()) if settings.admin_keys else []
        usual = _keys_of(settings.api_keys.get_secret_value()) if settings.api_keys else []
        if settings.api_keys_file is not None:
            usual += _keys_in(settings.api_keys_file)
        self._admin = Keys(admin)
        self._usual = Keys(usual + admin if usual else ())
        self._protects_operations = settings.protect_operations

    def __bool__(self) -> bool:
        """Return whether any request needs a key."""
        return bool(self._admin or self._usual)

    def keys_for(self, path: str) -> Keys:
        """Return the keys that open a path; none if it is open, or is not there."""
        if path.startswith(_ADMIN) and self._admin:
            return self._admin
        is_open = path in _PAGES or path.startswith(_FOLDERS) or (path in OPERATIONS and not self._protects_operations)
        return Keys() if is_open else self._usual

    def describe(self, document: dict[str, Any]) -> None:
        """Say in an OpenAPI document which operations need a key, and how to show it."""
        document.setdefault("components", {})["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        for path, operations in document["paths"].items():
            if self.keys_for(path):
                for operation in operations.values():
                    operation["security"] = [{"bearer": []}, {"apiKey": []}]
                    answers = error_answers if is_open_inference(path) else problem_answers
                    operation["responses"]["401"] = answers("unauthorized")[401]


class KeyCheck:
    """ASGI middleware that answers 401, or over a WebSocket 4401, to whoever shows no key that fits."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        keys = self._guard.keys_for(_path_of(scope))
        if not keys or any(key in keys for key in _shown(scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await error_response(UnauthorizedError(), scope)(scope, receive, send)
        else:
            await _refuse_websocket(scope, receive, send)


class OriginCheck:
    """ASGI middleware that answers 403 to WebSockets of pages that are neither the service's own nor allowed.

    Programs that are no browsers say no origin, and pass.

    Args:
        app: What answers.
        allowed: Whose pages may beside its own.
    """

    def __init__(self, app: ASGIApp, allowed: Origins) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the WebSocket, or pass it on."""
        foreign = self._foreign(scope) if scope["type"] == "websocket" else None
        if foreign is None:
            await self._app(scope, receive, send)
        else:
            await error_response(ForeignOriginError(foreign), scope)(scope, receive, send)

    def _foreign(self, scope: Scope) -> str | None:
        """Return the origin if it may not, or None."""
        # A proxy may call the service by another name. Nobody's page can set the header that tells the first one.
        hosts = [host.strip() for name in (b"host", b"x-forwarded-host") for host in _header(scope, name).split(",")]
        said = _header(scope, b"origin")
        if not said or self._allowed.has_all:
            return None
        try:
            origin = Origin.parse(said)
        except ValueError:
            return said
        return None if origin in self._allowed or any(map(origin.is_at, hosts)) else said


def _header(scope: Scope, wanted: bytes) -> str:
    """Return the values of a header with commas between."""
    return ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == wanted)


def spoken(scope: Scope) -> str | None:
    """Choose among the subprotocols that a WebSocket's client offers; never one that shows a key."""
    return SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None


async def _refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Open it only to close it: browsers do not tell a page why a WebSocket did not open."""
    await receive()
    await send({"type": "websocket.accept", "subprotocol": spoken(scope), "headers": []})
    await send({"type": "websocket.close", "code": CloseCode.UNAUTHORIZED, "reason": "a key is needed"})


def _digest(key: bytes) -> bytes:
    return sha256(key).digest()


def _keys_of(words: str) -> list[str]:
    return parse_keys(words.split(","))


def _keys_in(file: Path) -> list[str]:
    try:
        return parse_keys(file.read_text(encoding="utf-8").splitlines())
    except OSError as error:
        raise StartupError(f"{file}: expected a file of keys, found {error.strerror}") from error
    except ValueError as error:
        raise StartupError(f"{file}: expected keys of visible ASCII characters, one a line, found others") from error


def _path_of(scope: Scope) -> str:
    """Return the path below the one that the service is offered under, as the router sees it."""
    path: str = scope["path"]
    root = root_path_of(scope)
    return path[len(root) :] if path.startswith(root + "/") else path


def _shown(scope: Scope) -> Iterator[bytes]:
    """Give every key that a request shows: a gateway on the way may have put one of its own beside the client's."""
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            yield value
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            yield value[7:].strip()
    for protocol in scope.get("subprotocols", ()):
        if protocol.startswith(_KEY_PROTOCOL):
            encoded = protocol.removeprefix(_KEY_PROTOCOL)
            with suppress(ValueError):
                yield b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
