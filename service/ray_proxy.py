"""What Ray's HTTP proxy has to say when a replica dies over a request: by itself it says 500, or nothing.

Each proxy takes this in if its environment, so that of `ray start`, has
`RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=service.ray_proxy:middlewares`.
"""

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.close_codes import CloseCode
from service.errors import EngineLostError
from service.problems import error_response


def middlewares() -> list[Middleware]:
    """Return what the proxy is to be wrapped into."""
    return [Middleware(LostReplicas)]


class LostReplicas:
    """ASGI middleware that ends what a dead replica leaves open: requests with 503, WebSockets with 1012.

    Args:
        app: Ray's proxy. It returns without a word where a replica died.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what a replica answers, and answer if it does not and there is still a client."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        answer = _Answer(receive, send)
        await self._app(scope, answer.receive, answer.send)
        if answer.client_gone:
            return
        if not answer.begun:
            await error_response(EngineLostError(), scope)(scope, receive, send)
        elif answer.open_session:
            await send({"type": "websocket.close", "code": CloseCode.STOPPING, "reason": "its replica is gone"})


class _Answer:
    """What has been said to a client.

    Attributes:
        begun: Whether anything has.
        open_session: Whether that was a WebSocket that nobody here has closed.
        client_gone: Whether the client has ended it by itself, so that nothing can be said any more.
    """

    begun = open_session = client_gone = False

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] in ("http.disconnect", "websocket.disconnect"):
            self.client_gone = True
        return message

    async def send(self, message: Message) -> None:
        self.begun = True
        self.open_session = message["type"] in ("websocket.accept", "websocket.send")
        if message["type"] == "http.response.start":
            _say_id_once(message)
        await self._send(message)


def _say_id_once(message: Message) -> None:
    """Leave out that the proxy repeats the request's id behind the service."""
    headers = MutableHeaders(scope=message)
    if request_id := headers.get("x-request-id"):
        headers["x-request-id"] = request_id
