"""What goes in and out over a live session, field by field. The OpenAPI document has no word for WebSockets."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field

from charlstm.config import Label, ModelConfig
from service.gates_schemas import Contributions, LayerSignals, LayerSummary, PerStep
from service.schemas import AnswerRecord, ModelName, ModelRequest, Probabilities
from service.selection import Decimals, Layers, Selection, Signals, Units

SUBPROTOCOL: Final = "charlstm.v1"
"""What is spoken over the service's WebSockets."""

Shown = Annotated[
    Literal["full", "summary", "none"],
    Field(description="`full` and `summary` as in `/gates`; `none` leaves `layers` out."),
]


class View(ModelRequest):
    """Whom a session asks, and what its answers show of the memory; the fields are those of `/gates`."""

    detail: Shown = "summary"
    signals: Signals | None = None
    layers: Layers | None = None
    units: Units | None = None
    precision: Decimals | None = None

    def changed_by(self, message: "LiveMessage") -> Self:
        """Return it with whatever a message says about it."""
        said = View.model_fields.keys() & message.model_fields_set
        return self.model_copy(update={name: getattr(message, name) for name in said})

    def check(self, model: ModelConfig) -> None:
        """Look whether answers of a model can show it, of any text, and even if for now they show nothing.

        Raises:
            InvalidFieldError: The model has no such layer or unit.
        """
        Selection.model_construct(layers=self.layers, units=self.units).check(model)

    @property
    def selection(self) -> Selection | None:
        """The same in the words of `/gates`; None if nothing is shown."""
        if self.detail == "none":
            return None
        return Selection.model_construct(detail=self.detail, signals=self.signals, layers=self.layers, units=self.units)


class LiveMessage(View):
    """What a client says: how its text has changed, and from now on, what it wants to see."""

    back: int = Field(default=0, ge=0, description="How many characters (code points) are taken off the text's end.")
    text: str = Field(default="", description="What is then put there.")


class LiveResponse(AnswerRecord):
    """What comes back: what `/gates` says, but only the steps from `start` on, which replace what was there."""

    start: int = Field(description="The first step that is told of here; those before are as they were.")
    tokens: list[str] = Field(description="Of each step from there on, as in `/gates`; likewise all that follow.")
    token_ids: list[int]
    offsets: list[int | None]
    probability_so_far: PerStep
    contributions: Contributions | None = Field(description="Of the whole text; null while there is nothing to read.")
    label: Label | None = Field(description="As in `/predict`, of the whole text; null while there is nothing to read.")
    probability: float | None
    probabilities: Probabilities | None
    characters: int
    unknown_characters: int
    truncated: bool
    model: ModelName
    layers: list[LayerSignals] | list[LayerSummary] | None = Field(
        default=None, description="Rows of the steps from `start` on; absent if nothing is shown."
    )
    view_dropped: str | None = Field(
        default=None, description="Why the view is the default again: another model has not what it showed."
    )
