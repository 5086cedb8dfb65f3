"""What `python -m service score` does: judges all rows of a file, in this process, and writes them with the answers.

Three things go on side by side: a thread reads and encodes the next rows, the network judges these, and the kernel
writes those before. Nothing is held but a few blocks of rows.
"""

import hashlib
import os
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import torch

from charlstm.bulk import BulkScorer, EncodedBlock
from charlstm.errors import how_to_install
from charlstm.predictor import find_device
from service.bulk_csv import CsvRows
from service.bulk_jsonl import JsonRows
from service.bulk_progress import BulkProgress, bulk_progress
from service.bulk_result import Counts, Result, Task, result_at, unfinished_path
from service.bulk_rows import STANDARD, Block, Layout, Position, Rows, is_packed, opened, pack
from service.errors import CommandError
from service.loader import choose_precision, threads_for
from service.read_ahead import read_ahead

_BLOCKS_AHEAD = 2
INTERRUPTED: Final = 130  # as a shell says of a program that Ctrl-C ended


@dataclass(frozen=True)
class Files:
    """What is read, as what, and where the result goes; `STANDARD` is standard input, and output."""

    source: Path
    output: Path
    layout: Layout

    @property
    def name(self) -> str:
        """What to call the input."""
        return "standard input" if self.source == STANDARD else str(self.source)


@dataclass(frozen=True)
class Machine:
    """What judges: as the settings of the service."""

    artifacts: Path
    device: str = "auto"
    precision: str = "float32"
    threads: int | None = None


class Outcome(NamedTuple):
    """What became of the rows of a file, how many an earlier run had done of them, and how long the others took."""

    counts: Counts
    begun: int
    seconds: float


def score(files: Files, machine: Machine, *, fresh: bool, quiet: bool) -> int:
    """Judge every row; say on standard error what became of them, and return the command's exit code.

    Raises:
        CharLSTMError: There is no such model, or no such device.
        CommandError: The input cannot be read, or the result not be written.
        BrokenPipeError: Nobody reads the result any more.
    """
    check(files)
    scorer = load_scorer(machine)
    try:
        outcome = score_file(files, scorer, fresh=fresh, quiet=quiet)
    except KeyboardInterrupt:
        print(f"charlstm: stopped{_going_on(files, fresh=fresh)}", file=sys.stderr)  # noqa: T201  its user reads it
        return INTERRUPTED
    if not quiet:
        print(_closing_line(outcome, files), file=sys.stderr)  # noqa: T201  its user reads it
    return exit_code(outcome.counts)


def _going_on(files: Files, *, fresh: bool) -> str:
    """Say how to go on with what is stopped, if one can."""
    output = files.output.resolve() if files.output.is_symlink() else files.output
    unfinished = unfinished_path(output)
    if files.output == STANDARD or not files.source.is_file() or not unfinished.exists():
        return ""
    return f"; the same command {'without --fresh ' if fresh else ''}goes on from {unfinished}"


def score_file(files: Files, scorer: BulkScorer, *, fresh: bool, quiet: bool) -> Outcome:
    """Judge every row of a file with a model that is loaded; errors are those of `score`."""
    try:
        with _opened_rows(files) as rows:
            before = signature(files.source)
            whole = files.layout.format == "parquet"
            with result_at(files.output, lambda: _task(files, scorer), fresh=fresh, whole=whole) as result:
                begun = result.begun.counts.rows if result.begun else 0
                with bulk_progress(begun, quiet=quiet) as progress:
                    counts = _run(rows, scorer, result, files, progress)
                if signature(files.source) != before:
                    raise CommandError(f"{files.name} was changed while it was read; --fresh begins anew")
                result.finish(rows.assemble)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"cannot write {files.output}: {error.strerror or error}") from error
    return Outcome(counts, begun, progress.seconds)


def exit_code(counts: Counts) -> int:
    """Return what a command ends with whose result is written: 1 if not one of its rows could be judged."""
    return 1 if counts.rows and not counts.judged else 0


def _run(rows: Rows[Any], scorer: BulkScorer, result: Result, files: Files, progress: BulkProgress) -> Counts:
    start, counts = Position(), Counts()
    if result.begun is not None:
        start, counts = result.begun.end, result.begun.counts
    elif head := rows.head():
        result.append(_as_written(head, files))
    with closing(read_ahead(_encoded(rows, start, scorer, files), _BLOCKS_AHEAD)) as blocks:
        for block, encoded in blocks:
            scores = scorer.judge(encoded, on_judged=progress.judged)
            counts = counts.plus(scores)
            result.append(_as_written(rows.written(block.rows, scores), files))
            result.reached(block.end, counts)
            progress.reached(counts.rows, block.share)
    return counts


