"""Rows of Parquet: columns, their types and their order stay, and columns are added behind them. Needs pyarrow.

A Parquet file cannot be continued once its writer has died. So while it grows, each block stands behind the one before
as a small Arrow stream by itself, and the file is made of them in the end.
"""

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from charlstm.bulk import Scores
from service.bulk_rows import MOST_BYTES, MOST_ROWS, Block, Layout, Position, Rows
from service.errors import CommandError

_ROWS_OF_A_GROUP: Final = 65_536
_BYTES_OF_A_GROUP: Final = 64 << 20
_TYPES: Final = (pa.string(), pa.float32(), pa.float32(), pa.string())

_Batch = Any  # pyarrow ships no types


class ParquetRows(Rows[_Batch]):
    """A Parquet file.

    Args:
        name: The file's, for errors.
        file: Open, and not compressed as a whole.
        layout: How it is read and written.

    Raises:
        CommandError: It is no such file, has no such column of texts, or has a new column already.
    """

    def __init__(self, name: str, file: BinaryIO, layout: Layout) -> None:
        self._name = name
        self._layout = layout
        try:
            self._file = pq.ParquetFile(file)
        except pa.ArrowInvalid as error:
            raise CommandError(f"{name} is no Parquet file ({_reason(error)})") from error
        schema = self._file.schema_arrow
        layout.check_names(schema.names, name)
        _check_text(name, schema, layout.text_column)
        for column, type_ in zip(layout.new_columns, _TYPES, strict=True):
            schema = schema.append(pa.field(column, type_))
        self._schema = schema

    def blocks(self, start: Position) -> Iterator[Block[_Batch]]:
        """Read all rows behind a place, group by group."""
        metadata, done = self._file.metadata, 0
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            skipped = min(max(start.rows - done, 0), group.num_rows)
            done += skipped
            if skipped < group.num_rows:
                for batch in self._batches(number, skipped):
                    done += batch.num_rows
                    yield Block(batch, self._texts(batch), Position(done), done / metadata.num_rows)

    def head(self) -> bytes:
        """Return a stream without rows: it names the columns, if no row does."""
        return self._stream(self._schema.empty_table().to_batches() or [])

    def written(self, rows: _Batch, scores: Scores) -> bytes:
        """Return rows with four columns more, as a stream; where there is no prediction, its three are null."""
        missing = ~scores.judged
        new = [
            pa.array(scores.label, pa.string()),
            pa.array(scores.probability, pa.float32(), mask=missing),
            pa.array(scores.probability_negative, pa.float32(), mask=missing),
            pa.array(scores.note, pa.string()),
        ]
        return self._stream([pa.RecordBatch.from_arrays([*rows.columns, *new], schema=self._schema)])

    def assemble(self, unfinished: BinaryIO) -> Iterator[bytes]:
        """Make one Parquet file of the streams."""
        out = io.BytesIO()
        with pq.ParquetWriter(_Tail(out), self._schema) as writer:
            for batches in _in_groups(_read_streams(unfinished)):
                table = pa.Table.from_batches(batches, self._schema)
                writer.write_table(table, row_group_size=max(1, table.num_rows))
                yield _taken(out)
        yield _taken(out)

    def _batches(self, group: int, skipped: int) -> Iterator[_Batch]:
        metadata = self._file.metadata.row_group(group)
        size = max(1, metadata.total_byte_size // metadata.num_rows)
        rows = max(1, min(MOST_ROWS, MOST_BYTES // size))
        try:
            for batch in self._file.iter_batches(rows, row_groups=[group], use_threads=False):
                if skipped < batch.num_rows:
                    yield batch.slice(skipped)
                skipped = max(0, skipped - batch.num_rows)
        except (pa.ArrowInvalid, OSError) as error:
            raise CommandError(f"{self._name}, row group {group} cannot be read ({_reason(error)})") from error

    def _texts(self, batch: _Batch) -> list[object]:
        column = batch.column(self._layout.text_column)
        try:
            texts: list[object] = column.to_pylist()
        except UnicodeDecodeError:  # nobody has to check it who writes such a file
            cells = column.cast(pa.string()).cast(pa.binary()).to_pylist()
            texts = [None if cell is None else cell.decode("utf-8", "surrogateescape") for cell in cells]
        return texts

    def _stream(self, batches: list[_Batch]) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self._schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        return bytes(sink.getvalue())


class _Tail:
    """A file that only grows, of which what is written already may be taken away."""

    def __init__(self, pieces: io.BytesIO) -> None:
        self._pieces = pieces
        self._written = 0
        self.closed = False

    def write(self, piece: Any) -> int:
        self._written += len(piece)
        return self._pieces.write(piece)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """Do nothing: it is in memory."""

    def close(self) -> None:
        self.closed = True


def _taken(out: io.BytesIO) -> bytes:
    piece = out.getvalue()
    out.seek(0)
    out.truncate()
    return piece


def _read_streams(file: BinaryIO) -> Iterator[_Batch]:
    """Read streams that stand behind each other."""
    while file.peek(1):  # type: ignore[attr-defined]  # whoever opens a file for reading gets one that can
        yield from pa.ipc.open_stream(pa.PythonFile(file, "r"))


def _in_groups(batches: Iterator[_Batch]) -> Iterator[list[_Batch]]:
    """Gather what becomes a row group."""
    group: list[_Batch] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _ROWS_OF_A_GROUP or size >= _BYTES_OF_A_GROUP:
            yield group
            group, rows, size = [], 0, 0
    if rows:
        yield group


def _check_text(name: str, schema: Any, column: str) -> None:
    if schema.names.count(column) != 1:
        names = ", ".join(map(repr, schema.names))
        number = "no column" if column not in schema.names else "more than one column"
        raise CommandError(f"{name} has {number} {column!r}; it has {names} (--text-column)")
    type_ = schema.field(column).type
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    if not (pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)):
        raise CommandError(f"{name}: column {column!r} has to hold strings, found {type_}")


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
