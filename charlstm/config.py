"""What `config.json` says of a model: records only, no torch, so that they are cheap to import anywhere."""

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from charlstm.text import Preprocessing

FORMAT_VERSION: Final = 1

POSITIVE, NEGATIVE = 0, 1
Label = Literal["positive", "negative"]
Precision = Literal["float32", "bfloat16"]
LABELS: Final[tuple[Literal["positive"], Literal["negative"]]] = ("positive", "negative")

# Far above any model of this kind; a damaged number has to be an error, not hours of allocating.
_Size = Annotated[int, Field(ge=1, le=1_000_000)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelConfig(_Record):
    """The architecture: everything needed to build the network that a state dict fits.

    Attributes:
        num_embeddings: Rows of the embedding: the vocabulary and the padding.
        embedding_dim: E, the size of a token's vector.
        hidden_size: H, the units of each LSTM layer.
        num_layers: How many LSTM layers stand on each other.
        dropout: Share of the embedding's, the layers' and the readout's values dropped in training.
        pad_to: If set, every text is padded to this many steps and the padding is read like text, as the article
            does. If None, padding is never read.
    """

    num_embeddings: int = Field(ge=2, le=10_000_000)
    embedding_dim: _Size
    hidden_size: _Size
    num_layers: int = Field(default=1, ge=1, le=100)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    pad_to: _Size | None = None


class Calibration(_Record):
    """How a logit becomes a probability: sigmoid(logit / temperature), the temperature fitted on validation data."""

    temperature: float = Field(default=1.0, gt=0.0)


class Scores(_Record):
    """How a model did on rows it was not trained on.

    Attributes:
        rows: How many texts were scored.
        accuracy: Share of texts whose label is right.
        auc: Area under the ROC curve.
        log_loss: Mean negative log-likelihood, in nats.
        f1: F1 of label 1, negative.
        calibration_error: Expected calibration error over 15 equally wide bins of P(negative).
        confusion: Rows by true label, columns by predicted label, both in the order positive, negative.
    """

    rows: PositiveInt
    accuracy: float = Field(ge=0.0, le=1.0)
    auc: float = Field(ge=0.0, le=1.0)
    log_loss: float = Field(ge=0.0)
    f1: float = Field(ge=0.0, le=1.0)
    calibration_error: float = Field(ge=0.0, le=1.0)
    confusion: tuple[tuple[int, int], tuple[int, int]]


class TrainingRecord(_Record):
    """Where the weights come from.

    Attributes:
        preset: The recipe's name.
        data: The data file's name.
        data_sha256: Hash of the CSV's bytes.
        rows_sha256: Hash of the rows read from it: texts, labels and groups.
        split: How training and test rows were divided.
        split_seed: The seed of that division.
        seed: The seed of everything else.
        rows_trained: Rows the weights were fitted to.
        rows_validated: Rows the best epoch and the temperature were chosen on.
        epochs: Epochs trained.
        best_epoch: The epoch, from 0, whose weights these are.
        options: Every other setting of the recipe.
        seconds: How long training took.
        device: What it ran on.
        versions: The packages that shape the result.
    """

    preset: str
    data: str
    data_sha256: str
    rows_sha256: str
    split: str
    split_seed: int
    seed: int
    rows_trained: int
    rows_validated: int
    epochs: int
    best_epoch: int
    options: dict[str, str | int | float | bool | None]
    seconds: float
    device: str
    versions: dict[str, str]


class ArtifactConfig(_Record):
    """The whole of `config.json`.

    Attributes:
        format_version: Which layout of the artifacts this is.
        name: What to call the model.
        model: The architecture.
        preprocessing: What was done to the texts in training, and is done to every text served.
        labels: The name of each label, by number.
        calibration: How a logit becomes a probability.
        training: Where the weights come from, if these tools trained them.
        metrics: Scores on the test part of each split. The score of a split other than the one trained on comes
            from a second model of the same recipe, trained on that split's own training part.
        files: SHA-256 of the two other files.
    """

    format_version: Literal[1] = FORMAT_VERSION
    name: str = Field(default="default", min_length=1)
    model: ModelConfig
    preprocessing: Preprocessing = Preprocessing()
    labels: tuple[Literal["positive"], Literal["negative"]] = LABELS
    calibration: Calibration = Calibration()
    training: TrainingRecord | None = None
    metrics: dict[str, Scores] = {}
    files: dict[str, str] = {}

    @model_validator(mode="after")
    def _text_fits_the_padding(self) -> Self:
        pad_to, limit = self.model.pad_to, self.preprocessing.max_length
        if pad_to is not None and (limit is None or limit > pad_to):
            raise ValueError(f"preprocessing.max_length must be at most model.pad_to ({pad_to}), found {limit}")
        return self
