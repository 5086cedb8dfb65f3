"""The parts of a folder that `score --ray` judges: which are made again, and from where; without a cluster."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pyarrow.dataset
import pytest
from typer.testing import Result

from service.bulk_ray import Job, Judge, Part
from service.bulk_result import Unfinished
from tests.bulk_files import ROWS, assert_refused, run, write
from tests.tiny import tiny_artifacts

NONE_LEFT = ", where 1 were already\n"


@pytest.fixture(autouse=True)
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Have this process take a cluster's place, with small blocks; list what it is to do."""
    asked = []

    def judged(job: Job, names: Sequence[str], _workers: int | None) -> Iterator[Part]:
        asked.append(job)
        actor = Judge(job)
        for name in names:
            (part,) = actor({"name": [name]})["part"]
            yield msgspec.json.decode(part, type=Part)

    monkeypatch.setattr("service.bulk_ray._judged", judged)
    monkeypatch.setattr("service.bulk_rows.MOST_ROWS", 16)
    return asked


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Write a file, alone in a folder."""
    (tmp_path / "in").mkdir()
    return write(tmp_path / "in/a.csv")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


def command(source: Path, output: Path, artifacts: Path, *flags: object) -> Result:
    return run("score", source.parent, "--output", output, "--ray", *flags, artifacts=artifacts)


def judge(source: Path, output: Path, artifacts: Path, *flags: object) -> str:
    """Run the command for a file's folder, and return what it says."""
    ended = command(source, output, artifacts, *flags)
    assert (ended.exit_code, ended.stdout) == (0, ""), ended.output
    return ended.stderr


def stopped(source: Path, output: Path, artifacts: Path, *flags: object) -> bytes:
    """Run the command until there are two blocks of a file and the disk is full; return what is there."""
    original, calls = Unfinished.append, 0

    def append(self: Unfinished, piece: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:  # the first is the header
            raise OSError(28, "No space left on device")
        original(self, piece)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Unfinished, "append", append)
        ended = command(source, output, artifacts, "--quiet", *flags)
    assert (ended.exit_code, ended.stderr.count("No space left")) == (2, 1), ended.output
    return (output / "a.csv.unfinished").read_bytes()


def alone(source: Path, artifacts: Path, *flags: object) -> bytes:
    """Do what the command does without `--ray`, beside what is there."""
    output = source.parent.parent / f"alone-{source.name}"
    assert run("score", source, "--output", output, *flags, artifacts=artifacts).exit_code == 0
    return output.read_bytes()


# What is judged again


def test_another_file_in_a_files_place_is_judged_even_if_it_is_older(
    source: Path, output: Path, tiny_directory: Path
) -> None:
    """As `mv`, `cp -p` and archives leave it: of the same size or not, long before its part was made."""
    judge(source, output, tiny_directory)
    write(source, ROWS[:7])
    os.utime(source, (1, 1))
    assert judge(source, output, tiny_directory).startswith("7 rows: ")
    assert (output / "a.csv").read_bytes() == alone(source, tiny_directory)
    source.write_bytes(source.read_bytes().replace(b"Worst", b"Great"))
    os.utime(source, (2, 2))
    assert judge(source, output, tiny_directory).startswith("7 rows: ")
    assert (output / "a.csv").read_bytes() == alone(source, tiny_directory)
    assert judge(source, output, tiny_directory).endswith(NONE_LEFT)


def test_a_copy_with_the_time_of_its_file_is_the_same(source: Path, output: Path, tiny_directory: Path) -> None:
    judge(source, output, tiny_directory)
    shutil.copytree(source.parent, source.parent.with_name("copy"))
    shutil.rmtree(source.parent)
    source.parent.with_name("copy").rename(source.parent)
    assert judge(source, output, tiny_directory).endswith(NONE_LEFT)


def test_a_part_that_is_gone_is_made_again(source: Path, output: Path, tiny_directory: Path) -> None:
    judge(source, output, tiny_directory)
    (output / "a.csv").unlink()
    assert judge(source, output, tiny_directory).startswith("100 rows: ")


