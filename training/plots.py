"""Pictures, as PNG bytes: drawn without a screen, in colours that colour-blind people can tell apart."""

import io
import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from charlstm.config import LABELS, Scores
from charlstm.trace import SIGNALS, GateTrace
from charlstm.vocabulary import PADDING
from training.checkpoint import EpochRecord

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"
_NAMES = {
    "forget_gate": "forget gate",
    "input_gate": "input gate",
    "candidate": "candidate\n(potential memory)",
    "output_gate": "output gate",
    "cell_state": "cell state\n(long-term memory)",
    "hidden_state": "hidden state\n(short-term memory)",
}


def learning_curve(history: Sequence[EpochRecord], best_epoch: int) -> bytes:
    """Draw the losses of every epoch, and the validation accuracy where there is one."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    epochs = [record.epoch for record in history]
    axes.plot(epochs, [record.train_loss for record in history], color=BLUE, marker=".", label="training loss")
    axes.set(xlabel="epoch", ylabel="loss (nats a text)", title="Learning curve")
    validated = [(record.epoch, record.validation) for record in history if record.validation is not None]
    if validated:
        at = [epoch for epoch, _ in validated]
        axes.plot(at, [found.loss for _, found in validated], color=ORANGE, marker=".", label="validation loss")
        calibrated = [found.calibrated_loss for _, found in validated]
        axes.plot(at, calibrated, color=ORANGE, linestyle=":", label="validation loss, calibrated")
        axes.axvline(best_epoch, color=GREY, linestyle=":", label=f"kept: epoch {best_epoch}")
        right = axes.twinx()
        right.plot(at, [found.accuracy for _, found in validated], color=ORANGE, linestyle="--")
        right.set_ylabel("validation accuracy (dashed)")
    figure.legend(loc="outside lower center", ncols=4)
    return png(figure)


def confusion_picture(scores: Scores, title: str) -> bytes:
    """Draw the confusion matrix with counts and each true label's shares."""
    counts = np.array(scores.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count:,}\n{shares[row, column]:.1%}", ha="center", va="center", color=color)
    axes.set_xticks([0, 1], LABELS)
    axes.set_yticks([0, 1], LABELS, rotation=90, va="center")
    axes.set(xlabel="predicted", ylabel="true", title=f"{title}\naccuracy {scores.accuracy:.1%}, {scores.rows:,} rows")
    return png(figure)


def trace_picture(trace: GateTrace, title: str, layer: int = -1) -> bytes:
    """Draw the mean over the units of every signal of one layer, and the probability, along the text."""
    signals = trace.layers[layer]
    figure = Figure(figsize=(10, 9), layout="constrained")
    rows = figure.subplots(len(SIGNALS) + 1, 1, sharex=True)
    steps = np.arange(len(trace.tokens))
    first_padding = trace.tokens.index(PADDING) if PADDING in trace.tokens else None
    for axes, name in zip(rows, SIGNALS, strict=False):
        axes.plot(steps, getattr(signals, name).mean(axis=1), color=BLUE)
        axes.set_ylabel(_NAMES[name], rotation=0, ha="right", va="center")
    rows[-1].plot(steps, trace.probability_so_far, color=ORANGE)
    rows[-1].set_ylabel("P(negative)\nso far", rotation=0, ha="right", va="center")
    rows[-1].set_xlabel("step" if first_padding is None else "step (grey: padding, read like text)")
    for axes in rows:
        if first_padding is not None:
            axes.axvspan(first_padding, steps[-1], color=GREY, alpha=0.25, linewidth=0)
    if len(steps) <= 80:
        rows[-1].set_xticks(
            steps, [token if token.isprintable() else "\N{REPLACEMENT CHARACTER}" for token in trace.tokens]
        )
    rows[0].set_title(title, parse_math=False)  # a text may well hold two dollar signs
    return png(figure)


def png(figure: Figure) -> bytes:
    """Write a figure as a PNG file: the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a box is drawn in its place
        # No version or date inside, so that the same figures give the same file.
        figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
