"""The page in a real browser, against the real service: Playwright drives the Chromium that the system has.

Without a Chromium these tests are skipped, unless CHARLSTM_BROWSER_TESTS=required. Whatever a test does, the page may
ask no other host for anything, and nothing may go wrong that its console knows of.
"""

import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import numpy as np
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Route,
    ViewportSize,
    WebSocketRoute,
    expect,
)

from tests.served import Served, eventually, free_port, served
from tests.service_fixtures import PATIENCE
from tests.tiny import tiny_artifacts

ARTIFACTS = Path(__file__).parent.parent / "artifacts"
TEXT = "I love the new map"
SECOND = "I hate the new map"
LONG = ("I waited years for this and the first hours were wonderful, but then the servers died again. " * 4)[:300]
WIDE, NARROW = ViewportSize(width=1440, height=900), ViewportSize(width=360, height=740)
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Visit:
    """A page that is open in a browser, and what was seen of it."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", self._watch)

    def _hear(self, line: ConsoleMessage) -> None:
        if line.type == "error":
            self.faults.append(f"{line.text} {line.location['url']}")

    def _watch(self, websocket: Any) -> None:
        self.requests.append(websocket.url)
        websocket.on("framesent", self._note)
        websocket.on("framereceived", lambda _: self.order.append("answer"))

    def _note(self, frame: str | bytes) -> None:
        self.sent.append(json.loads(frame))
        self.order.append("question")

    def open(self, fragment: str = "") -> None:
        self.page.goto(f"{self.url}/{fragment}")
        self.wait_for_state("open")

    def wait_for_state(self, state: str) -> None:
        expect(self.page.locator("#connection")).to_have_attribute("data-state", state)

    def write(self, text: str) -> None:
        self.page.fill("#text", text)
        self.wait_for_answer(text)

    def wait_for_answer(self, text: str) -> None:
        expect(self.page.locator("#coloured")).to_have_text(text)
        expect(self.page.locator("#verdict")).to_have_attribute("data-stale", "false")

    def wait_for_chart(self, chart: str) -> None:
        self.page.locator(chart).scroll_into_view_if_needed()
        expect(self.page.locator(f"{chart} .main-svg").first).to_be_visible()

    def eventually(self, found: Callable[[], bool]) -> None:
        """Wait until something is so that no element shows; the browser's events come only meanwhile."""

        def is_found() -> bool:
            self.page.wait_for_timeout(50)
            return found()

        eventually(is_found)

    def text_of(self, selector: str) -> str:
        """Read what is shown, with plain spaces."""
        return self.page.locator(selector).inner_text().replace("\u00a0", " ")

    def wait_for_text(self, selector: str, pattern: str) -> None:
        expect(self.page.locator(selector)).to_have_text(re.compile(pattern))


