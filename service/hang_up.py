"""Stops working on a request once whoever sent it is gone: nobody waits for the answer any more.

ASGI servers tell an application that its client has left only if it asks. So once a request has been read, this asks,
and cancels the application meanwhile. A task more a request is all it costs. While the application itself reads the
request, it learns of it in the same way.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HangUp:
    """ASGI middleware for HTTP requests. It stands below whatever keeps a record of them.

    Args:
        app: What answers; it is cancelled, and what it was doing has to see to the rest.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the request answered, or dropped if its client hangs up before the answer starts."""
        task = asyncio.current_task()
        if scope["type"] != "http" or task is None:
            await self._app(scope, receive, send)
            return
        request = _Request(receive, send, task)
        try:
            await self._app(scope, request.receive, request.send)
        except asyncio.CancelledError:
            if not request.dropped or task.uncancel() > 0:
                raise
        finally:
            request.stop_watching()


class _Request:
    """A request and its answer on their way through.

    Attributes:
        dropped: Whether the client hung up and the application was cancelled for it.
    """

    dropped = False
    _arriving = True  # the request, and there is no answer yet

    def __init__(self, receive: Receive, send: Send, task: asyncio.Task[None]) -> None:
        self._receive = receive
        self._send = send
        self._task = task
        self._watch: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        self.stop_watching()
        message = await self._receive()
        if message["type"] != "http.request":
            if self._arriving:
                self._drop()
                await asyncio.sleep(0)  # which ends here
        elif not message.get("more_body"):
            self._arriving = False
            self._watch = asyncio.create_task(self._drop_when_gone())
        return message

    async def send(self, message: Message) -> None:
        self._arriving = False
        self.stop_watching()  # an answer that has begun is finished; servers ignore what nobody reads
        await self._send(message)

    def stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def _drop_when_gone(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._drop()

    def _drop(self) -> None:
        self.dropped = True
        self._task.cancel()
