"""The command `score`: from a file or a pipe to another, whole or not at all, and on from where a run was killed."""

import contextlib
import csv
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from charlstm.bulk import COLUMNS, BulkScorer
from charlstm.errors import how_to_install
from service.bulk_command import Files, Machine, score
from service.bulk_result import Unfinished
from service.bulk_rows import Layout
from tests.bulk_files import FORMATS, ROWS, assert_refused, run, write
from tests.service_fixtures import PATIENCE
from tests.tiny import tiny_artifacts

formats = pytest.mark.parametrize("format_", FORMATS)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.bulk_rows.MOST_ROWS", 16)
    monkeypatch.setattr("service.bulk_parquet.MOST_ROWS", 16)


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))


def score_file(source: Path, output: Path, artifacts: Path, *arguments: object) -> str:
    ended = run("score", source, "--output", output, *arguments, artifacts=artifacts)
    assert (ended.exit_code, ended.stdout) == (0, ""), ended.output
    return ended.stderr


@formats
def test_rows_come_in_order_with_their_columns_and_what_the_scorer_says_of_them(
    tiny_directory: Path, tmp_path: Path, format_: str
) -> None:
    output = tmp_path / f"b.{format_}"
    said = score_file(write(tmp_path / f"a.{format_}"), output, tiny_directory)
    expected = BulkScorer.load(tiny_directory, "cpu").score(row["text"] for row in ROWS)
    found = read(output)
    assert [(int(row["id"]), row["text"] or None) for row in found] == [(row["id"], row["text"]) for row in ROWS]
    assert list(found[0]) == ["id", "text", *COLUMNS]
    assert [row["label"] or None for row in found] == expected.label
    assert [row["note"] or None for row in found] == expected.note
    for name in ("probability", "probability_negative"):
        for row, value in zip(found, getattr(expected, name).tolist(), strict=True):
            assert row[name] in (None, "") if value != value else abs(float(row[name]) - value) < 1e-6  # noqa: PLR0124
    negative, cut = expected.label.count("negative"), expected.note.count("truncated")
    counts = f"100 rows: {negative} negative, {94 - negative} positive; {cut} of them cut to the model's limit; "
    assert said.startswith(f"{counts}6 without a text. ")
    assert said.endswith(f"/s; wrote {output}\n")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / f"a.{format_}", output])


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
def test_packed_files_give_the_same(tiny_directory: Path, tmp_path: Path, format_: str) -> None:
    source = write(tmp_path / f"a.{format_}")
    score_file(source, tmp_path / f"b.{format_}", tiny_directory)
    (tmp_path / f"a.{format_}.gz").write_bytes(gzip.compress(source.read_bytes()))
    score_file(tmp_path / f"a.{format_}.gz", tmp_path / f"b.{format_}.gz", tiny_directory)
    assert gzip.decompress((tmp_path / f"b.{format_}.gz").read_bytes()) == (tmp_path / f"b.{format_}").read_bytes()


@formats
def test_pipes_give_the_same(tiny_directory: Path, tmp_path: Path, format_: str) -> None:
    source, output = write(tmp_path / f"a.{format_}"), tmp_path / f"b.{format_}"
    score_file(source, output, tiny_directory)
    code = "import service.bulk_rows as rows; rows.MOST_ROWS = 16\nfrom service.cli import cli; cli()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "score", "-", "--format", format_, "--artifacts", tiny_directory, "--quiet"],
        input=source.read_bytes(),
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    assert ended.stderr == b""
    assert ended.stdout == output.read_bytes()


# Killed, and going on


