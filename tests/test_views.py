"""A trace as a data frame, as a figure, and as a page of its own."""

import base64
import dataclasses
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from charlstm import views
from charlstm.clamp import Clamp
from charlstm.errors import CharLSTMError, MissingPackageError, how_to_install
from charlstm.glossary import GLOSSARY
from charlstm.highlight import Piece, percent, pieces, sign_of, strongest
from charlstm.notebook import snippet
from charlstm.predictor import Predictor
from charlstm.trace import SIGNALS, GateTrace, Prediction
from charlstm.views import in_words, to_html
from tests.tiny import HIDDEN_SIZE, texts, tiny_artifacts

ROOT = Path(__file__).parent.parent
TEXT = "Worst update ever"
BAD_TEXT = "</script><img src=x onerror=alert(1)> & \"q\" 'q' <!-- \x01\x1b[31m \ufffe \u202e $a$ {{ 7 * 7 }}\r\nİß漢"
FORGET_GATE = "forget gate (percentage of the long-term memory to keep)"
CANDIDATE = "candidate (potential memory)"
VOID = {"meta", "img", "link", "br", "input", "hr"}


@pytest.fixture(scope="module")
def trace(tiny_predictor: Predictor) -> GateTrace:
    return tiny_predictor.trace(TEXT)


