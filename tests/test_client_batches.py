"""Batches of any size, in parts that a service takes."""

import itertools
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.client.batches import Part, Sizes, checked, split
from service.client.errors import TextTooLongError, error_of
from service.schemas import FieldError, Limits, Problem


@given(
    texts=st.lists(st.text(st.characters(), max_size=12), max_size=30),
    sizes=st.builds(Sizes, st.integers(1, 8), st.integers(1, 20), st.integers(1, 100)),
)
def test_parts_are_in_order_whole_within_the_sizes_and_no_smaller_than_need_be(texts: list[str], sizes: Sizes) -> None:
    parts = list(split(texts, sizes))
    assert [text for part in parts for text in part.texts] == texts
    assert all(texts[part.start : part.start + len(part.texts)] == part.texts for part in parts)
    assert all(_fits(part.texts, sizes) or len(part.texts) == 1 for part in parts)
    for part, following in itertools.pairwise(parts):
        assert not _fits([*part.texts, following.texts[0]], sizes)


def _fits(texts: Sequence[str], sizes: Sizes) -> bool:
    encoded = [json.dumps(text, ensure_ascii=False).encode("utf-8", "backslashreplace") for text in texts]
    return (
        len(texts) <= sizes.texts
        and len("".join(texts)) <= sizes.characters
        and sum(len(text) + 1 for text in encoded) <= sizes.encoded
    )


def limits(**told: int) -> Limits:
    usual = dict.fromkeys(Limits.model_fields, 1000)
    return Limits.model_validate(usual | told)


def test_parts_under_way_together_leave_room_for_others() -> None:
    """So that a batch alone never makes a service refuse it."""
    told = limits(max_texts=512, max_waiting_texts=4096, max_waiting_characters=1_000_000, max_body_bytes=2_000_000)
    assert Sizes.within(told, 4) == Sizes(texts=512, characters=62_500, encoded=1_500_000)
    assert Sizes.within(told, 16) == Sizes(texts=128, characters=15_625, encoded=1_500_000)
    assert Sizes.within(limits(max_texts=7), 4).texts == 7
    assert Sizes.within(limits(max_waiting_texts=1, max_waiting_characters=1, max_body_bytes=1), 4) == Sizes(1, 1, 1)


def test_an_error_names_a_text_by_its_number_in_the_whole_batch() -> None:
    found = FieldError(field="texts[3]", message="must be at most 5 long, found 7", limit=5, found=7)
    detail = "texts[3] must be at most 5 long, found 7, and more is wrong"
    problem = Problem(type="/problems/text-too-long", title="Text too long", status=413, detail=detail, errors=[found])
    error = error_of(problem, None)
    error.request_id = "id"
    error.add_note("a note")
    moved = Part(100, ["Worst"] * 4).error_of(error)
    assert type(moved) is TextTooLongError
    assert moved.problem.errors == [found.model_copy(update={"field": "texts[103]"})]
    assert moved.problem.detail == detail.replace("[3]", "[103]")
    assert (moved.request_id, moved.__notes__) == ("id", ["a note"])
    assert Part(0, ["Worst"] * 4).error_of(error) is error


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("Worst", "texts must be several strings, found one"),
        (["Worst", None], r"texts\[1\] must be a string, found None"),
    ],
)
def test_what_is_no_batch_of_texts_is_a_type_error(texts: list[str], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        checked(texts)


def test_any_iterable_of_texts_is_a_batch() -> None:
    assert checked(text for text in ("Worst", "best")) == ["Worst", "best"]
