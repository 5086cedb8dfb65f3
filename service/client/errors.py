"""Everything that can go wrong for whoever asks a service, as one tree.

ClientError
├── NoAnswerError                   there is no answer
│   ├── UnreachableError              nothing could be sent: no connection to the service
│   ├── ConnectionLostError           the connection ended before the answer did
│   └── AnswerTimeoutError            it was not there in time
├── UnexpectedAnswerError           an answer, but none that this service gives
├── SessionEndedError               a live session is over: its code and reason say why
└── ProblemError                    the service says what is wrong, in a problem document
    ├── RefusedError                  with the request: as it is, it will never be answered
    │   ├── MalformedBodyError          the body is no JSON
    │   ├── InvalidRequestError         a field is missing, unknown, or asks for what there is not
    │   ├── EmptyTextError              a text holds nothing to read
    │   ├── InvalidCharacterError       a text holds a NUL or half of a surrogate pair
    │   ├── TextTooLongError            a text is over a limit
    │   ├── TooManyTextsError           a batch is
    │   ├── TooManyWordsError           a text has more words than are left out one by one
    │   ├── BodyTooLargeError           the body is over a limit
    │   ├── SlowBodyError               the body did not arrive in time
    │   ├── UnsupportedMediaTypeError   the body is no JSON by its own account
    │   ├── NotAcceptableError          there is no such form of the answer
    │   ├── NotFoundError               nothing is served there
    │   ├── UnknownModelError           no model of this name, or not this version
    │   ├── MethodNotAllowedError       not in this way
    │   ├── UnknownUnitError            the model has no such unit
    │   ├── NoAtlasError                the model's units have not been described
    │   ├── UnauthorizedError           no key, or none that is known
    │   ├── ForeignOriginError          a web page of elsewhere opens a live session
    │   └── ReloadRefusedError          the new artifacts are not sound; the old model serves on
    ├── BusyError                     with the moment: the same request may be answered later
    │   ├── OverloadedError             too much waits already
    │   ├── NotReadyError               the model is not loaded yet, or the service is closing
    │   └── EngineLostError             the engine died at it and is being started again
    └── FailedError                   with the service
        ├── DeadlineError               it did not manage in its own time
        └── InternalError               it failed; its log says how

Each kind of problem that the service's table knows is one class here, by its name there; a kind that only a later
service knows is the class of its family.
"""

from typing import ClassVar, Final, Literal

from service.schemas import Problem

_BUSY: Final = frozenset({429, 503})


class ClientError(Exception):
    """Base of every error that the client raises on purpose.

    Attributes:
        request_id: What the request was sent under as `X-Request-ID`: the service's log has it, too.
        retry_after: Seconds after which the service thinks it worth trying again, if it says so.
    """

    request_id: str | None = None
    retry_after: float | None = None
    repeats: ClassVar[Literal["never", "if patient", "if pure", "always"]] = "never"
    """Whether the same request may be sent again. It is pure if it changes nothing: to do it twice is no harm then.

    Who is patient sends pure requests again of which others think that it would only be more of the same.
    """

    def may_repeat(self, *, pure: bool, patient: bool = False) -> bool:
        """Tell whether a request that failed so may be sent again."""
        return self.repeats == "always" or (
            pure and (self.repeats == "if pure" or (patient and self.repeats == "if patient"))
        )


class NoAnswerError(ClientError):
    """There is no answer, and nobody can say whether the request was read."""


class UnreachableError(NoAnswerError):
    """There was no connection, so the service has seen nothing of the request."""

    repeats = "always"


class ConnectionLostError(NoAnswerError):
    """The connection ended before the answer did; what was asked may have been done."""

    repeats = "if pure"


class AnswerTimeoutError(NoAnswerError, TimeoutError):
    """The answer was not there in time. As a rule it is not asked for again: that would be more of the same."""

    repeats = "if patient"


class UnexpectedAnswerError(ClientError):
    """An answer that this service does not give: something else is there, or a service of another version."""


