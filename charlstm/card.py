"""How good a model is, and what it is for: the records of `card.json`, which may stand beside the model's three files.

Measured by `python -m training card`, which writes the same for people to read as `MODEL_CARD.md`. No torch: cheap to
import anywhere. Like an atlas, a card belongs to one version of a model and is never taken for another's.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from charlstm.documents import read_of_version

CARD: Final = "card.json"
FORMAT_VERSION: Final = 3

Share = Annotated[float, Field(ge=0.0, le=1.0)]
_NonNegative = Annotated[float, Field(ge=0.0)]
_Positive = Annotated[float, Field(gt=0.0)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Reached(_Record):
    """What a method reached on the test part of a split."""

    rows: PositiveInt = Field(description="How many texts were scored.", examples=[8612])
    accuracy: Share = Field(description="Share of texts whose label is right.", examples=[0.7707])
    auc: Share = Field(description="Area under the ROC curve.", examples=[0.8447])
    how: Literal["measured", "recorded"] = Field(
        description="`measured` for this record, on texts that the method was not trained on; `recorded` when the "
        "model was trained: on a split other than its own, by a second model of the same recipe, trained on that "
        "split's own training part."
    )


class Contestant(_Record):
    """A method, and what it reached on each split; a split is missing where nothing is known."""

    name: str = Field(examples=["TF-IDF words, logistic regression"])
    is_model: bool = Field(description="Whether it is one of our models; else it is a simple method beside them.")
    reached: dict[str, Reached] = Field(description="By the split's name.")


class Comparison(_Record):
    """Methods beside each other on the same splits."""

    data: str = Field(description="The data file's name.", examples=["twitter_training.csv"])
    split_seed: NonNegativeInt = Field(description="The seed of the splits.", examples=[42])
    splits: tuple[str, ...] = Field(description="Their names, in the order of the columns of a table.")
    contestants: tuple[Contestant, ...]
    notes: tuple[str, ...] = Field(default=(), description="What a reader has to know of the figures.")


class Part(_Record):
    """How the model does on some texts."""

    name: str = Field(description="Which texts, or what was done to them.", examples=["upper case"])
    rows: PositiveInt
    accuracy: Share
    auc: Share | None = Field(description="null where all have one label.")


class Changed(Part):
    """How the model does on texts after a change that leaves their meaning alone."""

    altered: NonNegativeInt = Field(description="How many texts the change made any difference to.", examples=[8590])
    altered_before: Share | None = Field(description="Accuracy on those before the change; null if there are none.")
    altered_after: Share | None = Field(description="Accuracy on those after it.")


class OtherTextsInBrief(_Record):
    """What the model says of texts that are neither positive nor negative: it has no word for them."""

    label: str = Field(description="What the data calls them.", examples=["Neutral"])
    rows: PositiveInt
    mean: Share = Field(description="Mean P(negative).", examples=[0.51])
    undecided: Share = Field(description="Share with P(negative) between 0.4 and 0.6.", examples=[0.2])
    called_negative: Share = Field(description="Share called negative.", examples=[0.55])


class OtherTexts(OtherTextsInBrief):
    """All that was measured of them."""

    quartiles: tuple[Share, Share, Share] = Field(description="Of P(negative).")
    histogram: tuple[NonNegativeInt, ...] = Field(description="Texts in each of ten equally wide bins of P(negative).")


class Bin(_Record):
    """The texts whose P(negative) lies in one of some equally wide bins."""

    rows: PositiveInt
    mean: Share = Field(description="Their mean P(negative).")
    negative: Share = Field(description="The share of them that is labelled negative.")


class CalibrationFloor(_Record):
    """The calibration error that the same probabilities would show by chance, if every one of them were exactly right.

    It is not 0: the texts are finitely many, and those of a group, such as a tweet and its paraphrases, may share a
    label.
    """

    draws: PositiveInt = Field(description="How many labels were drawn: one for each group that shares one.")
    mean: Share
    low: Share = Field(description="One of twenty would be below.")
    high: Share = Field(description="One of twenty would be above.")


class Reliability(_Record):
    """How far probabilities can be taken at their word."""

    temperature: _Positive = Field(description="What logits were divided by.")
    calibration_error: Share = Field(description="Expected calibration error, over 15 bins.")
    floor: CalibrationFloor
    bins: tuple[Bin, ...] = Field(description="Those bins, without the empty ones.")


class RunOfRecipe(_Record):
    """What a model of the same recipe scored when it was trained."""

    seed: NonNegativeInt = Field(description="Of weights, order and dropout.")
    split_seed: NonNegativeInt
    split: str
    rows: PositiveInt
    accuracy: Share
    auc: Share
    calibration_error: Share


class Spread(_Record):
    """How far runs of one recipe are apart on a split."""

    split: str
    split_seed: NonNegativeInt | None = Field(description="Of the division that they share; null: over divisions.")
    runs: PositiveInt
    mean_accuracy: Share
    mean_auc: Share
    std_accuracy: _NonNegative = Field(description="The sample's standard deviation.")
    std_auc: _NonNegative


class LowPrecision(_Record):
    """What bfloat16 arithmetic costs, beside float32, over the same texts."""

    rows: PositiveInt
    accuracy_float32: Share
    accuracy_bfloat16: Share
    other_labels: NonNegativeInt = Field(description="Texts that get another label.")
    mean_difference: Share = Field(description="Of P(negative), on average.")
    largest_difference: Share = Field(description="Of P(negative), at most.")


class Speed(_Record):
    """How fast a model reads texts offline, in a continuous batch kept full, on one thread of a CPU."""

    name: str
    architecture: str = Field(examples=["1 layer of 256 units, embedding of 64"])
    parameters: PositiveInt
    accuracy: Share | None = Field(description="On the test part of the grouped split, as in the comparison.")
    float32: _Positive = Field(description="Texts per second.")
    bfloat16: _Positive = Field(description="Texts per second.")


class CardInBrief(_Record):
    """What anybody who asks the model should know of it."""

    intended_use: str
    not_for: tuple[str, ...] = Field(description="What it must not be used for.")
    scores: dict[str, Reached] = Field(
        description="On the test part of each split, by its name: `grouped` are texts never seen, `article` are nearly "
        "all paraphrases of texts trained on."
    )
    calibration_error: Share = Field(description="Expected, over 15 bins, on the texts of `part`.")
    part: str = Field(
        description="Which texts the figures are about.", examples=["test part of the grouped split (seed 42)"]
    )
    robustness: dict[str, Share] = Field(description="Accuracy on those texts, as they are and after each change.")
    neither: tuple[OtherTextsInBrief, ...] = Field(description="What it says of texts that are neither.")


class Card(_Record):
    """The whole of `card.json`."""

    format_version: Literal[3] = Field(default=FORMAT_VERSION, description="Which layout of the file this is.")
    model_version: str = Field(description="As in `Artifacts`: whose card this is.")
    package_version: str = Field(description="Of this package, which measured it.")
    data_sha256: str = Field(description="Hash of the CSV's bytes.")
    brief: CardInBrief
    comparison: Comparison
    paraphrased: dict[str, Share] = Field(
        description="By split: the share of test rows of which a paraphrase is in training; empty if it can't be told."
    )
    unrepeated: Part | None = Field(
        description="Those texts of the model's own test part that do not also stand, word for word, in whatever case, "
        "among the texts that it learnt from; null if all do."
    )
    runs: tuple[RunOfRecipe, ...]
    spreads: tuple[Spread, ...]
    before: Reliability
    after: Reliability
    changes: tuple[Changed, ...]
    lengths: tuple[Part, ...]
    entities: tuple[Part, ...]
    neither: tuple[OtherTexts, ...]
    learnt_from_neither: bool = Field(description="Whether such texts were trained on, with a teacher's opinion.")
    low_precision: LowPrecision
    machine: str = Field(description="Where speed was measured.")
    speeds: tuple[Speed, ...] = Field(description="Of this model, and then of those it was to be seen beside.")


def load_card(directory: Path, version: str, ignored: Callable[[str], object] | None = None) -> Card | None:
    """Read the card of a model; None if the folder has none, or only that of another version of the model.

    Args:
        directory: The model's folder.
        version: The model's, as in `Artifacts`.
        ignored: Told, in one sentence, why a card that is there is not returned; a logger's method, say.

    Raises:
        ArtifactError: There is one, but it cannot be read, or is damaged.
    """
    return read_of_version(directory / CARD, version, Card, FORMAT_VERSION, ignored)
