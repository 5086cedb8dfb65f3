"""`python -m training` as a person runs it: real processes for the main ways, the same entry point for the errors."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from charlstm import Predictor, load_artifacts
from tests.tiny import tiny_artifacts
from tests.training_data import Row, sentiment_rows, write_kaggle, write_rows
from tests.training_main import run_training
from training.checkpoint import EpochRecord
from training.cli import app
from training.data import read_data
from training.describe import describe
from training.evaluate import evaluate
from training.flags import flag_of
from training.progress import TerminalProgress
from training.recipe import RECIPES, Preset, Recipe
from training.splits import SplitName, split_rows

ROOT = Path(__file__).parent.parent
PATIENCE = 240.0  # seconds, for a machine that does other things too
SMALL = (
    "--preset labels --embedding-dim 6 --hidden-size 6 --min-count 1 --batch-size 16 --learning-rate 0.02 --threads 1 "
    "--device cpu"
)
UNFINISHED = ".unfinished-grouped.pt"
# The command, but from the second epoch on it gets no further than the first batch.
STANDING = """
import signal
from pathlib import Path
from training.cli import main
from training.progress import TerminalProgress

TerminalProgress.batch_done = lambda *_: Path({!r}).exists() and signal.pause()
main()
"""
ODD_TEXT = "[/b] $5 or \\frac$ :smile:"
PNG = b"\x89PNG\r\n\x1a\n"

Main = Callable[..., tuple[int, str, str]]


def start(*arguments: object, program: Sequence[str] = ("-m", "training")) -> subprocess.Popen[str]:
    command = [sys.executable, *program, *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "200"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, stderr
    return stdout, stderr


def fit_arguments(data: Path, output: Path, epochs: int) -> list[object]:
    return ["fit", data, "--output", output, "--epochs", epochs, *SMALL.split()]


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} if folder.exists() else set()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def data(folder: Path) -> Path:
    return write_kaggle(folder / "tweets.csv", tweets=60)


@pytest.fixture(scope="module")
def runs(data: Path, folder: Path) -> dict[str, tuple[str, str]]:
    """Run what needs no other run, at the same time: stdout and stderr by name.

    One is killed, and one interrupted, as soon as it has finished an epoch; neither ends before that by itself.
    """
    standing = STANDING.format(str(folder / "killed" / UNFINISHED))
    processes = {
        "killed": start(*fit_arguments(data, folder / "killed", 40), program=("-c", standing)),
        "interrupted": start(*fit_arguments(data, folder / "interrupted", 100_000)),
        "describe": start("describe", data, "--json"),
        "fit": start(*fit_arguments(data, folder / "model", 3), "--also-score", "article"),
    }
    for name, number in (("killed", signal.SIGKILL), ("interrupted", signal.SIGINT)):
        wait_for(folder / name / UNFINISHED, processes[name])
        processes[name].send_signal(number)
    killed = processes.pop("killed")
    killed.communicate(timeout=PATIENCE)
    assert killed.returncode == -signal.SIGKILL
    return {name: finish(process) for name, process in processes.items()}


@pytest.fixture(scope="module")
def model(runs: dict[str, tuple[str, str]], folder: Path) -> Path:
    """Hold the artifacts of the run that nothing ended early."""
    assert "fit" in runs
    return folder / "model"


@pytest.fixture(scope="module")
def later_runs(model: Path, data: Path, folder: Path) -> dict[str, tuple[str, str]]:
    """Run what needs a model, at the same time."""
    processes = {
        "evaluate": start("evaluate", model, data, "--json", "--picture", folder / "confusion.png"),
        "trace": start("trace", model, ODD_TEXT, "--picture", folder / "trace.png"),
    }
    return {name: finish(process) for name, process in processes.items()}


@pytest.fixture
def run_main(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Main:
    """Call the entry point in this process: exit code, stdout, stderr."""
    return partial(run_training, monkeypatch, capfd)


def test_describe_prints_json(runs: dict[str, tuple[str, str]], data: Path) -> None:
    found = json.loads(runs["describe"][0])
    expected = describe(read_data(data), SplitName.GROUPED, 42)
    assert found["train"] == {"rows": expected.train.rows, "negative": expected.train.negative, "groups": 48}
    assert (found["rows_read"], found["rows_kept"], found["test_paraphrased"]) == (244, 240, 0)
    assert found["dropped"][0] == {"reason": "label 'Neutral'", "rows": 2, "first_line": 1}
    assert tuple(found["first_tokens"]) == expected.first_tokens
    assert runs["describe"][1] == ""


def test_describe_prints_a_table(data: Path, run_main: Main) -> None:
    code, stdout, _ = run_main("describe", data, "--split", "article", "--split-seed", 7)
    assert code == 0
    for part in (
        "article split (seed 7)",
        "rows read",
        "244",
        "2 (first on line 1)",
        "a paraphrase in training",
        "<UNK>",
    ):
        assert part in stdout


def test_fit_writes_a_model_and_says_how_it_did(runs: dict[str, tuple[str, str]], model: Path) -> None:
    stdout, stderr = runs["fit"]
    assert files(model) == {"config.json", "vocabulary.json", "model.safetensors", "learning-curve.png", "metrics.json"}
    config = load_artifacts(model).config
    assert set(config.metrics) == {"grouped", "article"}
    for split, scores in config.metrics.items():
        assert f"test part of the {split} split (seed 42)" in stdout
        assert f"{scores.accuracy:.4f}" in stdout
    assert stderr.count("validation loss") == 6  # 3 epochs, 2 models
    assert f"wrote {model / 'model.safetensors'}" in stderr


def test_a_flag_changes_the_recipe(model: Path) -> None:
    record = load_artifacts(model).config.training
    assert record is not None
    assert (record.preset, record.epochs, record.options["hidden_size"]) == ("labels", 3, 6)
    assert record.options["casefold"] is True  # as the preset has it


def test_evaluate_prints_json_and_draws(
    later_runs: dict[str, tuple[str, str]], model: Path, data: Path, folder: Path
) -> None:
    stdout, stderr = later_runs["evaluate"]
    found = json.loads(stdout)
    expected = evaluate(Predictor.load(model, "cpu"), read_data(data), SplitName.GROUPED, 42)
    assert found["scores"] == expected.scores.model_dump(mode="json")
    assert (found["part"], found["seen"], found["paraphrases_seen"]) == (
        "test part of the grouped split (seed 42)",
        0,
        0,
    )
    assert found["scores"] == load_artifacts(model).config.metrics["grouped"].model_dump(mode="json")
    assert (folder / "confusion.png").read_bytes().startswith(PNG)
    assert stderr == ""


def test_evaluate_warns_where_the_model_has_seen_the_rows(model: Path, data: Path, run_main: Main) -> None:
    code, stdout, _ = run_main("evaluate", model, data, "--split", "all")
    assert (code, "192 (80.0%): this score measures memory" in stdout) == (0, True)
    assert "measures memory" not in run_main("evaluate", model, data)[1]


def test_trace_draws_a_text(later_runs: dict[str, tuple[str, str]], folder: Path) -> None:
    """A text that looks like markup, a formula and an emoji's name is none of them."""
    stdout, stderr = later_runs["trace"]
    assert stdout.startswith(repr(ODD_TEXT))
    assert (folder / "trace.png").read_bytes().startswith(PNG)
    assert stderr == ""


