"""Whose pages: origins, as browsers name them (RFC 6454)."""

from collections.abc import Mapping
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

_DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Where a page comes from.

    Attributes:
        port: None if the scheme has no usual one and none is said.
    """

    scheme: str
    host: str
    port: int | None

    @classmethod
    def parse(cls, words: str) -> Self:
        """Read an origin such as `https://example.com` or `http://localhost:3000`.

        Raises:
            ValueError: It is none, or browsers do not tell it: `null`.
        """
        parts = urlsplit(words)
        beside = parts.username or parts.path or parts.query or parts.fragment
        if beside or not parts.scheme or not parts.hostname:
            raise ValueError(f"should be an origin such as https://example.com, found {words}")
        port = _DEFAULT_PORTS.get(parts.scheme) if parts.port is None else parts.port
        return cls(parts.scheme, parts.hostname, port)

    def is_at(self, host: str) -> bool:
        """Tell whether a Host header names the same host and port; one without a port has that of the scheme."""
        try:
            return self.parse(f"{self.scheme}://{host}") == self
        except ValueError:
            return False


class Origins:
    """A set of origins.

    Args:
        words: Origins with commas between; `*` is all of them.

    Raises:
        ValueError: One is no origin.
    """

    def __init__(self, words: str) -> None:
        named = {name for word in words.split(",") if (name := word.strip())}
        self.has_all = "*" in named
        self._named = {Origin.parse(name) for name in named - {"*"}}

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return self.has_all or bool(self._named)

    def __contains__(self, origin: Origin) -> bool:
        """Tell whether it is one of these."""
        return self.has_all or origin in self._named
