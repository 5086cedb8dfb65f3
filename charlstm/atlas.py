"""What moves each hidden unit of a model: the records of `atlas.json`, which may stand beside the model's three files.

It holds statistics over many texts, worked out once by `python -m training atlas`. No torch: cheap to import anywhere.

An atlas belongs to one version of a model. When a new model is saved into its folder it is not deleted, for going back
to the old model makes it true again; but it is never taken for the new model's.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from charlstm.config import Label
from charlstm.documents import read_of_version
from charlstm.replacing import replacing

ATLAS: Final = "atlas.json"
FORMAT_VERSION: Final = 1

BINS: Final = 20  # equally wide, over -1 to 1, where a hidden state always lies

Share = Annotated[float, Field(ge=0.0, le=1.0)]
_NonNegative = Annotated[float, Field(ge=0.0)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RowCounts(_Record):
    """How many texts of each label were read."""

    positive: PositiveInt = Field(description="Texts labelled positive.", examples=[4213])
    negative: PositiveInt = Field(description="Texts labelled negative.", examples=[4399])


class Histogram(_Record):
    """How often a unit's hidden state after the last step lay in each of some equally wide bins over -1 to 1."""

    positive: tuple[NonNegativeInt, ...] = Field(description="Texts labelled positive.")
    negative: tuple[NonNegativeInt, ...] = Field(description="Texts labelled negative.")


class Means(_Record):
    """A unit's mean hidden state after the last step."""

    positive: float = Field(description="Over the texts labelled positive.", examples=[-0.06254])
    negative: float = Field(description="Over the texts labelled negative.", examples=[0.333])


class TokenEffect(_Record):
    """How reading one token changes a unit's long-term memory."""

    token: str = Field(description="A character, or a word in a model that reads words.", examples=["?"])
    change: float = Field(
        description="Mean of c_t - c_(t-1), the cell state after a step less that before it, over the steps that read "
        "the token; the memory before the first step is 0.",
        examples=[0.6126],
    )
    standard_error: _NonNegative = Field(
        description="Of that mean, with the steps taken as independent.", examples=[0.01636]
    )
    count: PositiveInt = Field(description="How many steps those are.", examples=[1680])


class GateUse(_Record):
    """What a gate does over all steps that read a token."""

    mean: Share = Field(description="Mean of its values.", examples=[0.9205])
    closed: Share = Field(description="Share of the steps at which it is below 0.1.", examples=[0.008162])
    open: Share = Field(description="Share of the steps at which it is above 0.9.", examples=[0.7976])


class Snippet(_Record):
    """A piece of a text around the step that moved a unit's long-term memory most."""

    text: str = Field(description="The piece, as it was written.")
    at: NonNegativeInt = Field(description="Where in it the token of that step starts.")
    change: float = Field(description="c_t - c_(t-1) at that step.")
    label: Label = Field(description="The text's own label.")


class UnitInBrief(_Record):
    """What one hidden unit tells."""

    unit: NonNegativeInt = Field(description="Its number in its layer, from 0.", examples=[0])
    separation: Share = Field(
        description="The probability that its hidden state (short-term memory) after the last step is higher for a "
        "random negative text than for a random positive one (the area under the ROC curve): 0.5 tells nothing, "
        "towards 1 high means negative, towards 0 high means positive.",
        examples=[0.7143],
    )
    share_spread: _NonNegative | None = Field(
        description="How much of the answers hangs on it: the standard deviation, over the texts, of its share in the "
        "log-odds of negative. null below the top layer, which the readout does not see.",
        examples=[0.0391],
    )