@dataclass(frozen=True)
class Service:
    """The service with the committed model, and what it says itself."""

    served: Served

    def ask(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        response = httpx.post(self.served.url + path, json=document, timeout=PATIENCE)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


@pytest.fixture(scope="module")
def service(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    assert browser.is_connected()
    with served(tmp_path_factory.mktemp("page"), ARTIFACTS) as running:
        eventually(running.is_ready)
        yield Service(running)


def visit(browser: Browser, url: str, size: ViewportSize = WIDE) -> Visit:
    """Open a tab of a visitor who was never here before."""
    return Visit(browser.new_context(viewport=size).new_page(), url)


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Keep what one visitor's browser keeps, so that not every tab has to load and compile Plotly anew."""
    context = browser.new_context(viewport=WIDE, permissions=["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture
def seen(context: BrowserContext, service: Service) -> Iterator[Visit]:
    """Open the page, and see in the end that nothing went wrong and nobody else was asked."""
    visited = Visit(context.new_page(), service.served.url)
    visited.open()
    yield visited
    visited.page.close()
    assert visited.faults == []
    assert_own_host_only(visited)


def assert_own_host_only(visited: Visit) -> None:
    hosts = {urlsplit(url).netloc for url in visited.requests if not url.startswith(("data:", "blob:"))}
    assert hosts == {urlsplit(visited.url).netloc}


def test_an_empty_page_invites(seen: Visit) -> None:
    """Before anything is typed there is a text box two keys away, texts to try, and no chart."""
    expect(seen.page.locator(".verdict-empty")).to_be_visible()
    expect(seen.page.locator("#examples button")).to_have_count(4)
    expect(seen.page.locator("#views")).to_be_hidden()
    seen.page.keyboard.press("Tab")
    expect(seen.page.locator(".skip").first).to_be_focused()
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("#text")).to_be_focused()


def test_what_is_typed_is_answered(seen: Visit, service: Service) -> None:
    """The answer is that of `/gates` for the whole text, though only what changed was sent."""
    seen.page.locator("#text").press_sequentially(TEXT, delay=5)
    seen.wait_for_answer(TEXT)
    seen.page.locator("#text").press("Backspace")
    seen.wait_for_answer(TEXT[:-1])
    answer = service.ask("/gates", {"text": TEXT[:-1], "detail": "summary"})
    assert seen.text_of("#verdict-label") == answer["label"]
    assert seen.text_of("#verdict-number") == f"{answer['probability']:.0%}".replace("%", " %")
    facts = seen.text_of("#facts")
    assert f"negative {answer['probabilities']['negative']:.3f}" in facts
    assert f"{len(TEXT) - 1} characters" in facts
    assert answer["model"]["version"] in facts
    read = ""
    for message in seen.sent:
        read = read[: len(read) - message["back"]] + message["text"]
    assert read == TEXT[:-1]
    assert seen.sent[-1]["back"] == 1
    assert sum(len(message["text"]) for message in seen.sent) == len(TEXT)


def test_one_question_is_on_its_way_at_a_time(seen: Visit) -> None:
    """However fast one types at 300 characters, the page waits for each answer before it sends more."""
    seen.write(LONG)
    seen.page.locator("#text").press("End")
    seen.page.locator("#text").press_sequentially(" and again it is typed", delay=0)
    seen.wait_for_answer(LONG + " and again it is typed")
    assert seen.order[: 2 * len(seen.sent)] == ["question", "answer"] * len(seen.sent)


def test_a_character_says_what_it_did(seen: Visit, service: Service) -> None:
    """Pointing at a character shows its share and its word's, as `/gates` has them, and a line in every chart."""
    seen.write(TEXT)
    seen.wait_for_chart("#story-chart")
    answer = service.ask("/gates", {"text": TEXT, "detail": "summary"})["contributions"]
    seen.page.locator("#coloured .letter").nth(4).hover()
    shown = seen.text_of("#inspector").replace("\u2212", "-")
    assert re.search(rf"\bv\b. {re.escape(format(answer['steps'][4], '+.2f'))} towards", shown)
    assert f"love {answer['words'][1]['share']:+.2f}" in shown
    expect(seen.page.locator("#story-chart .cursor")).to_be_visible()


def test_each_share_is_painted_on_its_side(seen: Visit, service: Service) -> None:
    """What speaks for negative and what speaks for positive differ in more than colour: in where the bar is."""
    seen.write(TEXT)
    steps = service.ask("/gates", {"text": TEXT, "detail": "summary"})["contributions"]["steps"]
    letters = seen.page.locator("#coloured .letter")
    shadows: dict[str, str] = {}
    for index, share in enumerate(steps):
        if abs(share) > 0.2:
            side = "positive" if share < 0 else "negative"
            expect(letters.nth(index)).to_have_class(re.compile(side))
            shadows[side] = letters.nth(index).evaluate("letter => getComputedStyle(letter).boxShadow")
    assert re.search(r" 0px -\d", shadows["negative"])
    assert re.search(r" 0px \d", shadows["positive"])


def test_words_are_left_out_by_keyboard(seen: Visit, service: Service) -> None:
    """Arrow keys move through the words, Enter leaves one out, and the answer without it is the service's own."""
    seen.write(TEXT)
    seen.page.locator("#coloured .word").first.focus()
    seen.page.keyboard.press("ArrowRight")
    expect(seen.page.locator("#coloured .word").nth(1)).to_be_focused()
    seen.wait_for_text("#inspector", "love")
    seen.page.keyboard.press("Enter")
    without = service.ask("/gates", {"text": TEXT, "detail": "summary", "cut": [{"start": 2, "stop": 7}]})
    whole = service.ask("/gates", {"text": TEXT, "detail": "summary"})
    seen.wait_for_text("#changed", "→")
    assert seen.text_of("#changed").startswith(f"{spoken(whole)} → {spoken(without)}")
    expect(seen.page.locator("#coloured .word").nth(1)).to_have_attribute("aria-pressed", "true")
    seen.page.click("#changed-undo")
    expect(seen.page.locator("#changed-bar")).to_be_hidden()
    expect(seen.page.locator("#coloured .word").nth(1)).to_have_attribute("aria-pressed", "false")


def spoken(answer: dict[str, Any]) -> str:
    return f"{answer['label']} {answer['probability']:.0%}".replace("%", " %")


def test_a_click_on_a_row_that_is_gone_opens_nothing(seen: Visit) -> None:
    """A chart stays in view until the next one is drawn, which may have fewer rows."""
    seen.write(TEXT)
    seen.wait_for_chart("#memory-chart")
    plot = "document.querySelector('#memory-chart .plot')"
    seen.page.evaluate(f"{plot}.emit('plotly_click', {{points: [{{x: 0, y: 256}}]}})")
    expect(seen.page.locator("#unit-view")).to_be_hidden()
    seen.page.evaluate(f"{plot}.emit('plotly_click', {{points: [{{x: 0, y: 0}}]}})")
    expect(seen.page.locator("#unit-view")).to_be_visible()
    assert not any("undefined" in url for url in seen.requests)


def test_a_unit_is_chosen_in_the_heat_map_and_held(seen: Visit, service: Service) -> None:
    """A click on a row opens the unit that leads in share; holding its memory gives the answer of a clamp."""
    seen.write(TEXT)
    seen.wait_for_chart("#memory-chart")
    whole = service.ask("/gates", {"text": TEXT, "detail": "summary"})
    shares = whole["contributions"]["units"]
    unit = max(range(len(shares)), key=lambda index: abs(shares[index]))
    seen.page.locator("#memory-chart .nsewdrag").click(position={"x": 200, "y": 5})
    seen.wait_for_text("#unit-title", f"^Unit {unit}$")
    assert f"{abs(shares[unit]):.3f}" in seen.text_of("#unit-facts")
    expect(seen.page.locator("#unit-atlas")).to_be_visible()  # the committed model has an atlas
    seen.wait_for_chart("#unit-chart")
    seen.page.fill("#clamp-value", "-1.5")
    seen.page.click("#clamp-form button[type=submit]")
    clamp = {"signal": "cell_state", "layer": 0, "units": [unit], "steps": None, "value": -1.5}
    held = service.ask("/gates", {"text": TEXT, "detail": "summary", "clamps": [clamp]})
    seen.wait_for_text("#changed", "→")
    assert seen.text_of("#changed").startswith(f"{spoken(whole)} → {spoken(held)}")
    seen.wait_for_text("#held", f"cell state of unit {unit} held at \u22121.50")
    seen.page.click("#held button")
    seen.wait_for_text("#held", "Nothing is changed")


def test_signals_and_orders_can_be_chosen(seen: Visit) -> None:
    """Each signal says both of its names; sorted by number, the first row is unit 0."""
    seen.write(TEXT)
    seen.wait_for_chart("#memory-chart")
    seen.wait_for_text("#signal-meaning", "or less.*or more")
    for name, other in {
        "forget_gate": "percentage of the long-term memory to keep",
        "candidate": "potential memory",
    }.items():
        seen.page.select_option("#signal", name)
        seen.wait_for_text("#signal-meaning", other)
    seen.page.select_option("#sort", "index")
    expect(seen.page.locator("#memory-chart .ytick text").first).to_have_text("0")
    seen.page.select_option("#shown", "all")
    expect(seen.page.locator("#memory-chart .ytick text").last).to_have_text(re.compile("^2[45]"))


def test_every_word_is_left_out_in_turn(seen: Visit, service: Service) -> None:
    """The list of words says what `/gates/occlusion` says."""
    seen.write(TEXT)
    seen.page.locator("#occlusion").scroll_into_view_if_needed()
    words = service.ask("/gates/occlusion", {"text": TEXT})["words"]
    expect(seen.page.locator("#occlusion .name")).to_have_text([word["text"].strip() for word in words])
    shown = [text.replace("\u2212", "-") for text in seen.page.locator("#occlusion .number b").all_inner_texts()]
    assert [int(text.split()[0]) for text in shown] == [pytest.approx(100 * word["change"], abs=0.51) for word in words]


def test_two_texts_are_compared(seen: Visit, service: Service) -> None:
    """Both answers, where the texts part, and what differs stand side by side."""
    seen.write(TEXT)
    seen.page.fill("#second", SECOND)
    seen.page.press("#second", "Enter")
    answer = service.ask("/gates/compare", {"first": TEXT, "second": SECOND})
    seen.wait_for_text("#turned", "They part at character 3")
    said = seen.text_of("#turned").replace("\u2212", "-")
    assert said.startswith(f"{spoken(answer['first'])} here, {spoken(answer['second'])} there")
    assert f"{answer['logit_difference']:+.2f} log-odds" in said
    seen.wait_for_chart("#compare-chart")


def test_texts_are_compared_by_word(seen: Visit, service: Service) -> None:
    """No segment begins within a word, and the differences of all of them are that of the answers."""
    first, second = "the last update ruined it", "the last update improved it all"
    seen.write(first)
    seen.page.fill("#second", second)
    seen.page.press("#second", "Enter")
    expect(seen.page.locator("#alignment .first")).to_have_text(["the last update ", "ruined", " it", "\u2013"])
    expect(seen.page.locator("#alignment .second")).to_have_text(["the last update ", "improved", " it", " all"])
    shown = seen.page.locator("#alignment .share").all_inner_texts()
    answer = service.ask("/gates/compare", {"first": first, "second": second})
    total = sum(float(share.replace("\u2212", "-")) for share in shown)
    assert total == pytest.approx(answer["logit_difference"], abs=0.005 * len(shown))


def test_nothing_is_compared_with_nothing(seen: Visit) -> None:
    """What is missing is said beside the field that it is missing in, and forgotten once something is there."""
    seen.write(TEXT)
    seen.page.click("#compare-form button")
    seen.wait_for_text("#compare-fault", "^Write another text here first.$")
    expect(seen.page.locator("#second")).to_be_focused()
    expect(seen.page.locator("#notice")).to_be_hidden()
    seen.page.fill("#second", SECOND)
    expect(seen.page.locator("#compare-fault")).to_be_empty()


def test_what_cannot_be_compared_is_said_beside_it(seen: Visit) -> None:
    """Another text that is too long is named as such, and an earlier comparison does not pass for its own."""
    seen.write(TEXT)
    seen.page.fill("#second", SECOND)
    seen.page.click("#compare-form button")
    expect(seen.page.locator("#comparison")).to_be_visible()
    seen.page.fill("#second", "b" * 1001)
    seen.page.click("#compare-form button")
    seen.wait_for_text("#compare-fault", "^The other text has 1,001 characters, and at most 1,000 are read.+by 1.$")
    expect(seen.page.locator("#comparison")).to_be_hidden()
    expect(seen.page.locator("#notice")).to_be_hidden()
    seen.faults.remove(next(fault for fault in seen.faults if "413" in fault))


def test_a_trace_can_be_taken_along(seen: Visit, service: Service, tmp_path: Path) -> None:
    """The files are what they claim to be: a picture, the answer of `/gates`, arrays, a report that needs no host."""
    seen.write(TEXT)
    files = {}
    for form in ("png", "json", "npz", "html"):
        with seen.page.expect_download() as download:
            seen.page.click(f"[data-take={form}]")
        files[form] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[form])
    picture = files["png"].read_bytes()
    assert picture.startswith(PNG)
    assert int.from_bytes(picture[16:20]) == 2400  # wide enough for print
    saved = json.loads(files["json"].read_bytes())
    assert saved["probability_so_far"] == service.ask("/gates", {"text": TEXT})["probability_so_far"]
    hidden_size = service.served.get("/info").json()["architecture"]["hidden_size"]
    with np.load(files["npz"]) as arrays:
        assert any(array.shape[-2:] == (len(TEXT), hidden_size) for array in arrays.values())
    report = files["html"].read_text(encoding="utf-8")
    assert report.lstrip().lower().startswith("<!doctype html>")
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=[\"']?(https?:)?//", report)


def test_what_is_changed_is_taken_along(seen: Visit, service: Service, tmp_path: Path) -> None:
    """Files and link are of the answer as it is changed, and say so."""
    seen.write(TEXT)
    seen.page.locator("#coloured .word").nth(1).click()
    seen.page.fill("#unit", "7")
    seen.page.click("#clamp-form button[type=submit]")
    seen.wait_for_text("#changed", "→")
    clamp = {"signal": "cell_state", "layer": 0, "units": [7], "steps": None, "value": 0}
    wanted = service.ask("/gates", {"text": TEXT, "clamps": [clamp], "cut": [{"start": 2, "stop": 7}]})
    seen.wait_for_text("#take-note", "cell state of unit 7 held at 0; without .love.")
    for form in ("json", "npz", "html", "png"):
        with seen.page.expect_download() as download:
            seen.page.click(f"[data-take={form}]")
        assert "-changed." in download.value.suggested_filename
        download.value.save_as(tmp_path / form)
        seen.wait_for_text("#taken", "without .love.")
    assert json.loads((tmp_path / "json").read_bytes())["probability_so_far"] == wanted["probability_so_far"]
    with np.load(tmp_path / "npz") as arrays:
        assert arrays["probability_so_far"] == pytest.approx(wanted["probability_so_far"], abs=1e-6)
    seen.page.click("[data-take=link]")
    seen.wait_for_text("#taken", "and what is changed")
    link = seen.page.evaluate("navigator.clipboard.readText()")
    shown = seen.text_of("#changed-short")
    seen.page.goto("about:blank")
    seen.page.goto(link)
    seen.wait_for_text("#held", "cell state of unit 7 held at 0.+without .love.")
    expect(seen.page.locator("#changed-short")).to_have_text(shown)


def test_what_is_taken_along_is_of_when_it_was_wanted(seen: Visit, tmp_path: Path) -> None:
    """If the reader undoes the change while the service writes the file, what is said of the file is still true."""
    seen.write(TEXT)
    seen.page.locator("#coloured .word").nth(1).click()
    seen.wait_for_text("#changed", "→")
    held: list[Route] = []
    seen.page.route("**/gates", lambda route: held.append(route))  # noqa: PLW0108  it is marked, as `append` cannot be
    with seen.page.expect_download() as download:
        with seen.page.expect_request("**/gates"):
            seen.page.click("[data-take=json]")
        seen.page.click("#changed-undo")
        expect(seen.page.locator("#take-note")).to_be_hidden()
        held[0].continue_()
    download.value.save_as(tmp_path / "json")
    assert len(json.loads((tmp_path / "json").read_bytes())["tokens"]) == len(TEXT) - len(" love")
    seen.wait_for_text("#taken", "-changed.json, of the changed answer: without .love.")


def test_a_link_that_does_not_fit_says_so(seen: Visit, service: Service) -> None:
    """What a link wants to change that is not there, or cannot be, is left out aloud."""
    wishes = "without=2-7,3-4&hold=cell_state:0:7:1,forget_gate:0:7:3,cell_state:4:7:1,nothing:0:7:1"
    seen.page.goto("about:blank")
    seen.page.goto(f"{service.served.url}/#text={quote(TEXT)}&{wishes}")
    seen.wait_for_text("#changed", "→.+Some of the changes that the link carries do not fit")
    expect(seen.page.locator("#held li")).to_have_count(2)
    seen.wait_for_answer(TEXT)


def test_only_units_that_are_there_can_be_looked_at(seen: Visit) -> None:
    """Anything but a unit's number is refused beside the field, which keeps it."""
    seen.write(TEXT)
    for nonsense in ("3.5", "999", "-1", "1e1"):
        seen.page.fill("#unit", nonsense)
        seen.wait_for_text("#unit-fault", "0 to 255")
        expect(seen.page.locator("#unit-view")).to_be_hidden()
        expect(seen.page.locator("#unit")).to_have_value(nonsense)
    seen.page.fill("#unit", "")
    seen.page.locator("#unit").press_sequentially("e")
    seen.wait_for_text("#unit-fault", "0 to 255")
    seen.page.locator("#unit").press("Backspace")
    expect(seen.page.locator("#unit-fault")).to_be_empty()
    seen.page.fill("#unit", "255")
    seen.wait_for_text("#unit-title", "^Unit 255$")
    expect(seen.page.locator("#unit-fault")).to_be_empty()


def test_nothing_is_held_where_it_cannot_be(seen: Visit) -> None:
    """A value that the signal cannot have is refused beside it, and is not listed as held."""
    seen.write(TEXT)
    seen.page.fill("#unit", "7")
    seen.page.select_option("#clamp-signal", "forget_gate")
    for value, words in (("3", "between 0 and 1.+held at 3"), ("-0.5", "held at \u22120.5"), ("", "Write a number")):
        seen.page.fill("#clamp-value", value)
        seen.page.click("#clamp-form button[type=submit]")
        seen.wait_for_text("#clamp-fault", words)
        seen.wait_for_text("#held", "Nothing is changed")
    seen.page.fill("#clamp-value", "1")
    seen.page.click("#clamp-form button[type=submit]")
    seen.wait_for_text("#held", "forget gate of unit 7 held at 1")
    expect(seen.page.locator("#clamp-fault")).to_be_empty()


def test_a_change_that_the_service_refuses_is_undone(seen: Visit) -> None:
    """What was not taken is not listed as if it had been, and the page says that it was not."""
    problem = {"type": "/problems/invalid-request", "title": "Invalid request", "status": 422, "detail": "clamps[0]."}
    seen.write(TEXT)
    refusal = json.dumps(problem)
    seen.page.route("**/gates", lambda route: route.fulfill(status=422, body=refusal))
    seen.page.locator("#coloured .word").nth(1).click()
    seen.wait_for_text("#changed", "The service did not take this. That change is undone.")
    seen.wait_for_text("#held", "Nothing is changed")
    expect(seen.page.locator("#notice")).to_be_hidden()
    seen.faults.remove(next(fault for fault in seen.faults if "422" in fault))


def test_of_one_word_nothing_is_left(seen: Visit) -> None:
    """Without its only word there is no text: the page says so where the word is, and where it is taken along."""
    seen.write("Great")
    seen.page.locator("#coloured .word").click()
    for place in ("#changed", "#changed-short"):
        seen.wait_for_text(place, "^Nothing is left to read.$")
    seen.page.click("[data-take=json]")
    seen.wait_for_text("#take-fault", "Nothing is left to read")
    seen.page.click("#changed-undo")
    expect(seen.page.locator("#changed")).to_be_empty()


def test_skipping_the_charts_keeps_the_text(seen: Visit) -> None:
    """The text is not lost to a link within the page: the address goes on carrying it."""
    seen.write(TEXT)
    expect(seen.page).to_have_url(re.compile("#text="))
    seen.page.locator(".skip.inline").focus()
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("#what-if")).to_be_in_viewport()
    expect(seen.page.locator("#what-if")).to_be_focused()
    expect(seen.page.locator("#text")).to_have_value(TEXT)
    expect(seen.page).to_have_url(re.compile("#text="))


def test_signals_and_labels_share_no_colour(seen: Visit) -> None:
    """A memory above 0 does not look like a share towards negative: the two scales have no colour in common."""
    read = "name => getComputedStyle(document.documentElement).getPropertyValue(name)"
    labels = {seen.page.evaluate(read, f"--{label}") for label in ("negative", "positive")}
    signals = {seen.page.evaluate(read, f"--{end}") for end in ("above", "below")}
    assert len(labels | signals) == 4
    seen.write(TEXT)
    seen.wait_for_chart("#memory-chart")
    scale = seen.page.evaluate("document.querySelector('#memory-chart .plot').data[0].colorscale.map(([, c]) => c)")
    assert {scale[0], scale[-1]} == signals


def test_unknown_characters_stand_for_themselves(seen: Visit) -> None:
    """Below the charts stands what was written, or a short sign, and never the name of a token over its neighbour."""
    seen.page.fill("#text", "最高のゲームだ\n😀é")
    expect(seen.page.locator("#coloured")).to_contain_text("😀é")
    seen.wait_for_chart("#story-chart")
    shown = seen.page.locator("#story-chart .xtick text").all_text_contents()
    assert shown[:2] == ["最", "高"]
    assert all(len(label) <= 1 for label in shown)
    seen.page.locator("#coloured .letter").first.hover()
    seen.wait_for_text("#inspector", "^.最..+unknown to it")


def test_a_link_carries_the_text(seen: Visit, service: Service) -> None:
    """The link brings the text back, whatever is in it, and keeps it from the server."""
    text = "Größe & 100 % #1 最高\nok"
    seen.page.fill("#text", text)
    expect(seen.page.locator("#verdict")).to_have_attribute("data-stale", "false")
    seen.page.click("[data-take=link]")
    seen.wait_for_text("#taken", "copied")
    link = seen.page.evaluate("navigator.clipboard.readText()")
    assert link == f"{service.served.url}/#text={quote(text)}"
    seen.page.goto("about:blank")
    seen.page.goto(link)
    expect(seen.page.locator("#text")).to_have_value(text)
    seen.wait_for_text("#facts", f"{len(text)} characters")
    assert not any(quote("最") in url.partition("#")[0] for url in seen.requests)


def test_each_example_teaches_something(seen: Visit) -> None:
    """An example says its sentence and is read like any text; texts to compare it with are a link away."""
    for index in range(3):
        chip = seen.page.locator("#examples button").nth(index)
        chip.click()
        expect(chip).to_have_attribute("aria-pressed", "true")
        expect(seen.page.locator("#lesson")).to_be_visible()
        seen.wait_for_answer(seen.page.input_value("#text"))
    for index in (0, 2):
        seen.page.locator("#examples button").nth(index).click()
        expect(seen.page.locator("#comparison")).to_be_visible()
        seen.page.click("#lesson a")
        expect(seen.page.locator("#compare-title")).to_be_focused()
        seen.wait_for_answer(seen.page.input_value("#text"))


def test_a_lesson_is_of_the_model_that_it_was_checked_on(seen: Visit) -> None:
    """Read by another model, the same text is shown with what to look at, and nothing that may not be so."""
    seen.page.locator("#examples button").first.click()
    seen.wait_for_text("#lesson", "^.good. alone is positive")
    seen.page.select_option("#model", "article")
    seen.wait_for_text("#facts", "article")
    seen.wait_for_text("#lesson", "^Look at the share of .good.")
    seen.page.select_option("#model", "default")
    seen.wait_for_text("#lesson", "^.good. alone is positive")


def test_what_is_printed_is_of_the_text(seen: Visit, tmp_path: Path) -> None:
    """Charts that nobody scrolled to, or drawn of an earlier text, are drawn anew, and fit the paper."""
    seen.write(TEXT)
    seen.wait_for_chart("#story-chart")
    seen.page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
    seen.write(LONG)
    drawn = "['story', 'memory', 'gates'].map((name) => document.querySelector(`#${name}-chart .plot`)._fullLayout)"
    drawn += ".map((layout) => layout && [layout.width, layout.xaxis.range[1]])"
    seen.page.evaluate(f"addEventListener('beforeprint', () => {{ window.printed = {drawn} }})")
    seen.page.pdf(path=tmp_path / "page.pdf")
    assert seen.page.evaluate("window.printed") == 3 * [[680, len(LONG) - 0.5]]
    eventually(lambda: seen.page.evaluate(f"{drawn}[0][0]") > 680)


def test_the_dark_page_is_printed_light(browser: Browser, service: Service, tmp_path: Path) -> None:
    """Ink that is light on dark would not be seen on paper."""
    dark = Visit(browser.new_context(viewport=WIDE, color_scheme="dark").new_page(), service.served.url)
    dark.open()
    ink = "getComputedStyle(document.body).color"
    before = dark.page.evaluate(ink)
    dark.page.evaluate(f"addEventListener('beforeprint', () => {{ window.printed = {ink} }})")
    dark.page.pdf(path=tmp_path / "page.pdf")
    assert dark.page.evaluate("window.printed") == "rgb(29, 28, 26)"
    assert dark.page.evaluate(ink) == before != "rgb(29, 28, 26)"
    dark.page.context.close()


def test_the_model_is_described(seen: Visit, service: Service) -> None:
    """What `/info` says of the model that is asked is said in words, with what its card says it is not for."""
    info = service.served.get("/info").json()
    info["card"] = {"intended_use": "For summing up.", "not_for": ["decisions about a person"]}
    seen.page.route("**/info", lambda route: route.fulfill(json=info))
    seen.page.click("#model-link")
    expect(seen.page.locator("#model-dialog")).to_be_visible()
    said = seen.text_of("#model-dialog")
    scores = info["metrics"]["grouped"]
    assert info["model"]["version"] in said
    assert f"1 LSTM layer of {info['architecture']['hidden_size']} units" in said
    assert f"{scores['accuracy']:.0%} of {scores['rows']:,} texts labelled right".replace("%", " %", 1) in said
    assert "It is not for\n" in said
    assert "decisions about a person" in said
    seen.page.click("#model-close")
    expect(seen.page.locator("#model-dialog")).to_be_hidden()


def test_the_recording_is_shown_and_left_again(seen: Visit) -> None:
    """The article's network is shown in the same views, read-only; typing goes back to the live model."""
    seen.write(TEXT)
    seen.page.click("text=Lost in padding")
    seen.wait_for_text("#lesson", "recording")
    seen.wait_for_text("#coloured", "then 163 steps of padding")
    seen.wait_for_text("#facts", "Recorded of.*article.+another run")
    expect(seen.page.locator("#model-field")).to_be_hidden()
    expect(seen.page.locator("#text")).to_have_attribute("readonly", "")
    expect(seen.page.locator("#what-if")).to_be_hidden()
    seen.wait_for_chart("#memory-chart")
    seen.page.focus("#text")
    seen.page.keyboard.type(TEXT)
    seen.wait_for_answer(TEXT)
    seen.wait_for_text("#facts", "default")
    expect(seen.page.locator("#what-if")).to_be_visible()


def test_a_text_that_is_too_long_is_said_to_be(seen: Visit) -> None:
    """What to do is said, nothing passes for the answer to it, the text stays, and a shorter one is read again."""
    seen.write(TEXT)
    seen.page.fill("#text", "a" * 1350)
    seen.wait_for_text("#notice", "Text too long. The text has 1,350 characters, and at most 1,000 are read.+by 350")
    seen.wait_for_text("#connection", "^Not read")
    seen.wait_for_text("#counts", "^1,350 of 1,000 characters$")
    seen.wait_for_text("#of-before", "of the text before")
    expect(seen.page.locator("#coloured")).to_have_text(TEXT)
    expect(seen.page.locator("#verdict")).to_have_attribute("data-stale", "true")
    expect(seen.page.locator("#text")).to_have_value("a" * 1350)
    seen.write(TEXT + ".")
    for gone in ("#notice", "#of-before"):
        expect(seen.page.locator(gone)).to_be_hidden()
    seen.wait_for_text("#connection", "^Live")
    seen.wait_for_text("#counts", f"^{len(TEXT) + 1} characters$")


def test_a_link_that_is_followed_brings_its_own_model(seen: Visit) -> None:
    """In the tab that is open already, too: text and model are those of the link, and so is the answer."""
    seen.write(TEXT)
    seen.page.evaluate("fragment => { location.hash = fragment; }", f"#text={quote(SECOND)}&model=article")
    seen.wait_for_text("#facts", "article")
    seen.wait_for_text("#coloured", f"^{SECOND}then 182 steps of padding")
    expect(seen.page.locator("#model")).to_have_value("article")
    seen.page.evaluate("fragment => { location.hash = fragment; }", f"#text={quote(SECOND)}")
    seen.wait_for_text("#facts", "default")


def test_a_link_that_is_followed_leaves_the_lesson_of_another_text(seen: Visit) -> None:
    seen.page.locator("#examples button").first.click()
    expect(seen.page.locator("#lesson")).to_be_visible()
    seen.page.evaluate("fragment => { location.hash = fragment; }", f"#text={quote(SECOND)}")
    seen.wait_for_answer(SECOND)
    expect(seen.page.locator("#lesson")).to_be_hidden()
    expect(seen.page.locator("#examples [aria-pressed=true]")).to_have_count(0)


def test_what_a_link_changes_waits_for_its_own_text(browser: Browser, service: Service) -> None:
    """An answer to the text before, which comes after the link, does not make it forgotten."""
    held: list[tuple[WebSocketRoute, str | bytes]] = []

    def hold_the_first(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def answer(said: str | bytes) -> None:
            if not held and json.loads(said)["characters"]:
                held.append((route, said))
            else:
                route.send(said)

        server.on_message(answer)

    slow = visit(browser, service.served.url)
    slow.page.route_web_socket("**/gates/live", hold_the_first)
    slow.open()
    slow.page.fill("#text", SECOND)
    slow.eventually(lambda: bool(held))
    slow.page.evaluate("fragment => { location.hash = fragment; }", f"#text={quote(TEXT)}&without=2-7")
    expect(slow.page.locator("#text")).to_have_value(TEXT)
    route, answer = held[0]
    route.send(answer)
    slow.wait_for_answer(TEXT)
    slow.wait_for_text("#held", "without .love")
    slow.page.context.close()
    assert slow.faults == []


def test_the_session_does_not_speak_for_a_recording(browser: Browser, service: Service) -> None:
    """That a text of before is refused again when the connection is back is nothing about what is shown."""
    sockets: list[WebSocketRoute] = []
    refusals: list[str | bytes] = []

    def connect(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        sockets.append(route)

        def answer(said: str | bytes) -> None:
            if "problem" in str(said):
                refusals.append(said)
            route.send(said)

        server.on_message(answer)

    torn = visit(browser, service.served.url)
    torn.page.route_web_socket("**/gates/live", connect)
    torn.open()
    torn.page.fill("#text", "a" * 1001)
    torn.wait_for_text("#connection", "^Not read")
    torn.page.click("text=Lost in padding")
    expect(torn.page.locator("#text")).to_have_attribute("readonly", "")
    sockets[0].close(code=1011)
    torn.eventually(lambda: len(refusals) == 2)
    torn.page.wait_for_timeout(200)
    for words in ("#notice", "#of-before"):
        expect(torn.page.locator(words)).to_be_hidden()
    expect(torn.page.locator("#verdict")).to_have_attribute("data-stale", "false")
    torn.page.context.close()
    assert torn.faults == []


def test_facts_of_a_unit_are_of_the_model_that_read_the_text(seen: Visit) -> None:
    """The service has loaded another one since: what that one's unit does is not shown."""
    other = {"model": {"name": "default", "version": "another", "precision": "float32"}, "separation": 0.5}
    seen.page.route("**/units/*", lambda route: route.fulfill(json=other))
    seen.write(TEXT)
    with seen.page.expect_response("**/units/*"):
        seen.page.fill("#unit", "7")
    seen.page.wait_for_timeout(200)
    expect(seen.page.locator("#unit-view")).to_be_visible()
    expect(seen.page.locator("#unit-atlas")).to_be_hidden()


def test_a_download_that_is_cut_short_is_said_to_be(seen: Visit) -> None:
    seen.write(TEXT)
    seen.page.evaluate("() => { Response.prototype.blob = () => Promise.reject(new TypeError('network error')); }")
    seen.page.click("[data-take=npz]")
    seen.wait_for_text("#take-fault", "The service cannot be reached")


def test_holds_of_another_network_are_taken_off_the_list(
    browser: Browser, tiny_directory: Path, tmp_path: Path
) -> None:
    """A model of two layers has other units: nothing is held in it, and nothing is said to be."""
    (tmp_path / "log").mkdir()
    models = Path(shutil.copytree(tiny_directory, tmp_path / "models"))
    tiny_artifacts(models / "deep", num_layers=2)
    with served(tmp_path / "log", models) as both:
        eventually(both.is_ready)
        page = visit(browser, both.url)
        page.open()
        page.write("best game")
        page.page.fill("#unit", "1")
        page.page.click("#clamp-form button[type=submit]")
        page.wait_for_text("#held", "of unit 1 held at")
        page.page.select_option("#model", "deep")
        page.wait_for_text("#held", "Nothing is changed")
        page.page.context.close()


def test_bars_and_scales_are_seen_in_forced_colours(browser: Browser, service: Service) -> None:
    forced = Visit(browser.new_context(viewport=WIDE, forced_colors="active").new_page(), service.served.url)
    forced.open()
    forced.write(TEXT)
    forced.page.fill("#unit", "7")
    paper = forced.page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    for place, bar in (("#unit-view", ".histogram i.negative"), ("#occlusion", "#occlusion .track i")):
        forced.page.locator(place).scroll_into_view_if_needed()
        expect(forced.page.locator(bar).first).not_to_have_css("background-color", paper)
    for scale in (".scale-track", ".ramp"):
        expect(forced.page.locator(scale).first).to_have_css("background-image", re.compile("gradient"))
    forced.page.context.close()
    assert forced.faults == []


def test_a_model_that_is_gone_is_told_and_another_one_asked(seen: Visit) -> None:
    seen.page.goto("about:blank")
    seen.page.goto(f"{seen.url}/#text={quote(TEXT)}&model=gone")
    seen.wait_for_text("#model-gone", "no model .gone. now")
    seen.wait_for_answer(TEXT)
    expect(seen.page.locator("#notice")).to_be_hidden()
    expect(seen.page.locator("#model")).to_have_value("default")
    expect(seen.page).to_have_url(re.compile("#text=[^&]+$"))


def test_a_recording_that_comes_late_is_not_shown(seen: Visit) -> None:
    """Who has gone on to a text of his own keeps it."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    seen.page.route("**/article-trace.json", hold)
    with seen.page.expect_request("**/article-trace.json"):
        seen.page.click("text=Lost in padding")
    seen.write(TEXT)
    with seen.page.expect_response("**/article-trace.json"):
        held[0].continue_()
    seen.page.wait_for_timeout(200)
    expect(seen.page.locator("#text")).to_have_value(TEXT)
    expect(seen.page.locator("#text")).not_to_have_attribute("readonly", "")
    seen.wait_for_answer(TEXT)


def test_after_an_undo_the_keyboard_is_where_it_was(seen: Visit) -> None:
    """The button that was pressed is gone: the next one has the focus, and after the last one their list."""
    seen.write(TEXT)
    for word in (1, 3):
        seen.page.locator("#coloured .word").nth(word).click()
    buttons = seen.page.locator("#held button")
    expect(buttons).to_have_count(2)
    buttons.first.press("Enter")
    expect(buttons).to_have_count(1)
    expect(buttons).to_be_focused()
    buttons.press("Enter")
    expect(seen.page.locator("#held")).to_be_focused()


def test_a_text_that_closes_the_connection_is_said_to_be_too_long(seen: Visit) -> None:
    """It is not sent again as soon as there is a connection; another one is read."""
    seen.page.fill("#text", "a" * 30_000)
    seen.wait_for_text("#notice", "Too long. The text is much longer than the service reads")
    seen.wait_for_state("open")
    sent = len(seen.sent)
    seen.page.wait_for_timeout(1000)
    assert len(seen.sent) == sent
    seen.wait_for_text("#notice", "Too long")
    seen.write(TEXT)
    expect(seen.page.locator("#notice")).to_be_hidden()


def test_a_refusal_that_comes_late_is_of_the_text_before(browser: Browser, service: Service) -> None:
    """The text has been shortened meanwhile: it is read, and nothing is said of the longer one."""
    held: list[tuple[WebSocketRoute, str | bytes]] = []

    def hold_refusals(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        server.on_message(lambda said: held.append((route, said)) if "problem" in str(said) else route.send(said))

    slow = visit(browser, service.served.url)
    slow.page.route_web_socket("**/gates/live", hold_refusals)
    slow.open()
    slow.page.fill("#text", "a" * 1001)
    slow.eventually(lambda: bool(held))
    slow.page.fill("#text", TEXT)
    route, refusal = held[0]
    route.send(refusal)
    slow.wait_for_answer(TEXT)
    expect(slow.page.locator("#notice")).to_be_hidden()
    slow.page.context.close()
    assert slow.faults == []


def test_on_a_narrow_page_what_went_wrong_with_a_change_can_be_undone(browser: Browser, service: Service) -> None:
    """The bar at the bottom stays within the window, however much it has to say."""
    narrow = visit(browser, service.served.url, NARROW)
    narrow.open()
    narrow.write(TEXT)
    narrow.page.route("**/gates", lambda route: route.abort())
    narrow.page.locator("#coloured .word").nth(1).click()
    narrow.wait_for_text("#changed-short", "cannot be reached")
    box = narrow.page.locator("#changed-undo").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= NARROW["width"]
    narrow.page.context.close()


def test_numbers_can_be_read_as_a_table(seen: Visit, service: Service) -> None:
    """Whoever sees no charts gets their numbers in rows."""
    seen.write(TEXT)
    seen.page.click("#numbers summary")
    answer = service.ask("/gates", {"text": TEXT, "detail": "summary"})
    rows = seen.page.locator("#numbers tbody tr")
    expect(rows).to_have_count(len(TEXT))
    assert rows.nth(5).inner_text().split("\t")[3] == f"{answer['probability_so_far'][5]:.3f}"


def test_the_answer_is_read_out_when_typing_rests(seen: Visit, service: Service) -> None:
    """A screen reader hears the label, whose probability it is, and how much was read."""
    seen.write(TEXT)
    answer = service.ask("/predict", {"text": TEXT})
    expect(seen.page.locator("#spoken")).to_have_attribute("aria-live", "polite")
    seen.wait_for_text(
        "#spoken", rf"^{answer['label']}, {answer['probability']:.0%}"[:-1] + rf".%\. {len(TEXT)} characters"
    )


def test_colours_can_be_chosen_and_are_kept(browser: Browser, service: Service) -> None:
    """The toggle goes from the system's colours to light to dark; a later visit keeps the choice."""
    choosing = visit(browser, service.served.url)
    choosing.open()
    background = "getComputedStyle(document.body).backgroundColor"
    system, light, dark = (
        choosing.page.evaluate(background),
        clicked(choosing, background),
        clicked(choosing, background),
    )
    assert system == light != dark
    choosing.page.reload()
    choosing.wait_for_state("open")
    assert choosing.page.evaluate(background) == dark
    choosing.page.context.close()
    assert choosing.faults == []


def clicked(choosing: Visit, expression: str) -> str:
    choosing.page.click("#theme")
    value: str = choosing.page.evaluate(expression)
    return value


def test_a_narrow_page_does_not_scroll_sideways(browser: Browser, service: Service) -> None:
    """At 360 pixels only charts of long texts scroll, within themselves."""
    narrow = visit(browser, service.served.url, NARROW)
    narrow.open()
    narrow.write(LONG)
    narrow.page.fill("#unit", "3")
    narrow.wait_for_chart("#unit-chart")
    narrow.page.fill("#second", SECOND)
    narrow.page.press("#second", "Enter")
    narrow.wait_for_chart("#compare-chart")
    title = narrow.page.locator("#compare-chart .annotation-text tspan.line").last
    expect(title).to_have_text(re.compile("both have$"))  # broken into lines, not cut
    assert narrow.page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]
    assert narrow.page.evaluate("document.querySelector('#unit-chart').scrollWidth") > NARROW["width"]
    left = "chart => document.querySelector(chart).scrollLeft"
    narrow.page.evaluate("document.querySelector('#unit-chart').scrollLeft = 100")
    narrow.eventually(lambda: narrow.page.evaluate(left, "#story-chart") == 100)  # of the same steps
    assert narrow.page.evaluate(left, "#compare-chart") == 0  # of others
    narrow.page.context.close()
    assert narrow.faults == []


def test_the_answer_does_not_wait_for_the_charts(browser: Browser, service: Service) -> None:
    """Without Plotly the text is answered and coloured all the same, and the page says what is missing."""
    bare = visit(browser, service.served.url)
    bare.page.route("**/plotly.min.js", lambda route: route.abort())
    bare.open()
    bare.write(TEXT)
    bare.wait_for_text("#story-chart", "could not be loaded")
    bare.page.context.close()


def test_a_busy_service_is_asked_again(browser: Browser, service: Service) -> None:
    """An overload is said, and the same text is sent once more without the reader's doing."""
    problem = {
        "type": "/problems/overloaded",
        "title": "Overloaded",
        "status": 429,
        "detail": "Too much waits already.",
    }
    refused: list[str] = []

    def refuse_once(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            if TEXT in str(message) and not refused:
                refused.append(str(message))
                route.send(json.dumps({"problem": problem | {"retry_after": 1}}))
            else:
                server.send(message)

        route.on_message(pass_on)

    busy = visit(browser, service.served.url)
    busy.page.route_web_socket("**/gates/live", refuse_once)
    busy.open()
    busy.page.fill("#text", TEXT)
    busy.wait_for_text("#notice", "Overloaded.+tried again")
    busy.wait_for_answer(TEXT)
    expect(busy.page.locator("#notice")).to_be_hidden()
    assert len(refused) == 1
    busy.page.context.close()
    assert busy.faults == []


def test_without_a_session_the_text_is_read_by_request(browser: Browser, service: Service) -> None:
    """When all sessions are taken, the page says so and has each text answered by `POST /gates`."""
    crowded = visit(browser, service.served.url)
    crowded.page.route_web_socket("**/gates/live", lambda route: route.close(code=4503, reason="full"))
    crowded.page.goto(crowded.url)
    crowded.wait_for_text("#connection", "All live sessions are taken")
    crowded.write(TEXT)
    crowded.write(SECOND)
    crowded.page.context.close()
    assert crowded.faults == []


def test_a_lost_server_is_found_again(browser: Browser, tiny_directory: Path, tmp_path: Path) -> None:
    """When the server dies the page says so and keeps the text; when it is back, what was typed meanwhile is read."""
    port = free_port()
    folders = [tmp_path / name for name in ("before", "after")]
    for folder in folders:
        folder.mkdir()
    with served(folders[0], tiny_directory, port=port) as first:
        eventually(first.is_ready)
        lost = visit(browser, first.url)
        lost.open()
        lost.write("best")
        first.signal(signal.SIGKILL)
        lost.wait_for_text("#connection", "lost.+safe here")
        lost.page.locator("#text").press("End")
        lost.page.locator("#text").press_sequentially(" game")
        expect(lost.page.locator("#verdict")).to_have_attribute("data-stale", "true")
        lost.wait_for_text("#of-before", "of the text before.+not read yet")
        expect(lost.page.locator("#colours")).to_have_css("opacity", "0.4")
    with served(folders[1], tiny_directory, port=port):
        lost.wait_for_state("open")
        lost.wait_for_answer("best game")
        expect(lost.page.locator("#of-before")).to_be_hidden()
        lost.page.context.close()


def test_a_key_is_asked_for_and_shown(browser: Browser, tiny_directory: Path, tmp_path: Path) -> None:
    """A service that wants a key gets it with the session and with every request; a wrong one is asked for again."""
    with served(tmp_path, tiny_directory, api_keys="right") as guarded:
        eventually(guarded.is_ready)
        locked = visit(browser, guarded.url)
        locked.page.goto(guarded.url)
        expect(locked.page.locator("#key")).to_be_focused()
        expect(locked.page.locator("#key-fault")).to_be_empty()
        locked.page.keyboard.type("wrong\n")
        locked.wait_for_text("#key-fault", "^This key is not known.$")
        expect(locked.page.locator("#key")).to_be_focused()
        expect(locked.page.locator("#key")).to_have_value("")
        locked.page.keyboard.type("right\n")
        locked.wait_for_state("open")
        expect(locked.page.locator("#key-form")).to_be_hidden()
        expect(locked.page.locator("#text")).to_be_focused()
        locked.write("best game")
        locked.page.locator("#occlusion").scroll_into_view_if_needed()
        expect(locked.page.locator("#occlusion .name")).to_have_text(["best", "game"])
        locked.page.click("#model-link")
        locked.wait_for_text("#model-facts", "LSTM layer")
        assert locked.page.evaluate("sessionStorage.length") == 1
        assert locked.page.evaluate("localStorage.length") == 0
        locked.page.context.close()
