"""Whose doing a prediction is: the exact share that each step, and each unit, has in the logit.

The last hidden state is h_T = o_T * tanh(c_T), and tanh(c_T) is what it was at the start plus everything by which the
steps have changed it. So a linear readout of h_T is a sum with one term for each step (after Murdoch & Szlam, 2017, in
its sum form):

    logit = bias + weight . (o_T * tanh(c_0)) + sum over t of weight . (o_T * (tanh(c_t) - tanh(c_(t-1))))

Nothing is approximated; what is left over is rounding. All shares are in units of the calibrated log-odds: their sum's
sigmoid is P(negative), and a positive share speaks for negative.

Sizes: T steps, H = hidden_size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.readout import FloatArray, Readout
from charlstm.text import word_spans

Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """A logit taken apart.

    bias + initial + sum(steps) + residual = logit, and bias + sum(units) = logit but for rounding.

    Attributes:
        logit: The calibrated log-odds of negative.
        bias: The readout's, which no text changes.
        initial: The share of the memory that the text began with: 0 where that is empty.
        steps: (T,) the share of each step, padding included.
        units: (H,) the share of each unit of the top layer.
    """

    logit: float
    bias: float
    initial: float
    steps: Shares
    units: Shares

    @property
    def residual(self) -> float:
        """What the shares miss: rounding, or a hidden state that was held by force."""
        return self.logit - self.bias - self.initial - float(self.steps.sum())


class WordShare(NamedTuple):
    """The share of a word and the space behind it: `text[start:stop]`."""

    start: int
    stop: int
    share: float


def attribute(
    readout: Readout, cell_states: FloatArray, output_gate: FloatArray, hidden_state: FloatArray, logit: float
) -> Attribution:
    """Take the logit of a text apart.

    Args:
        readout: Of the network.
        cell_states: (T + 1, H) the top layer's cell state at the start and after each step.
        output_gate: (H,) the top layer's at the last step.
        hidden_state: (H,) likewise.
        logit: As the network gave it, not calibrated.
    """
    weight = readout.weight.astype(np.float64) / readout.temperature  # (H,)
    through = np.tanh(cell_states.astype(np.float64)) @ (weight * output_gate)  # (T + 1,)
    return Attribution(
        logit=logit / readout.temperature,
        bias=readout.bias / readout.temperature,
        initial=float(through[0]),
        steps=np.diff(through),
        units=weight * hidden_state,
    )


def share_by_word(text: str, offsets: Sequence[int | None], steps: Shares) -> tuple[list[WordShare], float]:
    """Add up the shares of the steps that read each word of a text.

    Args:
        text: As it was given.
        offsets: Where each step's token starts in it; None for padding.
        steps: (T,) the share of each.

    Returns:
        The words, which divide the text between them without a gap, and the share of the padding.
    """
    spans = word_spans(text)
    starts = [start for start, _ in spans]
    sums = np.zeros(len(spans) + 1)
    known = [-1 if offset is None else offset for offset in offsets]
    places = np.searchsorted(starts, known, side="right") - 1  # (T,), -1 for padding: the last sum
    np.add.at(sums, places, steps)
    words = [WordShare(start, stop, float(share)) for (start, stop), share in zip(spans, sums, strict=False)]
    return words, float(sums[-1])
