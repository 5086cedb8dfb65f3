"""Rows of Parquet: what stands in the file stays, in type, order and value."""

import datetime as dt
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from charlstm.bulk import COLUMNS, Scores
from service.bulk_parquet import ParquetRows
from service.bulk_rows import Block, Layout, Position
from service.errors import CommandError

LAYOUT = Layout("parquet")


def open_rows(path: Path, layout: Layout = LAYOUT) -> ParquetRows:
    return ParquetRows(path.name, io.BytesIO(path.read_bytes()), layout)


def scored(block: Block[Any]) -> Scores:
    none = [not text for text in block.texts]
    return Scores(np.where(none, np.float32(np.nan), np.float32(0.25)), ["empty" if it else None for it in none])


def whole(rows: ParquetRows) -> Any:
    """Score every row, as if each text were negative with 1/4, and read the result."""
    unfinished = rows.head() + b"".join(rows.written(block.rows, scored(block)) for block in rows.blocks(Position()))
    return pq.read_table(io.BytesIO(b"".join(rows.assemble(io.BufferedReader(io.BytesIO(unfinished))))))


def test_types_and_values_of_all_columns_stay(tmp_path: Path) -> None:
    when = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
    columns = {
        "text": pa.array(["a", None, "b"], pa.large_string()),
        "big": pa.array([2**63, 0, 1], pa.uint64()),
        "price": pa.array([Decimal("1.10"), None, Decimal("-2.00")], pa.decimal128(10, 2)),
        "when": pa.array([when, None, when], pa.timestamp("ns", "Europe/Berlin")),
        "day": pa.array([when.date()] * 3, pa.date32()),
        "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
        "parts": pa.array([[1, 2], [], None], pa.list_(pa.int16())),
        "inner": pa.array([{"a": 1, "b": [True]}, None, {"a": None, "b": []}]),
        "bytes": pa.array([b"\xff", b"", None]),
        "map": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int8())),
        "half": pa.array([1.5, None, float("nan")], pa.float16()),
        "nothing": pa.nulls(3),
    }
    table = pa.table(columns).replace_schema_metadata({"owner": "somebody"})
    pq.write_table(table, tmp_path / "a.parquet")
    before, found = pq.read_table(tmp_path / "a.parquet"), whole(open_rows(tmp_path / "a.parquet"))
    assert found.select(before.column_names).schema == before.schema
    assert repr(found.select(before.column_names).to_pylist()) == repr(before.to_pylist())
    assert found.schema.metadata[b"owner"] == b"somebody"
    assert found.column_names == [*before.column_names, *COLUMNS]
    assert [str(found.schema.field(name).type) for name in COLUMNS] == ["string", "float", "float", "string"]
    assert found.select(list(COLUMNS)).to_pylist() == [
        {"label": "positive", "probability": 0.75, "probability_negative": 0.25, "note": None},
        {"label": None, "probability": None, "probability_negative": None, "note": "empty"},
        {"label": "positive", "probability": 0.75, "probability_negative": 0.25, "note": None},
    ]


def test_a_data_frame_comes_back_with_its_index_and_its_categories(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "kind": pd.Categorical(["x", "y"])}, index=pd.Index([7, 9], name="key"))
    frame.to_parquet(tmp_path / "a.parquet")
    rows = open_rows(tmp_path / "a.parquet")
    pq.write_table(whole(rows), tmp_path / "b.parquet")
    found = pd.read_parquet(tmp_path / "b.parquet")
    pd.testing.assert_frame_equal(found[["text", "kind"]], frame)
    assert found["label"].tolist() == ["positive", "positive"]


def test_reading_goes_on_at_the_end_of_any_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.bulk_parquet.MOST_ROWS", 3)
    pq.write_table(pa.table({"text": [f"a{n}" for n in range(17)]}), tmp_path / "a.parquet", row_group_size=7)
    blocks = list(open_rows(tmp_path / "a.parquet").blocks(Position()))
    assert [block.end.rows for block in blocks] == [3, 6, 7, 10, 13, 14, 17], "no block reaches over a row group's end"
    assert blocks[-1].share == 1
    for number, block in enumerate(blocks):
        rest = list(open_rows(tmp_path / "a.parquet").blocks(block.end))
        assert [(one.texts, one.end) for one in rest] == [(one.texts, one.end) for one in blocks[number + 1 :]]


def test_large_rows_make_small_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.bulk_parquet.MOST_BYTES", 50_000)
    table = pa.table({"text": ["a"] * 100, "x": [np.random.default_rng(n).bytes(10_000) for n in range(100)]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert max(len(block.texts) for block in open_rows(tmp_path / "a.parquet").blocks(Position())) <= 5


def test_row_groups_are_of_a_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.bulk_parquet.MOST_ROWS", 10)
    monkeypatch.setattr("service.bulk_parquet._ROWS_OF_A_GROUP", 25)
    pq.write_table(pa.table({"text": ["a"] * 64}), tmp_path / "a.parquet")
    rows = open_rows(tmp_path / "a.parquet")
    unfinished = rows.head() + b"".join(rows.written(block.rows, scored(block)) for block in rows.blocks(Position()))
    result = b"".join(rows.assemble(io.BufferedReader(io.BytesIO(unfinished))))
    metadata = pq.ParquetFile(io.BytesIO(result)).metadata
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [30, 30, 4]


def test_a_file_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array([], pa.string()), "x": pa.array([], pa.int8())}), tmp_path / "a.parquet")
    found = whole(open_rows(tmp_path / "a.parquet"))
    assert (found.num_rows, found.column_names) == (0, ["text", "x", *COLUMNS])


@pytest.mark.parametrize("encode", [False, True])
def test_bytes_that_are_no_utf_8_make_their_text_unreadable(tmp_path: Path, *, encode: bool) -> None:
    texts = pa.array([b"fine", b"caf\xe9", None], pa.binary()).cast(pa.string(), safe=False)
    pq.write_table(pa.table({"text": texts.dictionary_encode() if encode else texts}), tmp_path / "a.parquet")
    (block,) = open_rows(tmp_path / "a.parquet").blocks(Position())
    assert block.texts == ["fine", "caf\udce9", None]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"body": ["a"]}, "a.parquet has no column 'text'; it has 'body'"),
        ({"text": [1]}, "a.parquet: column 'text' has to hold strings, found int64"),
        ({"text": [b"a"]}, "a.parquet: column 'text' has to hold strings, found binary"),
        ({"text": ["a"], "note": ["b"]}, "a.parquet has a column 'note' already; --prefix"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(CommandError, match=message):
        open_rows(tmp_path / "a.parquet")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"a{n}" for n in range(1000)]}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[20:200] = bytes(180)
    path.write_bytes(content)
    with pytest.raises(CommandError, match="row group 0 cannot be read"):
        list(open_rows(path).blocks(Position()))
