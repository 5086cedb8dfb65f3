"""Whether a request asks for what there is: layers of this model, units of a layer, steps of this text."""

from collections.abc import Sequence

from charlstm.clamp import Clamp
from charlstm.config import ModelConfig
from service.errors import InvalidFieldError


def check_clamps(clamps: Sequence[Clamp], model: ModelConfig, steps: int) -> None:
    """Refuse what there is not to hold.

    Args:
        clamps: As asked for, under the name `clamps`.
        model: The network.
        steps: How many it takes to read the text.

    Raises:
        InvalidFieldError: A clamp names a layer, a unit or a step that there is not.
    """
    for index, clamp in enumerate(clamps):
        field = f"clamps[{index}]"
        check_below(f"{field}.layer", clamp.layer, model.num_layers, "layers of this model")
        for place, unit in enumerate(clamp.units or ()):
            check_below(f"{field}.units[{place}]", unit, model.hidden_size, "units of a layer")
        check_span(f"{field}.steps", (clamp.start, clamp.stop), steps, "steps of this text")


def check_below(field: str, value: int, count: int, counted: str) -> None:
    """Check that a number is one of those from 0 to below a count.

    Raises:
        InvalidFieldError: It is not.
    """
    if not 0 <= value < count:
        raise InvalidFieldError(field, f"must be one of the {count} {counted}, from 0, found {value}", count - 1, value)


def check_span(field: str, span: tuple[int, int | None], count: int, counted: str) -> None:
    """Check that [start, stop) holds something and does not reach beyond a count; a stop of None is the end.

    Raises:
        InvalidFieldError: It does not, or it does.
    """
    start, stop = span
    check_below(f"{field}.start", start, count, counted)
    if stop is not None and not start < stop <= count:
        reason = f"must be more than start, {start}, and at most the {count} {counted}, found {stop}"
        raise InvalidFieldError(f"{field}.stop", reason, count, stop)
