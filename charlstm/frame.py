"""A trace as a pandas data frame. Needs the extra `plots`."""

from collections.abc import Mapping
from typing import Any, Final

from charlstm.clamp import SignalName
from charlstm.errors import MissingPackageError
from charlstm.glossary import GLOSSARY
from charlstm.trace import SIGNALS, GateTrace

try:
    import pandas as pd
except ModuleNotFoundError as error:
    raise MissingPackageError("pandas") from error

_COLUMNS: Final[Mapping[str, str]] = {
    "offset": "where in the text the token starts, in characters; none for padding",
    "probability_so_far": "P(negative), 0 to 1, if the text ended after this step",
    "share": "in the calibrated log-odds of negative: above 0 it speaks for negative, below 0 for positive",
}


def frame(trace: GateTrace, signal: SignalName | None = None, layer: int = -1) -> pd.DataFrame:
    """Return one row a step: of the whole trace, or of one signal with a column a unit.

    Its `attrs` hold the text, the answer, and what the numbers are.

    Args:
        trace: What to show.
        signal: None for the columns `token`, `offset`, `probability_so_far`, `share`, and the mean of each signal over
            the units of each layer, as in `layer_0.forget_gate`.
        layer: Of the signal; -1 is the top one.

    Raises:
        ValueError: There is no such signal.
        IndexError: There is no such layer.
    """
    steps = pd.RangeIndex(len(trace.tokens), name="step")
    if signal is not None:
        values = trace.signal(signal, layer)  # (T, H)
        units = pd.RangeIndex(values.shape[1], name="unit")
        told = {"signal": signal, "layer": layer % len(trace.layers), "meaning": GLOSSARY[signal].meaning}
        return _described(pd.DataFrame(values, index=steps, columns=units), trace, told)
    columns = {
        "token": trace.tokens,
        "offset": pd.array(list(trace.offsets), dtype="Int64"),  # padding has none
        "probability_so_far": trace.probability_so_far,
        "share": trace.attribution.steps,
    }
    means = {
        f"layer_{index}.{name}": values.mean(axis=1)
        for index, signals in enumerate(trace.layers)
        for name, values in zip(SIGNALS, signals, strict=True)
    }
    return _described(pd.DataFrame(columns | means, index=steps), trace, _COLUMNS)


def _described(frame: pd.DataFrame, trace: GateTrace, told: Mapping[str, Any]) -> pd.DataFrame:
    prediction = trace.prediction
    answer = {"text": trace.text, "label": prediction.label, "probability_negative": prediction.probability_negative}
    frame.attrs |= {**answer, **told}
    return frame
