"""Charts of a trace, as the plain dictionaries that Plotly draws: panels that stand above each other over one text.

Plotly itself is only needed by `figure`, which needs the extra `plots`.

Sizes: T steps, H = hidden_size.
"""

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from charlstm.clamp import SignalName
from charlstm.errors import MissingPackageError
from charlstm.glossary import GATES, GLOSSARY, Term
from charlstm.highlight import sign_of
from charlstm.readout import FloatArray
from charlstm.trace import GateTrace

if TYPE_CHECKING:
    from plotly.graph_objects import Figure  # type: ignore[import-untyped]  # it ships no types

Json = dict[str, Any]
ColorScale = list[tuple[float, str]]

# Colour-blind people can tell each pair apart: orange speaks for negative and blue for positive; a signal that has a
# sign is green above 0 and purple below.
COLORS: Final[Mapping[str, str]] = {
    "ink": "#1d1c1a",
    "soft": "#67635c",
    "line": "#e5e1da",
    "sheet": "#ffffff",
    "negative": "#bb4f06",
    "positive": "#1a65a8",
    "negative fill": "#e87820",
    "positive fill": "#2d82cd",
    "above": "#1b7837",
    "slightly above": "#a5d39f",
    "below": "#762a83",
    "slightly below": "#c3a6cf",
    "middle": "#f7f7f6",
    "full": "#0b4a6f",
    "half": "#5fa8c9",
    "empty": "#f4f7f8",
    "forget_gate": "#0b5f8a",
    "input_gate": "#b0590f",
    "output_gate": "#6b5b95",
}
DARK_COLORS: Final[Mapping[str, str]] = {
    "ink": "#eceae5",
    "soft": "#aaa69d",
    "line": "#31353c",
    "sheet": "#1c1f24",
    "negative": "#f6a15c",
    "positive": "#7cbcf3",
    "negative fill": "#f08c3c",
    "positive fill": "#50a0e6",
    "above": "#8fe388",
    "slightly above": "#3f7a45",
    "below": "#d9a6ee",
    "slightly below": "#75458a",
    "middle": "#202329",
    "full": "#d8f1ff",
    "half": "#3f86ab",
    "empty": "#1d2228",
    "forget_gate": "#6cc0ee",
    "input_gate": "#efa65d",
    "output_gate": "#b9a6e8",
}
_DASHES: Final[Mapping[SignalName, str]] = {"forget_gate": "solid", "input_gate": "dash", "output_gate": "dot"}
_FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
_MONOSPACE: Final = "ui-monospace, 'SF Mono', Menlo, Consolas, 'Noto Sans Mono', 'DejaVu Sans Mono', monospace"

_MOST_TICKS = 90  # characters below the charts; more would stand on each other
_GAP = 40  # pixels between two panels
_WITHIN_SCALE = 0.98  # of the values of a heat map; those beyond have the colour of its end
_MARGINS: Final[Mapping[str, int]] = {"l": 56, "r": 8, "t": 40, "b": 34}
_NUMBER: Final = ":.3f"


class Panel(NamedTuple):
    """One chart of several above each other.

    Attributes:
        title: What it shows.
        traces: Plotly's, without their axes.
        axis: Of the values.
        height: In pixels.
        lines: Values at which a line runs through the panel.
    """

    title: str
    traces: list[Json]
    axis: Json
    height: int
    lines: tuple[float, ...] = ()


def figure(trace: GateTrace, signal: SignalName = "cell_state", layer: int = -1) -> "Figure":
    """Draw a trace: the probability along the text, the shares, one signal of every unit, and the gates' means.

    Args:
        trace: What to draw.
        signal: Of the heat map.
        layer: Of the heat map and of the gates; -1 is the top one.

    Raises:
        MissingPackageError: Plotly is not installed.
        ValueError: There is no such signal.
        IndexError: There is no such layer.
    """
    document = figure_document(trace, signal, layer)
    try:
        from plotly.graph_objects import Figure  # noqa: PLC0415  an extra, and half a second to import
    except ModuleNotFoundError as error:
        raise MissingPackageError("plotly") from error
    return Figure(document)


def figure_document(trace: GateTrace, signal: SignalName = "cell_state", layer: int = -1) -> Json:
    """Return what `figure` draws as a plain dictionary; its numbers are NumPy arrays."""
    panels = [*story(trace), memory(trace, signal, layer), gate_means(trace, layer)]
    return stacked(trace, panels)


