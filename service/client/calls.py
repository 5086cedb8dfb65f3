"""What can be asked over HTTP: each request, and how its answer is read. Sends nothing itself."""

import http.client
import json
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, Generic, NamedTuple, TypedDict, TypeVar
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from charlstm.clamp import Clamp, SignalName
from charlstm.trace import GateTrace
from service.client.errors import UnexpectedAnswerError, error_of
from service.client.gates import Gates, read_trace
from service.client.reading import read_record
from service.comparison_schemas import CompareResponse, OcclusionResponse
from service.gates_schemas import ClampRequest
from service.schemas import BatchResponse, Health, Info, PredictResponse, Problem, ReloadResponse
from service.selection import Detail, Foremost, Range
from service.units_schemas import UnitResponse, UnitsResponse

JSON: Final = "application/json"
NPZ: Final = "application/x-npz"

Indices = Sequence[int] | NDArray[np.integer[Any]]
"""Some of what is counted from 0."""

T = TypeVar("T")
R = TypeVar("R", bound=BaseModel)


class Answer(NamedTuple):
    """What came back.

    Attributes:
        status: The HTTP status.
        headers: By their names in lower case.
        content: The body.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


class Request(NamedTuple, Generic[T]):
    """One request to the service, and what its answer says.

    Attributes:
        method: Of HTTP.
        path: Below the service's URL.
        read: Reads the body of a good answer; `UnexpectedAnswerError` if it is none.
        document: What to send as JSON.
        accept: The form that the answer is to have.
        pure: Whether being asked changes nothing.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    document: Mapping[str, Any] | None = None
    accept: str = JSON
    pure: bool = True

    @property
    def body(self) -> bytes | None:
        """The document as it is sent."""
        return None if self.document is None else to_json(self.document)

    def judge(self, answer: Answer) -> T:
        """Say what an answer says.

        Raises:
            ProblemError: What the service says is wrong.
            UnexpectedAnswerError: It is no answer to this.
        """
        raise_problem(answer)
        if answer.status != HTTPStatus.OK:
            raise UnexpectedAnswerError(f"must be answered with status 200, found {answer.status}")
        return self.read(answer.content)


class BatchOptions(TypedDict):
    """What else is asked for of a batch."""

    truncate: bool
    model: str | None


class GatesOptions(TypedDict, total=False):
    """Which part of a trace to answer with, and what if; each as in `/gates`, and by default all, and nothing."""

    truncate: bool
    detail: Detail
    signals: Sequence[SignalName]
    layers: Indices
    units: Indices | Range | Foremost
    steps: Indices | Range
    clamps: Sequence[Clamp]
    cut: Sequence[Range]


def predict(text: str, *, truncate: bool, model: str | None) -> Request[PredictResponse]:
    """Judge one text."""
    return Request("POST", "/predict", _reader(PredictResponse), _named(model, text=text, truncate=truncate))


def predict_batch(texts: Sequence[str], *, truncate: bool, model: str | None) -> Request[list[PredictResponse]]:
    """Judge texts that fit into one request."""

    def read(content: bytes) -> list[PredictResponse]:
        predictions = read_record(BatchResponse, content).predictions
        if len(predictions) != len(texts):
            raise UnexpectedAnswerError(f"must hold {len(texts)} predictions, found {len(predictions)}")
        return predictions

    return Request("POST", "/predict/batch", read, _named(model, texts=texts, truncate=truncate))


def gates(text: str, options: GatesOptions, model: str | None) -> Request[Gates]:
    """Judge a text and show its memory, or a part of it."""
    return Request("POST", "/gates", Gates.read, _asked_of_gates(text, options, model), accept=NPZ)


def trace(text: str, *, truncate: bool, clamps: Sequence[Clamp], model: str | None) -> Request[GateTrace]:
    """Judge a text and show all of its memory."""
    document = _asked_of_gates(text, {"truncate": truncate, "clamps": clamps}, model)
    return Request("POST", "/gates", read_trace, document, accept=NPZ)