class UnitAtlas(UnitInBrief):
    """All that is known of one hidden unit."""

    histogram: Histogram
    mean: Means
    raised_by: tuple[TokenEffect, ...] = Field(
        description="The tokens that raise its cell state (long-term memory) most, the strongest first."
    )
    lowered_by: tuple[TokenEffect, ...] = Field(description="The tokens that lower it most, the strongest first.")
    forget_gate: GateUse
    input_gate: GateUse
    output_gate: GateUse
    half_life: _NonNegative | None = Field(
        description="After how many steps half of its long-term memory is left if nothing is written, at the geometric "
        "mean of its forget gate; null if it never is.",
        examples=[5.586],
    )
    weight: float | None = Field(
        description="The readout's, calibrated: its share in the log-odds of negative is this times its last hidden "
        "state. null below the top layer.",
        examples=[0.07615],
    )
    snippets: tuple[Snippet, ...] = Field(
        default=(),
        description="Pieces of the texts that moved it most; there are none unless they were asked for when the atlas "
        "was made.",
    )


class LayerAtlas(_Record):
    """Every unit of one layer, in order."""

    layer: NonNegativeInt = Field(description="Which layer, counted from 0 at the bottom.")
    units: tuple[UnitAtlas, ...]


class AtlasSource(_Record):
    """What the figures were worked out from."""

    package_version: str = Field(description="Of this package, which worked them out.", examples=["0.1.0"])
    data: str = Field(description="The data file's name.", examples=["twitter_training.csv"])
    data_sha256: str = Field(description="Hash of the CSV's bytes.")
    part: str = Field(
        description="Which of its rows were drawn from.", examples=["test part of the grouped split (seed 42)"]
    )
    seed: NonNegativeInt = Field(description="The seed of that draw.", examples=[0])
    rows: RowCounts
    steps: PositiveInt = Field(
        description="How many tokens the texts have; padding is no token and counts nowhere but in the last step's "
        "hidden state.",
        examples=[910292],
    )
    minimum_texts: PositiveInt = Field(
        description="A token that stands in fewer texts than this is not named.", examples=[50]
    )


class Atlas(AtlasSource):
    """The whole of `atlas.json`."""

    format_version: Literal[1] = Field(default=FORMAT_VERSION, description="Which layout of the file this is.")
    model_version: str = Field(description="As in `Artifacts`: whose units these are.")
    bins: PositiveInt = Field(default=BINS, description="Of each histogram: equally wide, over -1 to 1.")
    layers: tuple[LayerAtlas, ...] = Field(min_length=1, description="From the bottom up.")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if [layer.layer for layer in self.layers] != list(range(len(self.layers))):
            raise ValueError("layers must count up from 0")
        for layer in self.layers:
            if [unit.unit for unit in layer.units] != list(range(len(self.layers[0].units))):
                raise ValueError(f"the units of layer {layer.layer} must count up from 0, as many as in layer 0")
            for unit in layer.units:
                self._check_histogram(f"layer {layer.layer}, unit {unit.unit}", unit.histogram)
        return self

    def _check_histogram(self, place: str, histogram: Histogram) -> None:
        for counts, rows in ((histogram.positive, self.rows.positive), (histogram.negative, self.rows.negative)):
            if len(counts) != self.bins or sum(counts) != rows:
                raise ValueError(f"{place}: a histogram must have {self.bins} bins that add up to the {rows} rows")


def save_atlas(directory: Path, atlas: Atlas) -> None:
    """Write an atlas into its model's folder, whole or not at all."""
    unfinished = directory / f".{ATLAS}-{os.getpid()}"
    with replacing(directory / ATLAS, unfinished):
        unfinished.write_bytes(atlas.model_dump_json().encode() + b"\n")


def load_atlas(directory: Path, version: str, ignored: Callable[[str], object] | None = None) -> Atlas | None:
    """Read the atlas of a model; None if the folder has none, or only that of another version of the model.

    Args:
        directory: The model's folder.
        version: The model's, as in `Artifacts`.
        ignored: Told, in one sentence, why an atlas that is there is not returned; a logger's method, say.

    Raises:
        ArtifactError: There is one, but it cannot be read, or is damaged.
    """
    return read_of_version(directory / ATLAS, version, Atlas, FORMAT_VERSION, ignored)
