"""Rows of CSV and JSON lines: read in blocks, and written again byte for byte with columns behind their own."""

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlstm.bulk import COLUMNS, Scores
from service.bulk_csv import CsvRows
from service.bulk_jsonl import JsonRows
from service.bulk_rows import Layout, Position, Rows, choose_delimiter, choose_format, opened, pack
from service.errors import CommandError

NUMBER = "--text-column has to be a number from 0 to 1, as there is no header"
CSV, JSONL = Layout("csv"), Layout("jsonl")
cells = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('",;\n\r\t \ufeff'), max_size=8)
in_tmp_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@contextmanager
def rows_of(path: Path, content: bytes, layout: Layout) -> Iterator[Rows[Any]]:
    path.write_bytes(content)
    with opened(path) as (unpacked, file):
        kind = CsvRows if layout.format == "csv" else JsonRows
        yield kind(path.name, unpacked, file, layout)


def scored(rows: Rows[Any], start: Position = Position()) -> bytes:  # noqa: B008  it cannot be changed
    """Write every row, as if each text were negative with 3/4."""
    written = b"" if start.rows else rows.head()
    for block in rows.blocks(start):
        empty = [not text for text in block.texts]
        negative = np.where(empty, np.float32(np.nan), np.float32(0.75))
        written += rows.written(block.rows, Scores(negative, ["empty" if none else None for none in empty]))
    return written


def texts_of(rows: Rows[Any]) -> list[object]:
    return [text for block in rows.blocks(Position()) for text in block.texts]


# CSV


@in_tmp_path
@given(
    table=st.lists(st.tuples(cells, cells, cells), max_size=6),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
    delimiter=st.sampled_from([",", ";", "\t"]),
    mark=st.booleans(),
)
def test_any_csv_keeps_its_cells_and_its_bytes(  # noqa: PLR0913  each is drawn
    tmp_path: Path, table: list[tuple[str, str, str]], quoting: Any, end: str, delimiter: str, *, mark: bool
) -> None:
    if end == "\n":  # then Python's writer leaves a lone carriage return bare, and its reader refuses that
        table = [(one.replace("\r", ""), two.replace("\r", ""), three.replace("\r", "")) for one, two, three in table]
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(
        [("id", "text", "x"), *table]
    )
    content = ("\ufeff" * mark + buffer.getvalue()).encode()
    with rows_of(tmp_path / "a.csv", content, replace(CSV, delimiter=delimiter)) as rows:
        written = scored(rows)
    found = list(csv.reader(io.StringIO(written.decode("utf-8-sig"), newline=""), delimiter=delimiter))
    assert found[0] == ["id", "text", "x", *COLUMNS]
    new = [("negative", "0.75", "0.75", "") if text else ("", "", "", "empty") for _, text, _ in table]
    assert found[1:] == [[*row, *more] for row, more in zip(table, new, strict=True)]
    without = re.sub(rb"(?m)[,;\t](negative[,;\t]0\.75[,;\t]0\.75[,;\t]|[,;\t]{3}empty)(?=\r?$)", b"", written)
    assert without.replace(delimiter.encode() + delimiter.join(COLUMNS).encode(), b"", 1) == content


def test_bytes_that_are_no_utf_8_stay_and_make_their_text_unreadable(tmp_path: Path) -> None:
    with rows_of(tmp_path / "a.csv", b"text,x\ncaf\xe9,1\nfine,\xff\n", CSV) as rows:
        assert texts_of(rows) == ["caf\udce9", "fine"]
    with rows_of(tmp_path / "a.csv", b"text,x\ncaf\xe9,1\n", CSV) as rows:
        assert b"\ncaf\xe9,1,negative,0.75,0.75,\n" in scored(rows)


def test_a_last_row_without_a_line_end_gets_that_of_the_first(tmp_path: Path) -> None:
    with rows_of(tmp_path / "a.csv", b"text\r\na", CSV) as rows:
        assert scored(rows).endswith(b"\r\na,negative,0.75,0.75,\r\n")


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    with rows_of(tmp_path / "a.csv", b"\n\ntext\n\na\n\n\nb\n", CSV) as rows:
        assert texts_of(rows) == ["a", "b"]


def test_without_a_header_the_column_is_a_number_and_no_names_are_added(tmp_path: Path) -> None:
    layout = replace(CSV, header=False, text_column="1")
    with rows_of(tmp_path / "a.csv", b"1,a\n2,b\n", layout) as rows:
        assert scored(rows) == b"1,a,negative,0.75,0.75,\n2,b,negative,0.75,0.75,\n"


