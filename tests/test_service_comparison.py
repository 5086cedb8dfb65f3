"""Two texts held against each other: the alignment, where they part, and what turned the answer."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.predictor import Predictor
from charlstm.trace import SIGNALS
from service.comparison import align
from service.comparison_schemas import CompareResponse
from service.errors import OverloadedError, StaleModelError
from tests.service_fixtures import Client, assert_problem, serving_model
from tests.tiny import texts, tiny_artifacts

KINDS: list[dict[str, Any]] = [
    {"num_layers": 2},
    {"pad_to": 48},
    {"level": "word"},
    {"casefold": True, "temperature": 1.7},
]


@pytest.fixture(scope="module", params=KINDS, ids=["two layers", "padding", "words", "folded"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Path]]:
    folder = tmp_path_factory.mktemp("comparison")
    artifacts, path = tiny_artifacts(folder / "artifacts", **request.param), folder / "engine.sock"
    with serving_model(artifacts, path) as client:
        yield client, artifacts


def compare(client: Client, first: str, second: str) -> Any:
    response = client.post("/gates/compare", {"first": first, "second": second})
    assert response.status_code == 200, response.text
    CompareResponse.model_validate_json(response.content)
    return response.json()


def distance(first: list[int], second: list[int]) -> int:
    """Work out the Levenshtein distance as in the textbook (Wagner & Fischer, 1974)."""
    row = list(range(len(second) + 1))
    for count, one in enumerate(first, start=1):
        before, row[0] = row[0], count
        for place, other in enumerate(second, start=1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (one != other))
    return row[-1]


IDS = st.lists(st.integers(1, 4), max_size=12)


@given(first=IDS, second=IDS)
def test_an_alignment_is_a_shortest_way_and_leaves_no_step_out(first: list[int], second: list[int]) -> None:
    cost, at = 0, (0, 0)
    for kind, (start, stop), (other_start, other_stop) in align(first, second):
        assert (start, other_start) == at
        at = (stop, other_stop)
        sizes = (stop - start, other_stop - other_start)
        if kind == "equal":
            assert first[start:stop] == second[other_start:other_stop]
            assert sizes[0] > 0
        else:
            assert {"replaced": sizes[0] == sizes[1] > 0, "deleted": sizes[1] == 0, "inserted": sizes[0] == 0}[kind]
            cost += max(sizes)
    assert at == (len(first), len(second))
    assert cost == distance(first, second)


SIMILAR = st.tuples(texts(max_size=8), texts(max_size=8), texts(max_size=8), texts(max_size=8)).map(
    lambda parts: (f"a {parts[0]} b {parts[1]}", f"a {parts[0]} {parts[2]} b {parts[3]}")
)


@settings(max_examples=25)
@given(pair=SIMILAR)
def test_differences_add_up_to_what_turned_the_answer(served: tuple[Client, Path], pair: tuple[str, str]) -> None:
    """Segments hold every step of both texts; what they differ by is the difference of the two logits."""
    found = compare(served[0], *pair)
    assert sum(segment["difference"] for segment in found["segments"]) == pytest.approx(
        found["logit_difference"], abs=1e-5
    )
    logits = [found[side]["contributions"]["logit"] for side in ("first", "second")]
    assert found["logit_difference"] == pytest.approx(logits[1] - logits[0])
    for side in ("first", "second"):
        shares = found[side]["contributions"]["steps"]
        at = 0
        for segment in found["segments"]:
            assert segment[side]["start"] == at
            at = segment[side]["stop"]
            assert segment[side]["share"] == pytest.approx(sum(shares[segment[side]["start"] : at]), abs=1e-9)
        assert at == len(shares)
    sizes = [abs(found["segments"][index]["difference"]) for index in found["turned_by"]]
    assert sizes == sorted(sizes, reverse=True)
    assert sorted(found["turned_by"]) == list(range(len(found["segments"])))


@settings(max_examples=25)
@given(pair=SIMILAR)
def test_pairs_are_equal_tokens_with_the_distance_of_their_signals(
    served: tuple[Client, Path], pair: tuple[str, str]
) -> None:
    """In order, each step once at most, and as far apart as two traces of their own are."""
    client, artifacts = served
    found = compare(client, *pair)
    ids = [found[side]["token_ids"] for side in ("first", "second")]
    assert all(ids[0][one] == ids[1][other] for one, other in found["pairs"])
    assert found["pairs"] == sorted(found["pairs"])
    assert len({one for one, _ in found["pairs"]}) == len({other for _, other in found["pairs"]}) == len(found["pairs"])
    equal = [segment["first"] for segment in found["segments"] if segment["kind"] == "equal"]
    assert len(found["pairs"]) == sum(side["stop"] - side["start"] for side in equal)
    predictor = Predictor.load(artifacts, "cpu")
    one, other = (predictor.trace(text) for text in pair)
    for layer in found["signals"]:
        for name in SIGNALS:
            values = [getattr(trace.layers[layer["layer"]], name) for trace in (one, other)]
            expected = [np.sqrt(np.mean((values[1][j] - values[0][i]) ** 2)) for i, j in found["pairs"]]
            np.testing.assert_allclose(layer[name], expected, atol=1e-5)


@settings(max_examples=25)
@given(pair=SIMILAR)
def test_the_texts_part_at_the_first_step_that_differs(served: tuple[Client, Path], pair: tuple[str, str]) -> None:
    found = compare(served[0], *pair)
    first, second = (found[side]["token_ids"] for side in ("first", "second"))
    if first == second:
        assert found["parts_at"] is None
    else:
        step = found["parts_at"]["first"]
        assert step == found["parts_at"]["second"]
        assert first[:step] == second[:step]
        assert first[step : step + 1] != second[step : step + 1]


@settings(max_examples=10)
@given(text=texts(max_size=16).map(lambda text: f"a{text}"))
def test_a_text_equals_itself(served: tuple[Client, Path], text: str) -> None:
    found = compare(served[0], text, text)
    (segment,) = found["segments"]
    assert segment["kind"] == "equal"
    assert found["parts_at"] is None
    assert found["logit_difference"] == pytest.approx(0.0, abs=1e-6)
    assert all(max(layer[name]) < 1e-6 for layer in found["signals"] for name in SIGNALS)
    assert found["first"]["tokens"] == found["second"]["tokens"]


@settings(max_examples=10)
@given(pair=SIMILAR)
def test_the_segments_texts_put_together_are_the_texts(served: tuple[Client, Path], pair: tuple[str, str]) -> None:
    """But for white space before the first word, which a model of words reads in no step."""
    found = compare(served[0], *pair)
    for side, text in zip(("first", "second"), pair, strict=True):
        assert "".join(segment[side]["text"] for segment in found["segments"]) == text


def test_each_side_is_what_it_is_alone(served: tuple[Client, Path]) -> None:
    found = compare(served[0], "best game", "worst game")
    for side, text in (("first", "best game"), ("second", "worst game")):
        alone = served[0].post("/gates", {"text": text, "signals": ["cell_state"]}).json()
        for name in ("tokens", "token_ids", "offsets", "characters", "model", "text", "label"):
            assert found[side][name] == alone[name]
        assert found[side]["probability_so_far"] == pytest.approx(alone["probability_so_far"], abs=1e-6)
        assert found[side]["contributions"]["steps"] == pytest.approx(alone["contributions"]["steps"], abs=1e-6)


@pytest.mark.parametrize("field", ["first", "second"])
def test_a_text_that_cannot_be_read_is_named(served: tuple[Client, Path], field: str) -> None:
    asked = {"first": "good", "second": "good"} | {field: ""}
    (error,) = assert_problem(served[0].post("/gates/compare", asked), 422, "empty-text")["errors"]
    assert error["field"] == field


def test_both_texts_that_cannot_be_read_are_named_and_nothing_is_asked(
    served: tuple[Client, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a batch; a text that can be read is not traced for nothing beside one that cannot."""
    client, _ = served
    monkeypatch.setattr(client.app.state.inference._connection, "trace", None)
    for first, second, fields in (("", "a\0", ["first", "second"]), ("good", "", ["second"]), ("", "good", ["first"])):
        response = client.post("/gates/compare", {"first": first, "second": second})
        errors = assert_problem(response, 422, "empty-text")["errors"]
        assert [error["field"] for error in errors] == fields


