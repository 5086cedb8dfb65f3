"""The few traces that a worker has in its hands at a time."""

import asyncio
import gc
import threading

import pytest

from service import trace_slots
from service.errors import DeadlineError, OverloadedError
from service.trace_slots import TraceSlots, written_out
from tests.service_fixtures import PATIENCE, until

LIMIT = 1000  # bytes


def test_a_few_are_let_in_at_a_time_and_all_in_the_end() -> None:
    inside: list[int] = []
    most = 0

    async def trace(slots: TraceSlots, number: int) -> None:
        nonlocal most
        async with slots.take():
            inside.append(number)
            most = max(most, len(inside))
            await asyncio.sleep(0)
            inside.remove(number)

    async def crowd() -> None:
        slots = TraceSlots(PATIENCE, LIMIT)
        await asyncio.gather(*(trace(slots, number) for number in range(100)))
        assert slots._waiting == 0

    asyncio.run(crowd())
    assert most == trace_slots._SLOTS


def test_what_goes_wrong_when_nobody_waits_any_more_is_no_news() -> None:
    """The client made a mistake and hung up: nothing of the service has failed."""
    started, go_on = threading.Event(), threading.Event()
    news: list[dict[str, object]] = []

    def write() -> None:
        started.set()
        assert go_on.wait(PATIENCE)
        raise ValueError("steps[0]")

    async def hang_up() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: news.append(told))
        task = asyncio.create_task(written_out(write))
        await until(started.is_set)
        task.cancel()
        await asyncio.sleep(0.01)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        gc.collect()

    asyncio.run(hang_up())
    assert news == []


def test_a_slot_is_kept_until_the_trace_is_written_down_even_if_nobody_waits_for_it() -> None:
    """A thread goes on after the task that waited for it is cancelled, and has the trace in its hands."""
    started, go_on = threading.Event(), threading.Event()

    def write() -> None:
        started.set()
        assert go_on.wait(PATIENCE)

    async def hang_up() -> None:
        slots = TraceSlots(PATIENCE, LIMIT)

        async def answer() -> None:
            async with slots.take():
                await written_out(write)

        task = asyncio.create_task(answer())
        await until(started.is_set)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=0.05)
        assert not done
        assert slots._slots._value == trace_slots._SLOTS - 1
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert slots._slots._value == trace_slots._SLOTS

    asyncio.run(hang_up())


def test_what_is_written_out_is_what_was_written_and_an_error_is_raised() -> None:
    async def fail() -> None:
        assert await written_out(lambda: "written") == "written"
        with pytest.raises(ZeroDivisionError):
            await written_out(lambda: 1 // 0)

    asyncio.run(fail())


async def _fill(slots: TraceSlots) -> asyncio.Event:
    """Take every slot; setting the event gives them back."""
    over = asyncio.Event()

    async def hold() -> None:
        async with slots.take():
            await over.wait()

    holding = [asyncio.create_task(hold()) for _ in range(trace_slots._SLOTS)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in holding)
    return over


def test_who_has_waited_up_to_the_deadline_is_told_so() -> None:
    async def wait() -> None:
        slots = TraceSlots(0.001, LIMIT)
        over = await _fill(slots)
        with pytest.raises(DeadlineError):
            async with slots.take():
                pass
        over.set()
        await asyncio.sleep(0)
        async with slots.take():
            pass

    asyncio.run(wait())


def test_who_would_wait_beyond_the_deadline_is_refused_with_the_time_it_takes() -> None:
    async def wait() -> None:
        slots = TraceSlots(10.0, LIMIT)
        over = await _fill(slots)
        slots._seconds = 8.0
        waiting = [asyncio.create_task(_take(slots)) for _ in range(6)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError) as raised:
            await _take(slots)
        assert raised.value.headers == {"Retry-After": "12"}  # six before it, four at a time, eight seconds each
        waiting[0].cancel()  # who gives up makes room for another
        await asyncio.sleep(0)
        another = asyncio.create_task(_take(slots))
        await asyncio.sleep(0)
        assert not another.done()
        over.set()
        await asyncio.gather(*waiting[1:], another)

    asyncio.run(wait())


def test_who_wants_several_slots_counts_for_several_and_does_not_block_others_that_do() -> None:
    """Ten that want two of the four slots each: two at a time, and none waits for a slot that another one holds."""
    most, inside = 0, 0

    async def trace(slots: TraceSlots, traces: int) -> None:
        nonlocal most, inside
        async with slots.take(traces):
            inside += traces
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= traces

    async def crowd() -> None:
        slots = TraceSlots(PATIENCE, LIMIT)
        await asyncio.gather(*(trace(slots, 1 + number % 2) for number in range(20)))
        assert slots._waiting == 0
        assert slots._slots._value == trace_slots._SLOTS

    asyncio.run(crowd())
    assert most == trace_slots._SLOTS


def test_who_gives_up_while_it_waits_for_its_second_slot_gives_the_first_one_back() -> None:
    async def wait() -> None:
        slots = TraceSlots(PATIENCE, LIMIT)
        async with slots.take(3):
            waiting = asyncio.create_task(_take(slots, 2))
            await asyncio.sleep(0)
            assert slots._waiting == 2
            assert slots._slots.locked()  # it holds the fourth
            waiting.cancel()
            await asyncio.wait([waiting])
            async with asyncio.timeout(PATIENCE):
                await _take(slots, 1)
        assert slots._slots._value == trace_slots._SLOTS

    asyncio.run(wait())


def test_while_too_much_of_earlier_answers_is_not_taken_nobody_is_let_in() -> None:
    async def wait() -> None:
        slots = TraceSlots(PATIENCE, LIMIT)
        slots.unread = lambda: LIMIT + 1
        for _ in range(2 * trace_slots._SLOTS):
            with pytest.raises(OverloadedError) as raised:
                await _take(slots)
            assert raised.value.headers == {"Retry-After": "1"}
        slots.unread = lambda: LIMIT
        await _take(slots)

    asyncio.run(wait())


async def _take(slots: TraceSlots, traces: int = 1) -> None:
    async with slots.take(traces):
        pass
