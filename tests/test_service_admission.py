"""Which questions are taken: by what is under way and by the pace, on numbers that are worked out by hand."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.admission import Admission, Limits, Pace

LATER = 1e12  # a deadline that does not come
ONE, OTHER = "of one model", "of another"


def in_seconds(seconds: float) -> float:
    return time.monotonic() + seconds


def admission_at(pace: float, limits: Limits | None = None) -> Admission:
    admission = Admission(limits or Limits(texts=100, tokens=10_000))
    admission.pace_of(ONE).tokens_per_second = pace
    return admission


def test_both_limits_hold_over_all_models_and_what_is_removed_makes_room() -> None:
    admission = Admission(Limits(texts=4, tokens=100))
    admission.add(ONE, [10])
    admission.add(OTHER, [50])
    assert admission.has_room(ONE, [20, 20], 2, LATER)
    assert not admission.has_room(ONE, [1, 1, 1], 2, LATER)
    assert not admission.has_room(OTHER, [41], 2, LATER)
    admission.remove(ONE, [10])
    assert (admission.texts, admission.tokens) == (1, 50)
    assert admission.has_room(ONE, [20, 20, 10], 1, LATER)


@given(st.lists(st.integers(1, 10**6), min_size=1), st.floats(0.1, 1e6))
def test_what_is_alone_is_taken_at_any_size_and_pace(lengths: list[int], pace: float) -> None:
    """It will never fit better, nor be quicker."""
    assert admission_at(pace, Limits(texts=1, tokens=1)).has_room(ONE, lengths, 0, in_seconds(0))


def test_before_the_pace_is_known_nothing_is_called_late() -> None:
    admission = Admission(Limits(texts=4, tokens=100))
    admission.add(ONE, [50])
    assert admission.has_room(ONE, [50], 1, in_seconds(0))


@pytest.mark.parametrize(
    ("tokens", "others", "seconds"),
    [
        (10, 1, 2.0),  # one other gets as many turns as it: 20 tokens at 10 a second
        (10, 3, 4.0),
        (80, 1, 13.0),  # all that there is before it, 50, and itself
        (80, 9, 13.0),
    ],
)
def test_a_question_is_late_if_its_turns_and_the_others_take_too_long(tokens: int, others: int, seconds: float) -> None:
    admission = admission_at(10.0)
    admission.add(ONE, [50])
    assert admission.has_room(ONE, [tokens], others, in_seconds(seconds + 0.5))
    assert not admission.has_room(ONE, [tokens], others, in_seconds(seconds - 0.5))


def test_each_model_is_read_at_its_own_pace() -> None:
    """40 tokens at 10 a second stand before what a model of 100 a second has to do, and of a third nothing is known."""
    admission = admission_at(10.0)
    admission.pace_of(OTHER).tokens_per_second = 100.0
    admission.add(ONE, [40])
    admission.add("of a third", [40])
    assert admission.has_room(OTHER, [100], 2, in_seconds(5.5))
    assert not admission.has_room(OTHER, [100], 2, in_seconds(4.5))
    assert admission.has_room("of a third", [100], 2, in_seconds(0))


def test_how_long_the_rest_takes_is_guessed_until_the_pace_is_known() -> None:
    admission = Admission(Limits(texts=4, tokens=10**6))
    admission.add(ONE, [60_000, 40_000])
    assert admission.seconds_left == 2.0
    admission.pace_of(ONE).tokens_per_second = 10_000
    assert admission.seconds_left == 10.0
    admission.add(OTHER, [50_000])
    assert admission.seconds_left == 11.0


def note(pace: Pace, tokens: int, *, full: bool = True, awaited: bool = True) -> float | None:
    """Tell of a chunk that took a tenth of a second."""
    pace.note_chunk(tokens, 0.1, full=full, awaited=awaited)
    return pace.tokens_per_second


def test_the_pace_follows_full_chunks_slowly() -> None:
    """One chunk that the machine was busy with something else in says little."""
    pace = Pace()
    assert note(pace, 1000) == note(pace, 1000) == 10_000
    assert note(pace, 200) == pytest.approx(10_000 - 0.05 * 8_000)
    for _ in range(200):
        note(pace, 200)
    assert pace.tokens_per_second == pytest.approx(2_000, rel=1e-3)


def test_a_chunk_with_free_seats_can_only_show_that_the_pace_is_higher() -> None:
    """So one stall in the first full chunk is forgotten, though the seats are never all taken again."""
    pace = Pace()
    assert note(pace, 500, full=False) is None
    assert note(pace, 10) == 100
    assert note(pace, 5, full=False) == 100
    for _ in range(200):
        note(pace, 500, full=False)
    assert pace.tokens_per_second == pytest.approx(5_000, rel=1e-2)


def test_chunks_that_nobody_awaited_count_with_the_next_that_somebody_did() -> None:
    """A GPU is told what to do and does it later: the first two tenths are not what the chunks took."""
    pace = Pace()
    assert note(pace, 1000, awaited=False) is None
    assert note(pace, 1000, awaited=False) is None
    pace.note_chunk(1000, 2.8, full=True, awaited=True)
    assert pace.tokens_per_second == pytest.approx(1_000)
    pace = Pace()
    note(pace, 1000, full=False, awaited=False)
    assert note(pace, 1000) is None
