"""What `/gates` reads and answers, field by field."""

import math
from typing import Any

from pydantic import Field, FiniteFloat, ValidationInfo, field_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from charlstm.clamp import RANGES, Clamp, SignalName
from charlstm.encoding import Span
from service.existence import check_span
from service.schemas import AnswerRecord, PredictRequest, PredictResponse, RequestRecord
from service.selection import Decimals, Index, Indices, Range, Selection

_MOST_CHANGES = 64  # clamps, or cuts, in a request
Signal = list[list[float]]
PerStep = list[float]


class ClampRequest(RequestRecord):
    """A signal held at a value by force; everything that depends on it follows."""

    signal: SignalName = Field(description="Which signal.", examples=["cell_state"])
    layer: Index = Field(default=0, description="Of which layer, counted from 0 at the bottom.", examples=[0])
    units: Indices | None = Field(default=None, description="Of which units; null is all of them.", examples=[[3]])
    steps: Range | None = Field(default=None, description="At which steps; null is all of them.")
    value: FiniteFloat = Field(
        description="What it is held at: 0 to 1 for a gate, -1 to 1 for the candidate and the hidden state.",
        examples=[0.0],
    )

    @field_validator("value")
    @classmethod
    def _can_be(cls, value: float, info: ValidationInfo) -> float:
        signal: SignalName | None = info.data.get("signal")  # None if that is wrong already
        low, high = (-math.inf, math.inf) if signal is None else RANGES[signal]
        if not low <= value <= high:
            context = {"signal": str(signal), "low": low, "high": high, "value": f"{value:g}"}
            raise PydanticCustomError("range", "must be {low} to {high} for {signal}, found {value}", context)
        return value

    def to_clamp(self) -> Clamp:
        """Say it as the core does."""
        start, stop = (self.steps.start, self.steps.stop) if self.steps is not None else (0, None)
        units = None if self.units is None else tuple(self.units)
        return Clamp(self.signal, self.layer, self.value, units, start, stop)


class GatesRequest(Selection, PredictRequest):
    """One text to judge and to show the memory of: which part of it, and what if something had been otherwise."""

    precision: Decimals | None = None
    clamps: list[ClampRequest] = Field(
        default=[],
        max_length=_MOST_CHANGES,
        fail_fast=True,
        description="What if: signals to hold at a value; where two hold the same, the later one wins.",
    )
    cut: list[Range] = Field(
        default=[],
        max_length=_MOST_CHANGES,
        fail_fast=True,
        description="What if: characters (Unicode code points) to leave out. Offsets still count in the whole text.",
    )

    @property
    def what_if(self) -> dict[str, Any] | None:
        """Say what was otherwise, for the answer; None if nothing was."""
        return self.model_dump(include={"clamps", "cut"}) if self.clamps or self.cut else None

    def spans_to_cut(self) -> list[Span]:
        """Say what to cut out as the core does.

        Raises:
            InvalidFieldError: The text has no such characters.
        """
        length = len(self.text)
        if length:  # otherwise that is what has to be said
            for index, cut in enumerate(self.cut):
                check_span(f"cut[{index}]", (cut.start, cut.stop), length, "characters of the text")
        return [(cut.start, length if cut.stop is None else cut.stop) for cut in self.cut]


class WordShare(AnswerRecord):
    """The share of a word and the space behind it."""

    start: int = Field(description="Where it starts in the text, in Unicode code points from 0.", examples=[0])
    stop: int = Field(description="Where the next one starts.", examples=[5])
    text: str = Field(description="What stands there.", examples=["Worst"])
    share: float = Field(description="Sum of the shares of its steps.", examples=[2.305])


class Contributions(AnswerRecord):
    """Whose doing the answer is: exact shares of the logit, the calibrated log-odds of negative.

    A positive share speaks for negative, a negative one for positive. bias + initial + the sum of steps + residual =
    logit; bias + the sum of units = logit, but for rounding; the words and the padding add up to the steps.
    """

    logit: float = Field(
        description="Calibrated log-odds of negative: its sigmoid is `probabilities.negative`.", examples=[2.284]
    )
    bias: float = Field(description="The share that no text changes.", examples=[-0.021])
    initial: float = Field(description="The share of the memory that the text began with: 0, as it is empty.")
    steps: PerStep = Field(
        description="The share of each step, those of padding too.", examples=[[-0.907, -0.112, 0.111, 1.287, 1.926]]
    )
    padding: float = Field(description="The share of all steps of padding together.", examples=[0.0])
    words: list[WordShare] = Field(description="The shares of words, which divide the text without a gap.")
    units: list[float] = Field(description="The share of each unit of the top layer.")
    residual: float = Field(description="What the shares miss: rounding, or a hidden state held by a clamp.")


class _Layer(AnswerRecord):
    layer: int = Field(description="Which layer, counted from 0 at the bottom.", examples=[0])
    units: list[int] = Field(description="Which units were chosen, in this order.", examples=[[3, 7]])
    steps: list[int] = Field(description="Which steps were chosen, in this order.", examples=[[0, 1, 2]])


