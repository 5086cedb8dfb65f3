"""What goes in and out over a live session, field by field. The OpenAPI document has no word for WebSockets."""

from typing import Annotated, Literal, Self

from pydantic import Field

from charlstm.config import ModelConfig
from service.schemas import ModelRequest
from service.selection import Decimals, Layers, Selection, Signals, Units

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
