"""How long to wait before a process that has ended is started again."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0  # seconds
_STABLE_AFTER = 60.0  # seconds after which a process counts as sound and the pauses begin anew


class Backoff:
    """The pauses between the starts of one process: each twice as long as the one before, until it has lived long."""

    def __init__(self) -> None:
        self._next = _FIRST_PAUSE

    def after(self, lived: float) -> float:
        """Return the seconds to wait, now that it has ended after so many."""
        pause = _FIRST_PAUSE if lived > _STABLE_AFTER else self._next
        self._next = min(2 * pause, _LONGEST_PAUSE)
        return pause