class LayerSignals(_Layer):
    """The inner life of one LSTM layer: arrays of steps x units. A signal that was not chosen is absent.

    At each step, elementwise: cell_state = forget_gate * previous cell_state + input_gate * candidate, and
    hidden_state = output_gate * tanh(cell_state). Both states start at 0.
    """

    forget_gate: Signal | SkipJsonSchema[None] = Field(
        default=None, description="Share of the long-term memory that is kept, 0 to 1."
    )
    input_gate: Signal | SkipJsonSchema[None] = Field(
        default=None, description="Share of the candidate that is remembered, 0 to 1."
    )
    candidate: Signal | SkipJsonSchema[None] = Field(
        default=None, description="The potential memory that could be written, -1 to 1."
    )
    output_gate: Signal | SkipJsonSchema[None] = Field(
        default=None, description="Share of the long-term memory that is shown, 0 to 1."
    )
    cell_state: Signal | SkipJsonSchema[None] = Field(
        default=None, description="The long-term memory after the step, unbounded."
    )
    hidden_state: Signal | SkipJsonSchema[None] = Field(
        default=None, description="The short-term memory after the step, -1 to 1."
    )


class SignalSummary(AnswerRecord):
    """A signal at each of the chosen steps, over the chosen units."""

    mean: PerStep = Field(description="Mean of the units.")
    minimum: PerStep = Field(description="The smallest of them.")
    maximum: PerStep = Field(description="The largest of them.")
    norm: PerStep = Field(description="Euclidean norm: the root of the sum of their squares.")


class GateSummary(SignalSummary):
    """A gate at each of the chosen steps, over the chosen units."""

    closed: PerStep = Field(description="Share of the units whose gate is below 0.1.")
    open: PerStep = Field(description="Share of the units whose gate is above 0.9.")


class LayerSummary(_Layer):
    """One LSTM layer in few numbers a step. A signal that was not chosen is absent."""

    half_life: list[float | None] = Field(
        description="After how many steps half of the chosen units' memory would be left, were it forgotten on and on "
        "as it is at this step: -ln 2 / mean of ln(forget_gate). null if nothing is forgotten."
    )
    forget_gate: GateSummary | SkipJsonSchema[None] = Field(default=None, description="As in `LayerSignals`.")
    input_gate: GateSummary | SkipJsonSchema[None] = Field(default=None, description="As in `LayerSignals`.")
    candidate: SignalSummary | SkipJsonSchema[None] = Field(default=None, description="As in `LayerSignals`.")
    output_gate: GateSummary | SkipJsonSchema[None] = Field(default=None, description="As in `LayerSignals`.")
    cell_state: SignalSummary | SkipJsonSchema[None] = Field(default=None, description="As in `LayerSignals`.")
    hidden_state: SignalSummary | SkipJsonSchema[None] = Field(default=None, description="As in `LayerSignals`.")


class About(AnswerRecord):
    """How to read the numbers, so that a saved answer explains itself."""

    label_0: str = Field(description="What label 0 means.", examples=["positive"])
    label_1: str = Field(description="What label 1 means.", examples=["negative"])
    axes: list[str] = Field(description="The axes of each signal in `layers`.", examples=[["step", "unit"]])
    quantities: dict[str, str] = Field(description="What each quantity is, and in which unit of measure.")
    signals: dict[str, str] = Field(description="The article's name of each signal, and what it is.")


class TextTrace(PredictResponse):
    """The sentiment of one text, and how it came to it along the way."""

    text: str = Field(description="The text, as far as it was read.", examples=["Worst"])
    tokens: list[str] = Field(
        description="For each step the token as the model saw it: `<UNK>` if unknown, `<PAD>` for a step of padding.",
        examples=[["w", "o", "r", "s", "t"]],
    )
    token_ids: list[int] = Field(description="Their indices in the vocabulary.", examples=[[15, 8, 10, 14, 6]])
    offsets: list[int | None] = Field(
        description="For each step where its token starts in the text of the request, in Unicode code points from 0; "
        "null for a step of padding.",
        examples=[[0, 1, 2, 3, 4]],
    )
    probability_so_far: PerStep = Field(
        description="P(negative) if the text ended after this step; the last one is `probabilities.negative`.",
        examples=[[0.389, 0.331, 0.230, 0.283, 0.908]],
    )
    contributions: Contributions


class WhatIf(AnswerRecord):
    """What was otherwise than the network and the text would have it."""

    clamps: list[ClampRequest] = Field(description="The signals that were held.")
    cut: list[Range] = Field(description="The characters that were left out.")


class GatesResponse(TextTrace):
    """The sentiment of one text and the memory trace that it comes from, both of one pass."""

    about: About
    what_if: WhatIf | None = Field(description="What the request changed before the text was read; null if nothing.")
    # summaries first: generated clients take the first that fits, and would take a summary for signals
    layers: list[LayerSummary] | list[LayerSignals] = Field(
        description="Each chosen LSTM layer: with all values, or with `detail` summary in few numbers a step."
    )
