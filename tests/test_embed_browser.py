"""The element for other pages in a real browser: a page of another origin shows answers of the real service.

Without a Chromium these tests are skipped, unless CHARLSTM_BROWSER_TESTS=required. Unless a test says otherwise, the
page has as strict a content security policy as lets the element in; nothing may violate it, and nothing may go wrong
that the console knows of.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Request, Route, ViewportSize, expect

from service.settings import Settings
from tests.served import Served, eventually, served
from tests.service_fixtures import PATIENCE

ARTIFACTS: Final = Path(__file__).parent.parent / "artifacts"
TEXT: Final = "I love the new map"
OTHER: Final = "Worst update ever"
ROW: Final = 12  # pixels of a unit in the heat map
LEFT: Final = 30  # before the first step
GATES: Final = "**/gates"
# What the browser tells of a request's end can come after the page has sent the next one, so the page counts itself.
COUNTING: Final = """
    window.mostInFlight = 0;
    let inFlight = 0;
    const send = window.fetch;
    window.fetch = async (url, how) => {
        if (how?.method !== "POST") return send(url, how);
        window.mostInFlight = Math.max(window.mostInFlight, ++inFlight);
        try {
            return await send(url, how);
        } finally {
            inFlight--;
        }
    };
"""
Theme = Literal["light", "dark"]
Color = tuple[int, int, int]


class Host(ThreadingHTTPServer):
    """A small web server with one page, which is whatever a test wants.

    Attributes:
        page: The HTML of its body.
        policy: Its content security policy; none if empty.
    """

    page = ""
    policy = ""

    def __init__(self, script: str = "") -> None:
        self.script = script
        super().__init__(("127.0.0.1", 0), _Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def running(self) -> Iterator["Host"]:
        with self:
            Thread(target=self.serve_forever).start()
            try:
                yield self
            finally:
                self.shutdown()


class _Answer(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        if self.server.policy:
            self.send_header("Content-Security-Policy", self.server.policy)
        self.end_headers()
        icon = '<!doctype html><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        script = f'<script type="module" src="{self.server.script}/embed.js"></script>'
        self.wfile.write(f"{icon}{script}<h1>A blog</h1>{self.server.page}".encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Visit:
    """A page with the element, open in a browser, and what was seen of it."""

    page: Page
    host: Host
    faults: list[str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda line: self.faults.append(line.text) if line.type == "error" else None)
        self.page.on("request", self._note)
        self.page.add_init_script(COUNTING)

    def _note(self, request: Request) -> None:
        if request.method == "POST":
            self.asked.append(json.loads(request.post_data or ""))

    @property
    def most_in_flight(self) -> int:
        """How many questions were on their way at the same time at most, as the page itself saw it."""
        most: int = self.page.evaluate("window.mostInFlight")
        return most

    @property
    def texts(self) -> list[str]:
        """The texts that were asked for, in their order."""
        return [question["text"] for question in self.asked]

    def open(self, body: str, *, policy: bool = True) -> None:
        service = self.host.script
        strict = f"default-src 'none'; script-src {service}; connect-src {service}; style-src 'none'; img-src data:"
        self.host.page, self.host.policy = body, strict if policy else ""
        self.page.goto(self.host.url)

    def part(self, name: str) -> Locator:
        return self.page.locator(f"charlstm-gates [part={name}]")

    @property
    def problem(self) -> Locator:
        """What is said where there is no answer."""
        return self.page.locator("charlstm-gates article > [part=problem]")

    def words_of(self, name: str) -> str:
        """Read a part, with plain spaces and minus signs."""
        return self.part(name).inner_text().replace("\u00a0", " ").replace("\u2212", "-")

    def late(self, milliseconds: int) -> Callable[[Route], None]:
        """Let requests wait before they are sent."""

        def send(route: Route) -> None:
            self.page.wait_for_timeout(milliseconds)
            route.continue_()

        return send

    def wait_until(self, found: Callable[[], bool]) -> None:
        """Wait for something that is noted here when the browser tells of it, which it does only meanwhile."""

        def look() -> bool:
            self.page.wait_for_timeout(10)
            return found()

        eventually(look)

    def set(self, name: str, value: str | None) -> None:
        self.page.locator("charlstm-gates").evaluate(f"(element, value) => {{ element.{name} = value }}", value)

    def wait_for_answer(self, answer: dict[str, Any]) -> None:
        said = f"{answer['label']} {answer['probability']:.0%}".replace("%", "\u00a0%")
        expect(self.part("verdict")).to_have_text(said)

    def wait_for_map(self) -> None:
        expect(self.part("map")).to_be_visible()
        expect(self.page.locator(".map")).to_have_attribute("aria-busy", "false")

    def color_at(self, step: int, row: int, steps: int) -> Color:
        """Look at the middle of a cell of the heat map."""
        script = """(canvas, [across, down]) => {
            const density = canvas.width / canvas.clientWidth;
            return [...canvas.getContext("2d").getImageData(across * density, down * density, 1, 1).data].slice(0, 3);
        }"""
        width = (self.part("map").evaluate("canvas => canvas.clientWidth") - LEFT - 1) / steps
        found = self.part("map").evaluate(script, [LEFT + (step + 0.5) * width, (row + 0.5) * ROW])
        return (found[0], found[1], found[2])


@dataclass(frozen=True)
class Service:
    """The service with the committed model, and what it says itself."""

    served: Served

    def ask(self, text: str, **more: Any) -> dict[str, Any]:
        response = httpx.post(self.served.url + "/gates", json={"text": text, **more}, timeout=PATIENCE)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """Run the server of the pages that may ask."""
    with Host().running() as host:
        yield host


@pytest.fixture(scope="module")
def service(browser: Browser, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    assert browser.is_connected()
    with served(tmp_path_factory.mktemp("embed"), ARTIFACTS, allowed_origins=host.url) as running:
        eventually(running.is_ready)
        host.script = running.url
        yield Service(running)


@contextmanager
def visiting(browser: Browser, host: Host, width: int = 1000, theme: Theme = "light") -> Iterator[Visit]:
    size = ViewportSize(width=width, height=800)
    with browser.new_context(viewport=size, color_scheme=theme) as context:
        yield Visit(context.new_page(), host)


@pytest.fixture
def seen(browser: Browser, service: Service, host: Host) -> Iterator[Visit]:
    """Open a page, and see in the end that nothing went wrong; a test takes away what it makes go wrong itself."""
    assert service.served.url == host.script
    with visiting(browser, host) as visit:
        yield visit
        assert visit.faults == []


def element(text: str, more: str = "") -> str:
    return f'<charlstm-gates text="{text}" {more}></charlstm-gates>'


# The answer


def test_a_text_is_shown_with_its_answer(seen: Visit, service: Service) -> None:
    """Label and probability are those of `/gates`, and what speaks for either side is painted as such."""
    seen.open(element(TEXT, 'service=""'))  # which is none, so that where the script came from is asked
    answer = service.ask(TEXT)
    seen.wait_for_answer(answer)
    letters = seen.page.locator("[part=text] .letter")
    assert "".join(letters.all_inner_texts()) == TEXT
    for index, share in enumerate(answer["contributions"]["steps"]):
        if abs(share) > 0.2:
            expect(letters.nth(index)).to_have_class(re.compile("positive" if share < 0 else "negative"))
    expect(seen.part("map")).to_be_hidden()
    assert seen.texts == [TEXT]


def test_a_page_without_scripts_shows_what_stands_in_the_element(browser: Browser, host: Host) -> None:
    host.page, host.policy = "<charlstm-gates text='a'>Worst update ever</charlstm-gates>", ""
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(host.url)
        expect(page.get_by_text("Worst update ever")).to_be_visible()


def test_markup_is_text(seen: Visit, service: Service) -> None:
    """What a text holds is never read as HTML, closed or opened."""
    text = "<img src=x onerror=alert(1)> & <b>love</b>"
    seen.open(element(text.replace("&", "&amp;").replace("<", "&lt;"), "open"))
    seen.wait_for_answer(service.ask(text))
    seen.wait_for_map()
    assert seen.page.locator("charlstm-gates img").count() == 0
    assert "".join(seen.page.locator("[part=text] .letter").all_inner_texts()) == text


def test_another_text_gets_another_answer(seen: Visit, service: Service) -> None:
    """So does another model. Attributes that change together are one question."""
    seen.open(element(TEXT))
    seen.wait_for_answer(service.ask(TEXT))
    seen.set("text", OTHER)
    seen.wait_for_answer(service.ask(OTHER))
    seen.page.locator("charlstm-gates").evaluate("element => { element.text = 'map'; element.model = 'article' }")
    seen.wait_for_answer(service.ask("map", model="article"))
    assert seen.texts == [TEXT, OTHER, "map"]
    for nothing in ("", None):
        seen.set("text", TEXT)
        expect(seen.part("verdict")).not_to_have_text("no text yet")
        seen.set("text", nothing)
        expect(seen.part("verdict")).to_have_text("no text yet")
    expect(seen.page.locator("charlstm-gates")).not_to_have_attribute("text", re.compile(""))


def test_an_answer_that_comes_too_late_is_dropped(seen: Visit, service: Service) -> None:
    """The answer to an earlier text never replaces that to a later one, whenever it comes."""
    held: list[Route] = []
    seen.page.route(
        GATES, lambda route: held.append(route) if TEXT in str(route.request.post_data) else route.continue_()
    )
    seen.open(element(TEXT))
    seen.wait_until(lambda: bool(held))
    seen.set("text", OTHER)
    seen.wait_for_answer(service.ask(OTHER))
    held[0].continue_()
    seen.set("text", "again")
    seen.wait_for_answer(service.ask("again"))
    assert "".join(seen.page.locator("[part=text] .letter").all_inner_texts()) == "again"


def test_the_page_is_told_of_each_answer(seen: Visit, service: Service) -> None:
    """By an event that rises to the document, with all that `/gates` says."""
    seen.open("<main></main>")
    seen.page.evaluate("document.addEventListener('charlstm-answer', event => { (window.told ??= []).push(event) })")
    seen.page.evaluate("document.querySelector('main').append(document.createElement('charlstm-gates'))")
    seen.set("text", TEXT)
    told = "window.told?.map(event => [event.target.localName, event.detail])"
    ((name, detail),) = eventually(lambda: seen.page.evaluate(told))
    assert name == "charlstm-gates"
    expected = service.ask(TEXT)
    for key in ("label", "probability", "tokens", "model"):
        assert detail[key] == expected[key]


def test_what_a_script_said_before_the_element_was_there_counts(seen: Visit, service: Service) -> None:
    """Properties that were set on it while it was only a name are taken over."""
    seen.page.route("**/page/embed.js", seen.late(300))
    seen.open(element("old"))
    seen.set("text", TEXT)
    seen.wait_for_answer(service.ask(TEXT))
    expect(seen.page.locator("charlstm-gates")).to_have_attribute("text", TEXT)


def test_what_is_not_read_is_pale(seen: Visit) -> None:
    """A text that is longer than the model reads is judged by its start, and says so."""
    seen.open(element("good " * 250))
    expect(seen.page.locator(".note")).to_contain_text("Longer than the model reads")
    assert seen.page.locator("[part=text] .letter.unread").count() == 250


# The memory


def test_the_memory_is_opened_by_keyboard(seen: Visit, service: Service) -> None:
    """Enter opens it, arrow keys move through its cells, and each says the value that `/gates` has there."""
    seen.open(element(TEXT))
    seen.wait_for_answer(service.ask(TEXT))
    seen.page.keyboard.press("Tab")
    seen.page.keyboard.press("Enter")
    seen.wait_for_map()
    expect(seen.page.locator("charlstm-gates")).to_have_attribute("open", "")
    seen.part("map").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowDown"):
        seen.page.keyboard.press(key)
    layer = service.ask(TEXT, units={"top": 24}, signals=["cell_state"])["layers"][0]
    said = seen.page.locator(".readout").inner_text().replace("\u2212", "-")
    assert said == f"Cell state of unit {layer['units'][1]} at \u2018l\u2019: {layer['cell_state'][2][1]:.3f}"
    expect(seen.page.locator("[part=text] .letter").nth(2)).to_have_class(re.compile(r"\bat\b"))
    assert "24 of 256 units" in seen.words_of("caption")
    seen.part("summary").press("Enter")
    expect(seen.page.locator("charlstm-gates")).not_to_have_attribute("open", "")


def test_each_cell_has_the_colour_of_its_value(seen: Visit, service: Service) -> None:
    """Purple is below 0 and green above it, and the largest in size have the full colour."""
    seen.open(element(TEXT, "open"))
    seen.wait_for_map()
    rows = service.ask(TEXT, units={"top": 24}, signals=["cell_state"])["layers"][0]["cell_state"]
    values = {(step, unit): value for step, row in enumerate(rows) for unit, value in enumerate(row)}
    most, least = max(values, key=lambda at: values[at]), min(values, key=lambda at: values[at])
    red, green, blue = seen.color_at(*most, steps=len(rows))
    assert green > red
    assert green > blue
    red, green, blue = seen.color_at(*least, steps=len(rows))
    assert min(red, blue) > green
    nearest = min(values, key=lambda at: abs(values[at]))
    assert seen.color_at(*nearest, steps=len(rows)) == pytest.approx((247, 247, 246), abs=3)


def test_a_signal_is_chosen(seen: Visit) -> None:
    """Each says both of its names; the choice is an attribute, and only what was not yet seen is asked for."""
    seen.open(element(TEXT, 'open signal="forget_gate"'))
    seen.wait_for_map()
    options = seen.part("signal").locator("option").all_inner_texts()
    assert "Candidate (potential memory)" in options
    assert "Cell state (long-term memory)" in options
    assert len(options) == 6
    expect(seen.part("map")).to_have_attribute("aria-label", re.compile("^Forget gate"))
    seen.part("signal").select_option("candidate")
    expect(seen.part("map")).to_have_attribute("aria-label", re.compile("^Candidate"))
    expect(seen.page.locator("charlstm-gates")).to_have_attribute("signal", "candidate")
    assert seen.words_of("caption").endswith("-1\n1")
    assert [question["signals"] for question in seen.asked[1:]] == [["forget_gate"], ["candidate"]]


def test_a_network_of_one_unit_has_a_map(seen: Visit, service: Service) -> None:
    """The article's network reads padding behind the text, and the caption says how much."""
    seen.open(element(TEXT, 'open model="article"'))
    seen.wait_for_map()
    steps = len(service.ask(TEXT, model="article")["tokens"])
    assert f"the last {steps - len(TEXT)} read padding" in seen.words_of("caption")
    assert "The row is the network\u2019s one unit" in seen.words_of("caption")


