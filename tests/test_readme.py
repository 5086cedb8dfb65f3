"""The README and the guides in docs/ tell the truth: requests get the answers printed, Python runs, commands exist."""

import contextlib
import io
import itertools
import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from charlstm.artifacts import load_artifacts
from charlstm.onnx_files import export_onnx
from tests.generated import python_client
from tests.served import eventually, served
from tests.service_fixtures import PATIENCE

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SERVICE = "localhost:8000"  # what the pages call it
TOLERANCE = 2e-3  # the pages round to three decimals


class Block(NamedTuple):
    """A block of a page.

    Attributes:
        place: The page, and the line that the block begins at.
        language: What its fence says.
        code: What stands in it.
    """

    place: str
    language: str
    code: str


def blocks_of(page: Path) -> list[Block]:
    text, name = page.read_text(), str(page.relative_to(ROOT))
    fences = re.finditer(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [Block(f"{name}:{text.count(chr(10), 0, found.start(2)) + 1}", found[1], found[2]) for found in fences]


BLOCKS = {str(page.relative_to(ROOT)): blocks_of(page) for page in PAGES}


def outputs(blocks: list[Block], language: str, output_language: str) -> list[tuple[Block, str | None]]:
    """Return each block of one language with the block right behind it, if that is its output."""
    followed = itertools.zip_longest(blocks, blocks[1:])
    return [
        (block, following.code if following is not None and following.language == output_language else None)
        for block, following in followed
        if block.language == language
    ]


def requests() -> list[tuple[Block, str]]:
    """Collect the requests of all pages that have their answers behind them."""
    pairs = itertools.chain.from_iterable(outputs(blocks, "sh", "json") for blocks in BLOCKS.values())
    return [(block, printed) for block, printed in pairs if printed is not None]


def commands(program: str) -> list[list[str]]:
    """Collect the shell commands of all pages that begin with a program's name, each once."""
    shell = [block for blocks in BLOCKS.values() for block in blocks if block.language == "sh"]
    lines = [line for block in shell for line in block.code.replace("\\\n", " ").splitlines()]
    found = [tuple(shlex.split(line, comments=True)) for line in lines if line.startswith(program)]
    return [list(words) for words in dict.fromkeys(found)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Serve the committed model as `make serve` does."""
    with (
        served(tmp_path_factory.mktemp("server"), ROOT / "artifacts") as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as client,
    ):
        eventually(server.is_ready)
        yield client


@pytest.mark.parametrize(("command", "printed"), requests(), ids=lambda value: getattr(value, "place", ""))
def test_each_request_gets_the_answer_that_is_printed_below_it(
    client: httpx.Client, command: Block, printed: str
) -> None:
    """The figures agree to three decimals; `...` stands for what is left out."""
    url, options = parse_curl(command.code)
    answer = client.post(url, json=options) if options is not None else client.get(url)
    expected = shortened(printed)
    assert answer.status_code == expected.get("status", httpx.codes.OK)
    assert_agrees(expected, answer.json(), url)


def parse_curl(command: str) -> tuple[str, Any]:
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "curl"
    (url,) = (word for word in words if word.startswith(f"{SERVICE}/"))
    body = json.loads(words[words.index("--json") + 1]) if "--json" in words else None
    return url.removeprefix(SERVICE), body


def shortened(printed: str) -> Any:
    return json.loads(re.sub(r",\s*\.\.\.", "", printed))


def assert_agrees(printed: Any, found: Any, where: str) -> None:
    """Everything printed was answered: objects hold its keys, arrays begin with its values."""
    if isinstance(printed, dict):
        for key, value in printed.items():
            assert key in found, f"{where}.{key}"
            assert_agrees(value, found[key], f"{where}.{key}")
    elif isinstance(printed, list):
        assert len(found) >= len(printed), where
        for index, value in enumerate(printed):
            assert_agrees(value, found[index], f"{where}[{index}]")
    elif isinstance(printed, float):
        assert found == pytest.approx(printed, abs=TOLERANCE), where
    else:
        assert found == printed, where


@pytest.fixture(scope="module")
def workplace(client: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make a folder where the pages' commands have been given: the model exported, and a client generated."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "artifacts").symlink_to(ROOT / "artifacts")
    export_onnx(load_artifacts(ROOT / "artifacts"), folder / "onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(python_client(client.get("/openapi.json").json(), folder))
        yield folder


@pytest.mark.parametrize("page", [page for page, blocks in BLOCKS.items() if outputs(blocks, "python", "text")])
def test_each_python_block_prints_what_stands_below_it(
    client: httpx.Client, workplace: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    """Or nothing. A page's blocks run one after the other in one folder, with the service where they ask."""
    monkeypatch.chdir(workplace)
    names: dict[str, Any] = {}
    for block, printed in outputs(BLOCKS[page], "python", "text"):
        code = block.code.replace(SERVICE, client.base_url.netloc.decode())
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, block.place, "exec"), names)  # noqa: S102 - running it is the point
        assert output.getvalue() == (printed or ""), block.place


@pytest.mark.parametrize("command", commands("python -m training"), ids=" ".join)
def test_each_training_command_is_understood(
    tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All flags exist: what is missing, in an empty folder, is a file. In this process, which has torch already."""
    monkeypatch.chdir(tmp_path)
    program, *arguments = command[2:]
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(program, run_name="__main__")
    assert ended.value.code == 2
    assert_only_a_file_is_missing(capsys.readouterr().err, tmp_path)


def assert_only_a_file_is_missing(complaint: str, folder: Path) -> None:
    assert re.search("no such file|found nothing there", complaint), complaint
    assert list(folder.iterdir()) == []


def service_commands() -> list[list[str]]:
    """Collect the commands of `python -m service`, without what a shell does with their input and output."""
    found = {
        tuple(itertools.takewhile(lambda word: word not in ("<", "|"), words[1:]))
        for program in ("python -m", ".venv/bin/python -m")
        for words in commands(f"{program} service")
        if "openapi" not in words  # which needs no file; `test_service_contract` runs it
    }
    return [["python", *words] for words in sorted(found)]


@pytest.mark.parametrize("command", service_commands(), ids=" ".join)
def test_each_service_command_is_understood(tmp_path: Path, command: list[str]) -> None:
    """Likewise, but each in a process of its own: they set up logging, signals and limits."""
    finished = subprocess.run(
        [sys.executable, *command[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 2
    assert_only_a_file_is_missing(finished.stderr, tmp_path)


@pytest.mark.parametrize("command", commands("make"), ids=" ".join)
def test_each_make_command_has_a_target(command: list[str]) -> None:
    """`make --dry-run` knows the target and the variables' defaults."""
    finished = subprocess.run(["make", "--dry-run", *command[1:]], cwd=ROOT, capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_there_are_requests_python_and_commands() -> None:
    """The tests above have something to test."""
    assert requests()
    assert outputs(BLOCKS["README.md"], "python", "text")
    assert outputs(BLOCKS["docs/client.md"], "python", "text")
    assert commands("python -m training")
    assert service_commands()
    assert commands("make")
