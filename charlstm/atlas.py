"""What moves each hidden unit of a model: the records of `atlas.json`, which may stand beside the model's three files.

It holds statistics over many texts, worked out once by `python -m training atlas`. No torch: cheap to import anywhere.

An atlas belongs to one version of a model. When a new model is saved into its folder it is not deleted, for going back
to the old model makes it true again; but it is never taken for the new model's.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from charlstm.config import Label
from charlstm.errors import ArtifactError

ATLAS: Final = "atlas.json"
FORMAT_VERSION: Final = 1

BINS: Final = 20  # equally wide, over -1 to 1, where a hidden state always lies

Value = TypeVar("Value")
Share = Annotated[float, Field(ge=0.0, le=1.0)]
_NonNegative = Annotated[float, Field(ge=0.0)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ByLabel(_Record, Generic[Value]):
    """One value for the texts of each label."""

    positive: Value
    negative: Value


class TokenEffect(_Record):
    """How reading one token changes a unit's long-term memory.

    Attributes:
        token: A character, or a word in a model that reads words.
        change: Mean of c_t - c_(t-1) over the steps that read the token; the memory before the first step is 0.
        standard_error: Of that mean, with the steps taken as independent.
        count: How many steps those are.
    """

    token: str
    change: float
    standard_error: _NonNegative
    count: PositiveInt


class GateUse(_Record):
    """What a gate does on average over all steps that read a token.

    Attributes:
        mean: Of its values.
        closed: Share of the steps at which it is below 0.1.
        open: Share of the steps at which it is above 0.9.
    """

    mean: Share
    closed: Share
    open: Share


class Snippet(_Record):
    """A piece of a text around the step that moved a unit's long-term memory most.

    Attributes:
        text: The piece, as it was written.
        at: Where in it the token of that step starts.
        change: c_t - c_(t-1) at that step.
        label: The text's own label.
    """

    text: str
    at: NonNegativeInt
    change: float
    label: Label


class UnitAtlas(_Record):
    """One hidden unit.

    Attributes:
        unit: Its number in its layer, from 0.
        histogram: How often its hidden state (short-term memory) after the last step lay in each bin, a text a count.
        mean: Mean of that hidden state.
        separation: The probability that it is higher for a random negative text than for a random positive one (the
            area under the ROC curve): 0.5 tells nothing, towards 1 high means negative, towards 0 high means positive.
        raised_by: The tokens that raise its cell state (long-term memory) most, the strongest first.
        lowered_by: The tokens that lower it most, the strongest first.
        forget_gate, input_gate, output_gate: What its gates do.
        half_life: After how many steps half of its long-term memory is left if nothing is written, at the geometric
            mean of its forget gate; None if it never is.
        weight: The readout's, calibrated: the share of the unit in the log-odds of negative is weight * hidden state.
            None below the top layer, which the readout doesn't see.
        share_spread: Standard deviation of that share over the texts: how much of the answers hangs on this unit.
        snippets: Pieces of the texts that moved it most, if they were asked for.
    """

    unit: NonNegativeInt
    histogram: ByLabel[tuple[NonNegativeInt, ...]]
    mean: ByLabel[float]
    separation: Share
    raised_by: tuple[TokenEffect, ...]
    lowered_by: tuple[TokenEffect, ...]
    forget_gate: GateUse
    input_gate: GateUse
    output_gate: GateUse
    half_life: _NonNegative | None
    weight: float | None
    share_spread: _NonNegative | None
    snippets: tuple[Snippet, ...] = ()


class LayerAtlas(_Record):
    """Every unit of one layer, in order; layers count from 0 at the bottom."""

    layer: NonNegativeInt
    units: tuple[UnitAtlas, ...]


class Atlas(_Record):
    """The whole of `atlas.json`.

    Attributes:
        format_version: Which layout of the file this is.
        model_version: As in `Artifacts`: whose units these are.
        package_version: Of this package, which worked it out.
        data: The name of the data file.
        data_sha256: Hash of the CSV's bytes.
        part: Which of its rows were drawn from.
        seed: The seed of that draw.
        rows: How many texts were read.
        steps: How many tokens they have; padding is no token and counts nowhere but in the last step's hidden state.
        bins: Of each histogram: equally wide, over -1 to 1.
        minimum_texts: A token that stands in fewer texts than this is not named.
        layers: From the bottom up.
    """

    format_version: Literal[1] = FORMAT_VERSION
    model_version: str
    package_version: str
    data: str
    data_sha256: str
    part: str
    seed: NonNegativeInt
    rows: ByLabel[PositiveInt]
    steps: PositiveInt
    bins: PositiveInt = BINS
    minimum_texts: PositiveInt
    layers: tuple[LayerAtlas, ...] = Field(min_length=1)

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

    def _check_histogram(self, place: str, histogram: ByLabel[tuple[int, ...]]) -> None:
        for counts, rows in ((histogram.positive, self.rows.positive), (histogram.negative, self.rows.negative)):
            if len(counts) != self.bins or sum(counts) != rows:
                raise ValueError(f"{place}: a histogram must have {self.bins} bins that add up to the {rows} rows")


def save_atlas(directory: Path, atlas: Atlas) -> None:
    """Write an atlas into its model's folder, whole or not at all."""
    unfinished = directory / f".{ATLAS}-{os.getpid()}"
    try:
        with unfinished.open("wb") as file:
            file.write(atlas.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(directory / ATLAS)
    except BaseException:
        with suppress(OSError):  # what went wrong is what is worth telling
            unfinished.unlink(missing_ok=True)
        raise


def load_atlas(directory: Path, version: str, ignored: Callable[[str], object] | None = None) -> Atlas | None:
    """Read the atlas of a model; None if the folder has none, or only that of another version of the model.

    Args:
        directory: The model's folder.
        version: The model's, as in `Artifacts`.
        ignored: Told, in one sentence, why an atlas that is there is not returned; a logger's method, say.

    Raises:
        ArtifactError: There is one, but it cannot be read, or is damaged.
    """
    path = directory / ATLAS
    try:
        document = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ArtifactError(str(path), "a readable file", error.strerror or type(error).__name__) from error
    values = _parse(path, document)
    if not isinstance(found := values.get("model_version"), str):
        raise ArtifactError(str(path), "the model_version that it describes", json.dumps(found))
    if found != version:  # whatever else it holds, it is not about this model
        if ignored is not None:
            ignored(f"{path} describes version {found} of the model, not {version}: it is ignored until made anew")
        return None
    if (layout := values.get("format_version")) != FORMAT_VERSION:
        raise ArtifactError(str(path), f"format_version {FORMAT_VERSION}", json.dumps(layout))
    try:
        return Atlas.model_validate_json(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise ArtifactError(str(path), f"valid figures in {field}", first["msg"]) from error


def _parse(path: Path, document: bytes) -> dict[str, Any]:
    try:
        values = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(str(path), "a JSON object", f"no valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise ArtifactError(str(path), "a JSON object", type(values).__name__)
    return values
