"""A trace as a pandas data frame. Needs the extra `plots`."""

from charlstm.clamp import SignalName
from charlstm.errors import MissingPackageError
from charlstm.trace import SIGNALS, GateTrace

try:
    import pandas as pd
except ModuleNotFoundError as error:
    raise MissingPackageError("pandas") from error


def frame(trace: GateTrace, signal: SignalName | None = None, layer: int = -1) -> pd.DataFrame:
    """Return one row a step: of the whole trace, or of one signal with a column a unit.

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
        return pd.DataFrame(values, index=steps, columns=pd.RangeIndex(values.shape[1], name="unit"))
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
    return pd.DataFrame(columns | means, index=steps)
