"""What a client accepts, by the examples and rules of RFC 9110."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.accept import accepts_gzip, best_of

OFFERED = ("application/json", "application/x-npz", "application/x-npz;compression=deflate", "text/html")
JSON, NPZ, DEFLATED, HTML = OFFERED


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ([], JSON),
        ([""], JSON),
        (["*/*"], JSON),
        (["application/*"], JSON),
        (["application/json"], JSON),
        (["APPLICATION/JSON; charset=UTF-8"], JSON),
        (["application/x-npz"], NPZ),
        (["application/x-npz;compression=deflate"], DEFLATED),
        (["application/x-npz ; Compression=deflate ; q=0.5, text/html;q=0.4"], DEFLATED),
        (['application/x-npz;compression="deflate"'], DEFLATED),
        (["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], HTML),
        (["application/json;q=0.5, application/x-npz"], NPZ),
        (["application/json;q=0.5", "application/x-npz;q=0.6"], NPZ),
        (["*/*;q=0.1, application/json;q=0"], NPZ),
        (["application/*;q=0.3, text/*;q=0.4"], HTML),
        (["text/plain, */*;q=0.01"], JSON),
        (["application/x-npz;q=0, */*;q=0.2, application/json;q=0.1, text/html;q=0"], JSON),
        (["application/x-npz;compression=zstd"], None),
        (["text/plain"], None),
        (["application/json;q=0"], None),
        (["application/json;q=0.000, image/*"], None),
        (["nonsense, application/x-npz"], NPZ),
        (["application/json;q=2, text/html"], HTML),
        (["*/json, text/html"], HTML),
        (['text/plain;note="a,b", text/html'], HTML),
        (["nonsense"], JSON),
    ],
)
def test_the_form_is_the_one_with_the_largest_weight(accept: list[str], chosen: str | None) -> None:
    """The most precise range counts; among equals the first that is offered; what is malformed is passed over."""
    assert best_of(OFFERED, accept) == chosen


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ([], False),
        ([""], False),
        (["gzip"], True),
        (["x-gzip"], True),
        (["gzip, deflate, br"], True),
        (["GZIP;q=0.1"], True),
        (["gzip;q=0"], False),
        (["*"], True),
        (["*;q=0"], False),
        (["gzip;q=0, *"], False),
        (["identity"], False),
        (["identity;q=1, gzip;q=0.5"], False),
        (["identity;q=0.5, gzip;q=0.8"], True),
        (["br", "gzip"], True),
        (["br;q=1.0, deflate"], False),
    ],
)
def test_gzip_is_used_when_it_is_asked_for(accept: list[str], wanted: bool) -> None:  # noqa: FBT001  a table's column
    assert accepts_gzip(accept) == wanted


@given(st.lists(st.text(st.characters(codec="latin-1"))))
def test_no_header_breaks_it(headers: list[str]) -> None:
    assert best_of(OFFERED, headers) in {*OFFERED, None}
    assert accepts_gzip(headers) in {True, False}
