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
from charlstm.glossary import GATES, GLOSSARY
from charlstm.highlight import Piece, pieces, sign_of, strongest
from charlstm.trace import GateTrace
from charlstm.views import percent
from charlstm.vocabulary import PADDING, UNKNOWN

# Black on these can be read whatever the colour of the terminal; so can these letters alone, on black and on white.
_LETTER: Final = {"negative": "#d9731a", "positive": "#3b8fd6"}
_WEAK: Final = {"negative": "#d9a066", "positive": "#86b3dc"}
_STRONG: Final = {"negative": "#ff8a1f", "positive": "#4aa8ff"}
_LEVELS: Final = (0.15, 0.4, 0.7)  # of the strongest share: a coloured letter, a weak background, a strong one

_MOST_WORDS: Final = 8
_BAR_WIDTH: Final = 12  # cells to each side
_CHART_HEIGHT: Final = 6  # rows
_LABEL_WIDTH: Final = 14  # cells
_NUMBER_WIDTH: Final = 17  # cells
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_PADDING_SIGN: Final = "░"


def show(console: Console, traced: GateTrace, model: str) -> None:
    """Print a prediction and its trace.

    Args:
        console: Where.
        traced: What.
        model: What to call the model.
    """
    trace = traced
    text_pieces = pieces(trace)
    most = strongest(piece.share for piece in text_pieces)
    parts: list[RenderableType] = [
        _headline(traced, model),
        Padding(_coloured(text_pieces, most), (1, 0)),
        _legend(most),
        Padding(_words(trace), (1, 0)),
        _charts(trace, console.width),
    ]
    console.print(Group(*parts))


def _headline(traced: GateTrace, model: str) -> Text:
    prediction = traced.prediction
    facts = [f"{prediction.characters} characters read"]
    if prediction.truncated:
        facts.append("the rest cut")
    if prediction.unknown_characters:
        facts.append(f"{prediction.unknown_characters} unknown")
    facts.append(_visible(model))
    label = Text(f"{prediction.label} {percent(prediction)}", style=Style(color=_LETTER[prediction.label], bold=True))
    return label.append("   " + ", ".join(facts), Style(color="default", bold=False, dim=True))


def _coloured(text_pieces: Sequence[Piece], most: float) -> Text:
    text = Text()
    for piece in text_pieces:
        text.append(_visible(piece.text), _style(piece.share, most))
    return text


def _visible(text: str) -> str:
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


def _legend(most: float) -> Text:
    legend = Text(f"positive {-most:+.2f} ", style="dim")
    for weight in (-1, -0.5, -0.2, 0, 0.2, 0.5, 1):
        sign = "-" if weight < 0 else "+" if weight > 0 else "0"
        legend.append(f" {sign} ", Style(dim=False) + _style(weight * most, most))
    return legend.append(f" {most:+.2f} negative   (share in the log-odds)")


def _words(trace: GateTrace) -> Table:
    """Show the words with the largest shares, and what all of them add up to."""
    shares = trace.attribution
    words, padding = share_by_word(trace.text, trace.offsets, shares.steps)
    ranked = sorted(words, key=lambda word: -abs(word.share))
    table = Table.grid(padding=(0, 2))
    table.add_column(max_width=32, no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right")
    table.add_column(no_wrap=True)
    most = strongest(word.share for word in words)
    for word in ranked[:_MOST_WORDS]:
        table.add_row(_name(trace, word), f"{word.share:+.2f}", _bar(word.share / most))
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


def _bar(weight: float) -> Text:
    cells = round(abs(weight) * _BAR_WIDTH)
    bar = "█" * cells
    if weight > 0:
        return Text(" " * _BAR_WIDTH + "│").append(bar, _LETTER["negative"])
    return Text(" " * (_BAR_WIDTH - cells)).append(bar, _LETTER["positive"]).append("│")


def _charts(trace: GateTrace, width: int) -> Table:
    """Show the probability along the text, with the text below it, and how far the gates are open, on average."""
    columns = _Columns(trace, width - _LABEL_WIDTH - _NUMBER_WIDTH - 2)
    chart = Table.grid(padding=(0, 1))
    chart.add_column(width=_LABEL_WIDTH, no_wrap=True)
    chart.add_column(no_wrap=True)
    chart.add_column(width=_NUMBER_WIDTH, justify="right", no_wrap=True)
    for label, row in zip(_probability_labels(), _area(columns.of(trace.probability_so_far)), strict=True):
        chart.add_row(label, row)
    chart.add_row("", Text(columns.axis(trace), style="dim"), Text("mean (range)", style="dim"))
    for gate in GATES:
        means = trace.signal(gate).mean(axis=1)  # (T,)
        summary = f"{means.mean():.2f} ({means.min():.2f}-{means.max():.2f})"
        chart.add_row(GLOSSARY[gate].name, _blocks(columns.of(means)), summary)
    for gate in GATES:
        note = Text(f"{GLOSSARY[gate].name}: {GLOSSARY[gate].article_name}", style="dim", no_wrap=False)
        chart.add_row("", note)
    return chart


def _probability_labels() -> list[str]:
    labels = [""] * _CHART_HEIGHT
    labels[0], labels[_CHART_HEIGHT // 2], labels[-1] = "P(neg.)  100 %", "          50 %", "           0 %"
    return labels


def _area(values: NDArray[np.float64]) -> list[Text]:
    """Draw values from 0 to 1 as columns of blocks, in the colour of the more probable label, the top row first."""
    eighths = np.rint(values * 8 * _CHART_HEIGHT).astype(int)
    styles = [_LETTER["negative" if value >= 0.5 else "positive"] for value in values]
    rows = []
    for row in reversed(range(_CHART_HEIGHT)):
        heights = np.clip(eighths - 8 * row, 0, 8)
        text = Text()
        for height, style in zip(heights, styles, strict=True):
            text.append(_BLOCKS[height], style)
        rows.append(text)
    return rows


def _blocks(values: NDArray[np.float64]) -> Text:
    """Draw values as a row of blocks, from the lowest of them to the highest."""
    span = float(np.ptp(values)) or 1.0
    return Text("".join(_BLOCKS[height] for height in np.rint(1 + 7 * (values - values.min()) / span).astype(int)))


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
            return f"{steps} steps, {steps / count:.1f} in a column"
        ticks = (_tick(token)[: max(self._repeat - 1, 1)] for token in trace.tokens)
        return "".join(tick.ljust(self._repeat) for tick in ticks)


def _tick(token: str) -> str:
    if token == PADDING:
        return _PADDING_SIGN
    if token == UNKNOWN:
        return "?"
    return "".join(character if cell_len(character) == 1 else "·" for character in sign_of(token))
