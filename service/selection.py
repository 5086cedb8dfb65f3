"""Which part of a trace is asked for, and how much of it: the fields of a request, and what they choose of one trace.

Sizes: T steps, H = hidden_size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, TypeAdapter, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from charlstm.clamp import SignalName
from charlstm.config import ModelConfig
from charlstm.summary import Ranking, rank_units
from charlstm.trace import SIGNALS, GateTrace
from service.errors import InvalidFieldError
from service.existence import check_below, check_span
from service.schemas import RequestRecord

Numbers = NDArray[np.intp]
_Item = TypeVar("_Item", int, str)

_MOST_DECIMALS = 9  # more has no number of 32 bits
_LAYERS = "layers of this model"
_UNITS = "units of a layer"


def _once(items: list[_Item]) -> list[_Item]:
    if len(set(items)) < len(items):
        raise PydanticCustomError("repeated", "must name nothing twice")
    return items


Index = Annotated[int, Field(ge=0, lt=1 << 31)]
"""A unit, a step or a layer; whether there is such a one, only an answer tells."""

Indices = Annotated[list[Index], Field(min_length=1, fail_fast=True), AfterValidator(_once)]
"""Some of what is counted from 0, in the order that the answer is to have."""


class Range(RequestRecord):
    """A run of units or steps: from `start` up to, and without, `stop`."""

    start: Index = Field(default=0, description="The first, counted from 0.", examples=[0])
    stop: Index | None = Field(default=None, description="The one behind the last; null is to the end.", examples=[16])


class Foremost(RequestRecord):
    """The units that matter most in this text, the foremost first."""

    top: Annotated[int, Field(ge=1, lt=1 << 31)] = Field(description="How many.", examples=[16])
    by: Ranking = Field(
        default="share",
        description="`share`: how large their share in the logit is, whichever way it pushes; units of the top layer "
        "alone have one. `variance`: how much their cell state varies along the text. `saturation`: how often their "
        "gates are below 0.1 or above 0.9. All steps of the text count, whichever are chosen.",
    )


_INDICES: TypeAdapter[list[int]] = TypeAdapter(Indices)


def _by_shape(*forms: type[RequestRecord]) -> Callable[[Any, ValidatorFunctionWrapHandler], object]:
    """Read an array as indices, and an object as the form that it has a field of: so its faults are said once."""

    def read(value: Any, _: ValidatorFunctionWrapHandler) -> object:
        if isinstance(value, RequestRecord):
            return value
        if isinstance(value, list):
            return _INDICES.validate_python(value, strict=True)
        if not isinstance(value, dict):
            raise PydanticCustomError("array_or_object", "must be an array or an object")
        fitting = [form for form in forms if form.model_fields.keys() & value.keys()]
        return (*fitting, *forms)[0].model_validate(value)

    return read


Detail = Literal["full", "summary"]
Signals = Annotated[list[SignalName], Field(min_length=1, fail_fast=True), AfterValidator(_once)]
Layers = Indices
Units = Annotated[Indices | Range | Foremost, WrapValidator(_by_shape(Range, Foremost))]
Steps = Annotated[Indices | Range, WrapValidator(_by_shape(Range))]
Decimals = Annotated[
    int,
    Field(
        ge=0,
        le=_MOST_DECIMALS,
        description="To how many decimal digits JSON rounds the numbers in `layers` and `contributions`; null is as "
        "computed. Nothing is computed otherwise: the arithmetic is what the answer's `model.precision` says.",
        examples=[4],
    ),
]


class Selection(RequestRecord):
    """Which part of a trace to answer with; by default all of it."""

    detail: Detail = Field(
        default="full",
        description="`full`: the value of every unit at every step. `summary`: at every step the mean, minimum, "
        "maximum and norm over the units, how many gates are nearly closed or open, and the memory's half-life.",
    )
    signals: Signals | None = Field(
        default=None, description="Which signals; null is all six.", examples=[["cell_state"]]
    )
    layers: Layers | None = Field(
        default=None, description="Which layers, counted from 0 at the bottom; null is all.", examples=[[0]]
    )
    units: Units | None = Field(
        default=None,
        description="Which units of each layer: their indices, a range, or the foremost; null is all.",
        examples=[{"top": 16, "by": "share"}],
    )
    steps: Steps | None = Field(
        default=None,
        description="Which steps of `layers`: their indices, or a range; null is all.",
        examples=[{"start": 0, "stop": 3}],
    )

    @property
    def chosen_signals(self) -> Sequence[SignalName]:
        """The signals, in the order that they are always in."""
        return [name for name in SIGNALS if self.signals is None or name in self.signals]  # type: ignore[misc]  # names

    def of(self, trace: GateTrace) -> "Chosen":
        """Find in a trace what is asked for.

        Raises:
            InvalidFieldError: There is no such layer, unit or step.
        """
        layers = _numbers("layers", self.layers, len(trace.layers), _LAYERS)
        steps = _numbers("steps", self.steps, len(trace.token_ids), "steps of this text")
        return Chosen(steps, tuple(ChosenUnits(layer, _units(self.units, trace, layer)) for layer in layers.tolist()))

    def check(self, model: ModelConfig) -> None:
        """Look whether traces of a model have what is asked for, whatever the text; steps are the text's.

        Raises:
            InvalidFieldError: There is no such layer or unit.
        """
        for layer in _numbers("layers", self.layers, model.num_layers, _LAYERS).tolist():
            if isinstance(self.units, Foremost):
                _check_foremost(self.units, model.hidden_size, layer, model.num_layers - 1)
            else:
                _numbers("units", self.units, model.hidden_size, _UNITS)


class ChosenUnits(NamedTuple):
    """Some units of a layer."""

    layer: int
    units: Numbers


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """What is asked for of one trace: rows, and the columns of each layer, in the order of the answer."""

    steps: Numbers
    layers: tuple[ChosenUnits, ...]


def _units(asked: list[int] | Range | Foremost | None, trace: GateTrace, layer: int) -> Numbers:
    count = trace.layers[layer].hidden_state.shape[1]
    if not isinstance(asked, Foremost):
        return _numbers("units", asked, count, _UNITS)
    _check_foremost(asked, count, layer, len(trace.layers) - 1)
    return rank_units(trace, layer, asked.by)[: asked.top]


def _check_foremost(asked: Foremost, count: int, layer: int, top: int) -> None:
    if asked.top > count:
        reason = f"must be at most {count}, the units of a layer, found {asked.top}"
        raise InvalidFieldError("units.top", reason, count, asked.top)
    if asked.by == "share" and layer != top:
        reason = f"can be share in the top layer only, so layers must be [{top}], found layer {layer}"
        raise InvalidFieldError("units.by", reason, top, layer)


def _numbers(field: str, asked: list[int] | Range | None, count: int, counted: str) -> Numbers:
    if asked is None:
        return np.arange(count)
    if isinstance(asked, Range):
        check_span(field, (asked.start, asked.stop), count, counted)
        return np.arange(asked.start, count if asked.stop is None else asked.stop)
    for index, number in enumerate(asked):
        check_below(f"{field}[{index}]", number, count, counted)
    return np.array(asked, np.intp)