@pytest.mark.parametrize(
    ("content", "layout", "message"),
    [
        (b"", CSV, "a.csv is empty"),
        (b"\n\n", CSV, "a.csv is empty"),
        (b"id,body\n", CSV, "a.csv has no column 'text'; its header names 'id', 'body' (--text-column)"),
        (b"text,text\n", CSV, "a.csv has more than one column 'text'; its header names 'text', 'text' (--text-column)"),
        (b"text,note\n", CSV, "a.csv has a column 'note' already; --prefix names the new columns otherwise"),
        (b"text,x\na,1\n\nb\n", CSV, "a.csv, line 4 has 1 cells, where the first row has 2"),
        (b'text,x\n"a\nb",1\nc,2,3\n', CSV, "a.csv, line 4 has 3 cells, where the first row has 2"),
        (b'text\na\n"b\nc\n', CSV, "a.csv, line 3 begins a row that is no CSV (a quoted cell does not end)"),
        (b'text\n"a"b\n', CSV, """a.csv, line 2 begins a row that is no CSV (',' expected after '"')"""),
        ("text\na\n".encode("utf-16"), CSV, "a.csv, line 1 is UTF-16, and has to be UTF-8"),
        (b"a,b\n", replace(CSV, header=False), f"{NUMBER}, found 'text'"),
        (b"a,b\n", replace(CSV, header=False, text_column="2"), f"{NUMBER}, found '2'"),
    ],
)  # fmt: skip
def test_what_is_no_such_csv_is_refused_with_its_line(
    tmp_path: Path, content: bytes, layout: Layout, message: str
) -> None:
    with pytest.raises(CommandError) as caught, rows_of(tmp_path / "a.csv", content, layout) as rows:
        scored(rows)
    assert str(caught.value) == message


def test_a_quote_that_never_ends_does_not_fill_the_memory(tmp_path: Path) -> None:
    content = b'text\n"' + b"never\n" * 200_000
    message = r"line 2 .*a cell of more than 1,048,576 characters; perhaps a quote"
    with pytest.raises(CommandError, match=message), rows_of(tmp_path / "a.csv", content, CSV) as rows:
        scored(rows)


# JSON lines

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | cells,
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)


@in_tmp_path
@given(
    table=st.lists(st.dictionaries(cells.filter(lambda name: name not in COLUMNS), values, max_size=3), max_size=5),
    text=st.none() | cells,
    ascii_=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", " \n", "\n\n"]),
    mark=st.booleans(),
)
def test_any_object_keeps_its_members_and_its_bytes(  # noqa: PLR0913  each is drawn
    tmp_path: Path, table: list[dict[str, Any]], text: str | None, end: str, *, ascii_: bool, mark: bool
) -> None:
    lines = [json.dumps(row | {"text": text}, ensure_ascii=ascii_) for row in table]
    content = ("\ufeff" * mark + "".join(line + end for line in lines)).encode()
    with rows_of(tmp_path / "a.jsonl", content, JSONL) as rows:
        written = scored(rows).decode()
    new = dict(zip(COLUMNS, ("negative", 0.75, 0.75, None) if text else (None, None, None, "empty"), strict=True))
    found = [line for line in written.split("\n") if line]
    assert len(found) == len(table)
    for line, before, row in zip(found, lines, table, strict=True):
        assert line.startswith(before[:-1] + ",")
        assert repr(json.loads(line)) == repr(json.loads(before) | new), row


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'{"text": "a"}', "a"),
        (b"{}", None),
        (b"{ }", None),
        (b'{"text": null}', None),
        (b'{"text": 5}', 5),
        (b'{"text": "half \\ud83c"}', "half \ud83c"),
        (b'{"text": "caf\xe9"}', "caf\udce9"),
        (b'{"text": "a", "x": NaN}', "a"),
        (b'{"text": "a", "x": 123456789012345678901234567890.50}', "a"),
    ],
)
def test_what_others_write_as_json_is_read(tmp_path: Path, line: bytes, text: object) -> None:
    with rows_of(tmp_path / "a.jsonl", line, JSONL) as rows:
        assert texts_of(rows) == [text]
    with rows_of(tmp_path / "a.jsonl", line, JSONL) as rows:
        written = scored(rows)
    assert written.startswith(line[:-1].rstrip())
    assert b'"label":' in written
    assert written.count(b",,") == written.count(b"{,") == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"text": "a"}\n[1]\n', "a.jsonl, line 2 is no JSON object but an array"),
        (b"[\n", r"a.jsonl, line 1 is no JSON object \(Expecting value"),
        (b"7\n", "a.jsonl, line 1 is no JSON object but a value"),
        (b'\n{"text": "a"\n', r"a.jsonl, line 2 is no JSON object \(Expecting ',' delimiter"),
        (b'{"label": 1}\n', "line 1 has a column 'label' already; --prefix"),
        (b"[" * 100_000 + b"\n", r"a.jsonl, line 1 is no JSON object \("),
        (b'{"text": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", r"a.jsonl, line 1 is no JSON object \("),
    ],
)
def test_what_is_no_object_is_refused_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(CommandError, match=message), rows_of(tmp_path / "a.jsonl", content, JSONL) as rows:
        scored(rows)