def test_colours_follow_the_page(seen: Visit, service: Service) -> None:
    """From light to dark, and where the page sets one of the colours, at once."""
    seen.open(element(TEXT, "open"))
    seen.wait_for_map()
    rows = service.ask(TEXT, units={"top": 24}, signals=["cell_state"])["layers"][0]["cell_state"]
    _, step, unit = max((value, step, unit) for step, row in enumerate(rows) for unit, value in enumerate(row))

    def color() -> Color:
        return seen.color_at(step, unit, len(rows))

    light = color()
    seen.page.emulate_media(color_scheme="dark")
    eventually(lambda: sum(color()) > sum(light) + 100)
    seen.page.evaluate("document.documentElement.style.setProperty('--charlstm-above', 'rgb(250 0 0)')")
    eventually(lambda: color()[0] > max(color()[1:]) + 60)
    seen.page.evaluate("document.documentElement.style.setProperty('--charlstm-background', 'rgb(1 2 3)')")
    expect(seen.part("card")).to_have_css("background-color", "rgb(1, 2, 3)")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_nothing_stands_over_the_edge(browser: Browser, service: Service, host: Host, width: int, theme: Theme) -> None:
    """However narrow the page and long the text; a map that needs more room scrolls by itself."""
    with visiting(browser, host, width, theme) as visit:
        visit.open(element("It was fun until the servers died again. " * 10 + "a" * 120, "open"))
        visit.wait_for_map()
        assert service.served.process.poll() is None
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        visit.part("map").focus()
        for _ in range(3):
            visit.page.keyboard.press("ArrowRight")
        assert visit.faults == []


