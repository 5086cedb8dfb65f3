"""The example page in a real browser: it reads texts as the core does, and gives the core's answers, with no server.

Without Chromium, npm or its registry these tests are skipped, unless CHARLSTM_BROWSER_TESTS=required. The page asks
nobody but the folder that it comes from.
"""

import itertools
import json
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final, Literal

import pytest
from hypothesis import given
from playwright.sync_api import Page, ViewportSize, expect

from charlstm.artifacts import load_artifacts
from charlstm.encoding import TextEncoder
from charlstm.errors import EmptyTextError
from charlstm.onnx_files import TextRules, export_onnx, text_rules
from charlstm.predictor import Predictor
from charlstm.text import Level
from tests import npm
from tests.chromium import chromium
from tests.service_fixtures import PATIENCE
from tests.tiny import texts, tiny_artifacts

ROOT: Final = Path(__file__).parent.parent
EXAMPLE: Final = ROOT / "examples" / "browser"
TOLERANCE: Final = 1e-5
LEVELS: Final[tuple[Level, ...]] = ("character", "word")
READINGS: Final = list(itertools.product(LEVELS, (False, True)))
TEXTS: Final = (
    "Worst update ever",
    "I love this game",
    "x",
    "STRASSE straße İstanbul \u017ftop 🎮 e\u0301",
    "It was fun until the servers died again. " * 10,
)


class _Folder(SimpleHTTPRequestHandler):
    """Serves the example, with the model of another folder in it."""

    def __init__(self, *args: Any, model: Path, **kwargs: Any) -> None:
        self._model = model
        super().__init__(*args, directory=str(EXAMPLE), **kwargs)

    def translate_path(self, path: str) -> str:
        name = path.partition("?")[0].removeprefix("/model/")
        return str(self._model / name) if path.startswith("/model/") else super().translate_path(path)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def known_to_python(character: str) -> bool:
    """Browsers know characters of later versions of Unicode, and may take these for letters where Python does not."""
    return unicodedata.category(character) not in {"Cn", "Cs"}


Readings = dict[tuple[Level, bool], tuple[TextEncoder, TextRules]]


@dataclass
class Visit:
    """The page, open in a browser, and what was seen of it."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda line: self.faults.append(line.text) if line.type != "log" else None)
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self) -> None:
        self.page.goto(self.url)
        expect(self.page.locator("body")).to_have_attribute("data-state", "ready")

    def predict(self, text: str, folder: str = "model/") -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate(
            "async ([text, folder]) => (await (await import('./model.js')).Model.load(folder)).predict(text)",
            [text, folder],
        )
        return found

    def read(self, rules: TextRules, text: str) -> dict[str, Any]:
        """Read a text by rules."""
        script = "JSON.stringify(new (await import('./text.js')).TextReader(rules).read(text))"
        answer: str = self.page.evaluate(f"async ([rules, text]) => {script}", [rules.model_dump(), text])
        found: dict[str, Any] = json.loads(answer)
        return found

    def refused(self, rules: TextRules, text: str) -> str:
        """Read a text that cannot be read, written as in JavaScript's source; return what is said of it."""
        found: str = self.page.evaluate(
            "async rules => { const reader = new (await import('./text.js')).TextReader(rules);"
            f"try {{ reader.read('{text}'); return 'read' }} catch (error) {{ return error.message }} }}",
            rules.model_dump(),
        )
        return found


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load(ROOT / "artifacts", "cpu")


