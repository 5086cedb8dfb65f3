"""Which questions are taken: by what is under way and by the pace, on numbers that are worked out by hand."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.admission import Admission, Limits

LATER = 1e12  # a deadline that does not come


def test_both_limits_hold_and_what_is_removed_makes_room() -> None:
    admission = Admission(Limits(texts=4, tokens=100))
    admission.add(2, 60)
    assert admission.has_room(2, 40, 1, LATER)
    assert not admission.has_room(3, 3, 1, LATER)
    assert not admission.has_room(1, 41, 1, LATER)
    admission.remove(1, 10)
    assert (admission.texts, admission.tokens) == (1, 50)
    assert admission.has_room(3, 50, 1, LATER)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0.1, 1e6))
def test_what_is_alone_is_taken_at_any_size_and_pace(texts: int, tokens: int, pace: float) -> None:
    """It will never fit better, nor be quicker."""
    admission = Admission(Limits(texts=1, tokens=1))
    admission.pace = pace
    assert admission.has_room(texts, tokens, 0, time.monotonic())


def test_before_the_pace_is_known_nothing_is_called_late() -> None:
    admission = Admission(Limits(texts=4, tokens=100))
    admission.add(1, 50)
    assert admission.has_room(1, 50, 1, time.monotonic())


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
    admission = Admission(Limits(texts=100, tokens=1000))
    admission.add(others, 50)
    admission.pace = 10.0
    assert admission.has_room(1, tokens, others, time.monotonic() + seconds + 0.5)
    assert not admission.has_room(1, tokens, others, time.monotonic() + seconds - 0.5)


def test_how_long_the_rest_takes_is_guessed_until_the_pace_is_known() -> None:
    admission = Admission(Limits(texts=4, tokens=10**6))
    admission.add(1, 100_000)
    assert admission.seconds_left == 2.0
    admission.note_full_chunk(tokens=1000, seconds=0.1)
    assert admission.seconds_left == 10.0


def test_the_pace_follows_full_chunks_slowly() -> None:
    """One chunk that the machine was busy with something else in says little."""
    admission = Admission(Limits(texts=4, tokens=100))
    for tokens in (1000, 1000, 200):
        admission.note_full_chunk(tokens, seconds=0.1)
    assert admission.pace == pytest.approx(10_000 - 0.05 * 8_000)
    for _ in range(200):
        admission.note_full_chunk(200, seconds=0.1)
    assert admission.pace == pytest.approx(2_000, rel=1e-3)