def test_when_one_text_fails_the_other_is_given_up(
    served: tuple[Client, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left running without a slot, and the error is that of the text that failed."""
    client, _ = served
    inference, given_up = client.app.state.inference, list[bool]()
    before = inference.trace_slots._slots._value

    async def fail_second(*_: object, **__: object) -> None:
        if not given_up:
            given_up.append(False)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                given_up[0] = True
                raise
        raise OverloadedError(2.5)

    monkeypatch.setattr(inference._connection, "trace", fail_second)
    response = client.post("/gates/compare", {"first": "good", "second": "bad"})
    assert_problem(response, 429, "overloaded")
    assert response.headers["retry-after"] == "3"
    assert given_up == [True]
    assert inference.trace_slots._slots._value == before


def test_two_traces_take_two_slots(served: tuple[Client, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = served
    inference, taken = client.app.state.inference, list[int]()
    trace, before = inference._connection.trace, inference.trace_slots._slots._value

    async def count(*arguments: Any, **options: Any) -> Any:
        taken.append(before - inference.trace_slots._slots._value)
        return await trace(*arguments, **options)

    monkeypatch.setattr(inference._connection, "trace", count)
    compare(client, "good", "bad")
    assert taken == [2, 2]


@pytest.mark.parametrize(("exchanges", "status"), [(1, 200), (2, 503)])
def test_a_model_that_is_exchanged_in_between_is_asked_again(
    served: tuple[Client, Path], monkeypatch: pytest.MonkeyPatch, exchanges: int, status: int
) -> None:
    """Answers of two models cannot be compared; if it happens twice, the client may try again."""
    client, _ = served
    connection = client.app.state.inference._connection
    trace, left = connection.trace, [exchanges]
    asked: list[str] = []

    async def exchange(version: str, *arguments: Any, **options: Any) -> Any:
        asked.append(version)
        if len(asked) % 2 == 0 and left[0]:  # the second of two: the first may have its answer already
            left[0] -= 1
            connection.model = replace(connection.model, version=f"exchanged {left[0]}")
            raise StaleModelError
        return await trace(served_version, *arguments, **options)

    served_model = connection.model
    served_version = served_model.version
    monkeypatch.setattr(connection, "trace", exchange)
    try:
        response = client.post("/gates/compare", {"first": "a", "second": "b"})
    finally:
        connection.model = served_model
    assert response.status_code == status
    assert len(asked) == 4
    assert asked[0] == asked[1] != asked[2] == asked[3]
    if status == 200:
        versions = {response.json()[side]["model"]["version"] for side in ("first", "second")}
        assert versions == {asked[2]}
