"""A live session for whoever waits for its answers."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Unpack

from websockets.sync.client import ClientConnection, connect

from service.client.conversation import Conversation, Edit, ViewOptions
from service.client.core import Core, opening_failures, talking_failures
from service.client.policy import Clock
from service.client.trying import Flow, Try, drive
from service.live_schemas import LiveResponse


class LiveSession:
    """A text that is being typed: each edit is answered with what the model makes of it. For one thread at a time.

    What the service refuses, it has not done: the text is as it was. An answer that does not come ends the session.
    """

    def __init__(self, socket: ClientConnection, core: Core, conversation: Conversation, clock: Clock) -> None:
        self._socket = socket
        self._core = core
        self._conversation = conversation
        self._clock = clock

    @property
    def text(self) -> str:
        """What the service has read."""
        return self._conversation.text

    @property
    def whole(self) -> LiveResponse | None:
        """The last answer as if it told of every step of the text, not of the new ones alone; None before the first."""
        return self._conversation.whole

    def type(self, text: str = "", *, back: int = 0, **view: Unpack[ViewOptions]) -> LiveResponse:
        """Take characters off the text's end, and put others there.

        Args:
            text: What is put there.
            back: How many characters (code points) are taken off before.
            view: What answers show from now on, as far as that is to change.

        Returns:
            What is new: rows from the step `start` on. `whole` has all.

        Raises:
            ProblemError: The service did not do it.
            SessionEndedError: The session is over.
            ValueError: The text has not so many characters.
        """
        return self._say(self._conversation.edit(text, back, view))

    def rewrite(self, text: str, **view: Unpack[ViewOptions]) -> LiveResponse:
        """Make it another text; only what differs is sent. Everything else as in `type`."""
        return self._say(self._conversation.rewrite(text, view))

    def _say(self, edit: Edit) -> LiveResponse:
        flow = self._core.talking(edit.message, lambda document: self._conversation.hear(edit, document))
        return drive(flow, self._exchange, self._clock)

    def _exchange(self, step: Try[str]) -> str | bytes:
        try:
            with talking_failures():
                self._socket.send(step.question)
                return self._socket.recv(self._core.silence(step.seconds))
        except BaseException:
            self._socket.close()  # or a later question would be given the answer to this one
            raise


@contextmanager
def open_session(
    core: Core, conversation: Conversation, clock: Clock, tls: ssl.SSLContext | None
) -> Iterator[LiveSession]:
    """Open a session, and close it when the block ends.

    Raises:
        ClientError: It cannot be had.
    """
    opening: Flow[dict[str, Any], ClientConnection, ClientConnection] = core.opening(tls)
    with drive(opening, lambda step: _connect(core, step), clock) as socket:
        yield LiveSession(socket, core, conversation, clock)


def _connect(core: Core, step: Try[dict[str, Any]]) -> ClientConnection:
    with opening_failures():
        socket: ClientConnection = connect(**step.question, open_timeout=core.connecting(step.seconds))
        return socket
