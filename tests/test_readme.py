"""The README tells the truth: its requests get the answers it prints, its Python runs, its commands exist."""

import contextlib
import io
import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.test_end_to_end import served

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
TOLERANCE = 2e-3  # the README rounds to three decimals


def with_output(language: str, output_language: str) -> list[tuple[str, str]]:
    """Pair each block of one language with the block right behind it, its output."""
    pairs = itertools.pairwise(BLOCKS)
    return [
        (code, output)
        for (lang, code), (next_lang, output) in pairs
        if (lang, next_lang) == (language, output_language)
    ]


def commands(program: str) -> list[list[str]]:
    """Collect the shell commands of the README that begin with a program's name."""
    lines = [line for language, code in BLOCKS if language == "sh" for line in code.replace("\\\n", " ").splitlines()]
    return [words for line in lines if line.startswith(program) and (words := shlex.split(line, comments=True))]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """Serve the committed model as `make serve` does."""
    with served(ROOT / "artifacts") as client:
        yield client


@pytest.mark.parametrize(("command", "printed"), with_output("sh", "json"))
def test_each_request_gets_the_answer_that_is_printed_below_it(
    client: httpx.Client, command: str, printed: str
) -> None:
    """The figures agree to three decimals; `...` stands for what is left out."""
    url, options = parse_curl(command)
    answer = client.post(url, json=options) if options is not None else client.get(url)
    expected = shortened(printed)
    assert answer.status_code == expected.get("status", httpx.codes.OK)
    assert_agrees(expected, answer.json(), url)


def parse_curl(command: str) -> tuple[str, Any]:
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "curl"
    (url,) = (word for word in words if word.startswith("localhost:8000/"))
    body = json.loads(words[words.index("--json") + 1]) if "--json" in words else None
    return url.removeprefix("localhost:8000"), body


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


@pytest.mark.parametrize(("code", "printed"), with_output("python", "text"))
def test_each_python_block_prints_what_stands_below_it(
    monkeypatch: pytest.MonkeyPatch, code: str, printed: str
) -> None:
    """Blocks run in the project's folder, against the committed model."""
    monkeypatch.chdir(ROOT)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - running it is the point
    assert output.getvalue() == printed


@pytest.mark.parametrize("command", commands("python -m training"), ids=" ".join)
def test_each_training_command_is_understood(tmp_path: Path, command: list[str]) -> None:
    """All flags exist: what is missing, in an empty folder, is a file."""
    finished = subprocess.run(
        [sys.executable, *command[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 2
    assert re.search("no such file|found nothing there", finished.stderr), finished.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", commands("make"), ids=" ".join)
def test_each_make_command_has_a_target(command: list[str]) -> None:
    """`make --dry-run` knows the target and the variables' defaults."""
    finished = subprocess.run(["make", "--dry-run", *command[1:]], cwd=ROOT, capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_the_readme_shows_requests_python_and_commands() -> None:
    """The tests above have something to test."""
    assert with_output("sh", "json")
    assert with_output("python", "text")
    assert commands("python -m training")
    assert commands("make")
