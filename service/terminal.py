"""A prediction and its trace in a terminal: the text in colours, its words, and the way to the answer in blocks.

Rich leaves colours out where nobody sees them: in a pipe, or with NO_COLOR. So every colour says something that a
number says as well. Characters that would do something to a terminal are replaced by a sign.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from charlstm.attribution import WordShare, share_by_word
from charlstm.config import Label
from charlstm.glossary import GATES, GLOSSARY
from charlstm.highlight import Piece, percent, pieces, sign_of, strongest
from charlstm.trace import GateTrace, Prediction
from charlstm.vocabulary import PADDING, UNKNOWN

# Black on these can be read whatever the colour of the terminal; so can these letters alone, on black and on white.
_LETTER: Final = {"negative": "#d9731a", "positive": "#3b8fd6"}
_WEAK: Final = {"negative": "#d9a066", "positive": "#86b3dc"}
_STRONG: Final = {"negative": "#ff8a1f", "positive": "#4aa8ff"}
_LEVELS: Final = (0.15, 0.4, 0.7)  # of the strongest share: a coloured letter, a weak background, a strong one

_MOST_WORDS: Final = 8
_NAME_WIDTHS: Final = (24, 32)  # cells, of a word: at least, and at most
_WIDEST_BAR: Final = 12  # cells to each side
_SHARE_WIDTH: Final = 7  # cells
_CHART_HEIGHT: Final = 6  # rows
_GATE_HEIGHT: Final = 2  # rows
_LABEL_WIDTH: Final = 11  # cells: that of `output gate`
_NUMBER_WIDTH: Final = 16  # cells: that of `0.49 (0.43-0.58)`
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_PADDING_SIGN: Final = "░"


def show(console: Console, trace: GateTrace, model: str) -> None:
    """Print a prediction and its trace; nothing is cut off from 50 columns on.

    Args:
        console: Where.
        trace: What.
        model: What to call the model.
    """
    text_pieces = pieces(trace)
    most = strongest(piece.share for piece in text_pieces)
    parts: list[RenderableType] = [
        _headline(trace.prediction, model),
        Padding(_coloured(text_pieces, most), (1, 0)),
        _legend(most, console.width),
        Padding(_words(trace, console.width), (1, 0)),
        _charts(trace, console.width),
        Padding(_names(), (1, 0, 0, 0)),
    ]
    console.print(Group(*parts))


def _headline(prediction: Prediction, model: str) -> Text:
    facts = [f"{prediction.characters} characters read"]
    if prediction.truncated:
        facts.append("the rest cut")
    if prediction.unknown_characters:
        facts.append(f"{prediction.unknown_characters} unknown")
    facts.append(visible(model))
    label = Text(f"{prediction.label} {percent(prediction)}", style=label_style(prediction.label))
    return label.append("   " + ", ".join(facts), Style(color="default", bold=False, dim=True))


def label_style(label: Label) -> Style:
    """Return the style of what says a label in words."""
    return Style(color=_LETTER[label], bold=True)


def _coloured(text_pieces: Sequence[Piece], most: float) -> Text:
    text = Text()
    for piece in text_pieces:
        text.append(visible(piece.text), _style(piece.share, most))
    return text


def visible(text: str) -> str:
    """Return a text with signs in place of what would do something to a terminal; a line break stays one."""
    signs = (character if character == " " else sign_of(character) for character in text)
    return "".join(signs).replace(sign_of("\n"), sign_of("\n") + "\n")


def _style(share: float | None, most: float) -> Style:
    """Return the style of a share: not by colour alone, for what speaks for negative is underlined as well."""
    if share is None:
        return Style(dim=True, strike=True)
    label = "negative" if share > 0 else "positive"
    level = sum(abs(share) >= least * most for least in _LEVELS)
    underline = label == "negative"
    if level == 0:
        return Style.null()
    if level == 1:
        return Style(color=_LETTER[label], underline=underline)
    background = (_WEAK if level == 2 else _STRONG)[label]
    return Style(color="#000000", bgcolor=background, bold=level > 2, underline=underline)


def _legend(most: float, width: int) -> Text:
    legend = Text(f"positive {-most:+.2f} ", style="dim")
    for weight in (-1, -0.5, -0.2, 0, 0.2, 0.5, 1):
        sign = "-" if weight < 0 else "+" if weight > 0 else "0"
        legend.append(f" {sign} ", Style(dim=False) + _style(weight * most, most))
    legend.append(f" {most:+.2f} negative")
    unit = "(share in the log-odds)"
    return legend.append(("   " if len(legend) + 3 + len(unit) <= width else "\n") + unit)


def _words(trace: GateTrace, width: int) -> Table:
    """Show the words with the largest shares, and what all of them add up to."""
    shares = trace.attribution
    words, padding = share_by_word(trace.text, trace.offsets, shares.steps)
    ranked = sorted(words, key=lambda word: -abs(word.share))
    narrowest, widest = _NAME_WIDTHS
    room = width - _SHARE_WIDTH - 4  # for the names and the bars, with 2 cells between columns
    bar_width = min(max((room - narrowest - 1) // 2, 1), _WIDEST_BAR)
    table = Table.grid(padding=(0, 2))
    table.add_column(max_width=min(max(room - 2 * bar_width - 1, 1), widest), no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    most = strongest(word.share for word in words)
    for word in ranked[:_MOST_WORDS]:
        table.add_row(_name(trace, word), f"{word.share:+.2f}", _bar(word.share / most, bar_width))
    rest = sum(word.share for word in ranked[_MOST_WORDS:])
    for name, share in _rest(trace, len(words), rest, padding):
        table.add_row(Text(name, style="dim"), f"{share:+.2f}")
    table.add_row(Text("log-odds of negative", style="bold"), Text(f"{shares.logit:+.2f}", style="bold"))
    return table


def _name(trace: GateTrace, word: WordShare) -> Text:
    text = trace.text[word.start : word.stop]
    return Text(sign_of(text.strip() or text))


def _rest(trace: GateTrace, words: int, share: float, padding: float) -> Iterator[tuple[str, float]]:
    if words > _MOST_WORDS:
        yield f"{words - _MOST_WORDS} more words", share
    if None in trace.offsets:
        yield "padding, read like text", padding
    yield "constant", trace.attribution.bias


def _bar(weight: float, width: int) -> Text:
    """Draw a share as a bar from the middle, so many cells to each side."""
    cells = round(abs(weight) * width)
    bar = "█" * cells
    if weight > 0:
        return Text(" " * width + "│").append(bar, _LETTER["negative"])
    return Text(" " * (width - cells)).append(bar, _LETTER["positive"]).append("│")


def _charts(trace: GateTrace, width: int) -> Table:
    """Show the probability along the text, with the text below it, and how far the gates are open, on average.

    All of it from 0 to 1: a gate that hardly moves looks as if it hardly moved.
    """
    columns = _Columns(trace, width - _LABEL_WIDTH - _NUMBER_WIDTH - 2)
    chart = Table.grid(padding=(0, 1))
    chart.add_column(width=_LABEL_WIDTH, justify="right", no_wrap=True)
    chart.add_column(no_wrap=True)
    chart.add_column(width=_NUMBER_WIDTH, justify="right", no_wrap=True)
    likely = columns.of(trace.probability_so_far)
    labels = _beside(_CHART_HEIGHT, "100 %", "50 %", "0 %")
    for label, row in zip(labels, _area(likely, _CHART_HEIGHT, _label_colors(likely)), strict=True):
        chart.add_row(label, row)
    axis = columns.axis(trace)
    chart.add_row(Text("P(negative)", style="dim"), Text(axis, style="dim"), Text("mean (range)", style="dim"))
    for gate in GATES:
        means = trace.signal(gate).mean(axis=1)  # (T,)
        summary = f"{means.mean():.2f} ({means.min():.2f}-{means.max():.2f})"
        upper, lower = _area(columns.of(means), _GATE_HEIGHT)
        chart.add_row("", upper)
        chart.add_row(GLOSSARY[gate].name, lower, summary)
    return chart


def _names() -> Text:
    lines = [f"{GLOSSARY[gate].name}: {GLOSSARY[gate].article_name}" for gate in GATES]
    return Text("\n".join([*lines, "(each gate: mean over the units, drawn from 0 to 1)"]), style="dim")


def _beside(rows: int, top: str, middle: str, bottom: str) -> list[str]:
    """Return the labels beside a chart of so many rows, an even number."""
    labels = [""] * rows
    labels[0], labels[rows // 2], labels[-1] = top, middle, bottom
    return labels


def _label_colors(probabilities: NDArray[np.float64]) -> list[str]:
    return [_LETTER["negative" if probability >= 0.5 else "positive"] for probability in probabilities]


def _area(values: NDArray[np.float64], rows: int, styles: Sequence[str] = ()) -> list[Text]:
    """Draw values from 0 to 1 as columns of blocks, the top row first; whatever is above 0 can be seen.

    Args:
        values: One a column.
        rows: How many high.
        styles: Of each column; none for the terminal's own colour.
    """
    eighths = np.where(values > 0, np.maximum(np.rint(values * 8 * rows), 1), 0).astype(int)
    drawn = []
    for row in reversed(range(rows)):
        heights = np.clip(eighths - 8 * row, 0, 8)
        text = Text()
        for height, style in zip(heights, styles or [""] * len(heights), strict=True):
            text.append(_BLOCKS[height], style)
        drawn.append(text)
    return drawn


class _Columns:
    """How steps become columns of a chart: several to a step if there is room, several steps to one if there is not."""

    def __init__(self, trace: GateTrace, width: int) -> None:
        steps = len(trace.tokens)
        longest = max(len(_tick(token)) for token in trace.tokens)
        self._repeat = min(max(width // steps, 1), max(3, longest + 1))
        count = min(steps, max(width, 1))
        self._bounds = np.linspace(0, steps, count + 1).astype(int)  # of the steps in each column

    def of(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the mean of the steps in each column."""
        sums = np.add.reduceat(np.asarray(values, dtype=np.float64), self._bounds[:-1])
        means: NDArray[np.float64] = np.repeat(sums / np.diff(self._bounds), self._repeat)
        return means

    def axis(self, trace: GateTrace) -> str:
        """Return the text below the columns, or how many steps a column stands for if there is no room for it."""
        steps, count = len(trace.tokens), len(self._bounds) - 1
        if count < steps:
            told = f"{steps} steps, {steps / count:.1f} a column"
            return told if len(told) <= count else f"{steps} steps"
        ticks = (_tick(token)[: max(self._repeat - 1, 1)] for token in trace.tokens)
        return "".join(tick.ljust(self._repeat) for tick in ticks)


def _tick(token: str) -> str:
    if token == PADDING:
        return _PADDING_SIGN
    if token == UNKNOWN:
        return "?"
    return "".join(character if cell_len(character) == 1 else "·" for character in sign_of(token))
