"""What a live session answers: the documents of `/gates`, with the rows of its last steps alone."""

from collections.abc import Hashable
from typing import Final

from charlstm.trace import GateTrace
from service.answers import prediction_response
from service.gates_answers import Document, contributions_document, layer_documents
from service.live_schemas import View
from service.schemas import ModelName
from service.selection import Chosen

_NOTHING: Final[Document] = {
    "label": None,
    "probability": None,
    "probabilities": None,
    "characters": 0,
    "unknown_characters": 0,
    "truncated": False,
}


class LiveAnswer:
    """What a view shows of a trace.

    Args:
        traced: A prediction and its whole trace.
        model: What they come from.
        view: What is asked for.

    Raises:
        InvalidFieldError: The trace has not what is asked for.
    """

    def __init__(self, traced: GateTrace, model: ModelName, view: View) -> None:
        self._traced = traced
        self._model = model
        self._precision = view.precision
        self._selection = view.selection
        self._chosen = None if self._selection is None else self._selection.of(traced)

    @property
    def layout(self) -> Hashable:
        """What is in the rows of `layers`: they can be put behind others only if it is the same in those."""
        if self._selection is None or self._chosen is None:
            return None
        columns = tuple((layer, tuple(units.tolist())) for layer, units in self._chosen.layers)
        return self._selection.detail, self._precision, tuple(self._selection.chosen_signals), columns

    def document(self, start: int) -> Document:
        """Answer with the steps from this one on."""
        trace = self._traced
        document = {
            "start": start,
            "tokens": trace.tokens[start:],
            "token_ids": trace.token_ids[start:],
            "offsets": trace.offsets[start:],
            "probability_so_far": trace.probability_so_far[start:],
            "contributions": contributions_document(trace),
            **prediction_response(self._model, self._traced.prediction).model_dump(),
        }
        if self._selection is not None and self._chosen is not None:
            rows = Chosen(self._chosen.steps[start:], self._chosen.layers)
            document["layers"] = layer_documents(trace, self._selection, rows)
        return document


def empty_document(model: ModelName, view: View) -> Document:
    """Answer for a text that holds nothing to read yet."""
    steps: Document = {"start": 0, "tokens": [], "token_ids": [], "offsets": [], "probability_so_far": []}
    layers: Document = {} if view.selection is None else {"layers": []}
    return steps | layers | {"contributions": None} | _NOTHING | {"model": model.model_dump()}