@pytest.fixture(scope="module")
def padding_predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Hold a model of two layers that reads its padding."""
    model = tiny_artifacts(tmp_path_factory.mktemp("padding"), num_layers=2, pad_to=40, casefold=True)
    return Predictor.load(model, "cpu")


@pytest.fixture(scope="module")
def visit(
    predictor: Predictor, padding_predictor: Predictor, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Visit]:
    npm.packages(EXAMPLE)
    model = tmp_path_factory.mktemp("model")
    export_onnx(predictor.artifacts, model)
    export_onnx(padding_predictor.artifacts, model / "padding")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Folder, model=model)) as server, chromium() as browser:
        Thread(target=server.serve_forever).start()
        try:
            visit = Visit(browser.new_page(), f"http://127.0.0.1:{server.server_port}/")
            visit.open()
            yield visit
        finally:
            server.shutdown()
    assert visit.faults == []
    assert {url.startswith(visit.url) for url in visit.requests} == {True}


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> Readings:
    """Hold, for every way to read, the encoder of a model, and its rules as a page gets them."""
    folder, found = tmp_path_factory.mktemp("readings"), {}
    for level, casefold in READINGS:
        model = tiny_artifacts(folder / f"{level}-{casefold}", level=level, casefold=casefold, max_length=30)
        artifacts = load_artifacts(model)
        found[level, casefold] = artifacts.encoder, text_rules(artifacts, {})
    return found


@pytest.mark.parametrize("text", TEXTS)
def test_a_probability_and_its_way_are_the_predictors(visit: Visit, predictor: Predictor, text: str) -> None:
    trace, found = predictor.trace(text), visit.predict(text)
    assert found["label"] == trace.prediction.label
    assert found["negative"] == pytest.approx(trace.prediction.probability_negative, abs=TOLERANCE)
    assert found["soFar"] == pytest.approx(trace.probability_so_far.tolist(), abs=TOLERANCE)
    assert found["read"]["unknown"] == trace.prediction.unknown_characters
    assert found["read"]["offsets"] == list(trace.offsets)


def test_padding_that_a_model_reads_is_read_here_too(visit: Visit, padding_predictor: Predictor) -> None:
    trace, found = padding_predictor.trace(TEXTS[0]), visit.predict(TEXTS[0], "model/padding/")
    assert len(found["soFar"]) == 40
    assert found["soFar"] == pytest.approx(trace.probability_so_far.tolist(), abs=TOLERANCE)
    assert found["negative"] == pytest.approx(trace.prediction.probability_negative, abs=TOLERANCE)


# How texts are read


@pytest.mark.parametrize("reading", READINGS, ids=str)
@given(text=texts(max_size=60).filter(lambda text: all(map(known_to_python, text))))
def test_any_text_is_read_as_the_core_reads_it(
    visit: Visit, readings: Readings, reading: tuple[Level, bool], text: str
) -> None:
    encoder, rules = readings[reading]
    try:
        expected = encoder.encode(text, truncate=True)
    except EmptyTextError:
        assert "must hold at least 1 word" in visit.refused(rules, " ")  # as any text that gets here
        return
    found = visit.read(rules, text)
    assert found.pop("tokens") == list(encoder.preprocessing.tokenize(text, truncate=True).tokens)
    assert found == {
        "tokenIds": list(expected.token_ids),
        "offsets": list(expected.offsets),
        "characters": expected.characters,
        "unknown": expected.unknown,
        "truncated": expected.truncated,
    }


@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_each_character_of_unicode_is_read_as_the_core_reads_it(
    visit: Visit, readings: Readings, reading: tuple[Level, bool]
) -> None:
    """Those that Python's Unicode knows, each between two letters, so that one sees whether it divides words."""
    encoder, rules = readings[reading]
    preprocessing = encoder.preprocessing.model_copy(update={"max_length": None})
    characters = [chr(code) for code in range(1, sys.maxunicode + 1)]
    known = filter(known_to_python, characters)
    text = "".join(f"a{character}b " for character in known)
    expected = preprocessing.tokenize(text)
    found = visit.read(rules.model_copy(update={"preprocessing": preprocessing}), text)
    pairs = zip(found["tokens"], found["offsets"], expected.tokens, expected.offsets, strict=False)
    assert next((pair for pair in pairs if pair[:2] != pair[2:]), None) is None
    assert len(found["tokens"]) == len(expected.tokens)


@pytest.mark.parametrize("text", ["", "\\0", "a\\ud83c", "\\udfaeb"])
def test_what_is_no_text_is_refused(visit: Visit, readings: Readings, text: str) -> None:
    """As the core refuses it. The text is one of JavaScript's, since none of Python's can be sent with half a pair."""
    _, rules = readings["character", False]
    expected = "must hold at least 1 character" if text == "" else "must be valid Unicode without a NUL"
    assert expected in visit.refused(rules, text)


# The page


def test_the_page_shows_the_answer_and_its_way_while_somebody_types(visit: Visit, predictor: Predictor) -> None:
    page = visit.page
    for text in ("I love this", "I love this ugly update", "ab\u2603"):
        page.fill("#text", text)
        trace = predictor.trace(text)
        expect(page.locator("#steps li")).to_have_count(len(trace.tokens))
        percentage = f"{100 * trace.prediction.probability:.1f}"
        expect(page.locator("#answer")).to_have_text(f"P({trace.prediction.label}) {percentage} %")
        shown = page.locator("#steps data").evaluate_all("found => found.map(data => Number(data.value))")
        assert shown == pytest.approx(trace.probability_so_far.tolist(), abs=TOLERANCE)
    expect(page.locator("#note")).to_contain_text("does not know 1 of the characters")
    expect(page.locator(".unknown")).to_have_text("\u2603")


def test_the_page_says_what_it_does_not_read(visit: Visit) -> None:
    page = visit.page
    page.fill("#text", "a" * 1001)
    expect(page.locator("#note")).to_contain_text("Only the first 1000 characters are read.")
    page.fill("#text", "")
    expect(page.locator("#steps li")).to_have_count(0)
    expect(page.locator("#answer")).to_be_empty()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_nothing_of_the_page_stands_over_its_edge(visit: Visit, width: int, scheme: Literal["light", "dark"]) -> None:
    page = visit.page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(ViewportSize(width=width, height=800))
    page.fill("#text", TEXTS[3])
    expect(page.locator("#answer")).not_to_be_empty()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_page_without_a_model_says_so(visit: Visit) -> None:
    browser = visit.page.context.browser
    assert browser is not None
    page = browser.new_page()
    page.route("**/model/text.json", lambda route: route.fulfill(status=404))
    page.goto(visit.url)
    expect(page.locator("#note")).to_contain_text("model/text.json: 404")
    page.close()
