"""A signal held by force, to see what the network would have said then. A record only, cheap to import anywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from charlstm.config import ModelConfig

SignalName = Literal["forget_gate", "input_gate", "candidate", "output_gate", "cell_state", "hidden_state"]

_LARGEST_MEMORY: Final = 1_000_000  # a step adds 1 at most, so no text brings a cell state there
RANGES: Final[Mapping[SignalName, tuple[float, float]]] = {
    "forget_gate": (0, 1),
    "input_gate": (0, 1),
    "candidate": (-1, 1),
    "output_gate": (0, 1),
    "cell_state": (-_LARGEST_MEMORY, _LARGEST_MEMORY),
    "hidden_state": (-1, 1),
}
"""What each signal can be."""


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


def check_clamps(clamps: Sequence[Clamp], model: ModelConfig, steps: int) -> None:
    """Refuse what there is not to hold: without a word, it would look as if it did not matter.

    Raises:
        ValueError: There is no such signal, or it cannot have this value.
        IndexError: There is no such layer, unit or step.
    """
    for clamp in clamps:
        if clamp.signal not in RANGES:
            raise ValueError(f"signal must be one of {', '.join(RANGES)}, found {clamp.signal!r}")
        low, high = RANGES[clamp.signal]
        if not low <= clamp.value <= high:
            raise ValueError(f"value must be {low:g} to {high:g} for {clamp.signal}, found {clamp.value:g}")
        _check_index("layer", clamp.layer, model.num_layers)
        for unit in clamp.units or ():
            _check_index("units", unit, model.hidden_size)
        _check_index("start", clamp.start, steps)
        if clamp.stop is not None:
            _check_index("stop", clamp.stop, steps + 1)


def _check_index(name: str, value: int, count: int) -> None:
    if not 0 <= value < count:
        raise IndexError(f"{name} must be 0 to {count - 1}, found {value}")
