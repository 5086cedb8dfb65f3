"""The command `score --ray`: a folder judged on a real cluster, file by file, as one machine would."""

import contextlib
import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from charlstm.errors import how_to_install
from tests.bulk_files import FORMATS, ROWS, assert_refused, run, write
from tests.ray_cluster import ray_cluster
from tests.served import eventually
from tests.tiny import tiny_artifacts

PATIENCE = 240.0  # seconds: on a machine that is busy, an actor takes its time
MANY = 200_000  # rows: some blocks of them, and seconds of work, so that whoever watches it sees it unfinished


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Start a cluster with room for two actors, and give its address."""
    with ray_cluster(cores=2):
        yield ray.get_runtime_context().gcs_address


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a folder with a file of each format, one that is packed and in a folder of its own, and two of no rows."""
    folder = tmp_path_factory.mktemp("source") / "in"
    (folder / "day=2").mkdir(parents=True)
    for number, format_ in enumerate(FORMATS):
        write(folder / f"{number}.{format_}", ROWS[number * 30 : number * 30 + 30])
    (folder / "day=2/packed.csv.gz").write_bytes(gzip.compress((folder / "0.csv").read_bytes()))
    (folder / "_SUCCESS").touch()
    (folder / ".hidden.csv").write_text("no rows\n")
    return folder


@pytest.fixture(scope="module")
def result(cluster: str, source: Path, tmp_path_factory: pytest.TempPathFactory, tiny_directory: Path) -> Path:
    """Judge that folder, with as many actors as there is room for."""
    del cluster  # which only has to be there
    output = tmp_path_factory.mktemp("result") / "out"
    said = judge(source, output, tiny_directory)
    assert said.startswith("120 rows: ")
    assert said.endswith(f"; wrote 4 of 4 parts into {output}\n")
    return output


@pytest.fixture
def folder(source: Path, tmp_path: Path) -> Path:
    """Copy that folder, for a test to change."""
    return copy(source, tmp_path / "in")


@pytest.fixture
def output(result: Path, tmp_path: Path) -> Path:
    """Copy what was made of it."""
    return copy(result, tmp_path / "out")


def copy(folder: Path, to: Path) -> Path:
    """Copy a folder with the times of its files."""
    return Path(shutil.copytree(folder, to))


def parts_of(folder: Path) -> dict[str, bytes]:
    """Read all files in a folder but the command's notes, by their paths in it."""
    files = [path.relative_to(folder) for path in folder.rglob("*.*") if path.is_file()]
    return {str(path): (folder / path).read_bytes() for path in files if not str(path).startswith("_")}


def on_one_machine(folder: Path, output: Path, artifacts: Path) -> dict[str, bytes]:
    """Do what `--ray` should: the command, for each file by itself."""
    for path in folder.rglob("[0-9a-z]*.*"):
        part = output / path.relative_to(folder)
        part.parent.mkdir(parents=True, exist_ok=True)
        assert run("score", path, "--output", part, artifacts=artifacts).exit_code == 0
    return parts_of(output)


def judge(folder: Path, output: Path, artifacts: Path, *flags: object) -> str:
    """Run the command, and return what it says."""
    ended = run("score", folder, "--output", output, "--ray", *flags, artifacts=artifacts)
    assert (ended.exit_code, ended.stdout) == (0, ""), ended.output
    return ended.stderr


def test_each_part_is_what_the_command_makes_of_the_file_on_one_machine(
    source: Path, result: Path, tmp_path: Path, tiny_directory: Path
) -> None:
    parts = parts_of(result)
    assert parts == on_one_machine(source, tmp_path / "alone", tiny_directory)
    assert parts.keys() == {"0.csv", "1.jsonl", "2.parquet", "day=2/packed.csv.gz"}


def test_only_what_is_new_or_has_changed_is_judged_again(folder: Path, output: Path, tiny_directory: Path) -> None:
    kept = (output / "2.parquet").stat()
    write(folder / "new.csv", ROWS[:7])
    write(folder / "0.csv", ROWS[:5])
    said = judge(folder, output, tiny_directory, "--workers", 1)
    assert said.startswith("12 rows: ")
    assert said.endswith(f"; wrote 2 of 5 parts into {output}, where 3 were already\n")
    assert (output / "2.parquet").stat() == kept
    assert judge(folder, output, tiny_directory).endswith(f"wrote 0 of 5 parts into {output}, where 5 were already\n")