def forked(work: Callable[[], object]) -> int:
    """Run something in a fork of this process, and return how it ended: a signal is negative."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_in(method: str, call: int, *, half: bool) -> Callable[[pytest.MonkeyPatch], None]:
    """Have a process kill itself at a call of a method of `Unfinished`: before it, or with half of a piece written."""

    def arrange(patch: pytest.MonkeyPatch) -> None:
        original, calls = getattr(Unfinished, method), 0

        def counting(self: Unfinished, *arguments: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == call:
                if half:
                    self._file.write(arguments[0][: len(arguments[0]) // 2])
                    self._file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            original(self, *arguments)

        patch.setattr(Unfinished, method, counting)

    return arrange


@formats
@pytest.mark.parametrize(
    ("method", "call", "half"),
    [("append", 1, True), ("append", 3, True), ("reached", 1, False), ("reached", 4, False), ("finish", 1, False)],
)
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(  # noqa: PLR0913  what is varied, and where
    tiny_directory: Path, tmp_path: Path, format_: str, method: str, call: int, *, half: bool
) -> None:
    source, whole, output = write(tmp_path / f"a.{format_}"), tmp_path / f"w.{format_}", tmp_path / f"b.{format_}"
    score_file(source, whole, tiny_directory)
    output.write_bytes(b"old")
    files, machine = Files(source, output, Layout(format_)), Machine(tiny_directory, "cpu", threads=1)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        killed_in(method, call, half=half)(patch)
        assert forked(lambda: score(files, machine, fresh=False, quiet=True)) == -signal.SIGKILL
    assert output.read_bytes() == b"old"
    assert (tmp_path / f"b.{format_}.unfinished").exists()
    said = score_file(source, output, tiny_directory)
    assert output.read_bytes() == whole.read_bytes()
    behind = re.search(r", behind (\d+) of an earlier run", said)
    assert bool(behind) == (call > 1 or method == "finish")
    assert not list(tmp_path.glob("*.unfinished*"))


@pytest.fixture
def begun(tiny_directory: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Begin a result, and be killed; return the input and the output."""
    source, output = write(tmp_path / "a.csv"), tmp_path / "b.csv"
    files, machine = Files(source, output, Layout("csv")), Machine(tiny_directory, "cpu", threads=1)
    with pytest.MonkeyPatch.context() as patch:
        killed_in("append", 3, half=True)(patch)
        assert forked(lambda: score(files, machine, fresh=False, quiet=True)) == -signal.SIGKILL
    return source, output


def test_another_input_does_not_go_on(begun: tuple[Path, Path], tiny_directory: Path) -> None:
    source, output = begun
    unfinished = output.with_name("b.csv.unfinished").read_bytes()
    source.write_bytes(source.read_bytes().replace(b"99", b"98"))  # its last row
    ended = run("score", source, "--output", output, artifacts=tiny_directory)
    assert_refused(
        ended, f"{output}.unfinished was begun with another input, or the input has changed; --fresh begins anew"
    )
    assert output.with_name("b.csv.unfinished").read_bytes() == unfinished, "nothing is lost by asking"
    assert "behind" not in score_file(source, output, tiny_directory, "--fresh")
    assert len(read(output)) == 100


def test_another_model_does_not_go_on(begun: tuple[Path, Path], tmp_path: Path, tiny_directory: Path) -> None:
    source, output = begun
    other = tiny_artifacts(tmp_path / "other", seed=1)
    versions = [BulkScorer.load(folder, "cpu").artifacts.version for folder in (tiny_directory, other)]
    message = f"was begun with version {versions[0]} of the model, which is now {versions[1]}; --fresh begins anew"
    assert_refused(run("score", source, "--output", output, artifacts=other), f"{output}.unfinished {message}")


@pytest.mark.parametrize(
    ("flags", "found"), [(["--prefix", "x"], "--prefix ''"), (["--precision", "bfloat16"], "--precision 'float32'")]
)
def test_other_options_do_not_go_on(
    begun: tuple[Path, Path], tiny_directory: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], found: str
) -> None:
    monkeypatch.setattr("service.bulk_command.choose_precision", lambda asked, _device: asked)
    source, output = begun
    ended = run("score", source, "--output", output, *flags, artifacts=tiny_directory)
    assert_refused(ended, f"{output}.unfinished was begun with {found}; --fresh begins anew")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.csv.unfinished.json", b"{", "b.csv.unfinished.json cannot be read"),
        ("b.csv.unfinished", b"id", "b.csv.unfinished is shorter than its journal says; --fresh begins anew"),
    ],
)
def test_damage_is_found(
    begun: tuple[Path, Path], tiny_directory: Path, name: str, content: bytes, message: str
) -> None:
    source, output = begun
    output.with_name(name).write_bytes(content)
    assert_refused(run("score", source, "--output", output, artifacts=tiny_directory), f"{output.parent}/{message}")


def test_two_processes_do_not_write_the_same_file(tiny_directory: Path, tmp_path: Path) -> None:
    source, output = write(tmp_path / "a.csv"), tmp_path / "b.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Unfinished, "finish", lambda *_: assert_refused(again(), f"another process is writing {output}."))

        def again() -> Any:
            patch.undo()
            return run("score", source, "--output", output, artifacts=tiny_directory)

        score_file(source, output, tiny_directory)


