"""Which step of which text moved each hidden unit most, and the piece of text around it.

Sizes: B texts, T steps, H = hidden_size, K = how many are kept.
"""

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from charlstm.atlas import Snippet
from charlstm.config import Label

_KEPT: Final = 24  # more than are shown, since several may be paraphrases of one text
_BEFORE, _BEHIND = 30, 12  # characters to show around the step: what was read before is what it acts upon


class StrongestSteps:
    """For each unit of a layer the K texts with the largest change of its cell state at one step, so far."""

    def __init__(self, hidden_size: int, device: torch.device) -> None:
        self._changes = torch.zeros(0, hidden_size, device=device)  # (up to K, H), the largest first
        self._texts = torch.zeros(0, hidden_size, dtype=torch.int64, device=device)  # likewise
        self._steps = torch.zeros(0, hidden_size, dtype=torch.int64, device=device)  # likewise

    def add(self, texts: Tensor, changes: Tensor, is_token: Tensor) -> None:
        """Take a batch in.

        Args:
            texts: (B,) what to call each text.
            changes: (B, T, H) of the cell state.
            is_token: (B, T) False at a step of padding.
        """
        sizes = changes.abs().masked_fill(~is_token.unsqueeze(-1), -1.0)  # padding is never the strongest
        steps = sizes.argmax(dim=1)  # (B, H)
        strongest = changes.gather(1, steps.unsqueeze(1)).squeeze(1)  # (B, H)
        all_changes = torch.cat((self._changes, strongest))  # (K + B, H)
        all_texts = torch.cat((self._texts, texts.unsqueeze(1).expand_as(steps)))
        all_steps = torch.cat((self._steps, steps))
        order = all_changes.abs().argsort(dim=0, descending=True, stable=True)[:_KEPT]  # (K, H)
        self._changes = all_changes.gather(0, order)
        self._texts, self._steps = all_texts.gather(0, order), all_steps.gather(0, order)

    def of_unit(self, unit: int) -> Iterator[tuple[int, int, float]]:
        """Give text, step and change of each of a unit's, the largest change first."""
        columns = (kept[:, unit].tolist() for kept in (self._texts, self._steps, self._changes))
        yield from zip(*columns, strict=True)


def snippet(text: str, offset: int, change: float, label: Label) -> Snippet:
    """Cut out the piece of a text around an offset."""
    start = max(0, offset - _BEFORE)
    return Snippet(text=text[start : offset + _BEHIND], at=offset - start, change=change, label=label)
