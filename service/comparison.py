"""Two texts held against each other: where they part, and what turned the answer.

They are aligned token by token by the Levenshtein distance (RapidFuzz), so what is equal is what the model sees as
equal. Sizes: T steps, P pairs of equal steps.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.trace import SIGNALS, GateTrace, LayerTrace
from service.answers import model_name
from service.comparison_schemas import Kind
from service.gates_answers import Document, trace_document
from service.results import TracedPair

_KINDS: Final[dict[str, Kind]] = {
    "equal": "equal",
    "replace": "replaced",
    "delete": "deleted",
    "insert": "inserted",
}

StepSpan = tuple[int, int]  # [start, stop)


class Segment(NamedTuple):
    """A run of steps that both texts share, or in which they differ; on one side it may be empty."""

    kind: Kind
    first: StepSpan
    second: StepSpan


def align(first: Sequence[int], second: Sequence[int]) -> list[Segment]:
    """Find a shortest way from one row of token ids to another; its segments hold every step of both, in order."""
    from rapidfuzz.distance import Levenshtein  # noqa: PLC0415  megabytes that a worker may never need

    return [
        Segment(_KINDS[part.tag], (part.src_start, part.src_end), (part.dest_start, part.dest_end))
        for part in Levenshtein.opcodes(first, second)
    ]


def compare_document(pair: TracedPair) -> Document:
    """Answer as `CompareResponse` says. Takes milliseconds for a few hundred steps: not for the event loop."""
    one, other, model = pair.first.trace(), pair.second.trace(), model_name(pair.first)
    aligned = align(one.token_ids, other.token_ids)
    segments = [_segment(segment, one, other) for segment in aligned]
    pairs = np.array(list(_pairs(aligned)), np.intp).reshape(-1, 2)  # (P, 2)
    return {
        "first": trace_document(one, model),
        "second": trace_document(other, model),
        "parts_at": _parting(one.token_ids, other.token_ids),
        "logit_difference": other.attribution.logit - one.attribution.logit,
        "segments": segments,
        "turned_by": sorted(range(len(segments)), key=lambda index: -abs(segments[index]["difference"])),
        "pairs": pairs,
        "signals": [
            {"layer": index} | _distances(layers, pairs)
            for index, layers in enumerate(zip(one.layers, other.layers, strict=True))
        ],
    }


def _pairs(segments: Sequence[Segment]) -> Iterator[tuple[int, int]]:
    for segment in segments:
        if segment.kind == "equal":
            yield from zip(range(*segment.first), range(*segment.second), strict=True)


def _parting(first: Sequence[int], second: Sequence[int]) -> Document | None:
    if first == second:
        return None
    shared = next((step for step, (one, other) in enumerate(zip(first, second, strict=False)) if one != other), None)
    step = min(len(first), len(second)) if shared is None else shared
    return {"first": step, "second": step}


def _segment(segment: Segment, one: GateTrace, other: GateTrace) -> Document:
    first, second = _side(one, segment.first), _side(other, segment.second)
    return {"kind": segment.kind, "first": first, "second": second, "difference": second["share"] - first["share"]}


def _side(trace: GateTrace, span: StepSpan) -> Document:
    start, stop = span
    text = trace.text[_place(trace, start) : _place(trace, stop)]
    return {"start": start, "stop": stop, "text": text, "share": float(trace.attribution.steps[start:stop].sum())}


def _place(trace: GateTrace, step: int) -> int:
    """Return where in the text a step starts; its end for a step of padding, and for the one behind the last."""
    offset = trace.offsets[step] if step < len(trace.offsets) else None
    return len(trace.text) if offset is None else offset


def _distances(layers: tuple[LayerTrace, LayerTrace], pairs: NDArray[np.intp]) -> Document:
    """Return, for each signal, (P,) the root mean square over the units of how far it is apart."""
    one, other = layers
    differences = {
        name: getattr(other, name)[pairs[:, 1]] - getattr(one, name)[pairs[:, 0]]  # (P, H)
        for name in SIGNALS
    }
    return {name: np.sqrt(np.mean(np.square(values), axis=1)) for name, values in differences.items()}