# Many of them


def test_only_what_is_nearly_in_view_is_asked(seen: Visit) -> None:
    """A page that shows fifty answers asks for those that are seen, and for the rest when one gets there."""
    seen.open("".join(f"{element(f'text {index}')}<p style='height:30rem'></p>" for index in range(50)), policy=False)
    verdicts = seen.part("probability")
    expect(seen.page.locator("charlstm-gates").first.locator("[part=probability]")).to_be_visible()
    seen.page.wait_for_load_state("networkidle")
    assert 1 <= len(seen.texts) < 10
    asked = len(seen.texts)
    seen.page.locator("charlstm-gates").nth(49).scroll_into_view_if_needed()
    expect(seen.page.locator("charlstm-gates").nth(49).locator("[part=probability]")).to_be_visible()
    seen.wait_until(lambda: verdicts.count() == len(seen.texts))
    assert asked < len(seen.texts) < 20
    assert seen.most_in_flight <= 2


def test_many_at_once_wait_for_each_other(seen: Visit) -> None:
    """All are answered, no more than two are on their way at a time, and one that is taken away is not asked for."""
    held: list[Route] = []
    send = seen.late(20)
    seen.page.route(GATES, lambda route: held.append(route) if len(held) < 2 else send(route))
    seen.open("".join(element(f"text {index}") for index in range(5)) + element("gone", "id=gone"))
    expect(seen.page.locator("#gone")).to_be_in_viewport()
    seen.wait_until(lambda: len(held) == 2)
    seen.page.evaluate("document.getElementById('gone').remove()")
    for route in held:
        route.continue_()
    expect(seen.part("probability")).to_have_count(5)
    assert seen.texts == [f"text {index}" for index in range(5)]
    assert seen.most_in_flight <= 2