def test_a_result_goes_on_with_the_same_model_alone(
    folder: Path, output: Path, tmp_path: Path, tiny_directory: Path
) -> None:
    """Or anew, and then no part of the old one stays."""
    old, other = parts_of(output), tiny_artifacts(tmp_path / "other", seed=1)
    again = run("score", folder, "--output", output, "--ray", artifacts=other)
    assert_refused(again, f"{output} was begun with version ")
    again = run("score", folder, "--output", output, "--ray", "--prefix", "new_", artifacts=tiny_directory)
    assert_refused(again, f"{output} was begun with --prefix ''; ")
    assert parts_of(output) == old
    gone = min(path for path in folder.rglob("*") if str(path.relative_to(folder)) in old)
    gone.unlink()
    judge(folder, output, other, "--fresh", "--workers", 1)
    parts = parts_of(output)
    assert set(parts) == set(old) - {str(gone.relative_to(folder))}
    assert parts == on_one_machine(folder, tmp_path / "alone", other)


def test_a_file_that_cannot_be_judged_keeps_no_other_from_it(folder: Path, output: Path, tiny_directory: Path) -> None:
    (folder / "bad.csv").write_text("id,body\n1,so bad\n")
    write(folder / "good.csv", ROWS[:7])
    flags = ["--ray", "--quiet", "--workers", 1]
    ended = run("score", folder, "--output", output, *flags, artifacts=tiny_directory)
    assert ended.exit_code == 2
    assert ended.stderr.startswith(f"charlstm: {folder / 'bad.csv'} has no column 'text'; ")
    assert ended.stderr.count("\n") == 1
    assert (output / "good.csv").exists()
    assert not (output / "bad.csv").exists()


def test_what_is_killed_in_the_middle_of_a_file_goes_on_there(
    cluster: str, tmp_path: Path, tiny_directory: Path
) -> None:
    """First the command itself, then, when it is repeated, an actor; no row that was on the disk is judged again."""
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    write(folder / "many.csv", [{"text": f"I hate waiting {row}", "id": row} for row in range(MANY)])
    command = [sys.executable, "-m", "service", "score", str(folder), "--output", str(output), "--ray"]
    environment = os.environ | {"RAY_ADDRESS": cluster, "CHARLSTM_ARTIFACTS": str(tiny_directory)}
    with subprocess.Popen(command, env=environment) as first:
        eventually((output / "many.csv.unfinished.json").exists, PATIENCE, pause=0.01)
        first.kill()
    eventually(lambda: not actors(), PATIENCE)
    begun = size(output / "many.csv.unfinished")
    assert begun
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as second:
        eventually(lambda: size(output / "many.csv.unfinished") > begun and actors(), PATIENCE, pause=0.01)
        for pid in actors():
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, signal.SIGKILL)
        _, said = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0, said
    found = re.search(rf"^{MANY:,} rows: .* ([\d,]+) rows in .*; wrote 1 of 1 parts", said, flags=re.MULTILINE)
    assert found is not None, said
    assert 0 < int(found[1].replace(",", "")) < MANY
    assert (output / "many.csv").read_bytes() == on_one_machine(folder, tmp_path / "alone", tiny_directory)["many.csv"]


def size(file: Path) -> int:
    """Return how many bytes are in a file, none if there is no such file any more."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def actors() -> list[int]:
    """Return the process ids of all that judge in the cluster that this process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        pid = int(path.parent.name)
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if path.read_bytes().startswith(b"ray::MapWorker(MapBatches(Judge))") and os.getpid() in ancestors(pid):
                found.append(pid)
    return found


def ancestors(pid: int) -> Iterator[int]:
    """Return the process ids of a process's parent, of the parent's parent, and so on."""
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
        yield pid


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["in/0.csv", "-o", "out", "--ray"], "/in/0.csv: expected a folder of files, for --ray, found a file"),
        (["in", "--ray"], "--ray needs --output, a folder for the parts"),
        (["in", "-o", "in/out", "--ray"], "--output has to be outside "),
        (["empty", "-o", "out", "--ray"], "/empty holds no file of rows (--format "),
        (["in", "-o", "in/0.csv/out", "--ray"], "--output has to be outside "),
        (["in", "-o", "file/out", "--ray"], "cannot write "),
        (["in", "-o", "out"], "in is a folder, which takes --ray"),
        (["in", "-o", ".", "--ray"], "--output has to be a folder that "),
        (["in", "-o", "link", "--ray"], "--output has to be a folder that "),
        (["in/0.csv", "-o", "out", "--workers", "4"], "--workers takes --ray"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("folder")
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, tiny_directory: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(".")
    ended = run("score", *arguments, artifacts=tiny_directory)
    assert_refused(ended, "")
    assert line in ended.stderr


def test_without_ray_it_says_what_to_install(
    folder: Path, tmp_path: Path, tiny_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "service.bulk_ray", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = run("score", folder, "--output", tmp_path / "out", "--ray", artifacts=tiny_directory)
    assert_refused(ended, f"this needs ray, which is not installed: {how_to_install('ray')}")