def story(trace: GateTrace) -> list[Panel]:
    """Show how the answer came about: the probability after each step, and what each step adds to the log-odds."""
    tokens = _shown(trace)
    line = {
        "type": "scatter",
        "mode": "lines+markers" if len(tokens) <= _MOST_TICKS else "lines",
        "y": trace.probability_so_far,
        "text": tokens,
        "line": {"color": COLORS["ink"], "width": 2},
        "marker": {"size": 5},
        "hovertemplate": f"after <b>%{{text}}</b>: P(negative) %{{y{_NUMBER}}}<extra></extra>",
    }
    shares = trace.attribution.steps
    bars = {
        "type": "bar",
        "y": shares,
        "text": tokens,
        "textposition": "none",
        "marker": {"color": [COLORS["negative fill" if share > 0 else "positive fill"] for share in shares]},
        "hovertemplate": "<b>%{text}</b> adds %{y:+.3f}<extra></extra>",
    }
    return [
        Panel("P(negative), if the text ended here", [line], _axis(range=[0, 1], tickformat=".0%"), 170, (0.5,)),
        Panel(
            "What each step adds to the log-odds of negative", [bars], _axis(tickformat="+.2~f", nticks=5), 140, (0,)
        ),
    ]


def memory(trace: GateTrace, signal: SignalName, layer: int) -> Panel:
    """Show one signal of every unit of a layer as a heat map, the units with the largest share on top."""
    values = trace.signal(signal, layer)  # (T, H)
    units = by_share(trace, layer)
    drawn = {
        "type": "heatmap",
        "z": np.ascontiguousarray(values.T[units]),
        "y": [str(unit) for unit in units],
        "text": [_shown(trace)] * len(units),
        **heat_map_style(GLOSSARY[signal], values),
    }
    term = GLOSSARY[signal]
    return Panel(
        f"{term.name.capitalize()} ({term.article_name}): units by steps",
        [drawn],
        unit_axis(),
        heat_map_height(len(units)),
    )


def heat_map_height(units: int) -> int:
    """Return the height of a heat map in pixels: few units have no broad rows, many have narrow ones."""
    return min(460, max(90, 14 * units))


def unit_axis() -> Json:
    """Return the axis of a heat map: a row a unit, the first one on top."""
    order = {"type": "category", "autorange": "reversed"}
    return _axis(**order, showgrid=False, nticks=20, title={"text": "unit"}, fixedrange=False)


def heat_map_style(term: Term, values: FloatArray) -> Json:
    """Return the colours of a heat map and what it says of a cell.

    Args:
        term: What is shown.
        values: All of it. A signal without a sign has a scale from 0 to 1; one with a sign the same to both sides, and
            so wide that a few units far out do not make all others pale.
    """
    bound = max(float(np.quantile(np.abs(values), _WITHIN_SCALE)), 1e-6) if term.signed else 1.0
    scale: ColorScale = [(0.0, COLORS["empty"]), (0.5, COLORS["half"]), (1.0, COLORS["full"])]
    if term.signed:
        names = ("below", "slightly below", "middle", "slightly above", "above")
        scale = [(index / 4, COLORS[name]) for index, name in enumerate(names)]
    return {
        "zmin": -bound if term.signed else 0.0,
        "zmax": bound,
        "colorscale": scale,
        "colorbar": {
            "orientation": "h",
            "lenmode": "pixels",
            "len": 200,
            "thickness": 8,
            "outlinewidth": 0,
            "tickfont": {"size": 10},
            "nticks": 5,
            "x": 1,
            "xanchor": "right",
            "xpad": 0,
            "y": 1,
            "yanchor": "bottom",
            "ypad": 2,
        },
        "hovertemplate": f"unit %{{y}} at <b>%{{text}}</b>: {term.name} %{{z{_NUMBER}}}<extra></extra>",
    }


def gate_means(trace: GateTrace, layer: int) -> Panel:
    """Show how far each gate is open at each step, on average over the units of a layer."""
    tokens = _shown(trace)
    lines = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": GLOSSARY[gate].name,
            "y": trace.signal(gate, layer).mean(axis=1),
            "text": tokens,
            "line": {"color": COLORS[gate], "dash": _DASHES[gate], "width": 2},
            "hovertemplate": f"<b>%{{text}}</b>: %{{y{_NUMBER}}}",
            "showlegend": True,
        }
        for gate in GATES
    ]
    return Panel("How far each gate is open, mean over the units", lines, _axis(range=[0, 1], tickformat=".0%"), 170)


def by_share(trace: GateTrace, layer: int) -> list[int]:
    """Return the units of a layer: those of the top one by their share without its sign, the others by number."""
    if layer not in (-1, len(trace.layers) - 1):
        return list(range(trace.layers[layer].cell_state.shape[1]))
    units: list[int] = np.argsort(-np.abs(trace.attribution.units), kind="stable").tolist()
    return units


