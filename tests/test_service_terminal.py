"""The view for terminals: what it says, in which colours, and that no text can do anything to a terminal."""

import io
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from charlstm.highlight import Piece
from charlstm.predictor import Predictor
from charlstm.trace import GateTrace
from service import terminal
from service.terminal import show
from tests.tiny import texts, tiny_artifacts

TEXT = "Worst update ever, so bad"


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(tiny_artifacts(tmp_path_factory.mktemp("terminal"), max_length=None), device="cpu")


def printed(traced: GateTrace, *, width: int = 100, colors: bool = False) -> str:
    file = io.StringIO()
    system = "truecolor" if colors else None
    console = Console(file=file, width=width, force_terminal=colors, color_system=system, no_color=not colors)  # type: ignore[arg-type]  # one of its literals
    show(console, traced, "tiny 0123")
    return file.getvalue()


def test_it_says_the_label_its_probability_and_whose_they_are(predictor: Predictor) -> None:
    traced = predictor.trace(TEXT)
    first = printed(traced).splitlines()[0]
    assert first.startswith(f"{traced.prediction.label} {100 * traced.prediction.probability:.0f} %")
    assert first.endswith("25 characters read, tiny 0123")


def test_it_tells_of_a_cut_and_of_unknown_characters(tmp_path_factory: pytest.TempPathFactory) -> None:
    short = Predictor.load(tiny_artifacts(tmp_path_factory.mktemp("short"), max_length=4), device="cpu")
    first = printed(short.trace("a漢字 and more", truncate=True)).splitlines()[0]
    assert first.endswith("4 characters read, the rest cut, 2 unknown, tiny 0123")


def test_words_and_constant_add_up_to_the_log_odds(predictor: Predictor) -> None:
    traced = predictor.trace(TEXT)
    rows = re.findall(r"(?m)^(\S.*?) +([+-]\d+\.\d\d)(?: .*)?$", printed(traced).split("log-odds)")[1])
    assert {name for name, _ in rows} == {"Worst", "update", "ever,", "so", "bad", "constant", "log-odds of negative"}
    *parts, logit = (float(number) for _, number in rows)
    assert logit == pytest.approx(traced.attribution.logit, abs=0.006)
    assert sum(parts) == pytest.approx(logit, abs=0.04)
    assert [abs(part) for part in parts[:-1]] == sorted((abs(part) for part in parts[:-1]), reverse=True)


def test_many_words_are_the_strongest_and_the_sum_of_the_rest(predictor: Predictor) -> None:
    assert "18 more words" in printed(predictor.trace(" ".join("abcdefghijklmnopqrstuvwxyz")))


def test_padding_has_its_share(tmp_path_factory: pytest.TempPathFactory) -> None:
    padded = Predictor.load(tiny_artifacts(tmp_path_factory.mktemp("padded"), pad_to=30), device="cpu")
    shown = printed(padded.trace("so bad"))
    assert "padding, read like text" in shown
    assert shown.count("░") == 24


def test_each_gate_has_both_names_and_its_mean(predictor: Predictor) -> None:
    traced = predictor.trace(TEXT)
    shown = printed(traced)
    assert "forget gate: percentage of the long-term memory to keep" in shown
    means = traced.layers[0].forget_gate.mean(axis=1)
    assert f"{means.mean():.2f} ({means.min():.2f}-{means.max():.2f})" in shown


# Colours


def contrast(first: str, second: str) -> float:
    """Work out the contrast of two colours as WCAG 2 defines it."""

    def luminance(name: str) -> float:
        channels = [channel / 255 for channel in Color.parse(name).get_truecolor()]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("share", [-1.0, -0.5, 0.5, 1.0])
def test_a_background_comes_with_its_own_letters(share: float) -> None:
    style = terminal._style(share, 1.0)
    assert style.color is not None
    assert style.bgcolor is not None
    assert contrast(style.color.name, style.bgcolor.name) > 7


@pytest.mark.parametrize("share", [-0.2, 0.2])
@pytest.mark.parametrize("paper", ["#000000", "#ffffff"])
def test_a_coloured_letter_is_readable_on_black_and_on_white(share: float, paper: str) -> None:
    style = terminal._style(share, 1.0)
    assert style.bgcolor is None
    assert style.color is not None
    assert contrast(style.color.name, paper) > 3


