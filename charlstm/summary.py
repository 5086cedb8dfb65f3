"""A trace in few numbers: each signal's mean, range and norm at every step, and which units matter most. NumPy only.

Sizes: T steps, U units, H = hidden_size.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.glossary import CLOSED, GATES, OPEN
from charlstm.readout import FloatArray
from charlstm.trace import GateTrace, LayerTrace

Ranking = Literal["share", "variance", "saturation"]


class SignalSummary(NamedTuple):
    """One signal of some units at each step: arrays of shape (T,).

    Attributes:
        mean, minimum, maximum: Over the units.
        norm: Euclidean, over the units.
    """

    mean: FloatArray
    minimum: FloatArray
    maximum: FloatArray
    norm: FloatArray


class GateSummary(NamedTuple):
    """One gate of some units at each step: arrays of shape (T,).

    Attributes:
        mean, minimum, maximum, norm: As in `SignalSummary`.
        closed: Share of the units whose gate is below 0.1.
        open: Share of the units whose gate is above 0.9.
    """

    mean: FloatArray
    minimum: FloatArray
    maximum: FloatArray
    norm: FloatArray
    closed: FloatArray
    open: FloatArray


def summarize(values: FloatArray) -> SignalSummary:
    """Summarize one signal, (T, U), over at least one unit."""
    return SignalSummary(values.mean(axis=1), values.min(axis=1), values.max(axis=1), np.linalg.norm(values, axis=1))


def summarize_gate(values: FloatArray) -> GateSummary:
    """Summarize one gate, (T, U), over at least one unit."""
    closed = (values < CLOSED).mean(axis=1, dtype=np.float32)
    opened = (values > OPEN).mean(axis=1, dtype=np.float32)
    return GateSummary(*summarize(values), closed, opened)


def half_life(forget_gate: FloatArray) -> FloatArray:
    """Say for how many steps the memory would last, if it went on being forgotten as it is at each step.

    Args:
        forget_gate: (T, U) of at least one unit.

    Returns:
        (T,) the steps after which half of the memory is left, at the geometric mean of the units' gates; infinity where
        nothing is forgotten.
    """
    never_zero = np.maximum(forget_gate, np.finfo(np.float32).tiny).astype(np.float64)
    decay = np.abs(np.log(never_zero).mean(axis=1))  # (T,) of the memory's logarithm in a step
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(2) / decay, np.float32)


def saturation(layer: LayerTrace) -> NDArray[np.float64]:
    """Return (H,) the share of a unit's gates, over all three and all steps, that are nearly closed or nearly open."""
    gates = np.stack([getattr(layer, name) for name in GATES])  # (3, T, H)
    return np.asarray(((gates < CLOSED) | (gates > OPEN)).mean(axis=(0, 1)))


def rank_units(trace: GateTrace, layer: int, by: Ranking) -> NDArray[np.intp]:
    """Order the units of a layer, the foremost first, and equal ones by their number.

    Args:
        trace: Of one text.
        layer: Which, from 0 at the bottom.
        by: `share`: how much of the logit hangs on the unit, whichever way it pushes; only in the top layer, which
            the readout sees. `variance`: how much its long-term memory varies along the text. `saturation`: how
            often its gates are nearly closed or nearly open.

    Returns:
        (H,) their numbers.

    Raises:
        ValueError: Shares are asked for of a layer below the top.
    """
    if by == "share" and layer != len(trace.layers) - 1:
        raise ValueError(f"only units of the top layer, {len(trace.layers) - 1}, have a share, found layer {layer}")
    signals = trace.layers[layer]
    if by == "share":
        measure = np.abs(trace.attribution.units)
    elif by == "variance":
        measure = signals.cell_state.var(axis=0, dtype=np.float64)
    else:
        measure = saturation(signals)
    return np.argsort(-measure, kind="stable")