def test_a_service_that_hangs_keeps_no_other_waiting(seen: Visit) -> None:
    """Each service has places of its own, and a question that is not answered in time gives its place to the next."""
    seen.page.add_init_script("""
        window.patience = [];
        AbortSignal.timeout = (milliseconds) => {
            const late = new AbortController();
            window.patience.push({ milliseconds, end: () => late.abort(new DOMException("late", "TimeoutError")) });
            return late.signal;
        };
    """)
    held: list[Route] = []
    seen.page.route("http://hangs.example/gates", lambda route: held.append(route))  # noqa: PLW0108  it is marked, as `append` cannot be
    hanging = 'service="http://hangs.example"'
    seen.open("".join(element(f"text {index}", hanging) for index in range(3)) + element(TEXT), policy=False)
    expect(seen.page.locator(".answer").last.locator("[part=probability]")).to_be_visible()
    seen.wait_until(lambda: len(held) == 2)
    shortest = seen.page.evaluate("Math.min(...window.patience.map(({ milliseconds }) => milliseconds))")
    assert shortest > Settings.model_fields["deadline_seconds"].default * 1000
    for count in (2, 3):
        seen.page.evaluate("window.patience.splice(0).forEach(({ end }) => end())")
        expect(seen.problem.filter(has_text="http://hangs.example took too long")).to_have_count(count)
        seen.wait_until(lambda: len(held) == 3)
    assert seen.texts.count(TEXT) == 1


