"""A live session without its socket: what a client says, and what it knows after each answer."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypedDict

from pydantic import ValidationError

from charlstm.clamp import SignalName
from service.client.calls import Indices, problem_in, to_json
from service.client.errors import ProblemError, UnexpectedAnswerError, error_of
from service.live_schemas import LiveResponse, Shown
from service.selection import Foremost, Range

_ROWS: Final = ("tokens", "token_ids", "offsets", "probability_so_far")  # one for each step
_NO_ROWS: Final = frozenset({"layer", "units"})  # of a layer


class ViewOptions(TypedDict, total=False):
    """What answers show of the memory, as in `/gates`; each stays until it is changed."""

    detail: Shown
    signals: Sequence[SignalName]
    layers: Indices
    units: Indices | Range | Foremost
    precision: int


class Edit(NamedTuple):
    """One message.

    Attributes:
        message: As it is sent.
        text: What the text is afterwards.
    """

    message: str
    text: str


class Conversation:
    """What was said in a live session, and what came of it.

    Args:
        model: Which model to speak with; None leaves that to the service.
        view: What answers show.

    Attributes:
        text: What the service has read.
    """

    def __init__(self, model: str | None, view: ViewOptions) -> None:
        self.text = ""
        self._unsaid: Mapping[str, object] = {**view} if model is None else {"model": model, **view}
        self._whole: Mapping[str, Any] | None = None

    @property
    def whole(self) -> LiveResponse | None:
        """The last answer as if it told of every step, with a `start` of 0; None before the first."""
        return None if self._whole is None else LiveResponse.model_validate(self._whole)

    def edit(self, text: str, back: int, view: ViewOptions) -> Edit:
        """Take characters off the text's end, and put others there.

        Raises:
            ValueError: There are not so many. The service would say so, too, but a negative number ends the session.
        """
        here = len(self.text)
        if not 0 <= back <= here:
            raise ValueError(f"back must be 0 to {here}, the characters of the text, found {back}")
        message = {"back": back, "text": text, **self._unsaid, **view}
        return Edit(to_json(message).decode(), self.text[: here - back] + text)

    def rewrite(self, text: str, view: ViewOptions) -> Edit:
        """Make it another text, by the shortest edit of its end."""
        pairs = zip(self.text, text, strict=False)
        shorter = min(len(self.text), len(text))
        same = next((place for place, (old, new) in enumerate(pairs) if old != new), shorter)
        return self.edit(text[same:], len(self.text) - same, view)

    def hear(self, edit: Edit, document: str | bytes) -> LiveResponse:
        """Take in the answer to an edit.

        Raises:
            ProblemError: The service has not made the edit, and everything is as it was.
            UnexpectedAnswerError: This service gives no such answer.
        """
        try:
            answer = json.loads(document)
            if "problem" in answer:
                raise _problem(answer["problem"])
            response = LiveResponse.model_validate(answer, extra="ignore")
            whole = _joined(self._whole or {}, answer)
        except (ValidationError, ValueError, TypeError, KeyError, IndexError):
            raise UnexpectedAnswerError("must be an answer of a live session, found something else") from None
        self.text, self._whole, self._unsaid = edit.text, whole, {}
        return response


def _problem(document: dict[str, Any]) -> ProblemError:
    problem = problem_in(json.dumps(document).encode())
    if problem is None:
        raise ValueError("no problem document")
    return error_of(problem, document.get("retry_after"))


def _joined(known: Mapping[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Put the rows of an answer behind those before its first step."""
    start = answer["start"]
    rows = {name: _behind(known.get(name), answer[name], start) for name in _ROWS}
    if answer.get("layers"):
        old = known["layers"] if start else [{}] * len(answer["layers"])
        rows["layers"] = [_joined_layer(*layers, start) for layers in zip(old, answer["layers"], strict=True)]
    return answer | rows | {"start": 0}


def _joined_layer(known: Mapping[str, Any], layer: dict[str, Any], start: int) -> dict[str, Any]:
    rows = {name: _behind(known.get(name), value, start) for name, value in layer.items() if name not in _NO_ROWS}
    return layer | rows


def _behind(known: Any, new: Any, start: int) -> Any:
    """Join rows, or in an object, such as a signal's summary, all that it has of them."""
    if isinstance(new, dict):
        return {name: _behind(known and known[name], value, start) for name, value in new.items()}
    if len(known or ()) < start:
        raise ValueError("rows are missing before these")
    return [*(known or ())[:start], *new]
