"""A live session for an event loop."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Unpack

from websockets.asyncio.client import ClientConnection, connect

from service.client.conversation import Conversation, Edit, ViewOptions
from service.client.core import Core, opening_failures, talking_failures
from service.client.policy import AsyncClock
from service.client.trying import Flow, Try, drive_async
from service.live_schemas import LiveResponse


class AsyncLiveSession:
    """A text that is being typed, as in `LiveSession`. Tasks that share one take turns, in the order they came."""

    def __init__(self, socket: ClientConnection, core: Core, conversation: Conversation, clock: AsyncClock) -> None:
        self._socket = socket
        self._core = core
        self._conversation = conversation
        self._clock = clock
        self._turn = asyncio.Lock()

    @property
    def text(self) -> str:
        """What the service has read."""
        return self._conversation.text

    @property
    def whole(self) -> LiveResponse | None:
        """The last answer as if it told of every step of the text, not of the new ones alone; None before the first."""
        return self._conversation.whole

    async def type(self, text: str = "", *, back: int = 0, **view: Unpack[ViewOptions]) -> LiveResponse:
        """Take characters off the text's end, and put others there, as `LiveSession.type` does."""
        async with self._turn:  # before the edit is made: it is one of the text as it is then
            return await self._say(self._conversation.edit(text, back, view))

    async def rewrite(self, text: str, **view: Unpack[ViewOptions]) -> LiveResponse:
        """Make it another text; only what differs is sent. Everything else as in `type`."""
        async with self._turn:
            return await self._say(self._conversation.rewrite(text, view))

    async def _say(self, edit: Edit) -> LiveResponse:
        flow = self._core.talking(edit.message, lambda document: self._conversation.hear(edit, document))
        return await drive_async(flow, self._exchange, self._clock)

    async def _exchange(self, step: Try[str]) -> str | bytes:
        try:
            with talking_failures():
                async with asyncio.timeout(self._core.silence(step.seconds)):
                    await self._socket.send(step.question)
                    return await self._socket.recv()
        except BaseException:
            self._socket.transport.abort()  # or a later question would be given the answer to this one
            raise


@asynccontextmanager
async def open_session(
    core: Core, conversation: Conversation, clock: AsyncClock, tls: ssl.SSLContext | None
) -> AsyncIterator[AsyncLiveSession]:
    """Open a session, and close it when the block ends.

    Raises:
        ClientError: It cannot be had.
    """
    opening: Flow[dict[str, Any], ClientConnection, ClientConnection] = core.opening(tls)
    async with await drive_async(opening, lambda step: _connect(core, step), clock) as socket:
        yield AsyncLiveSession(socket, core, conversation, clock)


async def _connect(core: Core, step: Try[dict[str, Any]]) -> ClientConnection:
    with opening_failures():
        return await connect(**step.question, open_timeout=core.connecting(step.seconds))
