"""What a model answers: a prediction, and the memory trace it comes from. NumPy records only, cheap to import anywhere.

In the article's words: the forget gate is the percentage of the long-term memory to keep, the input gate the
percentage of the potential memory to remember, the candidate that potential memory, the output gate the percentage
of the long-term memory to show as short-term memory; the cell state is the long-term memory, the hidden state the
short-term memory.

Sizes: T steps, H = hidden_size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import numpy as np

from charlstm.attribution import Attribution, attribute
from charlstm.clamp import Clamp, SignalName
from charlstm.config import LABELS, NEGATIVE, POSITIVE, Label
from charlstm.encoding import EncodedText, Span
from charlstm.readout import FloatArray, Readout

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure  # type: ignore[import-untyped]  # it ships no types


class LayerTrace(NamedTuple):
    """What one LSTM layer did at every step of one text: six arrays of shape (T, H)."""

    forget_gate: FloatArray
    input_gate: FloatArray
    candidate: FloatArray
    output_gate: FloatArray
    cell_state: FloatArray
    hidden_state: FloatArray


SIGNALS: Final = LayerTrace._fields

_LONGEST_SHOWN: Final = 40  # characters of a text in a line


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one text.

    Attributes:
        probability_negative: P(negative), 0 to 1, calibrated.
        characters: How many characters of the text were read.
        unknown_characters: How many of the tokens read the vocabulary does not know.
        truncated: Whether the text was cut to the model's limit.
    """

    probability_negative: float
    characters: int
    unknown_characters: int
    truncated: bool

    @classmethod
    def of(cls, text: EncodedText, probability_negative: float) -> Self:
        """Say how a text was judged that was read in this way."""
        return cls(probability_negative, text.characters, text.unknown, text.truncated)

    @property
    def label(self) -> Label:
        """The more probable label, `negative` or `positive`."""
        return LABELS[NEGATIVE if self.probability_negative >= 0.5 else POSITIVE]

    @property
    def probability(self) -> float:
        """The probability of `label`, 0.5 to 1."""
        return max(self.probability_negative, 1.0 - self.probability_negative)


@dataclass(frozen=True, slots=True, repr=False)
class GateTrace:
    """One text's way through the network, and the prediction at its end, both of one pass.

    Attributes:
        prediction: What the model says of the text.
        text: As it was given, as far as it was read.
        tokens: The T tokens as the model saw them; unknown ones are `<UNK>`.
        token_ids: Their indices in the vocabulary.
        offsets: For each step the index in the original text where its token starts; None for a step of padding.
        layers: For each LSTM layer, from the bottom up, six arrays of shape (T, H).
        probability_so_far: (T,) P(negative) if the text ended after this step. The last one is the prediction.
        attribution: The share of each step, and of each unit of the top layer, in the prediction.
    """

    prediction: Prediction
    text: str
    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    offsets: tuple[int | None, ...]
    layers: tuple[LayerTrace, ...]
    probability_so_far: FloatArray
    attribution: Attribution

    @classmethod
    def of(
        cls, text: EncodedText, tokens: Sequence[str], signals: FloatArray, logits: FloatArray, readout: Readout
    ) -> Self:
        """Put together what the network did with a text.

        Args:
            text: As it was read, with its padding if the model reads that.
            tokens: The T tokens of it.
            signals: (layers, 6, T, H) in the order of `LayerTrace`.
            logits: (T,) after each step, not calibrated.
            readout: Of the network.
        """
        layers = tuple(LayerTrace(*layer) for layer in signals)
        probability_so_far = readout.probabilities(logits)
        return cls(
            prediction=Prediction.of(text, float(probability_so_far[-1])),
            text=text.text,
            tokens=tuple(tokens),
            token_ids=text.token_ids,
            offsets=text.offsets,
            layers=layers,
            probability_so_far=probability_so_far,
            attribution=_attribute(readout, layers[-1], float(logits[-1])),
        )

    def __repr__(self) -> str:
        """Say in one line what was read, what came out, and how large the trace is."""
        shown = self.text if len(self.text) <= _LONGEST_SHOWN else self.text[: _LONGEST_SHOWN - 1] + "…"
        steps, units = self.layers[-1].cell_state.shape
        answer = f"label={self.prediction.label!r}, probability={self.prediction.probability:.4f}"
        return f"{type(self).__name__}({shown!r}, {answer}, steps={steps}, units={units}, layers={len(self.layers)})"

    def _repr_html_(self) -> str:
        """Show the answer and the coloured text in a notebook."""
        from charlstm.notebook import snippet  # noqa: PLC0415  of this trace, so it is above this module

        return snippet(self)

    def signal(self, name: SignalName, layer: int = -1) -> FloatArray:
        """Return one signal of one layer, (T, H).

        Args:
            name: Which of `SIGNALS`.
            layer: Counted as Python does: 0 is the bottom one, -1 the top one.

        Raises:
            ValueError: There is no such signal.
            IndexError: There is no such layer.
        """
        if name not in SIGNALS:
            raise ValueError(f"signal must be one of {', '.join(SIGNALS)}, found {name!r}")
        if not -len(self.layers) <= layer < len(self.layers):
            raise IndexError(f"layer must be below {len(self.layers)}, found {layer}")
        signal: FloatArray = getattr(self.layers[layer], name)
        return signal

    def frame(self, signal: SignalName | None = None, layer: int = -1) -> "pd.DataFrame":
        """Return a pandas data frame with a row a step; its `attrs` say what it is of. Needs the extra `plots`.

        Args:
            signal: None for the columns `token`, `offset`, `probability_so_far`, `share`, and the mean of each signal
                over the units of each layer, as in `layer_0.forget_gate`; or the signal to return, a column a unit.
            layer: Of the signal; -1 is the top one.

        Raises:
            MissingPackageError: pandas is not installed.
            ValueError: There is no such signal.
            IndexError: There is no such layer.
        """
        from charlstm.frame import frame  # noqa: PLC0415  an extra

        return frame(self, signal, layer)

    def figure(self, signal: SignalName = "cell_state", layer: int = -1) -> "Figure":
        """Draw the probability along the text, the shares, one signal of every unit, and the gates' means.

        Needs the extra `plots`.

        Args:
            signal: Of the heat map.
            layer: Of the heat map and of the gates; -1 is the top one.

        Raises:
            MissingPackageError: Plotly is not installed.
            ValueError: There is no such signal.
            IndexError: There is no such layer.
        """
        from charlstm.figure import figure  # noqa: PLC0415  whoever only reads the numbers does not wait for it

        return figure(self, signal, layer)

    def to_html(self, model: str = "", left_out: Sequence[Span] = (), clamps: Sequence[Clamp] = ()) -> str:
        """Return a page of its own, for any browser, that needs no network. Needs the extra `plots`.

        Args:
            model: What to call the model on it.
            left_out: Spans of the text that were not read.
            clamps: What was held by force. A trace does not know that; whoever held it says so, and the page tells it.

        Raises:
            MissingPackageError: Plotly is not installed.
        """
        from charlstm.views import to_html  # noqa: PLC0415  likewise

        return to_html(self, model, left_out, clamps)


def _attribute(readout: Readout, top: LayerTrace, logit: float) -> Attribution:
    empty = np.zeros_like(top.cell_state[:1])  # (1, H): what every text begins with
    cell_states = np.concatenate((empty, top.cell_state))  # (T + 1, H)
    return attribute(readout, cell_states, top.output_gate[-1], top.hidden_state[-1], logit)
