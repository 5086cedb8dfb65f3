"""Reading ahead in a thread."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from service.read_ahead import read_ahead
from tests.service_fixtures import PATIENCE


@pytest.mark.parametrize("most", [1, 2, 100])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_everything_comes_in_order(most: int, count: int) -> None:
    assert list(read_ahead(range(count), most)) == list(range(count))


def test_an_error_comes_behind_what_was_read_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("gone")

    items = read_ahead(source(), 5)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(OSError, match="gone"):
        next(items)


def test_no_more_is_read_than_may_wait() -> None:
    read = threading.Semaphore(0)
    count = 0

    def source() -> Iterator[int]:
        nonlocal count
        for item in range(100):
            count += 1
            read.release()
            yield item

    with closing(read_ahead(source(), 3)) as items:
        next(items)
        for _ in range(5):  # one taken, three waiting, one in the thread's hand
            assert read.acquire(timeout=PATIENCE)
        assert not read.acquire(timeout=0.05)
        assert count == 5


def test_the_thread_ends_when_nobody_wants_more() -> None:
    ended = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(1_000_000)
        finally:
            ended.set()

    with closing(read_ahead(source(), 1)) as items:
        assert next(items) == 0
    assert ended.wait(PATIENCE)
