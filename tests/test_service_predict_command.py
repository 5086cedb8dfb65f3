"""The command `predict`: texts from the command line or from standard input, for people and for programs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from charlstm.errors import how_to_install
from charlstm.predictor import Predictor
from service.schemas import PredictResponse
from tests.bulk_files import assert_refused, run
from tests.served import eventually, served
from tests.service_fixtures import PATIENCE


def test_people_see_whose_probability_each_number_is(tiny_directory: Path, tiny_predictor: Predictor) -> None:
    ended = run("predict", "Worst update ever", "I love it", artifacts=tiny_directory)
    assert (ended.exit_code, ended.stderr) == (0, "")
    head, *rows, model = ended.stdout.splitlines()
    assert head.split() == ["label", "P(negative)", "P(positive)", "text"]
    for row, text in zip(rows, ("Worst update ever", "I love it"), strict=True):
        found, negative = tiny_predictor.predict(text), tiny_predictor.predict(text).probability_negative
        assert row.split(maxsplit=3)[:3] == [found.label, f"{negative:.3f}", f"{1 - negative:.3f}"]
        assert row.rstrip().endswith(text)
    assert model == f"tiny {tiny_predictor.artifacts.version}"
    assert "\x1b" not in ended.stdout, "no colours in a pipe"


def test_json_is_what_the_service_answers(tiny_directory: Path, tiny_predictor: Predictor, tmp_path: Path) -> None:
    """The same fields in the same order as over HTTP; and a text that it refuses, the same problem."""
    ended = run("predict", "--json", "so bad", "", "a\ud83c", artifacts=tiny_directory)
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    with served(tmp_path, tiny_directory) as server:
        eventually(server.is_ready)
        asked = [server.predict(text).json() for text in ("so bad", "")]
    assert list(found[0]) == list(asked[0]) == list(PredictResponse.model_fields)
    assert list(found[0]["model"]) == list(asked[0]["model"])
    assert found[0]["probabilities"]["negative"] == tiny_predictor.predict("so bad").probability_negative
    assert found[1] == asked[1]
    assert found[2]["type"] == "/problems/invalid-character"
    assert ended.exit_code == 1


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        (b"so bad\nI love it\n", ["so bad", "I love it"]),
        (b"so bad\r\nI love it", ["so bad", "I love it"]),
        (b"\xe2\x80\xa8so\n", ["\u2028so"]),
        (b"", []),
    ],
)
def test_lines_of_standard_input_are_texts(
    tiny_directory: Path, tiny_predictor: Predictor, given: bytes, texts: list[str]
) -> None:
    ended = run("predict", "--json", "-", artifacts=tiny_directory, given=given)
    found = [json.loads(line)["probabilities"]["negative"] for line in ended.stdout.splitlines()]
    assert ended.exit_code == 0
    assert found == pytest.approx([prediction.probability_negative for prediction in tiny_predictor.predict(texts)])


def test_what_cannot_be_judged_is_said_in_its_place_and_exit_code_1_says_so(tiny_directory: Path) -> None:
    ended = run("predict", "-", artifacts=tiny_directory, given=b"so bad\n\ncaf\xe9\n")
    assert ended.exit_code == 1
    _, good, empty, unreadable, *_ = ended.stdout.splitlines()
    assert good.split()[0] in ("negative", "positive")
    assert re.fullmatch(r"- +\(must hold at least 1 character, found none\) *", empty)
    assert re.match(r"- +caf. \(must be valid Unicode text, found a lone surrogate", unreadable)


def test_a_long_text_is_cut_only_when_told_to(tiny_directory: Path) -> None:
    text = "so bad " * 20
    refused = run("predict", text, artifacts=tiny_directory)
    assert refused.exit_code == 1
    said = " ".join(refused.stdout.split())
    assert "… (must be at most 64 characters long, found 140; `truncate` lets it be cut)" in said
    assert said.count("so bad") < 10
    ended = run("predict", text, "--truncate", "--json", artifacts=tiny_directory)
    assert json.loads(ended.stdout)["truncated"]
    shown = run("predict", text, "--truncate", artifacts=tiny_directory)
    assert "(cut: 64 characters were read)" in " ".join(shown.stdout.split())


def test_what_would_change_the_terminal_is_shown_as_a_sign(tiny_directory: Path) -> None:
    shown = run("predict", "a\x1b[31mb\nc", artifacts=tiny_directory).stdout
    assert "\x1b" not in shown
    assert shown.count("\n") == 3


def test_without_a_model_nothing_is_tried(tmp_path: Path) -> None:
    line = f"{tmp_path}/config.json: expected a file, found nothing there"
    assert_refused(run("predict", "so bad", artifacts=tmp_path), line)


def test_no_text_is_a_mistake(tiny_directory: Path) -> None:
    assert run("predict", artifacts=tiny_directory).exit_code == 2


def test_a_closed_pipe_ends_it_quietly(tiny_directory: Path) -> None:
    command = [sys.executable, "-m", "service", "predict", "so bad", "--artifacts", str(tiny_directory)]
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as closed:  # noqa: PTH123  a descriptor has no path
        ended = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
    assert (ended.returncode, ended.stderr) == (141, b"")


# The program as a whole


def test_all_commands_read_like_one_tool(tiny_directory: Path) -> None:
    """Each says in its help by examples how it is used, and that the help of the whole names it."""
    for command in ("serve", "score", "predict", "gates"):
        shown = run(command, "--help", artifacts=tiny_directory).stdout
        assert f"Usage: root {command}" in " ".join(shown.split())
        assert f"python -m service {command} " in shown
        assert f"{command} " in run("--help", artifacts=tiny_directory).stdout


def test_a_shell_completes_commands_and_flags() -> None:
    """As the shell's own function asks, for the program `charlstm`."""
    for words, expected in (("charlstm sc", "score"), ("charlstm score --fr", "--fresh")):
        variables = {"_CHARLSTM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        code = "from service.program import main; main()"
        ended = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True, check=False
        )
        assert ended.stdout.split() == [expected], ended.stderr


def test_the_program_says_what_is_missing_where_only_the_client_is_installed() -> None:
    code = "import sys; sys.modules['typer'] = None\nfrom service.program import main; main()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"charlstm: this needs typer, which is not installed: {how_to_install('serve')}\n"
