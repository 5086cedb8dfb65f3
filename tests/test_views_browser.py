"""The page of a trace in a real browser, opened as a file.

Without a Chromium these tests are skipped, unless CHARLSTM_BROWSER_TESTS=required.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from charlstm.figure import COLORS, DARK_COLORS
from charlstm.glossary import GLOSSARY
from charlstm.predictor import Predictor
from charlstm.views import to_html
from tests.service_fixtures import PATIENCE
from tests.tiny import HIDDEN_SIZE, tiny_artifacts

TEXT = "<b>Worst</b> update, ever & so much fun"
CHARTS = ("#story-chart", "#memory-chart", "#gates-chart")
Theme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    predictor = Predictor.load(tiny_artifacts(folder / "model", num_layers=2), device="cpu")
    file = folder / "page.html"
    file.write_text(to_html(predictor.trace(TEXT), "tiny"), encoding="utf-8")
    return file.as_uri()


@contextmanager
def opened(browser: Browser, address: str, width: int = 1200, theme: Theme = "light") -> Iterator[Page]:
    """Open the page; whatever a test does with it, nothing may go wrong, and it may ask for nothing."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    page.set_default_timeout(PATIENCE * 1000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text))
    page.on("request", lambda asked: faults.append(asked.url) if asked.url != address else None)
    page.goto(address)
    for chart in CHARTS:
        expect(page.locator(f"{chart} .main-svg").first).to_be_visible()
    yield page
    page.close()
    assert faults == []


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with opened(browser, address) as page:
        yield page


def drawn(page: Page, chart: str) -> Any:
    return page.evaluate(f"(({{data, layout}}) => ({{data, layout}}))(document.querySelector('{chart}'))")


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_fits_and_has_the_colours_of_the_system(
    browser: Browser, address: str, width: int, theme: Theme
) -> None:
    with opened(browser, address, width, theme) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        colors = DARK_COLORS if theme == "dark" else COLORS
        assert drawn(page, "#story-chart")["data"][0]["line"]["color"] == colors["ink"]
        assert drawn(page, "#memory-chart")["layout"]["plot_bgcolor"] == colors["sheet"]


def test_signal_layer_and_order_are_chosen(page: Page) -> None:
    """The rows are then the units of that layer, in another order, and the page says what the signal is."""
    first = drawn(page, "#memory-chart")["data"][0]
    page.select_option("#layer", "0")
    page.select_option("#signal", "forget_gate")
    page.select_option("#order", "number")
    expect(page.locator("#meaning")).to_have_text(GLOSSARY["forget_gate"].meaning)
    heat = drawn(page, "#memory-chart")["data"][0]
    assert heat["y"] == [str(unit) for unit in range(HIDDEN_SIZE)]
    assert sorted(first["y"]) == sorted(heat["y"])
    assert first["y"] != heat["y"]
    assert (heat["zmin"], heat["zmax"]) == (0, 1)


def test_a_character_tells_its_numbers(page: Page) -> None:
    page.locator("#text span").nth(3).hover()
    expect(page.locator("#inspector")).to_contain_text("P(negative) then")
    expect(page.locator("#inspector")).to_contain_text("“W”")


def test_all_charts_follow_when_a_part_of_one_is_enlarged(page: Page) -> None:
    page.locator("#story-chart").scroll_into_view_if_needed()
    box = page.locator("#story-chart .nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 50, steps=5)
    page.mouse.up()
    page.wait_for_function("document.querySelector('#gates-chart').layout.xaxis.range[0] > 1")
    ranges = [drawn(page, chart)["layout"]["xaxis"]["range"] for chart in CHARTS]
    assert ranges[0] == ranges[1] == ranges[2]