@pytest.mark.parametrize(
    ("output", "flags", "on"),
    [
        ("b.csv", (), "; the same command goes on from {folder}/b.csv.unfinished"),
        ("b.csv", ("--fresh",), "; the same command without --fresh goes on from {folder}/b.csv.unfinished"),
        ("link.csv", (), "; the same command goes on from {folder}/linked.csv.unfinished"),
        ("-", (), ""),
    ],
)
def test_ctrl_c_says_how_to_go_on(
    tiny_directory: Path, tmp_path: Path, output: str, flags: tuple[str, ...], on: str
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "linked.csv").touch()
    (tmp_path / "link.csv").symlink_to("linked.csv")
    source, place = write(tmp_path / "a.csv"), output if output == "-" else str(tmp_path / output)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.bulk_result.Counts.plus", interrupted)
        ended = run("score", source, "--output", place, *flags, artifacts=tiny_directory)
    assert ended.exit_code == 130
    assert ended.stderr == f"charlstm: stopped{on.format(folder=tmp_path)}\n"
    assert not on or Path(ended.stderr.removesuffix("\n").partition(" goes on from ")[2]).exists()


def test_what_is_begun_anew_is_not_taken_for_what_was_begun_before(
    begun: tuple[Path, Path], tiny_directory: Path
) -> None:
    """Killed before it has a journal of its own, it leaves none of the earlier one's, which may be about other rows."""
    source, output = begun
    files, machine = Files(source, output, Layout("csv")), Machine(tiny_directory, "cpu", threads=1)
    with pytest.MonkeyPatch.context() as patch:
        killed_in("reached", 1, half=False)(patch)
        assert forked(lambda: score(files, machine, fresh=True, quiet=True)) == -signal.SIGKILL
    assert output.with_name("b.csv.unfinished").exists()
    assert not output.with_name("b.csv.unfinished.json").exists()
    assert "behind" not in score_file(source, output, tiny_directory)


# What goes wrong