def _encoded(
    rows: Rows[Any], start: Position, scorer: BulkScorer, files: Files
) -> Iterator[tuple[Block[Any], EncodedBlock]]:
    try:
        for block in rows.blocks(start):
            yield block, scorer.encode(block.texts)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(files, error) from error


def _as_written(piece: bytes, files: Files) -> bytes:
    return pack(piece) if is_packed(files.output) else piece


def load_scorer(machine: Machine) -> BulkScorer:
    """Load what judges, and let it have its threads; errors are those of `score`."""
    torch.set_num_threads(machine.threads or threads_for(len(os.sched_getaffinity(0))))
    precision = choose_precision(machine.precision, find_device(machine.device))
    return BulkScorer.load(machine.artifacts, machine.device, precision)


def check(files: Files) -> None:
    """Refuse what could only go wrong.

    Raises:
        CommandError: The result would take the input's place, or a Parquet file be compressed once more.
    """
    both = STANDARD not in (files.source, files.output) and files.output.exists() and files.source.exists()
    if both and files.output.samefile(files.source):
        raise CommandError(f"--output has to be another file than the input, {files.source}")
    if files.layout.format == "parquet" and (is_packed(files.source) or is_packed(files.output)):
        raise CommandError(f"{files.name}: a Parquet file is compressed inside; .gz is for CSV and JSON lines")


@contextmanager
def _opened_rows(files: Files) -> Iterator[Rows[Any]]:
    with ExitStack() as stack:
        try:
            rows = _rows_of(files, *stack.enter_context(opened(files.source)))
        except (OSError, EOFError, zlib.error) as error:
            raise _unreadable(files, error) from error
        yield rows


def _rows_of(files: Files, unpacked: BinaryIO, file: BinaryIO) -> Rows[Any]:
    layout = files.layout
    if layout.format == "csv":
        return CsvRows(files.name, unpacked, file, layout)
    if layout.format == "jsonl":
        return JsonRows(files.name, unpacked, file, layout)
    return _parquet_rows(files, file)


def _parquet_rows(files: Files, file: BinaryIO) -> Rows[Any]:
    try:
        from service.bulk_parquet import ParquetRows  # noqa: PLC0415  pyarrow is large, and optional
    except ImportError as error:
        raise CommandError(f"Parquet needs pyarrow, which is not installed: {how_to_install('parquet')}") from error
    if not file.seekable():  # what a Parquet file holds stands at its end
        waiting = tempfile.TemporaryFile()  # noqa: SIM115  it is gone with the rows
        shutil.copyfileobj(file, waiting)
        file = waiting
    return ParquetRows(files.name, file, files.layout)


def _task(files: Files, scorer: BulkScorer) -> Task:
    digest = None
    if files.source.is_file():
        with files.source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    layout = files.layout
    options = {
        "--format": layout.format,
        "--text-column": layout.text_column,
        "--prefix": layout.prefix,
        "--delimiter": layout.delimiter,
        "--header": str(layout.header),
        "--precision": scorer.precision,
    }
    return Task(digest, scorer.artifacts.version, options)


def signature(source: Path) -> tuple[int, int] | None:
    """Return what changes when a file does, its size and time; None where there is no plain file."""
    try:
        status = source.stat()
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _unreadable(files: Files, error: Exception) -> CommandError:
    return CommandError(f"cannot read {files.name}: {getattr(error, 'strerror', None) or error}")


def _closing_line(outcome: Outcome, files: Files) -> str:
    counts, begun, seconds = outcome
    line = f"{summary(counts)}. {rate(counts.rows - begun, seconds)}"
    if begun:
        line += f", behind {begun:,} of an earlier run"
    return line + ("" if files.output == STANDARD else f"; wrote {files.output}")


def summary(counts: Counts) -> str:
    """Say what became of rows."""
    parts = [f"{counts.rows:,} rows: {counts.negative:,} negative, {counts.positive:,} positive"]
    if counts.truncated:
        parts.append(f"{counts.truncated:,} of them cut to the model's limit")
    if counts.empty:
        parts.append(f"{counts.empty:,} without a text")
    if counts.unreadable:
        parts.append(f"{counts.unreadable:,} unreadable")
    return "; ".join(parts)


def rate(rows: int, seconds: float) -> str:
    """Say how long rows took."""
    return f"{rows:,} rows in {seconds:.1f} s, {rows / max(seconds, 1e-3):,.0f}/s"
