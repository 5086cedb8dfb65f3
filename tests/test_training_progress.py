"""A long measurement says what it is doing: a line for each step, or one line that changes on a terminal."""

import io

from rich.console import Console

from training.progress import steps_shown


def test_without_a_terminal_each_step_is_a_line() -> None:
    file = io.StringIO()
    with steps_shown(Console(file=file, markup=False)) as step:
        step("scoring [b]tiny[/b]")
        step("drawing")
    assert file.getvalue() == "scoring [b]tiny[/b]\ndrawing\n"


def test_a_terminal_shows_the_step_and_the_time_it_takes_and_clears_both_away() -> None:
    file = io.StringIO()
    with steps_shown(Console(file=file, force_terminal=True, width=80, markup=False)) as step:
        step("scoring [b]tiny[/b]")
    assert "scoring [b]tiny[/b]" in file.getvalue()
    assert "0:00:00" in file.getvalue()
    assert file.getvalue().endswith("\x1b[2K")