def test_a_part_is_not_taken_for_that_of_a_file_that_came_and_went(
    source: Path, output: Path, tiny_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its part took the old one's place, the run was killed before it could note so, and the old file is back."""
    judge(source, output, tiny_directory)
    shutil.copy2(source, source.parent.parent / "kept")
    write(source, ROWS[:7])
    with monkeypatch.context() as patch:
        patch.setattr("service.bulk_ray.replace_files", killed)
        assert command(source, output, tiny_directory).exit_code == 130
    shutil.copy2(source.parent.parent / "kept", source)
    judge(source, output, tiny_directory)
    assert (output / "a.csv").read_bytes() == alone(source, tiny_directory)


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_was_begun_of_a_file_goes_on_and_of_another_in_its_place_begins_anew(
    source: Path, output: Path, tiny_directory: Path
) -> None:
    begun = stopped(source, output, tiny_directory)
    write(source, ROWS[20:])
    assert " 80 rows in " in judge(source, output, tiny_directory)
    assert (output / "a.csv").read_bytes() == alone(source, tiny_directory)
    write(source)
    assert stopped(source, output, tiny_directory) == begun
    assert " 68 rows in " in judge(source, output, tiny_directory)
    assert (output / "a.csv").read_bytes() == alone(source, tiny_directory)


def test_what_is_left_of_another_task_keeps_nobody_from_this_one(
    source: Path, output: Path, tmp_path: Path, tiny_directory: Path
) -> None:
    """A run begun afresh with another model is stopped before it gets to a file that the first one had begun."""
    stopped(source, output, tiny_directory)
    other = tiny_artifacts(tmp_path / "other", seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.bulk_ray._judged", killed)
        ended = command(source, output, other, "--fresh")
        assert (ended.exit_code, ended.stderr) == (
            130,
            "charlstm: stopped; the same command without --fresh goes on from here\n",
        )
    assert " 100 rows in " in judge(source, output, other)
    assert (output / "a.csv").read_bytes() == alone(source, other)


def test_what_a_files_name_says_may_be_said_as_well(source: Path, output: Path, tiny_directory: Path) -> None:
    judge(source, output, tiny_directory)
    for flags in (["--format", "csv"], ["--delimiter", ","], []):
        assert judge(source, output, tiny_directory, *flags).endswith(NONE_LEFT)


def test_a_file_that_is_to_be_read_otherwise_is_judged_again(source: Path, output: Path, tiny_directory: Path) -> None:
    source.write_text("text;text,more\nso bad;so good,more\n")
    judge(source, output, tiny_directory, "--delimiter", ";")
    source.write_text("text,text;more\nso bad,so good;more\n")
    judge(source, output, tiny_directory)
    before = source.stat()
    source.write_text("text;text,more\nso bad;so good,more\n")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    judge(source, output, tiny_directory, "--delimiter", ";")
    assert (output / "a.csv").read_bytes() == alone(source, tiny_directory, "--delimiter", ";")


def test_readers_of_the_result_see_the_parts_alone(source: Path, output: Path, tiny_directory: Path) -> None:
    judge(source, output, tiny_directory)
    assert pyarrow.dataset.dataset(output, format="csv").files == [str(output / "a.csv")]
    assert len(list(output.rglob("*.json"))) == 2


# What is refused


def test_a_part_never_takes_the_place_of_a_file(source: Path, output: Path, tiny_directory: Path) -> None:
    """Neither through the names of folders, nor through a link."""
    (source.parent / "in").mkdir()
    write(source.parent / "in/a.csv", ROWS[:7])
    before = {path: path.read_bytes() for path in source.parent.rglob("*.csv")}
    ended = command(source, source.parent.parent, tiny_directory)
    assert_refused(ended, f"--output has to be a folder that {source.parent} is not in, found {source.parent.parent}")
    output.mkdir()
    (output / "in").symlink_to(source.parent / "in")
    ended = command(source, output, tiny_directory, "--quiet")
    assert_refused(ended, f"--output has to be another file than the input, {source.parent / 'in/a.csv'}")
    assert (output / "a.csv").exists()
    assert {path: path.read_bytes() for path in source.parent.rglob("*.csv")} == before


def test_a_parquet_file_that_is_compressed_is_named(source: Path, output: Path, tiny_directory: Path) -> None:
    packed = source.with_name("b.parquet.gz")
    packed.write_bytes(b"packed")
    ended = command(source, output, tiny_directory, "--quiet")
    assert_refused(ended, f"{packed}: a Parquet file is compressed inside; ")


def test_a_file_that_is_deleted_meanwhile_is_one_line(
    source: Path, output: Path, tiny_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = write(source.with_name("b.csv"), ROWS[:7])
    monkeypatch.setattr("service.bulk_ray._begin", lambda _job: source.unlink())
    ended = command(source, output, tiny_directory, "--quiet")
    assert_refused(ended, f"cannot read {source}: No such file or directory")
    assert (output / "b.csv").read_bytes() == alone(kept, tiny_directory)


def test_a_part_that_cannot_be_written_is_one_line(source: Path, output: Path, tiny_directory: Path) -> None:
    (source.parent / "day=2").mkdir()
    write(source.parent / "day=2/b.csv", ROWS[:7])
    output.mkdir()
    (output / "day=2").touch()
    assert_refused(
        command(source, output, tiny_directory, "--quiet"), f"cannot write {output / 'day=2/b.csv'}: File exists"
    )
    assert (output / "a.csv").exists()


def test_actors_are_given_paths_as_they_were_said(
    source: Path, tmp_path: Path, tiny_directory: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links lead elsewhere on another machine, or nowhere; only where one is changes."""
    (tmp_path / "results").mkdir()
    for link, to in (("data", source.parent), ("scored", tmp_path / "results"), ("model", tiny_directory)):
        (tmp_path / link).symlink_to(to)
    monkeypatch.chdir(tmp_path)
    judge(Path("data/a.csv"), Path("scored"), Path("model"))
    (job,) = jobs
    found = (job.source, job.output, job.machine.artifacts)
    assert found == (tmp_path / "data", tmp_path / "scored", tmp_path / "model")