@pytest.fixture(scope="module")
def two_layers(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    directory = tiny_artifacts(tmp_path_factory.mktemp("two"), num_layers=2, casefold=True, max_length=None)
    return Predictor.load(directory, device="cpu")


@pytest.fixture(scope="module")
def padded(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(tiny_artifacts(tmp_path_factory.mktemp("padded"), pad_to=24), device="cpu")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(tiny_artifacts(tmp_path_factory.mktemp("words"), level="word", casefold=True), device="cpu")


# One signal


def test_a_signal_is_had_by_its_name_and_layer(two_layers: Predictor) -> None:
    trace = two_layers.trace(TEXT)
    for name in GLOSSARY:
        assert trace.signal(name) is getattr(trace.layers[1], name)
        assert trace.signal(name, 0) is getattr(trace.layers[0], name)


@pytest.mark.parametrize("view", [GateTrace.signal, GateTrace.frame, GateTrace.figure])
def test_an_unknown_signal_is_an_error_that_lists_those_there_are(trace: GateTrace, view: Any) -> None:
    with pytest.raises(ValueError, match=r"signal must be one of forget_gate, .*hidden_state, found 'memory'"):
        view(trace, "memory")


@pytest.mark.parametrize("view", [GateTrace.signal, GateTrace.frame, GateTrace.figure])
@pytest.mark.parametrize("layer", [1, -2])
def test_an_unknown_layer_is_an_error(trace: GateTrace, view: Any, layer: int) -> None:
    with pytest.raises(IndexError, match=f"layer must be below 1, found {layer}"):
        view(trace, "cell_state", layer)


def test_every_signal_is_explained_under_both_names() -> None:
    assert set(GLOSSARY) == set(SIGNALS)
    assert GLOSSARY["cell_state"].article_name == "long-term memory"
    assert all(term.name.replace(" ", "_") == name for name, term in GLOSSARY.items())


# The frame


def test_a_frame_has_a_row_a_step_with_the_means_of_every_signal(two_layers: Predictor) -> None:
    trace = two_layers.trace("Straße")
    frame = trace.frame()
    assert frame.index.name == "step"
    assert frame["token"].tolist() == list("strasse")
    assert frame["offset"].tolist() == [0, 1, 2, 3, 4, 4, 5]
    np.testing.assert_array_equal(frame["probability_so_far"], trace.probability_so_far)
    np.testing.assert_array_equal(frame["share"], trace.attribution.steps)
    for layer in (0, 1):
        for name in GLOSSARY:
            expected = [float(np.mean(row)) for row in trace.signal(name, layer)]
            assert frame[f"layer_{layer}.{name}"].tolist() == pytest.approx(expected)
    assert len(frame.columns) == 4 + 2 * 6


def test_a_frame_of_one_signal_has_a_column_a_unit(two_layers: Predictor) -> None:
    trace = two_layers.trace(TEXT)
    frame = trace.frame(signal="cell_state", layer=0)
    assert (frame.index.name, frame.columns.name) == ("step", "unit")
    np.testing.assert_array_equal(frame.to_numpy(), trace.layers[0].cell_state)


def test_padding_has_no_offset_in_a_frame(padded: Predictor) -> None:
    frame = padded.trace("so bad").frame()
    assert frame["offset"].isna().sum() == 18
    assert str(frame["offset"].dtype) == "Int64"
    assert isinstance(frame, pd.DataFrame)


def test_a_frame_says_what_it_is_of(two_layers: Predictor) -> None:
    trace = two_layers.trace(TEXT)
    attrs = trace.frame().attrs
    assert attrs["text"] == TEXT
    assert attrs["label"] == trace.prediction.label
    assert attrs["probability_negative"] == trace.prediction.probability_negative
    assert "log-odds of negative" in attrs["share"]
    of_signal = trace.frame("cell_state").attrs
    assert of_signal["text"] == TEXT
    assert (of_signal["signal"], of_signal["layer"]) == ("cell_state", 1)
    assert of_signal["meaning"] == GLOSSARY["cell_state"].meaning
    assert "share" not in of_signal


# In a line, and in a notebook


def test_a_trace_is_said_in_one_short_line(two_layers: Predictor) -> None:
    trace = two_layers.trace("so bad")
    answer = f"label={trace.prediction.label!r}, probability={trace.prediction.probability:.4f}"
    assert repr(trace) == f"GateTrace('so bad', {answer}, steps=6, units={HIDDEN_SIZE}, layers=2)"
    long = repr(two_layers.trace("so bad\n" * 100))
    assert "\n" not in long
    assert "…'" in long
    assert len(long) < 200


def test_a_notebook_shows_the_answer_and_the_coloured_text(two_layers: Predictor) -> None:
    trace = two_layers.trace("so bad")
    page = Page(snippet(trace))
    assert page.texts["b"] == trace.prediction.label
    shown = re.findall(r'<span title="([+-][0-9.]+)" style="background:rgba\((.*?),[0-9.]+\)[^>]*>(.)<', snippet(trace))
    drawn = [(letter, float(share)) for share, _, letter in shown]
    most = np.abs(trace.attribution.steps).max()
    expected = [
        (letter, round(float(share), 3))
        for letter, share in zip("so bad", trace.attribution.steps, strict=True)
        if abs(share) >= 0.05 * most
    ]
    assert drawn == expected
    assert {color for share, color, _ in shown if share.startswith("-")} <= {"45,130,205"}
    assert {color for share, color, _ in shown if share.startswith("+")} <= {"232,120,32"}
    assert trace._repr_html_() == snippet(trace)


@settings(max_examples=15)
@given(text=texts())
def test_no_text_becomes_markup_in_a_notebook(two_layers: Predictor, text: str) -> None:
    for trace in (two_layers.trace(text), two_layers.trace(BAD_TEXT)):
        page = Page(snippet(trace))
        assert set(page.tags) == {"div", "b", "span"}
        assert {name for _, name, _ in page.attributes} <= {"dir", "style", "title"}


def test_a_long_text_is_cut_in_a_notebook(two_layers: Predictor) -> None:
    assert "… 400 more" in snippet(two_layers.trace("a" * 1000))


# The pieces of a coloured text


@settings(max_examples=60)
@given(text=texts())
def test_pieces_divide_the_text_and_share_out_what_its_steps_hold(two_layers: Predictor, text: str) -> None:
    trace = two_layers.trace(text)
    found = pieces(trace)
    assert "".join(piece.text for piece in found) == text
    assert [piece.start for piece in found] == list(range(len(text)))
    assert sum(piece.share or 0 for piece in found) == pytest.approx(trace.attribution.steps.sum())
    for piece in found:
        steps = [step for step, offset in enumerate(trace.offsets) if offset == piece.start]
        assert piece.share == pytest.approx(sum(trace.attribution.steps[steps]))
        assert piece.probability == trace.probability_so_far[steps[-1]]
        assert piece.unknown == any(trace.tokens[step] == "<UNK>" for step in steps)


def test_a_piece_of_a_word_level_model_reaches_to_the_next_word(words: Predictor) -> None:
    found = pieces(words.trace("  so bad!"))
    assert [(piece.text, piece.share is None) for piece in found] == [
        ("  ", True),
        ("so ", False),
        ("bad", False),
        ("!", False),
    ]


def read_without_a_word(predictor: Predictor) -> GateTrace:
    """Make a trace of `so very bad` whose word in the middle was left out."""
    return dataclasses.replace(predictor.trace("so bad"), text="so very bad", offsets=(0, 1, 2, 8, 9, 10))


def test_what_was_left_out_is_a_piece_without_a_share(tiny_predictor: Predictor) -> None:
    found = pieces(read_without_a_word(tiny_predictor), [(3, 8)])
    assert [piece.text for piece in found] == ["s", "o", " ", "very ", "b", "a", "d"]
    assert found[3] == Piece("very ", 3)


def test_the_strongest_share_is_never_zero() -> None:
    assert strongest([0.5, -2.0, None]) == 2.0
    assert strongest([0.0, None]) == 1.0
    assert strongest([]) == 1.0


def test_what_cannot_be_seen_has_a_sign() -> None:
    assert sign_of("a b\n\t") == "a␣b⏎⇥"
    assert sign_of("\x1b\u202e\ufffe\r") == "\N{REPLACEMENT CHARACTER}" * 4


# The figure


def rows_of(figure: Any, kind: str) -> list[Any]:
    return [drawn for drawn in figure.data if drawn.type == kind]


def test_a_figure_draws_what_the_trace_holds(two_layers: Predictor) -> None:
    trace = two_layers.trace(TEXT)
    figure = trace.figure(signal="candidate", layer=0)
    probability, *gates = rows_of(figure, "scatter")
    (bars,) = rows_of(figure, "bar")
    (heat,) = rows_of(figure, "heatmap")
    np.testing.assert_allclose(probability.y, trace.probability_so_far)
    np.testing.assert_allclose(bars.y, trace.attribution.steps)
    np.testing.assert_allclose(heat.z, trace.layers[0].candidate.T)
    assert list(heat.y) == [str(unit) for unit in range(HIDDEN_SIZE)]
    for line, gate in zip(gates, ("forget_gate", "input_gate", "output_gate"), strict=True):
        np.testing.assert_allclose(line.y, getattr(trace.layers[0], gate).mean(axis=1))


def test_the_units_of_the_top_layer_stand_by_their_share(trace: GateTrace) -> None:
    (heat,) = rows_of(trace.figure(), "heatmap")
    units = [int(unit) for unit in heat.y]
    shares = np.abs(trace.attribution.units)[units]
    assert (np.diff(shares) <= 0).all()
    assert sorted(units) == list(range(HIDDEN_SIZE))
    np.testing.assert_allclose(heat.z, trace.layers[0].cell_state.T[units])


def test_a_signal_with_a_sign_has_a_scale_with_its_middle_at_0(trace: GateTrace) -> None:
    for name in GLOSSARY:
        (heat,) = rows_of(trace.figure(name), "heatmap")
        low, high = (-heat.zmax, heat.zmax) if GLOSSARY[name].signed else (0.0, 1.0)
        assert (heat.zmin, heat.zmax) == (low, high)
        assert heat.zmax > 0


def test_a_figure_has_the_colours_of_the_page(trace: GateTrace) -> None:
    """A signal with a sign is purple below 0 and green above it; the same scale is in the data of the page's script."""
    page = Page(trace.to_html())
    for name in GLOSSARY:
        (heat,) = rows_of(trace.figure(name), "heatmap")
        scale = [list(stop) for stop in heat.colorscale]
        assert scale == page.data["layers"][0][name]["style"]["colorscale"]
        if GLOSSARY[name].signed:
            assert (scale[0][1], scale[-1][1]) == ("#762a83", "#1b7837")


def test_the_text_stands_below_a_figure_as_text(tiny_predictor: Predictor) -> None:
    """Plotly reads HTML in its texts; a short text is named character by character, a long one is not."""
    figure = tiny_predictor.trace("so <b> bad").figure()
    ticks = figure.layout.xaxis.ticktext
    assert [re.sub("</?span.*?>", "", tick) for tick in ticks] == [
        *["s", "o", "␣"],
        *["&lt;UNK&gt;", "b", "&lt;UNK&gt;"],
        *["␣", "b", "a", "d"],
    ]
    shares = tiny_predictor.trace("so <b> bad").attribution.steps
    assert len({tick.split('"')[1] for tick, share in zip(ticks, shares, strict=True) if share > 0}) == 1
    assert not Predictor.load(ROOT / "artifacts", device="cpu").trace("so bad " * 20).figure().layout.xaxis.ticktext


def test_padding_is_marked_in_a_figure(padded: Predictor, trace: GateTrace) -> None:
    def marked(figure: Any) -> list[tuple[float, float]]:
        return [(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "rect"]

    assert marked(padded.trace("so bad").figure()) == [(5.5, 23.5)]
    assert marked(trace.figure()) == []


# The page


class Page(HTMLParser):
    """What a browser would find: checked for balance, with the text of each element that has an id."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: dict[str, str] = {}
        self.tags: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for tag, attributes in self.open:
            for name in (attributes.get("id"), tag):
                if name:
                    self.texts[name] = self.texts.get(name, "") + data

    @property
    def data(self) -> Any:
        return json.loads(self.texts["data"])

    def ids(self) -> list[str | None]:
        return [value for _, name, value in self.attributes if name == "id"]


def unpacked(packed: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["base64"]), "<f4").reshape(packed["shape"])


@pytest.fixture(scope="module")
def report(two_layers: Predictor) -> Page:
    return Page(to_html(two_layers.trace("Straße, so bad"), "tiny 0123"))


def test_a_page_says_what_the_model_says(two_layers: Predictor, report: Page) -> None:
    prediction = two_layers.predict("Straße, so bad")
    assert f"{prediction.label}, {100 * prediction.probability:.0f} %: Straße, so bad" == report.texts["title"].strip()
    assert f"{prediction.probability_negative:.4f}" in report.texts["header"]
    assert "14 characters" in report.texts["header"]
    assert "tiny 0123" in report.texts["header"]
    assert report.texts["text"] == "Straße, so bad"


def test_a_page_names_each_word_with_its_share_and_what_they_add_up_to(two_layers: Predictor, report: Page) -> None:
    shares = two_layers.trace("Straße, so bad").attribution
    rows = re.findall("(?m)^(.+?)([+\N{MINUS SIGN}]?[0-9][.][0-9]{2})$", report.texts["table"])
    names = [name for name, _ in rows]
    *parts, logit = (float(number.replace("\N{MINUS SIGN}", "-")) for _, number in rows)
    assert sorted(names[:3]) == ["Straße,", "bad", "so"]
    assert names[-1] == "log-odds of negative"
    assert logit == pytest.approx(shares.logit, abs=0.006)
    assert sum(parts) == pytest.approx(logit, abs=0.03)


def test_a_page_explains_each_signal_under_both_names(report: Page) -> None:
    for term in GLOSSARY.values():
        for words in (term.name, term.article_name, term.meaning):
            assert words.lower() in report.texts["main"].lower()


def test_a_page_carries_every_signal_of_every_unit(two_layers: Predictor, report: Page) -> None:
    trace = two_layers.trace("Straße, so bad")
    for index, layer in enumerate(report.data["layers"]):
        assert set(layer) == set(SIGNALS)
        for name, packed in layer.items():
            np.testing.assert_array_equal(unpacked(packed["values"]), trace.signal(name, index).T)
    np.testing.assert_allclose(report.data["shares"], trace.attribution.units, atol=1e-6)


def test_a_page_asks_no_host_for_anything(report: Page) -> None:
    """It names no address that a browser would follow, and forbids itself every request."""
    assert not [name for _, name, _ in report.attributes if name in {"src", "href", "srcset", "action", "poster"}]
    (policy,) = [value for _, name, value in report.attributes if name == "content" and "default-src" in str(value)]
    assert "default-src 'none'" in str(policy)
    assert "connect-src" not in str(policy)
    assert "url(" not in report.texts["style"]
    assert "@import" not in report.texts["style"]


def test_the_parts_of_a_page_find_each_other(report: Page) -> None:
    ids = report.ids()
    assert len(ids) == len(set(ids))
    labels = {value for _, name, value in report.attributes if name == "aria-labelledby"}
    asked_for = set(re.findall(r'byId\("([\w-]+)"\)', report.texts["script"]))
    assert labels | asked_for <= set(ids)
    assert asked_for


def test_no_text_becomes_markup(two_layers: Predictor) -> None:
    """Not in the coloured text, nor in the words, the title, the model's name or the data of the charts."""
    harmless = Page(two_layers.trace("x").to_html("m"))
    page = Page(two_layers.trace(BAD_TEXT).to_html(BAD_TEXT))
    assert set(page.tags) == set(harmless.tags)
    assert page.tags.count("script") == 3
    assert "{{ 7 * 7 }}" in page.texts["text"]
    assert page.data["tokens"] == [sign_of(token) for token in two_layers.trace(BAD_TEXT).tokens]


@settings(max_examples=15)
@given(text=texts())
def test_any_text_makes_a_whole_page_of_characters_that_html_allows(two_layers: Predictor, text: str) -> None:
    source = two_layers.trace(text).to_html()
    assert not re.search("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]", source)
    shown = Page(source).texts["text"].replace("⏎\n", "\n")
    assert len(shown) == len(text)
    for found, given_ in zip(shown, text, strict=True):
        assert found in (given_, "\N{REPLACEMENT CHARACTER}", "\n", " ")


def test_what_was_left_out_is_shown_as_such(tiny_predictor: Predictor) -> None:
    source = to_html(read_without_a_word(tiny_predictor), left_out=[(3, 8)])
    assert re.findall(r'class="unread"[^>]*>(.*?)<', source) == ["very "]
    assert 'class="unread"' not in to_html(tiny_predictor.trace("so bad"))


def test_a_page_says_before_all_else_what_was_changed(two_layers: Predictor) -> None:
    """In words, in its title, at the probability, and in the text where it was held for a part of it."""
    clamps = [Clamp("cell_state", 0, -1.5, units=(3,), start=1, stop=3), Clamp("forget_gate", 1, 0.0)]
    trace = dataclasses.replace(
        two_layers.trace("so bad", clamps=clamps), text="so <i> bad", offsets=(0, 1, 2, 7, 8, 9)
    )
    source = trace.to_html(left_out=[(3, 7)], clamps=clamps)
    page = Page(source)
    assert page.texts["title"].startswith("changed: ")
    assert "own answer to this text" in page.texts["changed"]
    assert page.texts["li"] == "".join(
        ["left out and not read: “<i>”, characters 3 to 6", in_words(clamps[0]), in_words(clamps[1])]
    )
    assert source.index('id="changed"') < source.index("<header>")
    assert ", changed" in page.texts["header"]
    assert re.findall(r'class="[^"]* held"[^>]*>(.)<', source) == ["o", " "]


def test_a_page_of_a_plain_answer_tells_of_no_change(report: Page) -> None:
    assert "changed" not in report.texts
    assert "changed" not in report.texts["title"]
    assert "held by force" not in report.texts["main"]


@pytest.mark.parametrize(
    ("clamp", "said"),
    [
        (
            Clamp("forget_gate", 0, 0.0),
            f"{FORGET_GATE} of every unit in layer 0 held at 0, at every step",
        ),
        (
            Clamp("cell_state", 1, -1.5, units=(3,), start=4, stop=9),
            "cell state (long-term memory) of unit 3 in layer 1 held at \N{MINUS SIGN}1.5, from step 4 to step 8",
        ),
        (
            Clamp("candidate", 0, 1.0, units=tuple(range(10)), start=2),
            f"{CANDIDATE} of units 0, 1, 2, 3, 4, 5, 6, 7 and 2 more in layer 0 held at 1, from step 2 to the end",
        ),
        (
            Clamp("hidden_state", 0, 1.0, units=(1, 2), start=5, stop=6),
            "hidden state (short-term memory) of units 1, 2 in layer 0 held at 1, at step 5",
        ),
    ],
)
def test_a_clamp_is_said_in_words(clamp: Clamp, said: str) -> None:
    assert in_words(clamp) == said


def test_a_page_tells_of_padding_cuts_and_unknown_characters(padded: Predictor) -> None:
    page = Page(to_html(padded.trace("so 漢 bad " * 4, truncate=True)))
    assert "cut" in page.texts["header"]
    assert "Unknown to the model" in page.texts["header"]
    assert "padding" not in page.texts["table"], "there is no room for any"
    assert "padding" in Page(padded.trace("so bad").to_html()).texts["table"]


def test_a_long_text_has_its_strongest_words_and_the_sum_of_the_rest(two_layers: Predictor) -> None:
    text = " ".join("abcdefghijklmnopqrstuvwxyz")
    page = Page(two_layers.trace(text).to_html())
    assert "14 more words" in page.texts["table"]


def test_a_probability_is_never_said_to_be_certain() -> None:
    def said(negative: float) -> str:
        return percent(Prediction(negative, 1, 0, truncated=False))

    assert [said(p) for p in (0.5, 0.853, 0.02, 0.004, 1.0, 0.0)] == [
        *["50 %", "85 %", "98 %"],
        *["99.6 %", "over 99.9 %", "over 99.9 %"],
    ]


def test_a_page_needs_neither_pandas_nor_plotlys_python() -> None:
    code = (
        "import sys; from charlstm import Predictor; from charlstm.views import to_html;"
        "to_html(Predictor.load('artifacts', 'cpu').trace('x'));"
        "print([name for name in ('pandas', 'plotly', 'plotly.graph_objects') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "[]", result.stderr


# What is missing


@pytest.mark.parametrize(
    ("package", "view"), [("pandas", GateTrace.frame), ("plotly", GateTrace.figure), ("plotly", GateTrace.to_html)]
)
def test_a_view_without_its_package_says_what_to_install(
    trace: GateTrace, package: str, view: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import error, and one of the core's own, so that a command can say it in one line."""
    for module in ("charlstm.frame", "plotly.graph_objects", "pandas"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    views._plotly_script.cache_clear()
    with pytest.raises(ImportError, match=rf"this needs {package}, .*{re.escape(how_to_install('plots'))}") as caught:
        view(trace)
    assert isinstance(caught.value, MissingPackageError)
    assert isinstance(caught.value, CharLSTMError)
    assert caught.value.name == package
