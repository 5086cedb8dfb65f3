"""Rows of CSV: the bytes of each row stay as they are, and cells are added at its end.

So quoting, line ends, a byte order mark and bytes that are no UTF-8 all survive; a text with such bytes is unreadable.
"""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from charlstm.bulk import Scores
from service.bulk_rows import Block, Layout, Lines, Position, Row, Rows, in_blocks, numbers
from service.errors import CommandError

_LONGEST_CELL: Final = 1 << 20  # characters
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_BYTE_ORDER_MARK: Final = "\ufeff"


class CsvRows(Rows[list[bytes]]):
    """A CSV file, in UTF-8.

    Args:
        name: The file's, for errors.
        unpacked, file: As `opened` gives them.
        layout: How it is read and written.

    Raises:
        CommandError: It has no such column of texts, or has a new column already.
    """

    def __init__(self, name: str, unpacked: BinaryIO, file: BinaryIO, layout: Layout) -> None:
        csv.field_size_limit(_LONGEST_CELL)
        self._name = name
        self._layout = layout
        self._lines = Lines(name, unpacked, file)
        self._parser = _Parser(self._lines, layout.delimiter)
        first = self._parser.next_row()
        if first is None:
            raise CommandError(f"{name} is empty")
        self._first = first
        self._columns = len(first.cells)
        self._end = _line_end(first.line) or b"\n"
        if layout.header:
            layout.check_names(first.cells, name)
        self._text = self._position_of_text(first.cells)

    def blocks(self, start: Position) -> Iterator[Block[list[bytes]]]:
        """Read all rows behind a place; blank lines are none."""
        if start.rows:
            self._lines.seek(start)
        return in_blocks(self._rows(with_first=not self._layout.header and not start.rows), self._lines)

    def head(self) -> bytes:
        """Return the header, if there is one, with the new columns' names."""
        if not self._layout.header:
            return b""
        cells = io.StringIO()
        csv.writer(cells, delimiter=self._layout.delimiter, lineterminator="").writerow(self._layout.new_columns)
        return self._extended(self._first.line, cells.getvalue().encode())

    def written(self, rows: list[bytes], scores: Scores) -> bytes:
        """Return rows with four cells more; where there is no prediction, its three are empty."""
        comma = self._layout.delimiter
        cells = (
            comma.join((label, *both, note or "") if label else ("", "", "", note or ""))
            for label, both, note in zip(scores.label, numbers(scores), scores.note, strict=True)
        )
        return b"".join(self._extended(row, more.encode()) for row, more in zip(rows, cells, strict=True))

    def _extended(self, line: bytes, cells: bytes) -> bytes:
        end = _line_end(line)
        row = line[: len(line) - len(end)]
        return row + self._layout.delimiter.encode() + cells + (end or self._end)

    def _rows(self, *, with_first: bool) -> Iterator[Row]:
        parsed = self._first if with_first else self._parser.next_row()
        while parsed is not None:
            if len(parsed.cells) != self._columns:
                found = f"has {len(parsed.cells)} cells, where the first row has {self._columns}"
                raise self._lines.fault(found, parsed.number)
            self._lines.count_row()
            yield Row(parsed.line, parsed.cells[self._text])
            parsed = self._parser.next_row()

    def _position_of_text(self, cells: list[str]) -> int:
        wanted = self._layout.text_column
        if not self._layout.header:
            if not wanted.isdecimal() or int(wanted) >= self._columns:
                limit = f"a number from 0 to {self._columns - 1}, as there is no header"
                raise CommandError(f"--text-column has to be {limit}, found {wanted!r}")
            return int(wanted)
        if cells.count(wanted) != 1:
            names = ", ".join(map(repr, cells))
            number = "no column" if wanted not in cells else "more than one column"
            raise CommandError(f"{self._name} has {number} {wanted!r}; its header names {names} (--text-column)")
        return cells.index(wanted)


class _Parsed(NamedTuple):
    """A row: its bytes, its cells, and the line it begins on."""

    line: bytes
    cells: list[str]
    number: int


class _Parser:
    """Reads row by row, and never a line further: where it stands is where the next row begins."""

    def __init__(self, lines: Lines, delimiter: str) -> None:
        self._lines = lines
        self._read: list[bytes] = []
        self._reader = csv.reader(self, delimiter=delimiter, strict=True)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """Give the reader a line."""
        first = self._lines.position.offset == 0
        line = self._lines.read()
        if not line:
            raise StopIteration
        if first and line.startswith(_UTF_16):
            raise self._lines.fault("is UTF-16, and has to be UTF-8", 1)
        self._read.append(line)
        text = line.decode("utf-8", "surrogateescape")
        return text.removeprefix(_BYTE_ORDER_MARK) if first else text

    def next_row(self) -> _Parsed | None:
        """Read the next row that is not blank; None is the end."""
        cells: list[str] | None = []
        number = 0
        while cells == []:
            self._read.clear()
            number = self._lines.position.lines + 1
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                raise self._lines.fault(f"begins a row that is no CSV ({_reason(error)})", number) from error
        return None if cells is None else _Parsed(b"".join(self._read), cells, number)


def _reason(error: csv.Error) -> str:
    message = str(error)
    if "field limit" in message:
        return f"a cell of more than {_LONGEST_CELL:,} characters; perhaps a quote is missing"
    if "unexpected end of data" in message:
        return "a quoted cell does not end"
    return message.partition(" - ")[0]


def _line_end(line: bytes) -> bytes:
    return line[len(line.rstrip(b"\r\n")) :]
