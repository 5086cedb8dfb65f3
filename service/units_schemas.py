"""What `/units` and `/units/{unit}` answer: the records of the atlas, and whose they are."""

from pydantic import Field

from charlstm.atlas import AtlasSource, UnitAtlas, UnitInBrief
from service.schemas import AnswerRecord, ModelName

_TOP_CHARACTERS = Field(
    description="The characters that change its cell state (long-term memory) most, whichever way; words with spaces "
    "between in a model that reads words.",
    examples=["a?@q*"],
)


class UnitOverview(UnitInBrief):
    """One hidden unit in a line."""

    top_characters: str = _TOP_CHARACTERS


class LayerUnits(AnswerRecord):
    """Every unit of one layer."""

    layer: int = Field(description="Which layer, counted from 0 at the bottom.", examples=[0])
    units: list[UnitOverview] = Field(description="In the order of their numbers.")


class UnitsResponse(AnswerRecord):
    """Every hidden unit of the model."""

    model: ModelName
    source: AtlasSource
    layers: list[LayerUnits] = Field(description="From the bottom up.")


class UnitResponse(UnitAtlas):
    """What is known of one hidden unit."""

    model: ModelName
    source: AtlasSource
    layer: int = Field(description="Its layer, counted from 0 at the bottom.", examples=[0])
    bin_edges: list[float] = Field(
        description="Where the bins of `histogram` begin and end: one more than bins.",
        examples=[[-1.0, -0.9]],
    )
    top_characters: str = _TOP_CHARACTERS
