"""What goes in and out over HTTP, field by field; the OpenAPI document is made of these."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from charlstm.card import CardInBrief
from charlstm.config import Calibration, Label, ModelConfig, Precision, Scores, TrainingRecord
from charlstm.text import Preprocessing

EXAMPLE: Final = "Worst update ever"
_MOST_FIELDS = 16  # in a request; none has nearly as many


class RequestRecord(BaseModel):
    """Base of all that is read: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, document: object) -> object:
        """Refuse a flood of unknown fields at once: listing each of them would hold up everybody else."""
        if isinstance(document, dict) and len(document) > _MOST_FIELDS:
            context = {"limit": _MOST_FIELDS, "actual_length": len(document)}
            raise PydanticCustomError(
                "too_many_fields", "must hold at most {limit} fields, found {actual_length}", context
            )
        return document


class AnswerRecord(BaseModel):
    """Base of all that is answered."""

    model_config = ConfigDict(frozen=True)


class ModelRequest(RequestRecord):
    """What is asked of a model."""

    model: str | None = Field(
        default=None,
        max_length=64,
        description="The name of the model to ask, one that `/info` lists; by default the first of them.",
        examples=["default"],
    )


class PredictRequest(ModelRequest):
    """One text to judge."""

    text: str = Field(description="Any valid Unicode text of at least one token.", examples=[EXAMPLE])
    truncate: bool = Field(
        default=False, description="Whether a text over the model's limit is cut at its end instead of refused."
    )


class BatchRequest(ModelRequest):
    """Many texts to judge at once."""

    texts: list[str] = Field(
        min_length=1,
        fail_fast=True,
        description="The texts, each as in `/predict`; `/info` says how many are taken at most.",
        examples=[[EXAMPLE, "I love it"]],
    )
    truncate: bool = Field(
        default=False, description="Whether texts over the model's limit are cut at their end instead of refused."
    )


class ModelName(AnswerRecord):
    """Which model answered, and how."""

    name: str = Field(examples=["default"])
    version: str = Field(
        description="Twelve hexadecimal digits that change whenever any part of the model does.",
        examples=["0f3a9c41d2e7"],
    )
    precision: Precision = Field(
        description="The arithmetic that this answer was computed in, always float32 for a trace. The `precision` of a "
        "request is another matter: the decimal digits that its answer is rounded to."
    )


class Probabilities(AnswerRecord):
    """The probability of each label; they add up to 1."""

    negative: float = Field(ge=0, le=1, description="P(negative): the model's sigmoid.", examples=[0.97])
    positive: float = Field(ge=0, le=1, description="P(positive) = 1 - P(negative).", examples=[0.03])


class PredictResponse(AnswerRecord):
    """The sentiment of one text."""

    label: Label = Field(description="The more probable label; at exactly 0.5 it is negative.")
    probability: float = Field(ge=0.5, le=1, description="The probability of `label`.", examples=[0.97])
    probabilities: Probabilities
    characters: int = Field(ge=1, description="How many characters of the text were read.", examples=[17])
    unknown_characters: int = Field(
        ge=0,
        description="How many of the tokens read the model does not know: characters, or words in a word-level model.",
        examples=[0],
    )
    truncated: bool = Field(description="Whether the text was cut to the model's limit.", examples=[False])
    model: ModelName


class BatchResponse(AnswerRecord):
    """The sentiment of each text, in the order of the request."""

    predictions: list[PredictResponse]


