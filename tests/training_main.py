"""`python -m training` in this process."""

import sys

import pytest

from training.cli import main


def run_training(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    """Call the entry point with these arguments: exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["training", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capfd.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err
