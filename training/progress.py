"""Progress on a terminal: bars with loss and time left, and one line for each finished epoch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from training.checkpoint import EpochRecord
from training.interruption import CtrlC


@contextmanager
def texts_bar(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Show how many texts are read, and the time left; where there is no terminal, nothing.

    Yields:
        What to call with the number of texts read, and of all texts.
    """
    columns = (TextColumn("texts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        task = bars.add_task("texts", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


class Step(Protocol):
    """Whom a long measurement tells what it does next."""

    def __call__(self, what: str, /) -> object:
        """Something begins that may take a minute."""


@contextmanager
def steps_shown(console: Console) -> Iterator[Step]:
    """Show what is being done, and for how long now; where there is no terminal, a line for each step.

    Yields:
        What to call with each step's description.
    """
    if not console.is_terminal:
        yield lambda what: console.print(what, highlight=False, soft_wrap=True)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda what: bars.reset(task, description=what, total=None)


class TerminalProgress:
    """Shows how far training is; where there is no terminal, only the lines of finished epochs are written.

    Within an epoch, Ctrl-C is raised when a batch is done, or when the epoch is.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ctrl_c = CtrlC()
        self._title, self._epochs = "", 0
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._all: TaskID = self._bars.add_task("epochs", total=None, loss="")
        self._one: TaskID = self._bars.add_task("batches", total=None, loss="")

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing, and leave the cursor as it was."""
        with suppress(KeyboardInterrupt):  # what ended it came first
            self._ctrl_c.let_go()
        self._bars.stop()

    def preparing(self, what: str) -> None:
        """Write what is being done, so that nobody takes minutes of silence for the end."""
        self._console.print(what, highlight=False, soft_wrap=True)

    def run_started(self, title: str, epochs: int) -> None:
        """Remember which model it is."""
        self._title, self._epochs = title, epochs
        self._bars.reset(self._all, total=epochs)

    def epoch_started(self, epoch: int, batches: int) -> None:
        """Begin a new bar of batches."""
        self._ctrl_c.hold()
        self._bars.update(self._all, completed=epoch)
        self._bars.reset(self._one, total=batches, description=f"epoch {epoch}", loss="")

    def batch_done(self, mean_loss: float) -> None:
        """Move the bar of batches."""
        self._bars.update(self._one, advance=1, loss=f"loss {mean_loss:.4f}")
        self._ctrl_c.raise_if_pressed()

    def epoch_done(self, record: EpochRecord) -> None:
        """Write the epoch's line and move the bar of epochs."""
        self._bars.update(self._all, completed=record.epoch + 1)
        line = f"{self._title}, epoch {record.epoch:>3} of {self._epochs}  loss {record.train_loss:.4f}"
        if record.validation is not None:
            found = record.validation
            line += f"  validation loss {found.loss:.4f}, calibrated {found.calibrated_loss:.4f}"
            line += f"  accuracy {found.accuracy:.4f}  AUC {found.auc:.4f}"
        line += f"  {record.seconds:.1f} s  {record.tokens_per_second:,.0f} tokens/s"
        self._console.print(line, highlight=False, soft_wrap=True)
        self._ctrl_c.let_go()
