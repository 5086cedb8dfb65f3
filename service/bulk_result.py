"""Where the rows of a result go: into a stream at once, or into a file that is there whole or not at all.

Until it is whole, a file's rows stand in `NAME.unfinished` beside it, and `NAME.unfinished.json`, the journal, says how
far they go and what they were made from. Whatever ends the work, the same command goes on from the journal: what was
written behind its mark is cut off and made again.
"""

import fcntl
import os
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Self

import msgspec

from charlstm.bulk import Scores
from charlstm.replacing import replacing
from service.bulk_rows import STANDARD, Position
from service.errors import CannotGoOnError, CommandError

_LAYOUT_VERSION: Final = 1
_Assemble = Callable[[BinaryIO], Iterator[bytes] | None]


class Counts(msgspec.Struct, frozen=True):
    """What became of the rows so far."""

    rows: int = 0
    negative: int = 0
    positive: int = 0
    truncated: int = 0
    empty: int = 0
    unreadable: int = 0

    @property
    def judged(self) -> int:
        """Rows with a prediction."""
        return self.negative + self.positive

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*map(sum, zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)))

    def plus(self, scores: Scores) -> "Counts":
        """Count the rows of another block."""
        labels, notes = scores.label, scores.note
        return Counts(
            self.rows + len(labels),
            self.negative + labels.count("negative"),
            self.positive + labels.count("positive"),
            self.truncated + notes.count("truncated"),
            self.empty + notes.count("empty"),
            self.unreadable + notes.count("unreadable"),
        )


class Task(msgspec.Struct, frozen=True):
    """All that a result depends on; nothing else may go on with it.

    Attributes:
        input: The SHA-256 of the input's bytes; None if they come only once, as those of a pipe.
        model: Its version.
        options: Every other choice that shows in the result, by the name of its flag.
    """

    input: str | None
    model: str
    options: dict[str, str]

    def difference(self, other: "Task") -> str | None:
        """Say in what another task differs, or None if it does not."""
        if self.input != other.input:
            return "another input, or the input has changed"
        if self.model != other.model:
            return f"version {self.model} of the model, which is now {other.model}"
        changed = [name for name, value in self.options.items() if other.options.get(name) != value]
        return f"{changed[0]} {self.options[changed[0]]!r}" if changed else None


class Journal(msgspec.Struct, frozen=True):
    """How far the work is.

    Attributes:
        task: What is done.
        end: How far the input is read.
        written: Bytes of the unfinished file that hold the rows up to there.
        counts: What became of them.
    """

    task: Task
    end: Position = Position()
    written: int = 0
    counts: Counts = Counts()
    layout_version: int = _LAYOUT_VERSION


class Result(ABC):
    """Takes rows in their order."""

    begun: Journal | None = None
    """How far an earlier run got."""

    @abstractmethod
    def append(self, piece: bytes) -> None:
        """Add what comes next.

        Raises:
            OSError: It cannot be written.
        """

    @abstractmethod
    def reached(self, end: Position, counts: Counts) -> None:
        """Note that all rows up to a place of the input are there."""

    @abstractmethod
    def finish(self, assemble: _Assemble) -> None:
        """Make the result whole.

        Args:
            assemble: Makes it of what was appended; gives None where it is what was appended.
        """


class Stream(Result):
    """A pipe, a terminal or a device: what is appended is on its way at once, and nothing can go on from there.

    Args:
        out: Where to.
        whole: Whether the result has to be put together in the end, and waits in a temporary file until then.
    """

    def __init__(self, out: BinaryIO, *, whole: bool) -> None:
        self._out = out
        self._waiting = tempfile.TemporaryFile() if whole else None  # noqa: SIM115  it is gone with this object

    def append(self, piece: bytes) -> None:
        """Write it."""
        (self._waiting or self._out).write(piece)

    def reached(self, end: Position, counts: Counts) -> None:
        """Send it."""
        del end, counts
        self._out.flush()

    def finish(self, assemble: _Assemble) -> None:
        """Write what has waited."""
        if self._waiting is not None:
            self._waiting.seek(0)
            for piece in assemble(self._waiting) or ():
                self._out.write(piece)
            self._out.flush()


