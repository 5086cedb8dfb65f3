"""What both clients share: where the service is, what a request to it looks like, and what its failures are called."""

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

import httpx
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from service.client.calls import JSON, Answer, Request, raise_problem
from service.client.errors import (
    AnswerTimeoutError,
    ConnectionLostError,
    SessionEndedError,
    UnexpectedAnswerError,
    UnreachableError,
)
from service.client.policy import Policy
from service.client.trying import Call, Flow, Try, trying
from service.close_codes import CloseCode
from service.live_schemas import SUBPROTOCOL

T = TypeVar("T")

_KEY: Final = re.compile(r"[\x21-\x7e]+")
_USER_AGENT: Final = "charlstm-client"


class Sending(NamedTuple):
    """A request as it goes over the wire."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None


HttpFlow = Flow[Sending, Answer, T]
HttpTry = Try[Sending]


class Core:
    """Knows how to ask a service, but asks nothing.

    Args:
        url: Where the service is, such as `http://localhost:8000`; it may be below a path.
        api_key: What it is shown, if it wants a key.
        policy: How much patience to have.
        now: Tells the time in seconds.

    Raises:
        ValueError: The URL is none of HTTP, or the policy or the key cannot be used.
    """

    def __init__(self, url: str, api_key: str | None, policy: Policy, now: Callable[[], float]) -> None:
        parsed = _parsed(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"url must be such as http://localhost:8000, found {url!r}")
        if api_key is not None and not _KEY.fullmatch(api_key):
            raise ValueError("api_key must be visible ASCII characters")
        self._url = str(parsed).rstrip("/")
        self._key = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._now = now
        self.policy = policy

    def flow(self, request: Request[T], policy: Policy | None = None) -> HttpFlow[T]:
        """Say how to get a request answered, under an id of its own.

        Args:
            request: Which.
            policy: Instead of the usual one.
        """
        policy = policy or self.policy
        request_id = policy.request_id()
        body = request.body
        headers = self._headers(request_id) | {"Accept": request.accept}
        if body is not None:
            headers["Content-Type"] = JSON
        sending = Sending(request.method, self._url + request.path, headers, body)
        return trying(Call(sending, request.judge, request_id, request.pure), policy, self._now)

    def opening(self, tls: ssl.SSLContext | None) -> Flow[dict[str, Any], T, T]:
        """Say how to open a live session: with these arguments of `connect` of websockets."""
        request_id = self.policy.request_id()
        arguments: dict[str, Any] = {
            "uri": "ws" + self._url.removeprefix("http") + "/gates/live",
            "subprotocols": [Subprotocol(SUBPROTOCOL)],
            "additional_headers": self._headers(request_id),
            "user_agent_header": None,  # it is among the others
            "close_timeout": self.policy.connect_seconds,
            "max_size": None,  # the trace of a long text has megabytes
        }
        if tls is not None and self._url.startswith("https"):
            arguments["ssl"] = tls
        return trying(Call(arguments, _itself, request_id), self.policy, self._now)

    def talking(self, message: str, judge: Callable[[str | bytes], T]) -> Flow[str, str | bytes, T]:
        """Say how to get a message of a live session answered: what is refused for now has changed nothing there."""
        return trying(Call(message, judge, self.policy.request_id()), self.policy, self._now)

    def timeouts(self, seconds: float) -> httpx.Timeout:
        """Return how long each step of a try may take, if all of it may take so long."""
        return httpx.Timeout(self.silence(seconds), connect=self.connecting(seconds), pool=seconds)

    def silence(self, seconds: float) -> float:
        """Return how long the service may say nothing in a try of so many seconds."""
        return min(self.policy.silence_seconds, seconds)

    def connecting(self, seconds: float) -> float:
        """Return how long it may take to connect."""
        return min(self.policy.connect_seconds, seconds)

    def _headers(self, request_id: str) -> dict[str, str]:
        return {"User-Agent": _USER_AGENT, "X-Request-ID": request_id, **self._key}


def _parsed(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL:  # no ValueError
        return httpx.URL()


def _itself(value: T) -> T:
    return value


class Gathering:
    """The body of an answer while it comes: it has to be whole in time, however lively it trickles.

    Args:
        seconds: In so many.
        now: Tells the time in seconds.
    """

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._seconds = seconds
        self._now = now
        self._until = now() + seconds
        self._content = bytearray()

    def add(self, piece: bytes) -> None:
        """Take in a piece.

        Raises:
            AnswerTimeoutError: It came too late.
        """
        self._content += piece
        if self._now() > self._until:
            raise AnswerTimeoutError(f"the answer was not whole after {self._seconds:.3g} s")

    def answer(self, response: httpx.Response) -> Answer:
        """Return the whole."""
        return Answer(response.status_code, response.headers, bytes(self._content))


@contextmanager
def http_failures() -> Iterator[None]:
    """Call whatever goes wrong over HTTP as the client's users know it."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
        raise UnreachableError(f"no connection to the service: {_reason(error)}") from error
    except httpx.TimeoutException as error:
        raise AnswerTimeoutError(f"the service said nothing for too long ({type(error).__name__})") from error
    except AnswerTimeoutError:  # a TimeoutError, too, of which more is known
        raise
    except TimeoutError as error:
        raise AnswerTimeoutError("the answer was not whole in time") from error
    except httpx.DecodingError as error:
        raise UnexpectedAnswerError(f"the answer cannot be unpacked: {_reason(error)}") from error
    except httpx.HTTPError as error:
        raise ConnectionLostError(f"the connection ended before the answer did: {_reason(error)}") from error


@contextmanager
def opening_failures() -> Iterator[None]:
    """Likewise for whatever keeps a live session from opening."""
    try:
        yield
    except InvalidStatus as error:
        headers = {name.lower(): value for name, value in error.response.headers.raw_items()}
        raise_problem(Answer(error.response.status_code, headers, bytes(error.response.body or b"")))
        raise UnexpectedAnswerError(f"a live session cannot be opened: {_reason(error)}") from error
    except OSError as error:
        raise UnreachableError(f"no connection to the service: {_reason(error)}") from error
    except (EOFError, InvalidMessage) as error:
        raise ConnectionLostError(f"the connection ended before the session began: {_reason(error)}") from error
    except WebSocketException as error:
        raise UnexpectedAnswerError(f"a live session cannot be opened: {_reason(error)}") from error


@contextmanager
def talking_failures() -> Iterator[None]:
    """Likewise for whatever ends a live session."""
    try:
        yield
    except ConnectionClosed as error:
        code, reason = (CloseCode.LOST, "") if error.rcvd is None else (error.rcvd.code, error.rcvd.reason)
        raise SessionEndedError(code, reason) from error
    except TimeoutError as error:
        raise AnswerTimeoutError("the service said nothing for too long") from error


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
