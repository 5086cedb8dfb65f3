"""Ctrl-C that waits for the end of a batch.

PyTorch switches modes of the whole process on and off, such as lower precision. An exception that comes in between
leaves one on, and what is computed afterwards is wrong or fails.
"""

import signal
import threading
from types import FrameType


class CtrlC:
    """Holds Ctrl-C back for a while, but not a second one; where it has another meaning, that is left alone."""

    def __init__(self) -> None:
        self._held = self._pressed = False

    def hold(self) -> None:
        """Begin to hold it back. Signals are the main thread's: in another one nothing is done."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._held = True

    def let_go(self) -> None:
        """Give it back its usual meaning.

        Raises:
            KeyboardInterrupt: It was pressed since `hold`, be it in this very moment.
        """
        if self._held:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        pressed = self._pressed
        self._held = self._pressed = False
        if pressed:
            raise KeyboardInterrupt

    def raise_if_pressed(self) -> None:
        """Let go if it was pressed; else do nothing.

        Raises:
            KeyboardInterrupt: It was pressed.
        """
        if self._pressed:
            self.let_go()

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        self.raise_if_pressed()
        self._pressed = True
