"""What WebSockets are closed with."""

from enum import IntEnum


class CloseCode(IntEnum):
    """Why a WebSocket ended: below 4000 in the protocol's words (RFC 6455), above in the service's own."""

    NORMAL = 1000
    GOING_AWAY = 1001
    NO_CODE = 1005
    """Nobody said why."""
    LOST = 1006
    """The connection ended without a close."""
    NOT_UTF8 = 1007
    MESSAGE_TOO_LONG = 1009
    FAULT = 1011
    """The service failed, or the client did not answer a ping."""
    STOPPING = 1012
    BAD_MESSAGE = 4400
    UNAUTHORIZED = 4401
    IDLE = 4408
    TOO_MANY_MESSAGES = 4429
    TOO_MANY_SESSIONS = 4503
