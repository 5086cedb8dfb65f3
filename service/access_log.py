"""One log line a request: what was asked, what the answer was, how long it took. The texts stay out unless told.

A WebSocket is one line as well, when it is closed.
"""

import logging

from service.exchange import Exchange
from service.session_watch import ClosedWebSocket

_logger = logging.getLogger("service.access")


class AccessLog:
    """Writes each exchange into the log.

    Args:
        texts: Whether to write the start of the request's body, which holds the texts.
    """

    def __init__(self, *, texts: bool = False) -> None:
        self._texts = texts

    def __call__(self, exchange: Exchange) -> None:
        """Write one line."""
        milliseconds = exchange.seconds * 1e3
        fields: dict[str, object] = {
            "client": exchange.client,
            "method": exchange.method,
            "path": exchange.path,
            "route": exchange.route,
            "status": exchange.status,
            "milliseconds": round(milliseconds, 3),
        }
        line = f"{exchange.method} {exchange.path} {exchange.status} {milliseconds:.1f} ms"
        if exchange.problem is not None:
            fields["problem"] = exchange.problem
            line += f" {exchange.problem}"
        if self._texts:
            fields["body"] = exchange.body.decode("utf-8", "backslashreplace")
            line += f" {fields['body']!r}"
        _logger.info("%s", line, extra={"fields": fields})

    def session_opened(self) -> None:
        """Write nothing yet."""

    def session_closed(self, closed: ClosedWebSocket) -> None:
        """Write one line; what was typed stays out in any case."""
        fields: dict[str, object] = {
            "client": closed.client,
            "path": closed.path,
            "route": closed.route,
            "code": closed.code,
            "messages": closed.messages,
            "milliseconds": round(closed.seconds * 1e3, 3),
        }
        line = f"WebSocket {closed.path} {closed.code} {closed.messages} messages {closed.seconds:.1f} s"
        _logger.info("%s", line, extra={"fields": fields})