# What goes wrong


def test_a_problem_is_told_and_can_be_tried_again(seen: Visit, service: Service) -> None:
    """In the service's words; the text stays."""
    seen.open(element(TEXT, 'model="nobody"'))
    expect(seen.problem).to_contain_text("Unknown model. model must be default")
    expect(seen.part("text")).to_contain_text(TEXT)
    expect(seen.part("summary")).to_be_hidden()
    seen.problem.get_by_role("button").click()
    expect(seen.problem).to_be_visible()
    seen.wait_until(lambda: len(seen.asked) == 2)
    seen.set("model", "")
    seen.wait_for_answer(service.ask(TEXT))
    expect(seen.problem).to_be_hidden()
    assert {"404" in fault for fault in seen.faults} == {True}
    seen.faults.clear()


def test_a_service_with_too_much_to_do_is_asked_again(seen: Visit, service: Service) -> None:
    """After as long as it says, and without a word."""
    refusals = iter([429, 503])

    def answer(route: Route) -> None:
        headers = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "*", "Retry-After": "1"}
        status = next(refusals, None)
        route.continue_() if status is None else route.fulfill(status=status, headers=headers, json={"title": "Busy"})

    seen.page.route(GATES, answer)
    seen.open(element(TEXT))
    seen.wait_for_answer(service.ask(TEXT))
    expect(seen.problem).to_be_hidden()
    assert len(seen.asked) == 3
    seen.faults.clear()  # the browser's own lines of the two refusals


