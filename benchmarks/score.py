"""How fast files are scored, beside the engine by itself, all in one run of this script.

What `python -m service score` does once Python and torch are there is done for a file of each format: loading the
model, reading, encoding, judging, writing, and bringing the journal to the disk. In turn with it, round after round,
the engine runs alone: the continuous batch kept full with texts that are encoded already. Medians of the rounds count,
and their ratio.
"""

import argparse
import csv
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.serving import engine_alone
from benchmarks.texts import tweets
from charlstm.config import Precision
from service.bulk_command import Files, Machine, score
from service.bulk_rows import Format, Layout

ROOT = Path(__file__).parent.parent


def write_csv(path: Path, texts: Sequence[str]) -> None:
    """Write a number and a text a row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "text"), *enumerate(texts)])


def write_jsonl(path: Path, texts: Sequence[str]) -> None:
    """Write the same as JSON lines."""
    path.write_bytes(b"".join(orjson.dumps({"id": row, "text": text}) + b"\n" for row, text in enumerate(texts)))


def write_parquet(path: Path, texts: Sequence[str]) -> None:
    """Write the same as Parquet."""
    pq.write_table(pa.table({"id": range(len(texts)), "text": texts}), path)


FORMATS: dict[Format, Callable[[Path, Sequence[str]], None]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}


def rate_of_scoring(source: Path, format_: Format, machine: Machine, rows: int) -> float:
    """Return the rows per second of one run of the command."""
    files = Files(source, source.with_name(f"scored.{format_}"), Layout(format_))
    started = time.perf_counter()
    if score(files, machine, fresh=True, quiet=True) != 0:
        raise RuntimeError(f"{source} was not scored")
    return rows / (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, default=ROOT / "artifacts", help="the model (default: artifacts)")
    parser.add_argument("--data", type=Path, help="real texts, as the training commands read them; else made ones")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="(default: float32)")
    parser.add_argument("--rows", type=int, default=12_000, help="rows of each file (default: 12000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts (default: 5)")
    options = parser.parse_args()
    precision: Precision = options.precision
    texts = tweets(options.rows, options.data)
    machine = Machine(options.artifacts, "cpu", precision, threads=1)
    alone: list[float] = []
    rates: dict[Format, list[float]] = {format_: [] for format_ in FORMATS}
    with tempfile.TemporaryDirectory() as folder:
        sources = {format_: Path(folder) / f"texts.{format_}" for format_ in FORMATS}
        for format_, write in FORMATS.items():
            write(sources[format_], texts)
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for format_ in FORMATS:
                seconds = options.rows / alone[-1] if alone else 10.0
                alone.append(engine_alone(options.artifacts, precision, texts, seconds))
                rates[format_].append(rate_of_scoring(sources[format_], format_, machine, options.rows))
    engine = statistics.median(alone)
    print(f"{platform.processor() or platform.machine()}, one thread, torch {torch.__version__}, {precision}")
    print(f"{options.rows} rows of {statistics.mean(map(len, texts)):.0f} characters on average")
    print(f"engine alone: {engine:,.0f} texts/s ({min(alone):,.0f} to {max(alone):,.0f})\n")
    print("| format | rows/s | lowest to highest | of the engine alone |")
    print("|---|---|---|---|")
    for format_, found in rates.items():
        rate = statistics.median(found)
        print(f"| {format_} | {rate:,.0f} | {min(found):,.0f} to {max(found):,.0f} | {rate / engine:.2f} |")


if __name__ == "__main__":
    main()
