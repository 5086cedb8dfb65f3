"""Ctrl-C waits until a batch is done, for PyTorch must not be stopped while it switches a mode."""

import io
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from training.checkpoint import EpochRecord
from training.interruption import CtrlC
from training.progress import TerminalProgress

RECORD = EpochRecord(0, 0.5, None, 1.0, 100.0)


@pytest.fixture(autouse=True)
def usual_handler() -> Iterator[None]:
    """Whatever a test does to Ctrl-C, the next one finds it as Python has it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_it_is_raised_when_it_is_asked_for_and_not_before() -> None:
    ctrl_c = CtrlC()
    ctrl_c.hold()
    ctrl_c.raise_if_pressed()
    press()
    with pytest.raises(KeyboardInterrupt):
        ctrl_c.raise_if_pressed()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ctrl_c.raise_if_pressed()


def test_one_that_comes_while_it_is_let_go_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    ctrl_c = CtrlC()
    ctrl_c.hold()
    restore = signal.signal

    def press_first(number: signal.Signals, handler: Any) -> Any:
        press()
        return restore(number, handler)

    monkeypatch.setattr(signal, "signal", press_first)
    with pytest.raises(KeyboardInterrupt):
        ctrl_c.let_go()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_one_is_raised_at_once() -> None:
    ctrl_c = CtrlC()
    ctrl_c.hold()
    press()
    with pytest.raises(KeyboardInterrupt):
        press()


def test_where_it_is_ignored_it_stays_ignored() -> None:
    """As under nohup."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctrl_c = CtrlC()
    ctrl_c.hold()
    press()
    ctrl_c.raise_if_pressed()
    ctrl_c.let_go()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_within_an_epoch_training_stops_behind_a_batch_or_the_epoch() -> None:
    with TerminalProgress(Console(file=io.StringIO())) as progress:
        progress.epoch_started(0, 2)
        press()
        with pytest.raises(KeyboardInterrupt):
            progress.batch_done(0.5)
        progress.epoch_started(0, 2)
        progress.batch_done(0.5)
        press()
        with pytest.raises(KeyboardInterrupt):
            progress.epoch_done(RECORD)


def test_outside_of_epochs_nothing_is_held_back() -> None:
    with TerminalProgress(Console(file=io.StringIO())) as progress:
        progress.epoch_started(0, 1)
        progress.epoch_done(RECORD)
        with pytest.raises(KeyboardInterrupt):
            press()
        progress.epoch_started(1, 1)
    with pytest.raises(KeyboardInterrupt):
        press()
