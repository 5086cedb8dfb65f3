"""From a trace to what goes out: documents of plain values and NumPy arrays, which `forms` writes down.

Sizes: T steps, H = hidden_size.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charlstm.attribution import share_by_word
from charlstm.config import LABELS, NEGATIVE, POSITIVE
from charlstm.glossary import GATES, GLOSSARY
from charlstm.readout import FloatArray
from charlstm.summary import half_life, summarize, summarize_gate
from charlstm.trace import GateTrace, LayerTrace
from service.answers import prediction_response
from service.schemas import ModelName
from service.selection import Chosen, ChosenUnits, Detail, Numbers, Selection

Document = dict[str, Any]

ALL: Final = Selection()

_AXES: Final[Mapping[Detail, list[str]]] = {"full": ["step", "unit"], "summary": ["step"]}
_QUANTITIES: Final = {
    "probability_so_far": "P(negative), 0 to 1, if the text ended after this step",
    "offsets": "Unicode code points of the text, from 0; none (in npz -1) for a step of padding",
    "logit": "calibrated log-odds of negative, in nats: sigmoid(logit) = P(negative)",
    "share": "part of the logit, in nats: positive speaks for negative, negative for positive",
    "half_life": "steps; none (in npz infinity) if nothing is forgotten",
}
_SIGNALS: Final = {name: f"{term.article_name}: {term.meaning}" for name, term in GLOSSARY.items()}


def gates_document(
    trace: GateTrace, model: ModelName, selection: Selection = ALL, what_if: Document | None = None
) -> Document:
    """Answer as `GatesResponse` says.

    Args:
        trace: Of the text.
        model: What it comes from.
        selection: What is shown of it.
        what_if: What was otherwise, as `WhatIf` says; None if nothing was.

    Raises:
        InvalidFieldError: The trace has not what is asked for.
    """
    about = {
        "label_0": LABELS[POSITIVE],
        "label_1": LABELS[NEGATIVE],
        "axes": _AXES[selection.detail],
        "quantities": _QUANTITIES,
        "signals": _SIGNALS,
    }
    layers = layer_documents(trace, selection, selection.of(trace))
    return trace_document(trace, model) | {"about": about, "what_if": what_if, "layers": layers}


def trace_document(trace: GateTrace, model: ModelName) -> Document:
    """Answer as `TextTrace` says."""
    return prediction_response(model, trace.prediction).model_dump() | {
        "text": trace.text,
        "tokens": trace.tokens,
        "token_ids": trace.token_ids,
        "offsets": trace.offsets,
        "probability_so_far": trace.probability_so_far,
        "contributions": contributions_document(trace),
    }


def contributions_document(trace: GateTrace) -> Document:
    """Answer as `Contributions` says."""
    shares = trace.attribution
    words, padding = share_by_word(trace.text, trace.offsets, shares.steps)
    return {
        "logit": shares.logit,
        "bias": shares.bias,
        "initial": shares.initial,
        "steps": shares.steps,
        "padding": padding,
        "words": [word._asdict() | {"text": trace.text[word.start : word.stop]} for word in words],
        "units": shares.units,
        "residual": shares.residual,
    }


def layer_documents(trace: GateTrace, selection: Selection, chosen: Chosen) -> list[Document]:
    """Answer as `LayerSignals` or `LayerSummary` says, for each layer that was chosen."""
    describe = _full if selection.detail == "full" else _summary
    names = selection.chosen_signals
    return [
        {"layer": columns.layer, "units": columns.units, "steps": chosen.steps}
        | describe(trace.layers[columns.layer], names, chosen.steps, columns)
        for columns in chosen.layers
    ]


def _full(layer: LayerTrace, names: Sequence[str], steps: Numbers, columns: ChosenUnits) -> Document:
    return {name: _part(getattr(layer, name), steps, columns.units) for name in names}


def _summary(layer: LayerTrace, names: Sequence[str], steps: Numbers, columns: ChosenUnits) -> Document:
    document: Document = {"half_life": half_life(_part(layer.forget_gate, steps, columns.units))}
    for name, values in _full(layer, names, steps, columns).items():
        document[name] = (summarize_gate(values) if name in GATES else summarize(values))._asdict()
    return document


def _part(values: FloatArray, rows: Numbers, columns: Numbers) -> FloatArray:
    """Return these rows and columns, without copying if they are all of them in order."""
    if _is_all(rows, values.shape[0]) and _is_all(columns, values.shape[1]):
        return values
    return values[np.ix_(rows, columns)]


def _is_all(numbers: NDArray[np.intp], count: int) -> bool:
    return len(numbers) == count and bool((numbers == np.arange(count)).all())
