"""Statistics of the hidden units of one layer over many texts, taken in batch by batch.

What happens at the tokens is summed up, in float64, so that it does not matter in how many batches the texts come and
memory does not grow with their number. Of what is left after the last step every value is kept, 4 bytes a unit and
text: ranks need all of them.

Sizes: R texts in all, B texts of a batch, T steps, N tokens of a batch (steps without the padding), V tokens known,
H = hidden_size.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from charlstm.atlas import BINS
from charlstm.config import NEGATIVE, POSITIVE
from charlstm.gates import LayerSignals
from charlstm.glossary import CLOSED, OPEN

GATES: Final = ("forget_gate", "input_gate", "output_gate")

_Float64Array = NDArray[np.float64]


class ReadTokens(NamedTuple):
    """The tokens of a batch of texts: all steps but the padding."""

    token_ids: Tensor  # (N,) of all texts, one after the other
    is_token: Tensor  # (B, T) where in the batch they stand


class Changes(NamedTuple):
    """How each token changes each unit's cell state; not a number where a token stands too rarely."""

    mean: Tensor  # (V, H)
    standard_error: Tensor  # (V, H)


@dataclass(frozen=True)
class TokenStatistics:
    """What the units of a layer did at the tokens read so far.

    Attributes:
        steps: (V,) how many steps read each token.
        changes, squares: (V, H) sums over those steps of c_t - c_(t-1), and of its square.
        gates, closed, open: (3, H) in the order of `GATES`: sum over all tokens, and steps at which it is saturated.
        log_forget: (H,) sum over all tokens of the forget gate's logarithm.
    """

    steps: Tensor
    changes: Tensor
    squares: Tensor
    gates: Tensor
    closed: Tensor
    open: Tensor
    log_forget: Tensor

    @classmethod
    def empty(cls, num_embeddings: int, hidden_size: int, device: torch.device) -> Self:
        """Begin with no texts."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=torch.float64, device=device)

        return cls(
            steps=zeros(num_embeddings),
            changes=zeros(num_embeddings, hidden_size),
            squares=zeros(num_embeddings, hidden_size),
            gates=zeros(len(GATES), hidden_size),
            closed=zeros(len(GATES), hidden_size),
            open=zeros(len(GATES), hidden_size),
            log_forget=zeros(hidden_size),
        )

    def add(self, signals: LayerSignals, read: ReadTokens) -> None:
        """Take a batch in: signals of (B, T, H)."""
        self.steps.add_(torch.bincount(read.token_ids, minlength=len(self.steps)))
        changes = cell_state_changes(signals)[read.is_token].double()  # (N, H)
        self.changes.index_add_(0, read.token_ids, changes)
        self.squares.index_add_(0, read.token_ids, changes.square())
        for index, name in enumerate(GATES):
            values = getattr(signals, name)[read.is_token]  # (N, H)
            self.gates[index] += values.sum(dim=0, dtype=torch.float64)
            self.closed[index] += (values < CLOSED).sum(dim=0)
            self.open[index] += (values > OPEN).sum(dim=0)
        forget_gate = signals.forget_gate[read.is_token].clamp(min=torch.finfo(torch.float32).tiny)  # 0 has no log
        self.log_forget.add_(forget_gate.log().sum(dim=0, dtype=torch.float64))

    def token_changes(self) -> Changes:
        """Give the mean change for each token and unit, and its standard error."""
        count = self.steps.unsqueeze(1)  # (V, 1)
        mean = self.changes / count
        variance = (self.squares - count * mean.square()).clamp(min=0) / (count - 1)
        return Changes(mean, (variance / count).sqrt())


class LastStates:
    """The hidden state of every unit of a layer after the last step of each text.

    Args:
        labels: (R,) 1 for negative.
        hidden_size: H.
    """

    def __init__(self, labels: NDArray[np.int64], hidden_size: int) -> None:
        self.labels = labels
        self.values = np.full((len(labels), hidden_size), np.nan, dtype=np.float32)  # (R, H)

    def add(self, texts: Tensor, values: Tensor) -> None:
        """Take in the (B, H) values of the texts with these (B,) numbers."""
        self.values[texts.cpu().numpy()] = values.cpu().numpy()

    def histogram(self, label: int) -> NDArray[np.int64]:
        """Count the texts of a label in each bin, (H, BINS)."""
        edges = np.linspace(-1.0, 1.0, BINS + 1)
        return np.stack([np.histogram(column, edges)[0] for column in self.values[self.labels == label].T])

    def mean(self, label: int) -> _Float64Array:
        """Give the mean over the texts of a label, (H,)."""
        found: _Float64Array = self.values[self.labels == label].mean(axis=0, dtype=np.float64)
        return found

    def spread(self) -> _Float64Array:
        """Give the standard deviation over all texts, (H,)."""
        found: _Float64Array = self.values.std(axis=0, dtype=np.float64)
        return found

    def separation(self) -> _Float64Array:
        """Give for each unit the probability that a negative text's value is above a positive one's, (H,).

        This is Mann & Whitney's U by the number of pairs. Values that agree to six decimals are equal, and count half:
        a network that reads long padding tells texts apart by less than its arithmetic can.
        """
        ranks = rankdata(self.values.astype(np.float64).round(6), axis=0)  # (R, H)
        negative, positive = (int((self.labels == label).sum()) for label in (NEGATIVE, POSITIVE))
        above = ranks[self.labels == NEGATIVE].sum(axis=0) - negative * (negative + 1) / 2
        found: _Float64Array = above / (negative * positive)
        return found


def cell_state_changes(signals: LayerSignals) -> Tensor:
    """Give c_t - c_(t-1) of every step, (B, T, H), from an empty memory."""
    return signals.cell_state.diff(dim=1, prepend=torch.zeros_like(signals.cell_state[:, :1]))