class SessionEndedError(ClientError):
    """A live session is over.

    Args:
        code: As in `service.close_codes.CloseCode`; 1006 if the connection ended without one.
        reason: In the service's words.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        """Say it in one line."""
        return f"the live session ended with {self.code} ({self.reason or 'no reason given'})"


class ProblemError(ClientError):
    """The service says what is wrong.

    Args:
        problem: In full.
        retry_after: See `ClientError`.
    """

    kind: ClassVar[str | None] = None
    """The end of the problem's `type`; None for a whole family."""

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        super().__init__(problem, retry_after)
        self.problem = problem
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.problem.detail} ({self.problem.status} {self.problem.title})"


class RefusedError(ProblemError):
    """Something is wrong with the request; as it is, it will never be answered."""


class BusyError(ProblemError):
    """It is not the time for it; the same request may be answered later. The engine may have died after doing it."""

    repeats = "if pure"


class FailedError(ProblemError):
    """The service failed."""

    repeats = "if patient"


class MalformedBodyError(RefusedError):
    """The body is no JSON document."""

    kind = "malformed-body"


class InvalidRequestError(RefusedError):
    """A field is missing, unknown, of another type, or asks for what this model or text has not."""

    kind = "invalid-request"


class EmptyTextError(RefusedError):
    """A text holds nothing that the model could read."""

    kind = "empty-text"


class InvalidCharacterError(RefusedError):
    """A text holds a NUL or half of a surrogate pair."""

    kind = "invalid-character"


class TextTooLongError(RefusedError):
    """A text is over the model's limit, which `truncate` lets it be cut to, or over the service's."""

    kind = "text-too-long"


class TooManyTextsError(RefusedError):
    """A batch holds more texts than are taken."""

    kind = "too-many-texts"


class TooManyWordsError(RefusedError):
    """A text holds more words than are left out one by one."""

    kind = "too-many-words"


class BodyTooLargeError(RefusedError):
    """The body holds more bytes than are taken."""

    kind = "body-too-large"


class SlowBodyError(RefusedError):
    """The body did not arrive in time."""

    kind = "slow-body"


class UnsupportedMediaTypeError(RefusedError):
    """The body does not claim to be JSON."""

    kind = "unsupported-media-type"


class NotAcceptableError(RefusedError):
    """There is no answer in the form that is asked for."""

    kind = "not-acceptable"


class NotFoundError(RefusedError):
    """Nothing is served at this path."""

    kind = "not-found"


class UnknownModelError(RefusedError):
    """No model of this name is served, or not in this version."""

    kind = "unknown-model"


class MethodNotAllowedError(RefusedError):
    """The path is served, but not to this method."""

    kind = "method-not-allowed"


class UnknownUnitError(RefusedError):
    """The model has no such unit."""

    kind = "unknown-unit"


class NoAtlasError(RefusedError):
    """The units of this model have not been described."""

    kind = "no-atlas"


class UnauthorizedError(RefusedError):
    """The request needs a key, and had none that is known."""

    kind = "unauthorized"


class ForeignOriginError(RefusedError):
    """A web page of another origin than the service's opens a live session."""

    kind = "foreign-origin"


class ReloadRefusedError(RefusedError):
    """The artifacts are not sound now; the model of before serves on."""

    kind = "reload-refused"


class OverloadedError(BusyError):
    """Too much waits already."""

    kind = "overloaded"


class NotReadyError(BusyError):
    """The model is not loaded yet, or the service is closing."""

    kind = "not-ready"


class EngineLostError(BusyError):
    """The engine died at the request and is being started again."""

    kind = "engine-lost"


class DeadlineError(FailedError):
    """The service did not manage in the time that it gives itself."""

    kind = "deadline-exceeded"


class InternalError(FailedError):
    """The service failed; its log says how."""

    kind = "internal-error"


_FAMILIES: Final = (RefusedError, BusyError, FailedError)
ERRORS_BY_KIND: Final[dict[str, type[ProblemError]]] = {
    error.kind: error for family in _FAMILIES for error in family.__subclasses__() if error.kind is not None
}


def error_of(problem: Problem, retry_after: float | None = None) -> ProblemError:
    """Return the error that a problem is."""
    kind = problem.type.rpartition("/")[2]
    return ERRORS_BY_KIND.get(kind, _family_of(problem.status))(problem, retry_after)


def _family_of(status: int) -> type[ProblemError]:
    if status in _BUSY:
        return BusyError
    return FailedError if status >= 500 else RefusedError