def stacked(trace: GateTrace, panels: Sequence[Panel]) -> Json:
    """Put panels above each other, the first on top, over one axis of steps with the text along it."""
    inner = sum(panel.height for panel in panels) + _GAP * (len(panels) - 1)
    traces: list[Json] = []
    layout = _layout(trace, inner)
    top = inner
    for number, panel in enumerate(panels, start=1):
        suffix = "" if number == 1 else str(number)
        bottom = top - panel.height
        low, high = max(bottom / inner, 0.0), top / inner
        layout[f"yaxis{suffix}"] = panel.axis | {"domain": [low, high], "anchor": "x"}
        layout["annotations"].append(_title(panel.title, high))
        layout["shapes"] += [_line(value, f"y{suffix}") for value in panel.lines]
        for one in panel.traces:
            placed = {"showlegend": False, "x0": 0, "dx": 1} | one | {"xaxis": "x", "yaxis": f"y{suffix}"}
            if "colorbar" in one:
                placed["colorbar"] = one["colorbar"] | {"y": high}
            traces.append(placed)
        if any(one.get("showlegend") for one in panel.traces):
            layout["legend"] |= {"y": high, "yanchor": "bottom"}
        top = bottom - _GAP
    layout["xaxis"]["anchor"] = f"y{'' if len(panels) == 1 else len(panels)}"
    return {"data": traces, "layout": layout}


def _layout(trace: GateTrace, inner: int) -> Json:
    return {
        "height": inner + _MARGINS["t"] + _MARGINS["b"],
        "margin": dict(_MARGINS),
        "font": {"family": _FONT, "size": 12, "color": COLORS["soft"]},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": COLORS["sheet"],
        "hoverlabel": {"font": {"family": _FONT, "color": COLORS["ink"]}, "bgcolor": COLORS["sheet"]},
        "hovermode": "closest",
        "dragmode": "zoom",
        "bargap": 0.15,
        "legend": {"orientation": "h", "x": 1, "xanchor": "right", "bgcolor": "rgba(0,0,0,0)"},
        "xaxis": _steps_axis(trace),
        "annotations": [],
        "shapes": _padding(trace),
    }


def _steps_axis(trace: GateTrace) -> Json:
    steps = len(trace.tokens)
    few = steps <= _MOST_TICKS
    return {
        "range": [-0.5, steps - 0.5],
        "tickmode": "array",
        "tickvals": list(range(steps)) if few else [],
        "ticktext": tick_texts(trace) if few else [],
        "tickangle": 0,
        "tickfont": {"family": _MONOSPACE, "size": 12},
        "showgrid": False,
        "zeroline": False,
    }


def tick_texts(trace: GateTrace) -> list[str]:
    """Return the token of each step, in the colour of what it speaks for, as Plotly's kind of HTML."""
    colors = (COLORS["negative" if share > 0 else "positive"] for share in trace.attribution.steps)
    return [f'<span style="color:{color}">{token}</span>' for color, token in zip(colors, _shown(trace), strict=True)]


def _shown(trace: GateTrace) -> list[str]:
    return [html.escape(sign_of(token)) for token in trace.tokens]  # Plotly reads HTML in texts


def _axis(**settings: Any) -> Json:
    return {"zeroline": False, "gridcolor": COLORS["line"], "tickfont": {"size": 11}, "fixedrange": True} | settings


def _title(text: str, y: float) -> Json:
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": y, "xanchor": "left", "yanchor": "bottom"}
    return place | {"text": text, "showarrow": False, "font": {"size": 13, "color": COLORS["ink"]}, "yshift": 4}


def _line(value: float, axis: str) -> Json:
    line = {"color": COLORS["soft"], "width": 1, "dash": "dot" if value else "solid"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": axis, "y0": value, "y1": value, "line": line}


def _padding(trace: GateTrace) -> list[Json]:
    if None not in trace.offsets:
        return []
    first = trace.offsets.index(None)
    place = {"xref": "x", "x0": first - 0.5, "x1": len(trace.offsets) - 0.5, "yref": "paper", "y0": 0, "y1": 1}
    label = {"text": "padding", "textposition": "top right", "font": {"size": 11, "color": COLORS["soft"]}}
    fill = {"fillcolor": COLORS["soft"], "opacity": 0.12, "line": {"width": 0}, "layer": "below"}
    return [{"type": "rect", **place, **fill, "label": label}]
