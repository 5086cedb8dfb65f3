"""What sessions have read: texts with their memory, as many as there is room for.

Sizes: T steps, H = hidden_size.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from charlstm.encoding import EncodedText
from charlstm.readout import FloatArray
from charlstm.trace import SIGNALS, GateTrace
from service.connection import ServedModel, logits_of, signals_of
from service.protocol import Traced

NOTHING: Final = EncodedText("", token_ids=(), offsets=(), characters=0, unknown=0, truncated=False)
"""How a text is read that holds nothing."""

_STATES = [SIGNALS.index("hidden_state"), SIGNALS.index("cell_state")]  # in the order that the engine wants


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A text as a model has read it.

    Attributes:
        model: Which.
        text: With its padding, if the model reads that.
        signals: (layers, 6, T, H) in the order of `LayerTrace`.
        logits: (T,) after each step, not calibrated.
    """

    model: ServedModel
    text: EncodedText
    signals: FloatArray
    logits: FloatArray

    @classmethod
    def beginning(cls, model: ServedModel) -> Self:
        """Return what a model has read before it reads."""
        layers, hidden_size = model.config.model.num_layers, model.config.model.hidden_size
        signals = np.empty((layers, len(SIGNALS), 0, hidden_size), np.float32)
        return cls(model, NOTHING, signals, np.empty(0, np.float32))

    @property
    def bytes(self) -> int:
        """How much it takes."""
        return self.signals.nbytes + self.logits.nbytes

    def states(self, steps: int) -> FloatArray | None:
        """Return what is remembered after so many steps, as `Inference.read_on` wants it."""
        return self.signals[:, _STATES, steps - 1] if steps else None

    def read_on(self, text: EncodedText, steps: int, answer: Traced | None) -> Self:
        """Return it as it is of another text: so many steps are the same, and the answer, if any, has the rest."""
        signals, logits = self.signals[:, :, :steps], self.logits[:steps]
        if answer is not None:
            signals = np.concatenate((signals, signals_of(answer)), axis=2)
            logits = np.concatenate((logits, logits_of(answer)))
        elif steps < len(self.logits):
            signals, logits = signals.copy(), logits.copy()  # or else the longer text's would stay
        return type(self)(self.model, text, signals, logits)

    def trace(self) -> GateTrace:
        """Judge the text, of at least one step, and show its memory."""
        return self.model.trace_of(self.text, self.signals, self.logits)


class Readings:
    """The last reading of each session, by whatever stands for it.

    Those that were used least recently give way when there is no room, and are read again if they are wanted: that
    takes longer, and the answers are the same.

    Args:
        most_bytes: The room.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[object, Reading] = OrderedDict()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """How much all take."""
        return self._bytes

    def of(self, session: object, model: ServedModel) -> Reading:
        """Return what a model has read for a session: the beginning, if that is not here."""
        reading = self._kept.get(session)
        if reading is None or reading.model.version != model.version:
            return Reading.beginning(model)
        self._kept.move_to_end(session)
        # Two models of one version, a copy under another name, read alike.
        return reading if reading.model is model else replace(reading, model=model)

    def keep(self, session: object, reading: Reading) -> None:
        """Keep it instead of the session's last one, unless there would be no room for it alone."""
        self.drop(session)
        if reading.bytes > self._most_bytes:
            return
        while self._bytes + reading.bytes > self._most_bytes:
            self.drop(next(iter(self._kept)))
        self._kept[session] = reading
        self._bytes += reading.bytes

    def drop(self, session: object) -> None:
        """Keep nothing of a session."""
        if (reading := self._kept.pop(session, None)) is not None:
            self._bytes -= reading.bytes
