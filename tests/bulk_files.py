"""Files of texts that the tests of bulk scoring share, and the command that scores them."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner, Result

from service.cli import cli
from tests.tiny import TEXTS

FORMATS = ("csv", "jsonl", "parquet")
ROWS: list[dict[str, Any]] = [
    {"id": row, "text": None if row % 17 == 3 else f"{TEXTS[row % 5]} {'again ' * (row % 9)}{row}"}
    for row in range(100)
]


def write(path: Path, rows: list[dict[str, Any]] | None = None) -> Path:
    """Write rows in the format that the file's ending names, Parquet in groups of 40."""
    rows = ROWS if rows is None else rows
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=40)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        path.write_bytes(table.getvalue().encode())
    return path


def run(command: str, *arguments: object, artifacts: Path, given: str | bytes | None = None) -> Result:
    """Run a command in this process."""
    environment = {"COLUMNS": "100", "CHARLSTM_ARTIFACTS": str(artifacts), "CHARLSTM_THREADS": "1"}
    return CliRunner(env=environment).invoke(cli, [command, *map(str, arguments)], input=given)


def assert_refused(ended: Result, line: str) -> None:
    """Check that a command ended with one line, which begins like this one, and exit code 2."""
    assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.output
    assert ended.stderr.startswith(f"charlstm: {line}")
