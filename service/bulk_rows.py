"""Rows of a file in blocks, whatever its format: each format is a `Rows`.

A format reads blocks of rows and writes them again with the columns of predictions behind their own. What it does not
have to understand it leaves as it is: of text formats, the very bytes.
"""

import gzip
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Generic, Literal, NamedTuple, TypeVar

from charlstm import delimiter
from charlstm.bulk import COLUMNS, Scores
from service.errors import CommandError

STANDARD: Final = Path("-")  # input, or output
MOST_ROWS: Final = 4096  # of a block
MOST_BYTES: Final = 8 << 20  # after which a block ends
_LONGEST_LINE: Final = 32 << 20  # bytes

Format = Literal["csv", "jsonl", "parquet"]
_ENDINGS: Final[dict[str, Format]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_GZIP = ".gz"

_R = TypeVar("_R")


class Position(NamedTuple):
    """How far a file is read: rows, and where it is text, bytes (unpacked) and lines as well."""

    rows: int = 0
    offset: int = 0
    lines: int = 0


@dataclass(frozen=True, slots=True)
class Block(Generic[_R]):
    """Some rows that follow each other.

    Attributes:
        rows: As their format has them.
        texts: What stands in their column of texts; anything that is no string is no text.
        end: How far the file is read with them.
        share: How much of the file that is, 0 to 1; None if nobody knows.
    """

    rows: _R
    texts: Sequence[object]
    end: Position
    share: float | None


@dataclass(frozen=True)
class Layout:
    """How rows are read and written.

    Attributes:
        format: Of the file.
        text_column: The name of the column of texts, or its number from 0 if nothing names the columns.
        prefix: What the names of the new columns begin with.
        delimiter: Of a CSV file.
        header: Whether the first line of a CSV file names its columns.
    """

    format: Format
    text_column: str = "text"
    prefix: str = ""
    delimiter: str = ","
    header: bool = True

    @property
    def new_columns(self) -> list[str]:
        """The names of the columns that are added."""
        return [self.prefix + name for name in COLUMNS]

    def check_names(self, columns: Iterable[str], where: str) -> None:
        """Refuse columns that have the names of new ones.

        Raises:
            CommandError: There are some.
        """
        if taken := [name for name in columns if name in self.new_columns]:
            raise CommandError(f"{where} has a column {taken[0]!r} already; --prefix names the new columns otherwise")


class Rows(ABC, Generic[_R]):
    """A file of rows, open to be read once."""

    @abstractmethod
    def blocks(self, start: Position) -> Iterator[Block[_R]]:
        """Read all rows behind a place where a block ended; at what place that was makes no difference to any block.

        Raises:
            CommandError: A row is none; the message says which.
            OSError: The file cannot be read.
        """

    @abstractmethod
    def head(self) -> bytes:
        """Return what stands before the first row of the result."""

    @abstractmethod
    def written(self, rows: _R, scores: Scores) -> bytes:
        """Return rows with their predictions, as they are appended to the result."""

    def assemble(self, unfinished: BinaryIO) -> Iterator[bytes] | None:
        """Make the result of all that was appended, piece by piece; None if it is the result as it stands."""
        del unfinished
        return None


@dataclass(frozen=True)
class Asked:
    """How rows are to be read and written, as far as somebody says so; the rest is in the names of the files.

    Attributes:
        format: Of the files; None is what each ends in.
        delimiter: None is a comma, but a tab where a file's name says so.
        text_column, prefix, header: As in `Layout`.
    """

    format: Format | None = None
    text_column: str = "text"
    prefix: str = ""
    delimiter: str | None = None
    header: bool = True

    def layout(self, source: Path, output: Path) -> Layout:
        """Return how the rows of one file are read and written.

        Raises:
            CommandError: Nothing says its format, the output ends in another, or the delimiter is none.
        """
        format_ = choose_format(source, output, self.format)
        between = choose_delimiter(source, self.delimiter)
        return Layout(format_, self.text_column, self.prefix, between, self.header)


def named_format(path: Path) -> Format | None:
    """Return the format that a file's ending names, packed or not."""
    return _ENDINGS.get(_ending(path))


def choose_format(source: Path, output: Path, asked: Format | None) -> Format:
    """Tell the format of rows: the one that is asked for, or by what the input ends in, or else the output.

    Raises:
        CommandError: Nothing says it, or the output ends in another format.
    """
    found = asked or named_format(source) or named_format(output)
    if found is None:
        raise CommandError(f"--format has to say what {source} is, as it ends in none of {', '.join(_ENDINGS)}")
    if (named_format(output) or found) != found:
        raise CommandError(f"--output has to be {found} as the input is, found {output}")
    return found


def choose_delimiter(source: Path, asked: str | None) -> str:
    """Tell what stands between the cells of a CSV file; a backslash and a t may be said for a tab.

    Raises:
        CommandError: It cannot stand there.
    """
    try:
        return delimiter.choose_delimiter(_ending(source), asked)
    except ValueError as error:
        raise CommandError(str(error)) from error


def _ending(path: Path) -> str:
    return (path.with_suffix("") if is_packed(path) else path).suffix.lower()


def is_packed(path: Path) -> bool:
    """Tell whether a file's ending says that it is compressed."""
    return path.suffix.lower() == _GZIP


def pack(piece: bytes) -> bytes:
    """Compress a piece of a file by itself: such pieces behind each other are one gzip file."""
    return gzip.compress(piece, 6, mtime=0)


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open a file, or standard input, for reading.

    Yields:
        What it holds, unpacked; and the file itself, whose place says how much of it that is.
    """
    # Standard input by its number: the interpreter's own object would be closed, at the end, under a reading thread.
    with open(sys.stdin.fileno() if path == STANDARD else path, "rb", closefd=path != STANDARD) as file:
        if is_packed(path):
            with gzip.open(file) as unpacked:
                yield unpacked, file  # type: ignore[misc]  # it reads bytes, as a BinaryIO does
        else:
            yield file, file


class Lines:
    """The lines of a file, counted.

    Args:
        name: The file's, for errors.
        unpacked, file: As `opened` gives them.
    """

    def __init__(self, name: str, unpacked: BinaryIO, file: BinaryIO) -> None:
        self.position = Position()
        self._name = name
        self._unpacked = unpacked
        self._file = file
        status = os.fstat(file.fileno())
        self._size = status.st_size if file.seekable() else 0

    def seek(self, position: Position) -> None:
        """Go to a place where a line begins."""
        if position.offset != self.position.offset:
            self._unpacked.seek(position.offset)
        self.position = position

    def read(self) -> bytes:
        """Read a line, with its end; nothing is the end of the file.

        Raises:
            CommandError: It is too long to be one.
        """
        line = self._unpacked.readline(_LONGEST_LINE)
        if len(line) == _LONGEST_LINE:
            raise self.fault(f"is over {_LONGEST_LINE:,} bytes long", self.position.lines + 1)
        rows, offset, lines = self.position
        self.position = Position(rows, offset + len(line), lines + 1)
        return line

    def count_row(self) -> None:
        """Note that a row ends here."""
        self.position = self.position._replace(rows=self.position.rows + 1)

    @property
    def share(self) -> float | None:
        """How much of the file is read, 0 to 1."""
        return min(1.0, self._file.tell() / self._size) if self._size else None

    def fault(self, reason: str, line: int) -> CommandError:
        """Make the error for a line that is wrong."""
        return CommandError(f"{self._name}, line {line} {reason}")


class Row(NamedTuple):
    """A row of a text file: its bytes with the end of their line, and what stands in its column of texts."""

    line: bytes
    text: object


def in_blocks(rows: Iterator[Row], lines: Lines) -> Iterator[Block[list[bytes]]]:
    """Gather rows into blocks."""
    for first in rows:
        block, size = [first], len(first.line)
        while len(block) < MOST_ROWS and size < MOST_BYTES and (row := next(rows, None)) is not None:
            block.append(row)
            size += len(row.line)
        yield Block([row.line for row in block], [row.text for row in block], lines.position, lines.share)


def numbers(values: Scores) -> Iterator[tuple[str, str]]:
    """Write both probabilities of each row with as many digits as tell them from all others."""
    columns = (values.probability, values.probability_negative)
    return zip(*(column.astype(str).tolist() for column in columns), strict=True)