def compare(first: str, second: str, *, truncate: bool, model: str | None) -> Request[CompareResponse]:
    """Hold two texts against each other."""
    document = _named(model, first=first, second=second, truncate=truncate)
    return Request("POST", "/gates/compare", _reader(CompareResponse), document)


def occlusion(text: str, *, truncate: bool, model: str | None) -> Request[OcclusionResponse]:
    """Leave out each word of a text."""
    return Request("POST", "/gates/occlusion", _reader(OcclusionResponse), _named(model, text=text, truncate=truncate))


def units(model: str | None) -> Request[UnitsResponse]:
    """List the model's units."""
    return Request("GET", _path("/units", model=model), _reader(UnitsResponse))


def unit(number: int, layer: int, model: str | None) -> Request[UnitResponse]:
    """Describe one unit."""
    return Request("GET", _path(f"/units/{number}", layer=layer, model=model), _reader(UnitResponse))


def info(model: str | None = None) -> Request[Info]:
    """Describe what is served."""
    return Request("GET", _path("/info", model=model), _reader(Info))


def ready() -> Request[Health]:
    """Ask whether the model is ready."""
    return Request("GET", "/readyz", _reader(Health))


def reload() -> Request[ReloadResponse]:
    """Have the artifacts loaded again."""
    return Request("POST", "/admin/reload", _reader(ReloadResponse), pure=False)


def raise_problem(answer: Answer) -> None:
    """Raise what an answer says is wrong, if it does.

    Raises:
        ProblemError: This.
    """
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise error_of(_problem(answer), _retry_after(answer.headers))


def to_json(document: object) -> bytes:
    """Write JSON in UTF-8. Half of a surrogate pair has no place there, and is escaped: the service says that it is."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=_plain).encode(
        "utf-8", "backslashreplace"
    )


def problem_in(content: bytes) -> Problem | None:
    """Read a problem document; None if it is none."""
    try:
        return Problem.model_validate_json(content, extra="ignore")
    except ValidationError:
        return None


def _named(model: str | None, **fields: object) -> dict[str, object]:
    """Make a document that names a model only if one is given: not every service knows the field."""
    return fields if model is None else {"model": model} | fields


def _path(path: str, **query: object) -> str:
    """Put what is given into a query, likewise."""
    words = [f"{name}={quote(str(value), safe='')}" for name, value in query.items() if value is not None]
    return f"{path}?{'&'.join(words)}" if words else path


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Sequence):  # a range, say: JSON has one word for what Python has many for
        return list(value)
    raise TypeError(f"must be what JSON has a word for, found {type(value).__name__}")


def _asked_of_gates(text: str, options: GatesOptions, model: str | None) -> dict[str, object]:
    clamps = [_clamp(clamp) for clamp in options.get("clamps", ())]
    return _named(model, **{"text": text, **options, "clamps": clamps})


def _clamp(clamp: Clamp) -> dict[str, object]:
    """Say it as `ClampRequest` does, and leave it to the service to judge it."""
    return ClampRequest.model_construct(
        signal=clamp.signal,
        layer=clamp.layer,
        units=None if clamp.units is None else list(clamp.units),
        steps=Range.model_construct(start=clamp.start, stop=clamp.stop),
        value=clamp.value,
    ).model_dump()


def _reader(record: type[R]) -> Callable[[bytes], R]:
    return lambda content: read_record(record, content)


def _problem(answer: Answer) -> Problem:
    """Read what is wrong; of what is no problem document, such as the page of a gateway, there is the status."""
    problem = problem_in(answer.content)
    if problem is not None and problem.status == answer.status:
        return problem
    title = http.client.responses.get(answer.status, "Error")
    media_type = answer.headers.get("content-type", "no media type")
    detail = f"answered without a problem document: {len(answer.content)} bytes of {media_type}"
    return Problem(type="about:blank", title=title, status=answer.status, detail=detail)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` says, as a number or as a date beside that of the answer itself."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        later, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (later - now).total_seconds())
    except (ValueError, TypeError):  # the latter of dates with and without a time zone
        return None