# Both


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layout", [CSV, JSONL, replace(CSV, header=False, text_column="0")], ids=str)
def test_reading_goes_on_at_the_end_of_any_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Layout, *, packed: bool
) -> None:
    """What was read up to there and what is read from there are the whole, in the same blocks."""
    monkeypatch.setattr("service.bulk_rows.MOST_ROWS", 3)
    if layout.format == "csv":
        content = b"text,x\r\n" + b"".join(b'"a\n%d",1\r\n\r\n' % n for n in range(10))
    else:
        content = b"".join(b'{"text": "a %d"}\n\n' % n for n in range(10))
    path = tmp_path / ("a.gz" if packed else "a")
    content = pack(content[:20]) + pack(content[20:]) if packed else content
    with rows_of(path, content, layout) as rows:
        whole = scored(rows)
    with rows_of(path, content, layout) as rows:
        blocks = list(rows.blocks(Position()))
    assert [block.end.rows for block in blocks] == [3, 6, 9, *([11] if not layout.header else [10])]
    assert blocks[-1].share == 1
    for number, block in enumerate(blocks):
        with rows_of(path, content, layout) as rows:
            rest = list(rows.blocks(block.end))
        assert rest == blocks[number + 1 :]
    assert len(whole) > 0


def test_a_block_ends_when_it_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.bulk_rows.MOST_BYTES", 100)
    with rows_of(tmp_path / "a.csv", b"text\n" + (b"x" * 59 + b"\n") * 5, CSV) as rows:
        assert [len(block.texts) for block in rows.blocks(Position())] == [2, 2, 1]


def test_a_line_that_is_no_line_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.bulk_rows._LONGEST_LINE", 1000)
    content, message = b"{}\n" + b" " * 2000, "line 2 is over 1,000 bytes long"
    with pytest.raises(CommandError, match=message), rows_of(tmp_path / "a.jsonl", content, JSONL) as rows:
        scored(rows)


def test_a_prefix_names_the_new_columns(tmp_path: Path) -> None:
    layout = replace(CSV, prefix='my, "own" ')
    with rows_of(tmp_path / "a.csv", b"text,label\na,1\n", layout) as rows:
        header = next(csv.reader([rows.head().decode()]))
    assert header == ["text", "label", *(f'my, "own" {name}' for name in COLUMNS)]
    with rows_of(tmp_path / "a.jsonl", b'{"text": "a", "label": 1}', replace(layout, format="jsonl")) as rows:
        assert list(json.loads(scored(rows))) == header


@pytest.mark.parametrize("value", [1e-9, 0.1, 1 / 3, 0.5, 0.99999994, 1.0])
def test_a_probability_is_written_with_as_many_digits_as_it_has(tmp_path: Path, value: float) -> None:
    scores = Scores(np.array([value], np.float32), [None])
    with rows_of(tmp_path / "a.csv", b"text\na\n", CSV) as rows:
        (block,) = rows.blocks(Position())
        written = rows.written(block.rows, scores).decode().split(",")
    assert [np.float32(cell) for cell in written[2:4]] == [scores.probability[0], np.float32(value)]


@pytest.mark.parametrize(
    ("source", "output", "asked", "found"),
    [
        ("a.csv", "-", None, "csv"),
        ("A.CSV.GZ", "b.csv", None, "csv"),
        ("a.tsv", "b.tsv.gz", None, "csv"),
        ("a.ndjson", "b.jsonl", None, "jsonl"),
        ("a.pq", "b.parquet", None, "parquet"),
        ("-", "b.jsonl.gz", None, "jsonl"),
        ("a.txt", "-", "csv", "csv"),
        ("a.csv", "b.txt", None, "csv"),
    ],
)
def test_the_format_is_told_by_the_ending(source: str, output: str, asked: Any, found: str) -> None:
    assert choose_format(Path(source), Path(output), asked) == found


@pytest.mark.parametrize(
    ("source", "output"), [("-", "-"), ("a.txt", "b"), ("a.csv", "b.parquet"), ("a.csv", "b.jsonl.gz")]
)
def test_a_format_that_nothing_says_or_that_would_change_is_refused(source: str, output: str) -> None:
    with pytest.raises(CommandError, match=r"--format has to say|--output has to be csv as the input is"):
        choose_format(Path(source), Path(output), None)


@pytest.mark.parametrize(
    ("source", "asked", "found"),
    [("a.csv", None, ","), ("a.tsv.gz", None, "\t"), ("a.csv", ";", ";"), ("a", "\\t", "\t")],
)
def test_the_delimiter_is_told_by_the_ending(source: str, asked: str | None, found: str) -> None:
    assert choose_delimiter(Path(source), asked) == found


@pytest.mark.parametrize("asked", ["", ",,", '"', "\n", "a", "0", ".", "-", "+", "\u00a7"])
def test_what_cannot_stand_between_cells_is_refused(asked: str) -> None:
    with pytest.raises(CommandError, match="--delimiter has to be one character"):
        choose_delimiter(Path("a.csv"), asked)


def test_packed_pieces_are_one_file_and_always_the_same() -> None:
    assert gzip.decompress(pack(b"one, ") + pack(b"two")) == b"one, two"
    assert pack(b"one") == pack(b"one")