def test_direction_is_not_told_by_colour_alone() -> None:
    for share in (0.2, 0.5, 1.0):
        assert terminal._style(share, 1.0).underline
        assert not terminal._style(-share, 1.0).underline


def test_each_piece_has_the_style_of_its_share() -> None:
    coloured = terminal._coloured([Piece("a", 0, 1.0, 0.5), Piece("b", 1, -0.01, 0.5), Piece("cd", 2)], 1.0)
    assert coloured.plain == "abcd"
    styles = {coloured.plain[span.start : span.end]: span.style for span in coloured.spans}
    assert styles["a"] == terminal._style(1.0, 1.0)
    assert styles.get("b", Style.null()) == Style.null()
    assert styles["cd"] == Style(dim=True, strike=True)


# Any text, any width


@settings(max_examples=60)
@given(text=texts(max_size=120), width=st.integers(50, 140))
def test_no_text_can_do_anything_to_a_terminal(predictor: Predictor, text: str, width: int) -> None:
    """Apart from Rich's own codes for colours, all that comes out is printable."""
    shown = printed(predictor.trace(text), width=width, colors=True)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert all(line.isprintable() for line in plain.split("\n"))
    assert all(cell_len(line) <= width for line in plain.split("\n"))


@settings(max_examples=100)
@given(steps=st.integers(1, 400), width=st.integers(1, 200))
def test_columns_show_every_step_once(predictor: Predictor, steps: int, width: int) -> None:
    trace = predictor.trace("a" * steps)
    columns = terminal._Columns(trace, width)
    values = np.linspace(0, 1, steps)
    shown = columns.of(values)
    assert len(shown) <= width
    assert (np.diff(shown) >= 0).all()
    if steps <= width:
        assert sorted(set(shown)) == pytest.approx(sorted(set(values)))
        assert len(columns.axis(trace)) == len(shown)
    else:
        assert shown.mean() == pytest.approx(values.mean(), abs=0.5 / width + 1e-9)
        assert columns.axis(trace).startswith(f"{steps} steps")


def test_the_text_stands_below_its_columns(predictor: Predictor) -> None:
    trace = predictor.trace("so 漢\n")
    assert terminal._Columns(trace, 15).axis(trace) == "s  o  ␣  ?  ?  "
    assert terminal._Columns(trace, 5).axis(trace) == "so␣??"


def height(rows: list[Text], column: int) -> int:
    return sum(" ▁▂▃▄▅▆▇█".index(row.plain[column]) for row in rows)


def test_the_chart_is_as_high_as_the_probability_and_coloured_by_its_label() -> None:
    values = np.array([0.0, 0.25, 0.5, 1.0])
    rows = terminal._area(values, 6, terminal._label_colors(values))
    assert [height(rows, column) for column in range(4)] == [0, 12, 24, 48]
    bottom = {span.start: str(span.style) for span in rows[-1].spans}
    assert bottom[1] == terminal._LETTER["positive"]
    assert bottom[2] == bottom[3] == terminal._LETTER["negative"]


def test_gates_are_drawn_from_0_to_1_whatever_their_range() -> None:
    """So 0.52 to 0.58 does not look like a full swing; the little that is above 0 is still seen."""
    rows = terminal._area(np.array([0.52, 0.58, 0.001, 0.0, 1.0]), 2)
    assert [height(rows, column) for column in range(5)] == [8, 9, 1, 0, 16]
    assert not [span for row in rows for span in row.spans if str(span.style)]


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("steps", [5, 41, 1000])
def test_nothing_is_cut_off_in_a_narrow_terminal(predictor: Predictor, width: int, steps: int) -> None:
    trace = predictor.trace(("so bad, " * 200)[:steps])
    shown = printed(trace, width=width)
    assert "…" not in shown
    lines = shown.split("\n")
    assert max(cell_len(line) for line in lines) <= width
    for gate in ("forget_gate", "input_gate", "output_gate"):
        means = getattr(trace.layers[-1], gate).mean(axis=1)
        name = gate.replace("_", " ")
        (row,) = [line for line in lines if re.match(rf" *{name} [^:]*$", line)]
        assert row.rstrip().endswith(f" {means.mean():.2f} ({means.min():.2f}-{means.max():.2f})")
        assert any(line.startswith(f"{name}: percentage of the ") for line in lines)
    for label in ("100 %", "50 %", "0 %", "P(negative)"):
        assert any(line.strip().startswith(label) for line in lines)
