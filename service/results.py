"""What comes back from the engine, as the routes see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from charlstm.config import Precision
from charlstm.encoding import EncodedText, Span
from charlstm.trace import GateTrace, Prediction
from service.connection import ServedModel, logits_of, signals_of
from service.protocol import Traced


@dataclass(frozen=True, slots=True)
class Judged:
    """What came out for some texts.

    Attributes:
        model: What judged them.
        predictions: One a text, in their order.
        waited, took: Seconds in the engine's queue, and from the first step to the last.
    """

    model: ServedModel
    predictions: list[Prediction]
    waited: float
    took: float

    @property
    def precision(self) -> Precision:
        """The arithmetic that they come from."""
        return self.model.precision


@dataclass(frozen=True, slots=True, eq=False)
class TracedText:
    """What came out for one text, and how.

    Attributes:
        model: What read it.
        text: As it was read, with its padding if the model reads that.
        left_out: Spans of it that were not read.
        answer: The engine's.
    """

    model: ServedModel
    text: EncodedText
    left_out: Sequence[Span]
    answer: Traced

    @property
    def precision(self) -> Precision:
        """The arithmetic that it comes from."""
        return "float32"

    @property
    def waited(self) -> float:
        """Seconds in the engine's queue."""
        return self.answer.waited

    @property
    def took(self) -> float:
        """Seconds from the first step to the last."""
        return self.answer.took

    def trace(self) -> GateTrace:
        """Put together the prediction and its memory, both of one pass, and the shares; not for the event loop."""
        return self.model.trace_of(self.text, signals_of(self.answer), logits_of(self.answer))


class TracedPair(NamedTuple):
    """Two texts that the same model read."""

    first: TracedText
    second: TracedText

    @property
    def slower(self) -> TracedText:
        """The one that was waited for; they were read at the same time."""
        return max(self, key=lambda traced: traced.waited + traced.took)


class Occluded(NamedTuple):
    """What came out for a text, and for what is left of it without each of its words.

    Attributes:
        judged: The whole text alone.
        text: As it was given, as far as it was read.
        words: Spans of it, which divide it without a gap.
        without: P(negative) without each of them; None if nothing is left to read.
    """

    judged: Judged
    text: str
    words: list[Span]
    without: list[float | None]
