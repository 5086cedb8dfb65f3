"""A signal held by force, to see what the network would have said then. A record only, cheap to import anywhere."""

from dataclasses import dataclass
from typing import Literal

SignalName = Literal["forget_gate", "input_gate", "candidate", "output_gate", "cell_state", "hidden_state"]


@dataclass(frozen=True, slots=True)
class Clamp:
    """One signal of some units held at a value for some steps, whatever the network would make of it.

    Everything that depends on it follows: a forget gate held at 0 empties the memory from there on, a hidden state
    held at 0 hides a unit from the next step and from the layer above.

    Attributes:
        signal: Which.
        layer: Of which layer, from 0 at the bottom.
        value: What it is held at.
        units: Of which units; None is all of them.
        start, stop: For which steps, [start, stop); a stop of None is to the end.
    """

    signal: SignalName
    layer: int
    value: float
    units: tuple[int, ...] | None = None
    start: int = 0
    stop: int | None = None
