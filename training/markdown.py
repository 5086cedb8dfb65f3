"""Tables in Markdown."""

from collections.abc import Iterable, Iterator, Sequence


def three_digits(value: float | None) -> str:
    """Write a figure, or nothing if there is none."""
    return "" if value is None else f"{value:.3f}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Lay out a table line by line; what cells hold can't break it."""
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(_cell(value) for value in row)} |"


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