class Limits(AnswerRecord):
    """What a request may hold at most, over which the answer is 413; and how much the service takes on at once."""

    max_texts: int = Field(description="Texts in a batch, and words in a text of `/gates/occlusion`.")
    max_characters: int = Field(description="Characters in a text, even where the request lets it be cut.")
    max_body_bytes: int = Field(description="Bytes in a request body.")
    max_tokens: int | None = Field(
        description="Tokens that the model reads; a longer text is cut if the request lets it. null is no limit."
    )

    max_waiting_texts: int = Field(description="Texts of all requests that may wait; over it the answer is 429.")
    max_waiting_characters: int = Field(description="Characters of all requests that may wait; likewise.")
    deadline_seconds: float = Field(description="How long a request may take; over it the answer is 504.")
    request_seconds: float = Field(description="How long a request's head may take, and then its body; over it 408.")
    stall_seconds: float = Field(description="How long a client may take next to nothing of an answer.")
    max_unread_bytes: int = Field(description="Bytes of answers not taken yet; over it the answer to a trace is 429.")
    live_sessions: int = Field(description="Live sessions that a process of the service takes; above, it closes them.")
    live_sessions_per_client: int = Field(description="How many of them may come from one address.")
    live_characters: int = Field(description="Characters in the text of a live session.")
    live_messages_per_second: float = Field(description="Messages in a live session, on average over 10 seconds.")
    live_idle_seconds: float = Field(description="How long a live session may say nothing before it is closed.")
    live_stall_seconds: float = Field(
        description="How long its client may leave untaken what is sent, before it is cut."
    )


class Info(AnswerRecord):
    """What is being served, and where it comes from."""

    model: ModelName
    models: list[ModelName] = Field(description="All that is served, the default model first.")
    architecture: ModelConfig
    preprocessing: Preprocessing = Field(description="What is done to each text before the model reads it.")
    labels: list[Label] = Field(description="The name of label 0, then of label 1.")
    calibration: Calibration
    training: TrainingRecord | None = Field(description="Where the weights come from; null if that is not recorded.")
    metrics: dict[str, Scores] = Field(description="Scores on the test part of each split, by the split's name.")
    card: CardInBrief | None = Field(
        description="What it is for and how good it is, in short; null unless `python -m training card` measured this "
        "version. All of it is in `MODEL_CARD.md` and `card.json`, beside the model."
    )
    device: str = Field(description="What the model runs on.", examples=["cpu"])
    precision: Precision = Field(description="Arithmetic of predictions; traces are float32.")
    limits: Limits
    package_version: str = Field(examples=["0.1.0"])


class Health(AnswerRecord):
    """The answer to a probe."""

    status: Literal["live", "ready"]


class ReloadResponse(AnswerRecord):
    """What is served after the artifacts have been loaded again."""

    version: str = Field(description="The default model's version.", examples=["0f3a9c41d2e7"])
    changed: bool = Field(description="Whether it, or a further model's, is another one than before.")
    models: list[ModelName] = Field(description="All that is served now, the default model first.")


class FieldError(AnswerRecord):
    """What is wrong with one field of the request."""

    field: str = Field(description="Which field: `text`, `texts[3]`, or `body` for all of it.", examples=["texts[3]"])
    message: str = Field(
        description="What is expected of it.", examples=["must be at most 280 characters long, found 301"]
    )
    limit: int | None = Field(default=None, description="The limit it breaks, if it is one.", examples=[280])
    found: int | str | None = Field(
        default=None, description="What was there: a count or a JSON type, never the text itself.", examples=[301]
    )


class Problem(AnswerRecord):
    """Why there is no other answer (RFC 9457)."""

    type: str = Field(
        description="Which kind of problem: a stable path that also describes it.", examples=["/problems/text-too-long"]
    )
    title: str = Field(description="The kind in words.", examples=["Text too long"])
    status: int = Field(description="The HTTP status.", examples=[413])
    detail: str = Field(
        description="What happened this time.",
        examples=["texts[3] must be at most 280 characters long, found 301"],
    )
    errors: list[FieldError] | None = Field(default=None, description="The fields that are wrong, up to 16 of them.")


class ProblemKind(AnswerRecord):
    """What a problem's `type` means."""

    type: str = Field(examples=["/problems/text-too-long"])
    title: str = Field(examples=["Text too long"])
    status: int = Field(examples=[413])
    description: str
