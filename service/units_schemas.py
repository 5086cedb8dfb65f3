"""What `/units` and `/units/{unit}` answer, field by field: the atlas of the model's hidden units."""

from typing import Literal

from pydantic import Field

from service.schemas import AnswerRecord, ModelName


class Rows(AnswerRecord):
    """How many texts of each label were read."""

    positive: int = Field(description="Texts labelled positive.", examples=[4213])
    negative: int = Field(description="Texts labelled negative.", examples=[4399])


class AtlasSource(AnswerRecord):
    """What the figures were worked out from."""

    data: str = Field(description="The data file's name.", examples=["twitter_training.csv"])
    part: str = Field(description="Which of its rows.", examples=["test part of the grouped split"])
    rows: Rows
    steps: int = Field(description="How many tokens they have.", examples=[910292])
    minimum_texts: int = Field(description="A token that stands in fewer texts than this is not named.", examples=[50])


class UnitOverview(AnswerRecord):
    """One hidden unit in a line."""

    unit: int = Field(description="Its number in its layer, from 0.", examples=[0])
    share_spread: float | None = Field(
        description="How much of the answers hangs on it: the standard deviation, over the texts, of its share in the "
        "log-odds of negative. null below the top layer.",
        examples=[0.0391],
    )
    separation: float = Field(
        description="The probability that its hidden state (short-term memory) after the last step is higher for a "
        "random negative text than for a random positive one: 0.5 tells nothing.",
        examples=[0.7143],
    )
    top_characters: str = Field(
        description="The characters that change its cell state (long-term memory) most, whichever way; words with "
        "spaces between in a model that reads words.",
        examples=["a?@q*"],
    )


class LayerUnits(AnswerRecord):
    """Every unit of one layer."""

    layer: int = Field(description="Which layer, counted from 0 at the bottom.", examples=[0])
    units: list[UnitOverview] = Field(description="In the order of their numbers.")


class UnitsResponse(AnswerRecord):
    """Every hidden unit of the model."""

    model: ModelName
    source: AtlasSource
    layers: list[LayerUnits] = Field(description="From the bottom up.")


class TokenChange(AnswerRecord):
    """How reading one token changes a unit's long-term memory."""

    token: str = Field(description="A character, or a word in a model that reads words.", examples=["?"])
    change: float = Field(description="Mean change of the cell state at the steps that read it.", examples=[0.6126])
    standard_error: float = Field(description="Of that mean, with the steps taken as independent.", examples=[0.01636])
    count: int = Field(description="How many steps those are.", examples=[1680])


class GateFigures(AnswerRecord):
    """What a gate does over all steps that read a token."""

    mean: float = Field(description="Its mean.", examples=[0.9205])
    closed: float = Field(description="Share of the steps at which it is below 0.1.", examples=[0.008162])
    open: float = Field(description="Share of the steps at which it is above 0.9.", examples=[0.7976])


class Histogram(AnswerRecord):
    """How often a unit's hidden state after the last step lay in each of some equally wide bins over -1 to 1."""

    positive: list[int] = Field(description="Texts labelled positive.")
    negative: list[int] = Field(description="Texts labelled negative.")


class Means(AnswerRecord):
    """A unit's mean hidden state after the last step."""

    positive: float = Field(description="Over the texts labelled positive.", examples=[-0.06254])
    negative: float = Field(description="Over the texts labelled negative.", examples=[0.333])


class SnippetOfText(AnswerRecord):
    """A piece of a text around the step that moved a unit's long-term memory most."""

    text: str = Field(description="The piece, as it was written.")
    at: int = Field(description="Where in it the token of that step starts.")
    change: float = Field(description="By how much the cell state changed at that step.")
    label: Literal["positive", "negative"] = Field(description="The text's own label.")


class UnitResponse(UnitOverview):
    """What is known of one hidden unit."""

    model: ModelName
    source: AtlasSource
    layer: int = Field(description="Its layer, counted from 0 at the bottom.", examples=[0])
    histogram: Histogram
    mean: Means
    raised_by: list[TokenChange] = Field(
        description="The tokens that raise its cell state (long-term memory) most, the strongest first."
    )
    lowered_by: list[TokenChange] = Field(description="The tokens that lower it most, the strongest first.")
    forget_gate: GateFigures
    input_gate: GateFigures
    output_gate: GateFigures
    half_life: float | None = Field(
        description="After how many steps half of its long-term memory is left, at the geometric mean of its forget "
        "gate; null if it never is.",
        examples=[5.586],
    )
    weight: float | None = Field(
        description="Its share in the log-odds of negative is this times its last hidden state. null below the top "
        "layer, which the readout does not see.",
        examples=[0.07615],
    )
    snippets: list[SnippetOfText] = Field(
        description="Pieces of the texts that moved it most; there are none unless they were asked for when the atlas "
        "was made."
    )