def test_a_question_that_gets_lost_is_asked_again(seen: Visit, service: Service) -> None:
    """Where the service is there, one lost connection is not taken for a missing permission."""
    seen.page.route(GATES, lambda route: route.abort("connectionreset"), times=1)
    seen.open(element(TEXT))
    seen.wait_for_answer(service.ask(TEXT))
    assert len(seen.asked) == 2
    assert {"ERR_CONNECTION_RESET" in fault for fault in seen.faults} == {True}
    seen.faults.clear()


@pytest.mark.parametrize("body", ["{}", "null", '{"probabilities": {"negative": 0.5}}', "<p>Welcome"])
def test_what_is_no_answer_of_the_service_is_told(seen: Visit, service: Service, body: str) -> None:
    """Another service may stand at its address; once it has gone, the element can be told to ask again."""
    headers = {"Access-Control-Allow-Origin": "*"}
    seen.page.route(GATES, lambda route: route.fulfill(status=200, headers=headers, body=body), times=1)
    seen.open(element(TEXT))
    expect(seen.problem).to_contain_text("What came back is no answer of this service")
    expect(seen.part("verdict")).to_have_text("no answer")
    expect(seen.part("text")).to_contain_text(TEXT)
    seen.problem.get_by_role("button").click()
    seen.wait_for_answer(service.ask(TEXT))
    expect(seen.problem).to_be_hidden()


def test_a_page_that_is_not_named_is_told_who_can_name_it(browser: Browser, service: Service) -> None:
    """The script loads, the answer does not, and the element says which setting decides."""
    with Host(service.served.url).running() as other, visiting(browser, other) as visit:
        visit.open(element(TEXT))
        expect(visit.problem).to_contain_text(f"does not answer pages of {other.url}")
        expect(visit.problem).to_contain_text("allowed_origins")
        expect(visit.part("text")).to_contain_text(TEXT)
        assert any("CORS" in fault for fault in visit.faults)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:9", "No connection. Nothing answers at http://127.0.0.1:9"),
        ("http://", "No service. http:// is no address."),
        ("/there", "Not found"),
    ],
)
def test_a_service_that_is_not_there_is_told(browser: Browser, service: Service, address: str, words: str) -> None:
    """At another address, at none, or where the page's own server has something else."""
    with Host(service.served.url).running() as other, visiting(browser, other) as visit:
        visit.page.route("**/there/gates", lambda route: route.fulfill(status=404, json={"title": "Not found"}))
        visit.open(element(TEXT, f'service="{address}"'), policy=False)
        expect(visit.problem).to_contain_text(words)


def test_the_service_can_be_behind_the_pages_own_server(browser: Browser, service: Service) -> None:
    """With `service`, another address is asked, such as one below the page's own, which needs no permission."""
    asked: list[str] = []

    def forward(route: Route) -> None:
        asked.append(urlsplit(route.request.url).path)
        answer = httpx.post(
            f"{service.served.url}/gates",
            content=route.request.post_data,
            timeout=PATIENCE,
            headers={"Content-Type": "application/json"},
        )
        route.fulfill(status=answer.status_code, body=answer.content, content_type="application/json")

    with Host(service.served.url).running() as other, visiting(browser, other) as visit:
        visit.page.route(f"{other.url}/charlstm/gates", forward)
        visit.open(element(TEXT, 'service="/charlstm"'), policy=False)
        visit.wait_for_answer(service.ask(TEXT))
        assert asked == ["/charlstm/gates"]
        assert visit.faults == []