def test_help_names_the_commands(run_main: Main) -> None:
    code, stdout, _ = run_main("--help")
    assert code == 0
    assert all(command in stdout for command in ("describe", "fit", "evaluate", "trace"))


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("describe", ["--json", "--split", "--text-column", "--header", "--encoding"]),
        ("fit", ["--output", "--preset", "--epochs", "--hidden-size", "--num-layers", "--level", "--seed", "--fresh"]),
        ("evaluate", ["--json", "--picture", "--split", "--label-column"]),
        ("trace", ["--picture"]),
        ("presets", ["what its flags are"]),
    ],
)
def test_help_of_each_command_names_its_flags(command: str, flags: list[str]) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    assert all(flag in result.stdout for flag in flags)
    assert not re.search(r"default: \(|None|True|False", result.stdout)


def test_help_of_fit_says_what_is_replaced_and_where_defaults_are() -> None:
    """It is read before a training that may take hours."""
    text = CliRunner().invoke(app, ["fit", "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).stdout
    assert "A folder that holds a finished model is left as it is, unless --fresh is given; what that began" in text
    assert "Begin anew: replace a finished model" in text
    assert "`presets` shows what is in each" in text
    assert "Default: Positive." in text


def test_a_killed_run_goes_on_to_the_same_weights(
    runs: dict[str, tuple[str, str]], data: Path, folder: Path, run_main: Main
) -> None:
    """Killed for real, in another process, in the middle of its second epoch."""
    assert "killed" not in runs
    assert files(folder / "killed") == {UNFINISHED}
    code, _, resumed = run_main(*fit_arguments(data, folder / "killed", 40))
    assert (code, [f"epoch {number:>3} of 40" in resumed for number in (0, 1, 39)]) == (0, [False, True, True])
    assert run_main(*fit_arguments(data, folder / "whole", 40))[0] == 0
    found, expected = (load_artifacts(folder / name).model.state_dict() for name in ("killed", "whole"))
    torch.testing.assert_close(dict(found), dict(expected), rtol=0, atol=0)


def test_ctrl_c_keeps_the_best_so_far(runs: dict[str, tuple[str, str]], folder: Path) -> None:
    """A real signal to a real process: a model, its scores, and exit code 0."""
    stdout, stderr = runs["interrupted"]
    record = load_artifacts(folder / "interrupted").config.training
    assert record is not None
    assert 1 <= record.epochs < 100_000
    assert "accuracy" in stdout
    assert "Traceback" not in stderr


def test_ctrl_c_before_the_first_epoch_writes_nothing(
    data: Path, tmp_path: Path, run_main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TerminalProgress, "batch_done", interrupt)
    code, stdout, stderr = run_main(*fit_arguments(data, tmp_path / "model", 3))
    assert (code, stdout) == (130, "")
    assert stderr.splitlines()[0] == "interrupted before the first epoch was over: no model is written"
    assert files(tmp_path) == set()


def test_ctrl_c_before_a_new_run_has_replaced_an_old_one_does_not_speak_of_going_on(
    data: Path, tmp_path: Path, run_main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What there is to go on with is the old one, of whatever settings."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "model").mkdir()
    old = tmp_path / "model" / ".unfinished-grouped.pt"
    old.touch()
    os.utime(old, (1, 1))
    monkeypatch.setattr("training.fit.check_labels", interrupt)
    _, _, stderr = run_main(*fit_arguments(data, tmp_path / "model", 3), "--fresh")
    assert stderr.splitlines()[0] == "interrupted before the first epoch was over: no model is written"
    assert old.exists()


def test_ctrl_c_while_a_model_is_written_says_how_to_go_on(
    data: Path, tmp_path: Path, run_main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its epochs are kept; what began it anew would throw them away."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    arguments = fit_arguments(data, tmp_path / "model", 2)
    with monkeypatch.context() as patched:
        patched.setattr("training.fit.save_artifacts", interrupt)
        again = run_main(*arguments, "--fresh")[2]
        once = run_main(*arguments)[2]
    how = "interrupted: no model is written; repeat the command{} to go on after the last whole epoch\n"
    assert (how.format(" without --fresh") in again, how.format("") in once) == (True, True)
    assert run_main(*arguments)[0] == 0


def test_ctrl_c_in_the_second_training_says_what_is_left_to_do(
    data: Path, tmp_path: Path, run_main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeated, the command has the second score, too."""
    trained: list[str] = []
    run_started = TerminalProgress.run_started

    def start_run(self: TerminalProgress, title: str, epochs: int) -> None:
        trained.append(title)
        if trained == ["grouped split", "article split"]:
            raise KeyboardInterrupt
        run_started(self, title, epochs)

    monkeypatch.setattr(TerminalProgress, "run_started", start_run)
    arguments = (*fit_arguments(data, tmp_path / "model", 2), "--also-score", "article")
    code, stdout, stderr = run_main(*arguments)
    assert (code, "test part of the article split" in stdout) == (0, False)
    assert "stopped before the score on the article split; repeat the command to go on\n" in stderr
    code, stdout, stderr = run_main(*arguments)
    assert (code, "test part of the article split" in stdout, "stopped" in stderr) == (0, True, False)


def assert_one_line(ended: tuple[int, str, str], message: str) -> None:
    code, stdout, stderr = ended
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    assert message in stderr


@pytest.mark.parametrize("command", ["describe", "fit", "evaluate"])
def test_a_missing_file_is_one_line(command: str, tmp_path: Path, tiny_directory: Path, run_main: Main) -> None:
    before = [tiny_directory] if command == "evaluate" else []
    after = ["--output", tmp_path / "out"] if command == "fit" else []
    assert_one_line(run_main(command, *before, tmp_path / "no.csv", *after), "no.csv: there is no such file")
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--text-column 9", "line 1: --text-column: there is no column 9"),
        ("--text-column body", "column 'body' is a name, but the file is read without a --header"),
        ("--text-column body --header", "line 1: --text-column: there is no column 'body'"),
        ("--encoding klingon", "there is no encoding called 'klingon'"),
        ("--encoding utf-32", "is not valid utf-32"),
        ("--positive Happy", "no row with a text is labelled 'Happy'"),
        ("--delimiter xy", "--delimiter has to be one character that no word, number or quote has, found 'xy'"),
        ("--positive Negative", "--positive and --negative are the same label"),
        ("--group-column=", "--group-column"),
        ("--epochs 0", "--epochs: input should be greater than or equal to 1, found 0"),
        ("--dropout 1", "--dropout: input should be less than 1"),
        ("--learning-rate nan", "--learning-rate: input should be a finite number"),
        ("--num-layers 101", "--num-layers: input should be less than or equal to 100"),
        ("--pad-to 100", "--max-length must be at most --pad-to (100), found 1000"),
        ("--preset article --max-length 300", "--max-length must be at most --pad-to (200), found 300"),
        ("--word-weight 1", "--word-weight needs a teacher: a --teacher-share above 0"),
        ("--validation-fraction 0.999", "groups are too few to set 100% of them apart"),
        ("--learning-rate 1e30", "training diverged"),
        ("--device cuda:99", "cuda:99"),
        ("--device tpu", "device must be auto, cpu, cuda or cuda:N, found 'tpu'"),
    ],
)
def test_a_fit_that_cannot_be_is_one_line(data: Path, tmp_path: Path, run_main: Main, flags: str, message: str) -> None:
    """And nothing is written."""
    output = tmp_path / "out"
    arguments = ("fit", data, "--output", output, "--preset", "labels", "--hidden-size", 4, *flags.split())
    assert_one_line(run_main(*arguments), message)
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"1,a,Positive,good\r\n2,a,Negative,\r\n", "no row with a text is labelled 'Negative'"),
        (b'1,a,Positive,"x\r\ny"\r\n2,a,Negative,bad,worse\r\n', "line 3: expected 4 columns"),
        (b'1,a,Positive,good\r\n2,a,Negative,"bad\r\n', "line 2: the row that begins here has a quoted field"),
        (b"1,a,Positive,good\r\n2,a,Negative,b\xe4d\r\n", "line 2: byte 0xe4 is not valid utf-8"),
        (b"1,a,Positive,good\r\n1,a,Negative,bad\r\n", "a grouped split needs at least 2 groups, found 1"),
    ],
)
def test_a_file_that_is_no_use_is_one_line(tmp_path: Path, run_main: Main, content: bytes, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    assert_one_line(run_main("fit", path, "--output", tmp_path / "out"), message)
    assert files(tmp_path) == {"bad.csv"}


def test_two_rows_are_too_few_to_hold_any_out(tmp_path: Path, run_main: Main) -> None:
    path = write_rows(tmp_path / "two.csv", sentiment_rows(tweets=2, paraphrases=1))
    arguments = ("fit", path, "--output", tmp_path / "out", "--split", "article")
    assert_one_line(run_main(*arguments), "1 rows are too few to set 10% of them apart")


def test_rows_of_one_label_are_one_line(tmp_path: Path, tiny_directory: Path, run_main: Main) -> None:
    """A test part without a negative text has no AUC."""
    rows = [Row(str(number), "game", "Positive", "fine") for number in range(50)] + [
        Row("50", "game", "Negative", "bad")
    ]
    path = write_rows(tmp_path / "positive.csv", rows)
    data = read_data(path)
    seed = next(seed for seed in range(50) if 50 not in split_rows(data, SplitName.ARTICLE, seed).test)
    arguments = ("evaluate", tiny_directory, path, "--split", "article", "--split-seed", seed)
    assert_one_line(run_main(*arguments), "scores need rows of both labels, found 11 rows of 1")


@pytest.fixture
def places(data: Path, tiny_directory: Path, tmp_path: Path) -> dict[str, Path]:
    return {"data": data, "model": tiny_directory, "tmp": tmp_path}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["evaluate", "{model}", "{data}", "--split", "random"],
            "--split must be article, grouped or all, found 'random'",
        ),
        (["evaluate", "{tmp}", "{data}"], "config.json: expected a file, found nothing there"),
        (["evaluate", "{model}", "{data}", "--picture", "{tmp}/no/confusion.png"], "No such file or directory"),
        (["trace", "{tmp}", "text", "--picture", "{tmp}/trace.png"], "config.json: expected a file"),
        (["trace", "{model}", "", "--picture", "{tmp}/trace.png"], "the text must hold at least 1 character"),
        (["trace", "{model}", "text", "--picture", "{tmp}/no/trace.png"], "No such file or directory"),
        (["fit", "{data}", "--output", "{data}/out"], "is no folder"),
    ],
)
def test_what_a_person_can_mend_is_one_line(
    places: dict[str, Path], run_main: Main, arguments: list[str], message: str
) -> None:
    assert_one_line(run_main(*(part.format_map(places) for part in arguments)), message)
    assert files(places["tmp"]) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["describe"],
        ["describe", "x.csv", "--split", "random"],
        ["fit", "x.csv"],
        ["fit", "x.csv", "--output", "out", "--seed", str(2**32)],
        ["fit", "x.csv", "--output", "out", "--split-seed", "-1"],
        ["fit", "x.csv", "--output", "out", "--level", "syllable"],
        ["fit", "x.csv", "--output", "out", "--momentum", "0.9"],
        ["grow"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], run_main: Main) -> None:
    code, stdout, stderr = run_main(*arguments)
    assert (code, stdout) == (2, "")
    assert "Usage: " in stderr
    assert "Traceback" not in stderr


def test_an_unfinished_run_of_other_settings_is_one_line(data: Path, tmp_path: Path, run_main: Main) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / ".unfinished-grouped.pt").write_bytes(b"not one")
    arguments = fit_arguments(data, tmp_path / "model", 1)
    assert_one_line(run_main(*arguments), "use --fresh")
    assert run_main(*arguments, "--fresh")[0] == 0


def test_a_finished_model_is_replaced_only_when_asked_to(data: Path, tmp_path: Path, run_main: Main) -> None:
    """A command that is repeated by mistake costs no model."""
    model = tiny_artifacts(tmp_path / "model")
    before = (model / "model.safetensors").read_bytes()
    arguments = fit_arguments(data, model, 1)
    assert_one_line(run_main(*arguments), f"error: {model} holds a finished model; --fresh replaces it\n")
    assert (model / "model.safetensors").read_bytes() == before
    assert run_main(*arguments, "--fresh")[0] == 0
    assert (model / "model.safetensors").read_bytes() != before


def test_presets_shows_what_each_is(run_main: Main) -> None:
    """Every flag of a recipe, and its value in each preset, in the order that `fit --help` names them."""
    code, stdout, _ = run_main("presets")
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in stdout.splitlines() if "│" in line]
    assert (code, [row[0] for row in rows]) == (0, [flag_of(field) for field in Recipe.model_fields])
    assert "┃ flag                  ┃ default   ┃ labels    ┃ memory    ┃ article   ┃" in stdout
    values = {row[0]: row[1:] for row in rows}
    assert values["--hidden-size"] == [str(RECIPES[preset].hidden_size) for preset in Preset]
    assert values["--tuned-teacher"] == ["yes", "no", "no", "no"]
    assert values["--pad-to"] == ["none", "none", "none", "200"]


def test_a_full_disk_is_one_line(data: Path, tmp_path: Path, run_main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", run_full)
    code, _, stderr = run_main(*fit_arguments(data, tmp_path / "out", 1))
    assert (code, stderr) == (2, "error: [Errno 28] No space left on device\n")
    assert files(tmp_path / "out") == set()


def test_names_and_labels_are_shown_as_they_are(tmp_path: Path, run_main: Main) -> None:
    """Brackets in a label or a file's name are no markup."""
    rows = [*sentiment_rows(tweets=10), Row("1", "game", "[/b]", "text")]
    code, stdout, _ = run_main("describe", write_rows(tmp_path / "[red]tweets.csv", rows))
    assert (code, "[red]tweets.csv" in stdout, "label '[/b]'" in stdout) == (0, True, True)


def test_a_model_may_come_from_a_folder_of_any_name(data: Path, tmp_path: Path, run_main: Main) -> None:
    model = tiny_artifacts(tmp_path / "[bold]")
    assert run_main("evaluate", model, data)[0] == 0
    assert "[bold]" in run_main(*fit_arguments(data, tmp_path / "[bold]", 1), "--fresh")[2]


def test_a_terminal_shows_bars_with_loss_and_time_left() -> None:
    console = Console(force_terminal=True, record=True, width=120, quiet=False, file=(Path(os.devnull)).open("w"))  # noqa: SIM115
    with TerminalProgress(console) as progress:
        progress.run_started("grouped split", epochs=2)
        progress.epoch_started(0, 4)
        progress.batch_done(0.7)
        drawn = progress._bars.get_renderable()
        console.print(drawn)
        progress.epoch_done(EpochRecord(0, 0.65, None, 1.0, 1234.0))
    console.file.close()
    text = console.export_text()
    line = "grouped split, epoch   0 of 2  loss 0.6500"
    for part in ("epochs", "0/2", "epoch 0", "1/4", "loss 0.7000", "-:--:--", line, "1,234"):
        assert part in text
