"""A signal held by force, to see what the network would have said then. A record only, cheap to import anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from charlstm.config import ModelConfig

SignalName = Literal["forget_gate", "input_gate", "candidate", "output_gate", "cell_state", "hidden_state"]

_SIGNALS: Final[tuple[SignalName, ...]] = get_args(SignalName)


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


def check_clamps(clamps: Sequence[Clamp], model: ModelConfig) -> None:
    """Refuse what there is not to hold: without a word, it would look as if it did not matter.

    Raises:
        ValueError: There is no such signal.
        IndexError: There is no such layer or unit.
    """
    for clamp in clamps:
        if clamp.signal not in _SIGNALS:
            raise ValueError(f"signal must be one of {', '.join(_SIGNALS)}, found {clamp.signal!r}")
        if not 0 <= clamp.layer < model.num_layers:
            raise IndexError(f"layer must be 0 to {model.num_layers - 1}, found {clamp.layer}")
        for unit in clamp.units or ():
            if not 0 <= unit < model.hidden_size:
                raise IndexError(f"units must be 0 to {model.hidden_size - 1}, found {unit}")
