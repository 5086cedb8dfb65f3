"""What a client accepts, as its headers say it (RFC 9110, 12.5): media types and content codings with their weights."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.request import parse_http_list

_WEIGHT = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")
_RANGE = re.compile(r"([\w!#$&^.+-]+)/([\w!#$&^.+-]+|\*)|(\*)/(\*)", re.ASCII)


class MediaRange(NamedTuple):
    """Some media types: `*` stands for any, and each parameter has to be there."""

    kind: str
    subtype: str
    parameters: frozenset[str]

    def covers(self, other: "MediaRange") -> bool:
        """Tell whether a media type is one of these."""
        return (
            self.kind in {"*", other.kind}
            and self.subtype in {"*", other.subtype}
            and self.parameters <= other.parameters
        )

    @property
    def precision(self) -> tuple[bool, bool, int]:
        """How much it says: the most precise range that covers a media type gives it its weight."""
        return self.kind != "*", self.subtype != "*", len(self.parameters)


def best_of(offered: Sequence[str], accepted: Sequence[str]) -> str | None:
    """Choose a media type.

    Args:
        offered: What there is, in the order in which it is given when the client does not mind.
        accepted: The values of the request's `Accept` headers; anything malformed in them is passed over.

    Returns:
        The one with the largest weight, or None if none is accepted.
    """
    ranges = [(found, weight) for value, weight in _weighted(accepted) if (found := _media_range(value)) is not None]
    if not ranges:
        return offered[0]
    weights = {media_type: _weight_of(media_type, ranges) for media_type in offered}
    best = max(offered, key=weights.__getitem__)  # the first of the best
    return best if weights[best] > 0 else None


def accepts_gzip(accepted: Sequence[str]) -> bool:
    """Tell whether `Accept-Encoding` asks for gzip, and not rather for no compression."""
    weights = dict(_weighted(accepted))
    wanted = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return wanted > 0 and wanted >= weights.get("identity", 0.0)


def _weight_of(media_type: str, ranges: Sequence[tuple[MediaRange, float]]) -> float:
    exact = _media_range(media_type)
    covering = [(found.precision, weight) for found, weight in ranges if exact is not None and found.covers(exact)]
    return max(covering, default=((), 0.0))[1]


def _media_range(value: str) -> MediaRange | None:
    """Read `type/subtype;name=value`; a `charset` chooses nothing, as every text here is in UTF-8."""
    name, *rest = (part.strip().lower() for part in value.split(";"))
    if not (match := _RANGE.fullmatch(name)):
        return None
    parameters = frozenset(part.replace('"', "") for part in rest if part and not part.startswith("charset="))
    kind, _, subtype = match.group().partition("/")
    return MediaRange(kind, subtype, parameters)


def _weighted(headers: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Split headers into values, each with its weight."""
    for item in parse_http_list(",".join(headers)):
        value, *parameters = (part.strip() for part in item.split(";"))
        weights = [part[2:] for part in parameters if part[:2].lower() == "q="]
        if not all(_WEIGHT.fullmatch(weight) for weight in weights):
            continue
        kept = [part for part in parameters if part[:2].lower() != "q="]
        yield ";".join([value.lower(), *kept]), float(weights[0]) if weights else 1.0