def test_a_full_disk_keeps_what_is_there_and_the_run_goes_on_later(
    tiny_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output, whole = write(tmp_path / "a.csv"), tmp_path / "b.csv", tmp_path / "whole.csv"
    score_file(source, whole, tiny_directory)
    calls = 0

    def full(_self: Unfinished, piece: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise OSError(28, "No space left on device")
        original(_self, piece)

    original = Unfinished.append
    with monkeypatch.context() as patch:
        patch.setattr(Unfinished, "append", full)
        ended = run("score", source, "--output", output, artifacts=tiny_directory)
    assert_refused(ended, f"cannot write {output}: No space left on device")
    assert "behind 32 of an earlier run" in score_file(source, output, tiny_directory)
    assert output.read_bytes() == whole.read_bytes()


def test_a_closed_pipe_ends_it_quietly(tiny_directory: Path, tmp_path: Path) -> None:
    """Like other programs: with the code of SIGPIPE, and without a word; standard input stays open meanwhile."""
    source = write(tmp_path / "a.csv", ROWS * 42)  # a block, and the beginning of another
    command = [sys.executable, "-m", "service", "score", "-", "--format", "csv", "--artifacts", str(tiny_directory)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):  # it may have ended already
            process.stdin.write(source.read_bytes())
            process.stdin.flush()
        assert process.wait(PATIENCE) == 141
        assert process.stderr.read() == b""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def test_a_device_is_written_into(tiny_directory: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv")
    score_file(source, Path("/dev/null"), tiny_directory)
    assert_refused(
        run("score", source, "-o", "/dev/full", artifacts=tiny_directory), "cannot write /dev/full: No space"
    )


def test_a_link_stays_one(tiny_directory: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "b.csv")
    score_file(write(tmp_path / "a.csv"), link, tiny_directory)
    assert link.is_symlink()
    assert len(read(tmp_path / "b.csv")) == 100


def test_an_input_that_changes_meanwhile_is_refused(
    tiny_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = write(tmp_path / "a.csv"), tmp_path / "b.csv"
    original = Unfinished.append

    def append(self: Unfinished, piece: bytes) -> None:
        os.utime(source, (1, 1))
        original(self, piece)

    monkeypatch.setattr(Unfinished, "append", append)
    ended = run("score", source, "--output", output, artifacts=tiny_directory)
    assert_refused(ended, f"{source} was changed while it was read")
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["none.csv"], "cannot read none.csv: No such file or directory"),
        (["a.csv", "-o", "none/b.csv"], "cannot write none/b.csv: No such file or directory"),
        (["a.csv", "-o", "a.csv"], "--output has to be another file than the input, a.csv"),
        (["a.csv", "-o", "b.parquet"], "--output has to be csv as the input is, found b.parquet"),
        (["a.csv", "--format", "parquet"], "a.csv is no Parquet file (Parquet magic bytes not found"),
        (["a.parquet.gz"], "a.parquet.gz: a Parquet file is compressed inside; .gz is for CSV and JSON lines"),
        (["a.csv", "--text-column", "body"], "a.csv has no column 'body'; its header names 'id', 'text' (--text-col"),
        (["bad.csv.gz"], "cannot read bad.csv.gz: Not a gzipped file"),
        (["a.csv", "--device", "tpu"], "device must be auto, cpu, cuda or cuda:N, found 'tpu'"),
        (["a.csv", "--delimiter", "ab"], "--delimiter has to be one character"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line(
    tiny_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    content = write(tmp_path / "a.csv").read_bytes()
    (tmp_path / "bad.csv.gz").write_bytes(content)
    assert_refused(run("score", *arguments, artifacts=tiny_directory), line)


def test_a_packed_file_that_was_cut_off_is_read_as_far_as_it_goes_and_refused(
    tiny_directory: Path, tmp_path: Path
) -> None:
    source, output = tmp_path / "cut.csv.gz", tmp_path / "b.csv"
    source.write_bytes(gzip.compress(write(tmp_path / "a.csv").read_bytes())[:-20])
    ended = run("score", source, "--output", output, artifacts=tiny_directory)
    assert_refused(ended, f"cannot read {source}: Compressed file ended before")
    assert not output.exists()
    assert b"\n0,Worst update ever 0," in output.with_name("b.csv.unfinished").read_bytes()


def test_parquet_without_pyarrow_says_what_to_install(
    tiny_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.parquet")
    monkeypatch.delitem(sys.modules, "service.bulk_parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ended = run("score", tmp_path / "a.parquet", artifacts=tiny_directory)
    assert_refused(ended, f"Parquet needs pyarrow, which is not installed: {how_to_install('parquet')}")


# What it says


def test_a_file_of_which_nothing_can_be_judged_is_written_and_exit_code_1_says_so(
    tiny_directory: Path, tmp_path: Path
) -> None:
    source, output = write(tmp_path / "a.csv", [{"text": "", "x": 1}, {"text": " ", "x": 2}]), tmp_path / "b.csv"
    ended = run("score", source, "--output", output, artifacts=tiny_directory)
    assert ended.exit_code == 1
    assert ended.stderr.startswith("2 rows: 0 negative, 0 positive; 2 without a text. ")
    assert [row["note"] for row in read(output)] == ["empty", "empty"]


def test_a_file_without_rows_is_fine(tiny_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text\n")
    assert score_file(tmp_path / "a.csv", tmp_path / "b.csv", tiny_directory).startswith("0 rows: ")
    assert (tmp_path / "b.csv").read_bytes() == b"text,label,probability,probability_negative,note\n"


def test_unreadable_rows_are_counted(tiny_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text\nso\xff\nso bad\n")
    said = score_file(tmp_path / "a.csv", tmp_path / "b.csv", tiny_directory)
    assert "; 1 unreadable. 2 rows in " in said
    assert b"\nso\xff,,,,unreadable\n" in (tmp_path / "b.csv").read_bytes()


def test_quiet_says_nothing(tiny_directory: Path, tmp_path: Path) -> None:
    assert score_file(write(tmp_path / "a.csv"), tmp_path / "b.csv", tiny_directory, "--quiet") == ""


def test_the_guide_shows_what_becomes_of_a_file(tmp_path: Path) -> None:
    """Its two tables: what goes in, and what comes out but for the last digits."""
    root = Path(__file__).parent.parent
    blocks = re.findall(r"^```csv\n(.*?)^```$", (root / "docs/bulk.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    for name, block in zip(("tweets.csv", "expected.csv"), blocks, strict=True):
        (tmp_path / name).write_text(block)
    said = score_file(tmp_path / "tweets.csv", tmp_path / "scored.csv", root / "artifacts")
    found, expected = read(tmp_path / "scored.csv"), read(tmp_path / "expected.csv")
    assert said.startswith("3 rows: 1 negative, 1 positive; 1 without a text.")
    for row, printed in zip(found, expected, strict=True):
        assert row.keys() == printed.keys()
        for name, cell in printed.items():
            if name.startswith("probability") and cell:
                assert float(row[name]) == pytest.approx(float(cell), abs=1e-4)
            else:
                assert row[name] == cell


def test_memory_does_not_grow_with_the_file(tiny_directory: Path, tmp_path: Path) -> None:
    """A file of five times the rows takes the memory of one, but for what an allocator leaves about."""
    code = (
        "import resource\nfrom service.cli import cli\n"
        "try: cli()\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for rows in (4000, 20_000):
        source = tmp_path / f"{rows}.csv"
        with source.open("w") as file:
            file.write("text,x\n")
            file.writelines(f"so bad,{'x' * 5000}{row}\n" for row in range(rows))
        arguments = ["score", str(source), "-o", str(tmp_path / "b.csv"), "--artifacts", str(tiny_directory), "--quiet"]
        ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, timeout=300, check=True)
        peaks.append(int(ended.stdout) / 1024)
    assert peaks[1] - peaks[0] < 30, "MiB; the larger file has 76 more"
