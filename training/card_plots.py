"""The pictures of a card and of a comparison, as PNG bytes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from charlstm.card import Card, Changed, Comparison, OtherTexts, Part, Reliability
from training.plots import BLUE, GREY, ORANGE, png

_WIDTH = 8.0
_ROW = 0.34  # inches for each bar


def comparison_picture(found: Comparison) -> bytes:
    """Draw the accuracy of every method on every split, the models in another colour."""
    contestants = found.contestants[::-1]  # a chart counts from below
    columns = len(found.splits)
    figure = Figure(figsize=(_WIDTH, 1.2 + _ROW * len(contestants)), layout="constrained")
    for split, axes in zip(found.splits, figure.subplots(1, columns, sharey=True, squeeze=False)[0], strict=True):
        accuracies = [one.reached[split].accuracy if split in one.reached else np.nan for one in contestants]
        colors = [ORANGE if one.is_model else BLUE for one in contestants]
        _bars(axes, [one.name for one in contestants], accuracies, colors)
        axes.set(xlabel="accuracy", title=f"{split} split")
    return png(figure)


def calibration_picture(before: Reliability, after: Reliability) -> bytes:
    """Draw the share of negative texts over what the model said, before and after the temperature."""
    figure = Figure(figsize=(6, 5.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="as said")
    for found, color, name in ((before, BLUE, "before"), (after, ORANGE, "after")):
        label = f"{name}, temperature {found.temperature:.2f}: error {found.calibration_error:.3f}"
        sizes = [4 + 200 * one.rows / sum(other.rows for other in found.bins) for one in found.bins]
        means, shares = [one.mean for one in found.bins], [one.negative for one in found.bins]
        axes.plot(means, shares, color=color, label=label)
        axes.scatter(means, shares, s=sizes, color=color)
    axes.set(xlabel="P(negative), mean of each bin", ylabel="share labelled negative", title="Calibration")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    figure.legend(loc="outside lower center")
    return png(figure)


def robustness_picture(card: Card) -> bytes:
    """Draw the accuracy on the texts as they are, after each change, by length and by what they are about."""
    groups: list[Sequence[Part | Changed]] = [group for group in (card.changes, card.lengths, card.entities) if group]
    heights = [len(group) for group in groups]
    figure = Figure(figsize=(_WIDTH, 1.0 + 0.5 * len(groups) + 0.6 * _ROW * sum(heights)), layout="constrained")
    as_they_are = next(iter(card.brief.robustness.values()))
    rows = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for group, axes in zip(groups, rows, strict=True):
        names = [f"{part.name} ({part.rows:,})" for part in group[::-1]]
        _bars(axes, names, [part.accuracy for part in group[::-1]], [BLUE] * len(group))
        axes.axvline(as_they_are, color=ORANGE, linestyle=":", zorder=0.5)
    rows[0].set_title(f"Accuracy; dotted: {as_they_are:.3f}, all texts as they are")
    return png(figure)


def neither_picture(found: Sequence[OtherTexts]) -> bytes:
    """Draw how P(negative) of the texts that are neither is spread."""
    figure = Figure(figsize=(_WIDTH, 3.6), layout="constrained")
    for texts, axes in zip(found, figure.subplots(1, len(found), squeeze=False)[0], strict=True):
        shares = np.array(texts.histogram) / texts.rows
        edges = np.linspace(0, 1, len(shares) + 1)
        axes.stairs(shares, edges, fill=True, color=BLUE)
        axes.axvline(texts.mean, color=ORANGE, linestyle=":")
        title = f"{texts.label}, {texts.rows:,} texts; mean {texts.mean:.2f}"
        axes.set(xlabel="P(negative)", ylabel="share of the texts", xlim=(0, 1))
        axes.set_title(title, parse_math=False)
    return png(figure)


def _bars(axes: Axes, names: Sequence[str], values: Sequence[float], colors: Sequence[str]) -> None:
    """Draw a bar beside each name, with its figure inside; not a number draws none, and says so."""
    places = np.arange(len(names))
    axes.barh(places, values, color=colors, height=0.75)
    axes.set_yticks(places, names)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)  # a name may well hold two dollar signs
    for place, value in zip(places.tolist(), values, strict=True):
        if np.isnan(value):
            axes.text(0, place, " unknown", va="center", fontsize=8)
        else:
            axes.text(value, place, f"{value:.3f} ", va="center", ha="right", fontsize=8, color="white")
    axes.set(xlim=(0, 1), ylim=(-0.6, len(names) - 0.4))
