"""What can go wrong between a request and its answer, beside the core's own errors.

ServiceError
├── StartupError            the service cannot start: a setting, the port
├── CommandError            a command beside `serve` cannot do what it is asked for
│   └── CannotGoOnError     what an earlier run began belongs to something else, or is damaged
├── NotReadyError           the model is not loaded yet, or the service is closing
│   └── StaleModelError     the model was exchanged while the question was on its way
├── EngineLostError         the engine died while it had the question
├── EngineFailedError       the engine failed at the question
├── OverloadedError         too much waits already
├── DeadlineError           the request was not answered in time
├── UnreadableTextsError    texts that the model cannot read, each by the field it stands in
├── TooManyTextsError       a batch of more texts than the service takes
├── TooManyWordsError       a text of more words than the service leaves out one by one
├── InvalidFieldError       a field that asks for what this model or this text has not
├── MediaTypeError          a body that does not claim to be JSON
├── NotAcceptableError      an answer in no form that there is
├── NoAtlasError            the model's units have not been described
├── UnknownUnitError        a unit that the model has not
├── UnauthorizedError       no key, or none that is known
├── ForeignOriginError      a web page of elsewhere that may not speak with the service
├── ReloadRefusedError      the artifacts folder holds nothing sound; the old model serves on
├── ContentEncodingError    a compressed body that the service cannot unpack
├── InferenceRequestError   a request that says something else than the Open Inference Protocol wants
└── UnknownModelError       a model, or a version of it, that is not served

CharacterLimitError         a text longer than the service takes, whatever the model takes; one of the core's TextErrors

`body_errors` has the HTTPExceptions among them: the client's packages have no Starlette, and import this module.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from charlstm.errors import TextError


class ServiceError(Exception):
    """Base of every error that the service raises on purpose."""


class StartupError(ServiceError):
    """The service cannot start; the message is one line for whoever started it."""


class CommandError(ServiceError):
    """A command beside `serve` cannot do what it is asked for; the message is one line for whoever asked."""


class CannotGoOnError(CommandError):
    """What an earlier run began of a result belongs to something else, or is damaged; one can only begin anew."""


class NotReadyError(ServiceError):
    """There is no model to ask: it is not loaded yet, or the service is closing."""


class StaleModelError(NotReadyError):
    """The model was exchanged while the question was on its way; asked again, it meets the new one."""


class EngineLostError(ServiceError):
    """The engine died while it had the question; it is being started again."""


class EngineFailedError(ServiceError):
    """The engine failed at the question; its log says how."""


class OverloadedError(ServiceError):
    """Too much waits already.

    Args:
        retry_after: Seconds after which what waits now will be done.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"retry after {retry_after:.1f} s")
        self.headers = {"Retry-After": str(max(1, math.ceil(retry_after)))}


class DeadlineError(ServiceError):
    """The request was not answered in time."""


class TextFault(NamedTuple):
    """Where in a request a text stands, such as `texts[3]`, and why it cannot be read."""

    field: str
    reason: TextError


class UnreadableTextsError(ServiceError):
    """Texts of a request that the model cannot read: all of them, at least one."""

    def __init__(self, faults: Sequence[TextFault]) -> None:
        super().__init__(", ".join(fault.field for fault in faults))
        self.faults = tuple(faults)


class TooManyTextsError(ServiceError):
    """A batch of more texts than the service takes, in the field or tensor of this name."""

    def __init__(self, limit: int, found: int, field: str = "texts") -> None:
        super().__init__(f"must hold at most {limit} texts, found {found}")
        self.field = field
        self.limit = limit
        self.found = found


class TooManyWordsError(ServiceError):
    """A text of more words than the service leaves out one by one."""

    field: Final = "text"

    def __init__(self, limit: int, found: int) -> None:
        super().__init__(f"must hold at most {limit} words, found {found}")
        self.limit = limit
        self.found = found


class InvalidFieldError(ServiceError):
    """A field of the right type that asks for what this model or this text has not.

    Args:
        field: Which, such as `clamps[0].units`.
        reason: What is expected of it and what was found.
        limit: The largest value it may have, if there is one.
        found: What it was.
    """

    def __init__(self, field: str, reason: str, limit: int | None = None, found: int | None = None) -> None:
        super().__init__(reason)
        self.field = field
        self.limit = limit
        self.found = found


class MediaTypeError(ServiceError):
    """A body that does not claim to be JSON."""

    field: Final = "Content-Type"

    def __init__(self) -> None:
        super().__init__("must be application/json")


class NotAcceptableError(ServiceError):
    """An answer that is asked for in no form that there is.

    Args:
        offered: The media types that there are.
    """

    field: Final = "Accept"

    def __init__(self, offered: Sequence[str]) -> None:
        super().__init__(f"must allow {', '.join(offered[:-1])} or {offered[-1]}")


class NoAtlasError(ServiceError):
    """The units of the model that is served have not been described, or not in a way that can be read."""


class UnknownUnitError(ServiceError):
    """A unit that the model has not.

    Args:
        units: How many there are in a layer.
        found: Which was asked for.
    """

    field: Final = "unit"

    def __init__(self, units: int, found: int) -> None:
        super().__init__(f"must be one of the {units} units of a layer, from 0, found {found}")
        self.limit = units - 1
        self.found = found


class UnauthorizedError(ServiceError):
    """A request without a key, or with none that the service knows."""

    # What the body holds is not read, so this connection ends here.
    headers: Final = {"WWW-Authenticate": 'Bearer realm="charlstm"', "Connection": "close"}


class ForeignOriginError(ServiceError):
    """A web page of another origin opens a WebSocket, and is none of those that may.

    Args:
        found: What its browser calls the origin.
    """

    field: Final = "Origin"

    def __init__(self, found: str) -> None:
        super().__init__(f"must be the service's own, or one of its allowed_origins, found {found}")


class ReloadRefusedError(ServiceError):
    """What is in the artifacts folder now is not sound, so the model of before serves on.

    Args:
        field: The name of the file at fault, without its folder.
        reason: What was expected of it and what was found.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class ContentEncodingError(ServiceError):
    """A body compressed in a way that the route cannot unpack.

    Args:
        known: The ways that it can.
    """

    field: Final = "Content-Encoding"

    def __init__(self, *known: str) -> None:
        expected = f"{', '.join(known)} or absent" if known else "absent; only /v2 unpacks a body"
        super().__init__(f"must be {expected}")


class InferenceRequestError(ServiceError):
    """A request that says something else than the Open Inference Protocol wants.

    Args:
        field: Which part of it, such as `tensor text`.
        reason: What is expected of it and what was found; never a text.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class UnknownModelError(ServiceError):
    """A model, or a version of it, that is not served.

    Args:
        served: The version of each model that is, by its name.
        name: The one that was asked for.
        version: Which of its versions, if it had to be one.
    """

    field: Final = "model"

    def __init__(self, served: Mapping[str, str], name: str, version: str | None = None) -> None:
        choices = " or ".join(f"{known} (version {its_version})" for known, its_version in served.items())
        found = ascii(name[:64]) if version is None else f"{name[:64]!a} (version {version[:64]!a})"
        super().__init__(f"must be {choices}, found {found}")


class CharacterLimitError(TextError):
    """A text longer than the service takes, cut or not."""

    def __init__(self, limit: int, found: int) -> None:
        super().__init__(f"must be at most {limit} characters long, found {found}")
        self.limit = limit
        self.found = found
