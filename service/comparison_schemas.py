"""What `/gates/compare` and `/gates/occlusion` read and answer, field by field."""

from typing import Literal

from pydantic import Field

from service.gates_schemas import PerStep, TextTrace
from service.schemas import AnswerRecord, ModelRequest, PredictResponse, Probabilities

Kind = Literal["equal", "replaced", "deleted", "inserted"]


class CompareRequest(ModelRequest):
    """Two texts to judge and to hold against each other."""

    first: str = Field(description="A text, as in `/predict`.", examples=["I love it"])
    second: str = Field(description="Another.", examples=["I loved it"])
    truncate: bool = Field(
        default=False, description="Whether texts over the model's limit are cut at their end instead of refused."
    )


class Place(AnswerRecord):
    """A step of each text."""

    first: int = Field(description="In the first text.", examples=[6])
    second: int = Field(description="In the second text.", examples=[6])


class SegmentSide(AnswerRecord):
    """A run of steps in one of the texts; it may be empty."""

    start: int = Field(description="The first step.", examples=[0])
    stop: int = Field(description="The step behind the last.", examples=[6])
    text: str = Field(description="What they read; nothing for steps of padding.", examples=["I love"])
    share: float = Field(description="Their share of the logit.", examples=[-1.331])


class Segment(AnswerRecord):
    """A run of steps that both texts share, or in which they differ."""

    kind: Kind = Field(description="`equal`, or what turns the first text into the second.", examples=["equal"])
    first: SegmentSide
    second: SegmentSide
    difference: float = Field(description="The second's share less the first's.", examples=[0.154])


class LayerDifference(AnswerRecord):
    """How far a layer was apart at each of `pairs`: the root mean square, over the units, of the difference."""

    layer: int = Field(description="Which layer, counted from 0 at the bottom.", examples=[0])
    forget_gate: PerStep = Field(description="Of the forget gates.")
    input_gate: PerStep = Field(description="Of the input gates.")
    candidate: PerStep = Field(description="Of the candidates.")
    output_gate: PerStep = Field(description="Of the output gates.")
    cell_state: PerStep = Field(description="Of the cell states, the long-term memories.")
    hidden_state: PerStep = Field(description="Of the hidden states, the short-term memories.")


class CompareResponse(AnswerRecord):
    """Two texts held against each other: where they part, and what turned the answer."""

    first: TextTrace
    second: TextTrace
    parts_at: Place | None = Field(description="The first step where their tokens differ; null if there is none.")
    logit_difference: float = Field(
        description="The second's log-odds of negative less the first's: the sum of the segments' differences.",
        examples=[0.099],
    )
    segments: list[Segment] = Field(description="The shortest way from the one text to the other, token by token.")
    turned_by: list[int] = Field(
        description="The indices of the segments, the largest difference first, whichever way it goes.",
        examples=[[0, 1, 2]],
    )
    pairs: list[tuple[int, int]] = Field(
        description="The steps of the equal segments: in the first text, in the second.", examples=[[[0, 0], [1, 1]]]
    )
    signals: list[LayerDifference] = Field(description="Each layer's difference at each of `pairs`.")


class Occlusion(AnswerRecord):
    """What the model says without one of the words."""

    start: int = Field(description="Where it starts in the text, in Unicode code points from 0.", examples=[0])
    stop: int = Field(description="Where the next one starts.", examples=[6])
    text: str = Field(description="The word and the space behind it.", examples=["Worst "])
    probabilities: Probabilities | None = Field(description="Without it; null if nothing is left to read.")
    change: float | None = Field(
        description="P(negative) with the word less P(negative) without it; null if nothing is left to read.",
        examples=[0.079],
    )


class OcclusionResponse(PredictResponse):
    """The sentiment of one text, and what it would be without each of its words."""

    words: list[Occlusion] = Field(description="The words, which divide the text without a gap.")