def unfinished_path(output: Path) -> Path:
    """Say where a result is until it is whole."""
    return output.with_name(f"{output.name}.unfinished")


class Unfinished(Result):
    """A file that is not whole yet. One process at a time has it.

    Args:
        output: Where the result will be.
        task: What is done.
        fresh: Whether to begin anew whatever is there.

    Raises:
        CannotGoOnError: Another task was begun there, or what is there is damaged.
        CommandError: Another process is at it.
        OSError: The folder cannot be written into.
    """

    def __init__(self, output: Path, task: Task, *, fresh: bool) -> None:
        self._output = output
        self._task = task
        self.path = unfinished_path(output)
        self._journal = output.with_name(f"{output.name}.unfinished.json")
        self._file = self.path.open("a+b")
        try:
            self._lock()
            self.begun = None if fresh else self._continue()
            if self.begun is None:  # else an earlier task's might be taken for that of what is written now
                self._journal.unlink(missing_ok=True)
            self._file.truncate(self.begun.written if self.begun else 0)
            self._file.seek(0, os.SEEK_END)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        """Do nothing."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Let go of the file; it stays where it is."""
        self._file.close()

    def append(self, piece: bytes) -> None:
        """Write it behind the rest."""
        self._file.write(piece)

    def reached(self, end: Position, counts: Counts) -> None:
        """Put the mark behind all that is written, once it is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        journal = Journal(self._task, end, self._file.tell(), counts)
        new = self._journal.with_suffix(".json.new")
        with replacing(self._journal, new):
            new.write_bytes(msgspec.json.encode(journal))

    def finish(self, assemble: _Assemble) -> None:
        """Move the whole result into its place, where an old one stands until then."""
        self._file.flush()
        with self.path.open("rb") as written:
            pieces = assemble(written)
            if pieces is None:
                self.path.replace(self._output)
            else:
                new = self._output.with_name(f"{self._output.name}.unfinished.new")
                with replacing(self._output, new), new.open("wb") as file:
                    file.writelines(pieces)
                self.path.unlink()
        self._journal.unlink(missing_ok=True)

    def _lock(self) -> None:
        """Take the file for this process; another may have it, or have moved it into its place since it was opened."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except (BlockingIOError, FileNotFoundError):
            mine = False
        if not mine:
            raise CommandError(f"another process is writing {self.path}")

    def _continue(self) -> Journal | None:
        """Return the journal, if the task was begun and one can go on with it."""
        try:
            journal = msgspec.json.decode(self._journal.read_bytes(), type=Journal)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise CannotGoOnError(f"{self._journal} cannot be read ({error}); --fresh begins anew") from error
        if self._file.tell() == 0:  # what it belonged to is in its place already
            return None
        difference = journal.task.difference(self._task)
        if journal.layout_version != _LAYOUT_VERSION:
            difference = "another release"
        if difference is not None:
            raise CannotGoOnError(f"{self.path} was begun with {difference}; --fresh begins anew")
        if self._file.tell() < journal.written:
            raise CannotGoOnError(f"{self.path} is shorter than its journal says; --fresh begins anew")
        return journal if journal.task.input else None


@contextmanager
def result_at(output: Path, task: Callable[[], Task], *, fresh: bool, whole: bool) -> Iterator[Result]:
    """Open the place where a result goes.

    Args:
        output: A file; or standard output, or what is no plain file, such as a pipe: they are written into.
        task: What is done; a file alone asks.
        fresh: As for `Unfinished`.
        whole: As for `Stream`.

    Raises:
        CannotGoOnError, CommandError: As for `Unfinished`.
        OSError: It cannot be written.
    """
    if output == STANDARD:
        yield Stream(sys.stdout.buffer, whole=whole)
    elif output.exists() and not output.is_file():
        with output.open("wb") as out:
            yield Stream(out, whole=whole)
    else:
        with Unfinished(output.resolve(), task(), fresh=fresh) as unfinished:  # a link stays one
            yield unfinished
