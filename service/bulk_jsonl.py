"""Rows of JSON lines: the bytes of each object stay as they are, and members are added at its end.

So numbers of any size, the order of members and their spelling all survive.
"""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import msgspec

from charlstm.bulk import Scores
from service.bulk_rows import Block, Layout, Lines, Position, Row, Rows, in_blocks, numbers

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class JsonRows(Rows[list[bytes]]):
    """A file of one JSON object a line, in UTF-8.

    Args:
        name: The file's, for errors.
        unpacked, file: As `opened` gives them.
        layout: How it is read and written.
    """

    def __init__(self, name: str, unpacked: BinaryIO, file: BinaryIO, layout: Layout) -> None:
        self._layout = layout
        self._lines = Lines(name, unpacked, file)
        self._new = frozenset(layout.new_columns)
        self._names = [json.dumps(name).encode() for name in layout.new_columns]
        self._decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])

    def blocks(self, start: Position) -> Iterator[Block[list[bytes]]]:
        """Read all rows behind a place; blank lines are none."""
        self._lines.seek(start)
        return in_blocks(self._rows(), self._lines)

    def head(self) -> bytes:
        """Return nothing."""
        return b""

    def written(self, rows: list[bytes], scores: Scores) -> bytes:
        """Return rows with four members more; where there is no prediction, its three are null."""
        judgements = zip(scores.label, numbers(scores), scores.note, strict=True)
        return b"".join(
            self._extended(
                row, (f'"{label}"', *both) if label else ("null",) * 3, "null" if note is None else f'"{note}"'
            )
            for row, (label, both, note) in zip(rows, judgements, strict=True)
        )

    def _extended(self, line: bytes, prediction: tuple[str, ...], note: str) -> bytes:
        body = line.rstrip()
        members = body[:-1].rstrip()
        more = b",".join(
            name + b":" + value.encode() for name, value in zip(self._names, (*prediction, note), strict=True)
        )
        between = b"" if members == b"{" else b","
        return members + between + more + b"}" + (line[len(body) :] or b"\n")

    def _rows(self) -> Iterator[Row]:
        first = self._lines.position.offset == 0
        while line := self._lines.read():
            content = line.removeprefix(_BYTE_ORDER_MARK) if first else line
            first = False
            if not content.strip():
                continue
            text = self._text(content)
            self._lines.count_row()
            yield Row(content, text)

    def _text(self, line: bytes) -> object:
        """Check a line, and return what stands where its text should be."""
        try:
            members = self._decoder.decode(line)
            raw = members.get(self._layout.text_column)
            text = None if raw is None else msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            members, text = self._leniently(line)
        if not self._new.isdisjoint(members):
            self._layout.check_names(members, f"line {self._lines.position.lines}")
        return text

    def _leniently(self, line: bytes) -> tuple[dict[str, Any], object]:
        """Read what other writers take for JSON: NaN, half of a surrogate pair, bytes that are no UTF-8."""
        try:
            members = json.loads(line.decode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError) as error:
            raise self._lines.fault(f"is no JSON object ({error})", self._lines.position.lines) from error
        if not isinstance(members, dict):
            message = f"is no JSON object but {'an array' if isinstance(members, list) else 'a value'}"
            raise self._lines.fault(message, self._lines.position.lines)
        return members, members.get(self._layout.text_column)
