"""How far a long job is, on a terminal: rows, rate and time left."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


class BulkProgress:
    """Counts rows.

    Args:
        bars: Where they are shown.
        rows: How many were there before.
    """

    def __init__(self, bars: Progress, rows: int) -> None:
        self._bars = bars
        self._task = bars.add_task("", total=None, said="")
        self._before = self._rows = rows
        self._share: float | None = None
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def judged(self, rows: int) -> None:
        """Show that so many rows are judged of the block that is under way."""
        self._show(self._rows + rows)

    def reached(self, rows: int, share: float | None) -> None:
        """Show that a block is done.

        Args:
            rows: All rows, those of earlier runs too.
            share: How much of the input that is, 0 to 1; None if nobody knows.
        """
        self._rows, self._share = rows, share
        self._show(rows)

    def _show(self, rows: int) -> None:
        rate = (rows - self._before) / max(self.seconds, 1e-3)
        said = f"{rows:,} rows, {rate:,.0f}/s"
        share = None if self._share is None or not self._rows else min(1.0, self._share * rows / self._rows)
        if share and rate:
            said += f", {timedelta(seconds=round(rows * (1 - share) / share / rate))} left"
        self._bars.update(self._task, total=None if share is None else 1, completed=share or 0, said=said)


@contextmanager
def bulk_progress(rows: int, *, quiet: bool) -> Iterator[BulkProgress]:
    """Show a bar on standard error; where it is no terminal, or if it is to be quiet, nothing."""
    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as bars:
        yield BulkProgress(bars, rows)
