"""Reading ahead in a thread, so that whoever uses what is read does not wait for it."""

from collections.abc import Generator, Iterable, Iterator
from queue import Empty, Queue
from threading import Event, Thread
from typing import Generic, NamedTuple, TypeVar

_Item = TypeVar("_Item")


class _End(NamedTuple):
    """Nothing more comes; the error, if one is why."""

    error: BaseException | None


def read_ahead(items: Iterable[_Item], most: int) -> Generator[_Item]:
    """Give the items of an iterable, which is iterated over in a thread.

    The thread ends when there are no more, or soon after this generator is closed; if it hangs at its source then, the
    end of the process does not wait for it.

    Args:
        items: Where they come from. What it raises is raised here, in its turn.
        most: How many items may wait, at least 1.
    """
    reader = _Reader(items, most)
    thread = Thread(target=reader.run, name="reading ahead", daemon=True)
    thread.start()
    try:
        yield from reader.items()
    finally:
        reader.stop()


class _Reader(Generic[_Item]):
    def __init__(self, items: Iterable[_Item], most: int) -> None:
        self._source = items
        self._queue: Queue[_Item | _End] = Queue(most)
        self._stopped = Event()

    def run(self) -> None:
        """Put every item into the queue, and then the end."""
        error: BaseException | None = None
        try:
            for item in self._source:
                self._queue.put(item)
                if self._stopped.is_set():
                    return
        except BaseException as raised:  # noqa: BLE001  whoever uses the items hears of it
            error = raised
        self._queue.put(_End(error))

    def items(self) -> Iterator[_Item]:
        """Take the items out of the queue, up to the end."""
        while not isinstance(item := self._queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    def stop(self) -> None:
        """Have the thread end: make room for the one item that it may be about to put down."""
        self._stopped.set()
        try:
            while True:
                self._queue.get_nowait()
        except Empty:
            pass
