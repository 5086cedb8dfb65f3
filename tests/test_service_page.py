"""The files of the page and of the element for other pages, as a browser gets them.

What they do there, `test_page_browser.py` and `test_embed_browser.py` say.
"""

import gzip
import json
import re
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from hatchling.builders.wheel import WheelBuilder

import service.page
from charlstm import Predictor
from service.page import Content, PageFile
from tests.service_fixtures import Client, assert_problem
from tests.stub_service import stubbed

FOLDER = Path(service.page.__file__).with_name("page")
ARTIFACTS = FOLDER.parent.parent / "artifacts"
OWN_FILES = sorted(file.name for file in FOLDER.iterdir())
NAMESPACE = "http://www.w3.org/2000/svg"  # a name, which nothing asks for


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with stubbed() as (client, _):
        yield client


def get(client: Client, path: str, **headers: str) -> httpx.Response:
    """Ask for a file, by default without httpx's own wish for compression."""
    wishes = {"accept-encoding": "identity"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return client.request("GET", path, headers=wishes)


def policy_of(response: httpx.Response) -> dict[str, list[str]]:
    """Read a content security policy: each directive's sources."""
    directives = (directive.split() for directive in response.headers["content-security-policy"].split(";"))
    return {name: sources for name, *sources in directives}


class Links(HTMLParser):
    """Collects what a document refers to, and what of script or style stands in it."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [value for name in ("href", "src", "action") if (value := values.get(name))]
        if tag == "style" or "style" in values or (tag == "script" and "src" not in values):
            self.inline.append(tag)
        self.inline += [name for name in values if name.startswith("on")]


def test_the_page_is_at_the_root(client: Client) -> None:
    """`/` answers with the HTML document, byte for byte."""
    response = get(client, "/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.content == (FOLDER / "index.html").read_bytes()


@pytest.mark.parametrize("name", OWN_FILES)
def test_every_file_of_the_folder_is_served(client: Client, name: str) -> None:
    """No file is forgotten in the table, and each has a media type that `nosniff` lets a browser use."""
    response = get(client, f"/page/{name}")
    assert response.status_code == 200
    assert response.content == (FOLDER / name).read_bytes()
    kinds = {"css": "text/css", "html": "text/html", "js": "text/javascript", "json": "application/json"}
    expected = kinds | {"svg": "image/svg+xml"}
    assert response.headers["content-type"].partition(";")[0] == expected[name.rpartition(".")[2]]


def test_the_table_names_no_file_that_is_not_there() -> None:
    """What is served is exactly the folder and Plotly."""
    assert sorted(service.page._FILES) == sorted([*OWN_FILES, "plotly.min.js"])


@pytest.mark.parametrize("name", ["", "nothing.js", "..%2fpage.py", "%2e%2e/page.py", "page.css/", "PAGE.CSS"])
def test_an_unknown_file_is_a_problem(client: Client, name: str) -> None:
    """Only names of the table are served: no path leads out of it."""
    assert_problem(get(client, f"/page/{name}"), 404, "not-found")


def test_the_head_of_a_file_has_no_body(client: Client) -> None:
    """HEAD is answered like GET, with the same tag."""
    head = client.request("HEAD", "/page/page.css", headers={})
    assert head.status_code == 200
    assert head.headers["etag"] == get(client, "/page/page.css", accept_encoding="gzip").headers["etag"]


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/plotly.min.js"])
def test_a_file_is_kept_and_asked_for_again(client: Client, path: str) -> None:
    """A browser that shows the tag of what it has gets 304 and no body; another tag, or none, gets the file."""
    first = get(client, path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        again = get(client, path, if_none_match=known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "no-cache"
    assert get(client, path, if_none_match='"other"').content == first.content


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/plotly.min.js"])
def test_a_file_is_compressed_when_asked_for(client: Client, path: str) -> None:
    """Gzip halves a file at least and changes nothing in it; each form has a tag of its own, and caches are told."""
    plain, packed = get(client, path), get(client, path, accept_encoding="br, gzip;q=0.5")
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("accepted", ["", "br", "gzip;q=0", "gzip; q=0.0", "x-gzipped"])
def test_a_file_is_not_compressed_otherwise(client: Client, accepted: str) -> None:
    assert "content-encoding" not in get(client, "/page/page.css", accept_encoding=accepted).headers


def test_a_file_is_compressed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a file is asked for, it is read and compressed the first time alone."""
    (tmp_path / "a.js").write_bytes(b"first" * 100)
    calls: list[bytes] = []
    compress = gzip.compress

    def counted(data: bytes, **options: int) -> bytes:
        calls.append(data)
        return compress(data, **options)

    monkeypatch.setattr("service.page.gzip.compress", counted)
    file = PageFile(tmp_path / "a.js")
    contents = [file.content for _ in range(3)]
    assert calls == [b"first" * 100]
    assert all(content is contents[0] for content in contents)
    assert isinstance(contents[0], Content)
    assert gzip.decompress(contents[0].compressed) == contents[0].plain


def test_a_page_without_plotly_lacks_nothing_else(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Plotly is not installed, its file is a 404 like any other that is not there."""
    monkeypatch.setitem(service.page._FILES, "plotly.min.js", PageFile(FOLDER / "nowhere.js"))
    assert_problem(get(client, "/page/plotly.min.js"), 404, "not-found")
    assert get(client, "/").status_code == 200


def test_plotly_comes_from_its_package(client: Client) -> None:
    """What is served is Plotly itself, and finding it imports nothing of the package."""
    assert b"plotly.js v" in get(client, "/page/plotly.min.js").content[:200]


def test_the_policy_lets_nothing_in_but_the_page(client: Client) -> None:
    """Scripts, styles and connections are the service's own; no script can be written into the page."""
    policy = policy_of(get(client, "/"))
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["connect-src"] == ["'self'"]
    assert policy["style-src"][0] == "'self'"
    assert all(source.startswith("'sha256-") for source in policy["style-src"][1:])
    assert policy["img-src"] == ["'self'", "blob:", "data:"]
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == ["'none'"]
    sources = [source for name, found in policy.items() if name != "style-src-attr" for source in found]
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "https:", "http:"} & set(sources)


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/plotly.min.js", "/page/article-trace.json"])
def test_every_file_is_guarded(client: Client, path: str) -> None:
    headers = get(client, path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "default-src 'none'" in headers["content-security-policy"]


def test_nothing_in_the_document_leads_elsewhere() -> None:
    """Addresses are relative, so that the page works under a proxy's path; and the policy has nothing to forbid."""
    links = Links((FOLDER / "index.html").read_text(encoding="utf-8"))
    assert "page/main.js" in links.addresses
    assert "page/page.css" in links.addresses
    for address in links.addresses:
        parts = urlsplit(address)
        assert not parts.scheme, address
        assert not parts.netloc, address
        assert not parts.path.startswith("/"), address
    assert links.inline == []


@pytest.mark.parametrize("name", OWN_FILES)
def test_no_file_names_another_host(name: str) -> None:
    """Neither scripts nor styles refer to anything that the service does not serve itself."""
    text = (FOLDER / name).read_text(encoding="utf-8").replace(NAMESPACE, "")
    assert not re.search(r"(https?|wss?)://|url\(|@import|[\"'(]//", text)


@pytest.mark.parametrize("name", [name for name in OWN_FILES if name.endswith(".js")])
def test_modules_import_their_neighbours_alone(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    imported = re.findall(r"from \"([^\"]+)\"", text)
    assert all(path.startswith("./") and path[2:] in OWN_FILES for path in imported)


def imports_of(name: str) -> set[str]:
    """Return a module and all that it imports, however far away."""
    found, new = {name}, {name}
    while new:
        texts = [(FOLDER / module).read_text(encoding="utf-8") for module in new]
        new = {path for text in texts for path in re.findall(r"from \"\./([^\"]+)\"", text)} - found
        found |= new
    return found


@pytest.mark.parametrize("name", [*OWN_FILES, "plotly.min.js"])
def test_other_pages_may_load_what_the_element_needs_and_nothing_else(client: Client, name: str) -> None:
    headers = get(client, f"/page/{name}").headers
    is_needed = name in imports_of("embed.js")
    assert headers.get("access-control-allow-origin") == ("*" if is_needed else None)
    assert headers["cross-origin-resource-policy"] == ("cross-origin" if is_needed else "same-origin")


def test_the_element_is_a_fraction_of_the_page(client: Client) -> None:
    """It does without the charts' library: all of it is smaller than many a picture."""
    files = [get(client, f"/page/{name}", accept_encoding="gzip") for name in imports_of("embed.js")]
    assert sum(int(file.headers["content-length"]) for file in files) < 32 * 1024


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_script_for_other_pages_is_beside_its_modules(client: Client, method: str) -> None:
    """`/embed.js` leads there, by an address that is right below any path of a proxy's, and says so to every page."""
    answer = client.request(method, "/embed.js", headers={})
    assert (answer.status_code, answer.headers["location"]) == (307, "page/embed.js")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-cache"


def test_the_page_works_below_a_path_of_a_proxy() -> None:
    """Under a root path, the page and its files are found where its relative addresses lead."""
    with stubbed(root_path="/api") as (client, _):
        behind_proxy = Client(client.app, client._runner, root_path="/api")
        assert get(behind_proxy, "/").status_code == 200
        assert get(behind_proxy, "/page/main.js").status_code == 200


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/plotly.min.js"])
def test_the_page_needs_no_key(path: str) -> None:
    """The page can be had without a key: it asks for one itself."""
    with stubbed(api_keys="secret") as (client, _):
        assert get(client, path).status_code == 200
        assert get(client, "/info").status_code == 401


def test_the_page_is_not_in_the_api(client: Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert not [path for path in paths if path == "/" or path.startswith("/page")]


def test_the_wheel_holds_the_page(tmp_path: Path) -> None:
    """Whoever installs the package gets every file of the page."""
    (wheel,) = WheelBuilder(str(FOLDER.parent.parent)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        packed = {name.removeprefix("service/page/") for name in archive.namelist() if "service/page/" in name}
    assert packed == set(OWN_FILES)


def lesson(name: str) -> str:
    """Read what the page says of an example, with plain signs."""
    text = (FOLDER / "examples.js").read_text(encoding="utf-8").replace("\u2212", "-")
    found = re.search(rf'name: "{name}".+?lesson: "([^"]+)"', text, re.DOTALL)
    assert found is not None
    return found[1]


def percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load(ARTIFACTS)


def test_the_lessons_were_checked_on_the_committed_model(predictor: Predictor) -> None:
    """Whoever commits another model looks at each lesson again, and then writes its version there."""
    text = (FOLDER / "examples.js").read_text(encoding="utf-8")
    assert f'CHECKED_ON = "{predictor.artifacts.version}"' in text


def test_the_lesson_on_negation_is_true(predictor: Predictor) -> None:
    said = lesson("Negation")
    alone, negated = predictor.predict("good"), predictor.predict("not good")
    assert alone.label == "positive"
    assert negated.label == "negative"
    assert f"alone is positive, {percent(alone.probability)}" in said
    assert f"negative, {percent(negated.probability)}" in said
    shares = [float(predictor.trace(text).attribution.steps[-4:].sum()) for text in ("not good", "good")]
    assert f"({shares[0]:.2f} in place of {shares[1]:.2f})" in said


def test_the_lesson_on_a_turn_is_true(predictor: Predictor) -> None:
    said = lesson("A turn in the middle")
    text = "I hated the old map but I love the new one"
    so_far = [float(negative) for negative in predictor.trace(text).probability_so_far]
    hated, love = text.index("ed the"), text.index("love")
    assert all(negative > 0.5 for negative in so_far[hated : love + 2])
    assert all(negative < 0.5 for negative in so_far[love + 3 :])
    assert f"from {percent(so_far[love + 1])} to {percent(so_far[love + 3])}" in said
    assert f"positive, {percent(1 - so_far[-1])}" in said


def test_the_lesson_on_an_unknown_alphabet_is_true(predictor: Predictor) -> None:
    best, worst = predictor.predict("最高のゲームだ"), predictor.predict("最悪のゲームだ")
    assert best.probability == worst.probability
    assert best.unknown_characters == best.characters
    assert f"{best.label}, {percent(best.probability)}" in lesson("An unknown alphabet")


def test_the_lesson_on_padding_is_true_of_the_recording() -> None:
    said = lesson("Lost in padding")
    recording = json.loads((FOLDER / "article-trace.json").read_text(encoding="utf-8"))
    first, so_far = recording["tokens"].index("<PAD>"), recording["probability_so_far"]
    gate = [step[0] for step in recording["layers"][0]["output_gate"]]
    assert len(recording["tokens"]) == 200
    assert f"{percent(so_far[first - 1])} negative" in said
    assert f"from {gate[first - 1]:.2f} to {gate[first]:.2f} and the answer to {percent(so_far[first])}" in said
    assert {percent(negative) for negative in so_far[first:]} == {percent(so_far[first])}
