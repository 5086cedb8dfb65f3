"""`/gates` beyond its selection: whose doing the answer is, and what if something had been otherwise."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.clamp import Clamp
from charlstm.predictor import Predictor
from charlstm.trace import SIGNALS, GateTrace
from service.gates_schemas import GatesResponse
from tests.service_fixtures import Client, assert_problem, serving_model
from tests.tiny import HIDDEN_SIZE, texts, tiny_artifacts

TEXT = "so much fun"
KINDS: list[dict[str, Any]] = [
    {"num_layers": 2, "temperature": 1.7},
    {"pad_to": 48},
    {"level": "word"},
    {"casefold": True},
]


@pytest.fixture(scope="module", params=KINDS, ids=["two layers", "padding", "words", "folded"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Path]]:
    folder = tmp_path_factory.mktemp("gates")
    artifacts, path = tiny_artifacts(folder / "artifacts", **request.param), folder / "engine.sock"
    with serving_model(artifacts, path) as client:
        yield client, artifacts


def ask(client: Client, text: str = TEXT, **asked: Any) -> Any:
    response = client.post("/gates", {"text": text} | asked)
    assert response.status_code == 200, response.text
    GatesResponse.model_validate_json(response.content)
    return response.json()


@settings(max_examples=25)
@given(text=texts(max_size=16).map(lambda text: f"a{text}"))
def test_shares_add_up_to_the_logit(served: tuple[Client, Path], text: str) -> None:
    """By step, by word and by unit. Without the residual: it is whatever is missing, so with it any shares add up."""
    answer = ask(served[0], text, signals=["cell_state"], steps=[0])
    found = answer["contributions"]
    start = found["bias"] + found["initial"]
    words = sum(word["share"] for word in found["words"])
    for total in (start + sum(found["steps"]), start + words + found["padding"], found["bias"] + sum(found["units"])):
        assert total == pytest.approx(found["logit"], abs=1e-5)
    assert found["residual"] == pytest.approx(found["logit"] - start - sum(found["steps"]), abs=1e-9)
    assert found["initial"] == 0.0
    assert 1 / (1 + np.exp(-found["logit"])) == pytest.approx(answer["probabilities"]["negative"], abs=1e-6)
    assert len(found["steps"]) == len(answer["tokens"])
    assert len(found["units"]) == HIDDEN_SIZE


def test_an_answer_says_what_was_otherwise(served: tuple[Client, Path]) -> None:
    """So that nobody who is given it takes it for the plain truth."""
    client, _ = served
    clamp = {"signal": "cell_state", "layer": 0, "units": [3], "steps": {"start": 0, "stop": 2}, "value": 0.0}
    cut = {"start": 3, "stop": 8}
    assert ask(client)["what_if"] is None
    assert ask(client, clamps=[clamp], cut=[cut])["what_if"] == {"clamps": [clamp], "cut": [cut]}


def test_precision_rounds_shares_as_well_as_signals(served: tuple[Client, Path]) -> None:
    plain, rounded = ask(served[0]), ask(served[0], precision=2)
    for name in ("steps", "units"):
        assert rounded["contributions"][name] == [round(share, 2) for share in plain["contributions"][name]]
    shares = [word["share"] for word in rounded["contributions"]["words"]]
    assert shares == [round(word["share"], 2) for word in plain["contributions"]["words"]]
    assert rounded["probability"] == pytest.approx(plain["probability"], abs=1e-7)


def test_a_cut_that_leaves_nothing_is_named(served: tuple[Client, Path]) -> None:
    problem = assert_problem(served[0].post("/gates", {"text": TEXT, "cut": [{"start": 0}]}), 422, "empty-text")
    assert problem["errors"][0]["field"] == "cut"
    assert re.search("must leave at least 1 (character|word)", problem["detail"])


@settings(max_examples=15)
@given(text=texts(max_size=16).map(lambda text: f"a{text}"))
def test_words_divide_the_text_and_own_their_steps(served: tuple[Client, Path], text: str) -> None:
    answer = ask(served[0], text, signals=["cell_state"], steps=[0])
    words = answer["contributions"]["words"]
    assert "".join(word["text"] for word in words) == answer["text"] == text
    for word in words:
        assert word["text"] == text[word["start"] : word["stop"]]
        own = [
            share
            for share, offset in zip(answer["contributions"]["steps"], answer["offsets"], strict=True)
            if offset is not None and word["start"] <= offset < word["stop"]
        ]
        assert word["share"] == pytest.approx(sum(own), abs=1e-9)


def test_a_clamp_holds_what_it_says_and_everything_follows(served: tuple[Client, Path]) -> None:
    client, artifacts = served
    predictor = Predictor.load(artifacts, "cpu")
    for signal in SIGNALS:
        asked = {"signal": signal, "units": [3, 5], "steps": {"start": 1, "stop": 3}, "value": 0.25}
        answer = ask(client, clamps=[asked])
        held = np.array(answer["layers"][0][signal])[1:3]
        np.testing.assert_allclose(held[:, [3, 5]], 0.25, atol=1e-6)
        trace = predictor.trace(TEXT, clamps=[Clamp(signal, 0, 0.25, (3, 5), 1, 3)])  # type: ignore[arg-type]  # a name
        for layer, expected in zip(answer["layers"], trace.layers, strict=True):
            for name in SIGNALS:
                np.testing.assert_allclose(layer[name], getattr(expected, name), atol=1e-5)
        assert answer["probabilities"]["negative"] == pytest.approx(float(trace.probability_so_far[-1]), abs=1e-5)
        assert answer["contributions"]["residual"] == pytest.approx(trace.attribution.residual, abs=1e-5)


def test_a_clamp_without_units_and_steps_holds_all_of_them(served: tuple[Client, Path]) -> None:
    for whole in ({}, {"units": None, "steps": None}, {"steps": {"start": 0}}):
        answer = ask(served[0], clamps=[{"signal": "output_gate", "layer": 0, "value": 0.5, **whole}])
        np.testing.assert_allclose(answer["layers"][0]["output_gate"], 0.5)


def test_what_is_cut_out_is_not_read(served: tuple[Client, Path]) -> None:
    """The trace is that of the rest; the offsets and the words count in the whole text."""
    client, _ = served
    found, rest = ask(client, cut=[{"start": 3, "stop": 8}]), ask(client, "so fun")
    assert found["tokens"] == rest["tokens"]
    assert found["characters"] == rest["characters"] == 6
    assert found["text"] == TEXT
    np.testing.assert_allclose(found["probability_so_far"], rest["probability_so_far"], atol=1e-6)
    assert [offset for offset in found["offsets"] if offset is not None] == [
        offset + 5 * (offset >= 3) for offset in rest["offsets"] if offset is not None
    ]
    words = found["contributions"]["words"]
    assert [word["text"] for word in words] == ["so ", "much ", "fun"]
    assert words[1]["share"] == 0.0
    assert words[2]["share"] == pytest.approx(rest["contributions"]["words"][1]["share"], abs=1e-6)


def test_what_is_left_of_a_word_is_read(served: tuple[Client, Path]) -> None:
    """Whatever a token is, the answer is that of the text without what is cut out."""
    client, _ = served
    for start, stop in ((4, 6), (3, 5), (2, 8)):
        found, rest = ask(client, cut=[{"start": start, "stop": stop}]), ask(client, TEXT[:start] + TEXT[stop:])
        for name in ("tokens", "token_ids", "characters", "unknown_characters"):
            assert found[name] == rest[name]
        assert found["probabilities"]["negative"] == pytest.approx(rest["probabilities"]["negative"], abs=1e-6)


@pytest.mark.parametrize("path", ["/gates", "/gates/compare", "/v2/models/tiny/infer"])
def test_shares_are_worked_out_beside_the_event_loop(
    served: tuple[Client, Path], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """They take milliseconds for a long text."""
    put_together, threads = GateTrace.of, list[threading.Thread]()

    def tell(*arguments: Any) -> GateTrace:
        threads.append(threading.current_thread())
        return put_together(*arguments)

    monkeypatch.setattr(GateTrace, "of", tell)
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [TEXT]}
    asked: dict[str, Any] = {
        "/gates": {"text": TEXT},
        "/gates/compare": {"first": TEXT, "second": "so bad"},
        "/v2/models/tiny/infer": {"inputs": [tensor], "outputs": [{"name": "tokens"}]},
    }
    assert served[0].post(path, asked[path]).status_code == 200
    assert threads
    assert threading.main_thread() not in threads


def test_cuts_may_overlap_and_reach_to_the_end(served: tuple[Client, Path]) -> None:
    found = ask(served[0], cut=[{"start": 2, "stop": 5}, {"start": 3, "stop": 8}, {"start": 8}])
    assert [token for token in found["tokens"] if token != "<PAD>"] == ask(served[0], "so")["tokens"][:2]  # noqa: S105
    assert found["characters"] == 2


def test_a_cut_and_a_clamp_count_steps_of_what_is_read(served: tuple[Client, Path]) -> None:
    client, _ = served
    steps = len(ask(client, "so")["tokens"])
    clamp = {"signal": "cell_state", "steps": {"start": 0, "stop": steps + 1}, "value": 0}
    response = client.post("/gates", {"text": TEXT, "cut": [{"start": 2}], "clamps": [clamp]})
    (error,) = assert_problem(response, 422, "invalid-request")["errors"]
    assert (error["field"], error["limit"], error["found"]) == ("clamps[0].steps.stop", steps, steps + 1)


@settings(max_examples=25)
@given(
    clamps=st.lists(
        st.fixed_dictionaries(
            {"signal": st.sampled_from(SIGNALS), "value": st.sampled_from([0.0, 0.5, 1.0])},
            optional={"units": st.lists(st.integers(0, HIDDEN_SIZE - 1), min_size=1, unique=True)},
        ),
        max_size=4,
    ),
    detail=st.sampled_from(["full", "summary"]),
)
def test_no_clamp_makes_an_answer_without_numbers(
    served: tuple[Client, Path], clamps: list[dict[str, Any]], detail: str
) -> None:
    """JSON has no NaN: every number is one, but for the half-life of a memory that forgets nothing."""
    answer = ask(served[0], clamps=clamps, detail=detail)
    assert None not in answer["probability_so_far"]
    assert None not in answer["contributions"]["steps"]
    for layer in answer["layers"]:
        for name in SIGNALS:
            figures = layer[name].values() if detail == "summary" else layer[name]
            assert all(value is not None for row in figures for value in row)


INVALID: dict[str, tuple[dict[str, Any], str, int | None, object]] = {
    "unknown signal": ({"clamps": [{"signal": "gate", "value": 0}]}, "clamps[0].signal", None, None),
    "no value": ({"clamps": [{"signal": "cell_state"}]}, "clamps[0].value", None, None),
    "no number": ({"clamps": [{"signal": "cell_state", "value": "0"}]}, "clamps[0].value", None, "string"),
    "not a number": ({"clamps": [{"signal": "cell_state", "value": float("nan")}]}, "clamps[0].value", None, None),
    "infinite": ({"clamps": [{"signal": "cell_state", "value": float("inf")}]}, "clamps[0].value", None, None),
    "more than open": ({"clamps": [{"signal": "forget_gate", "value": 1.5}]}, "clamps[0].value", None, None),
    "below a tanh": ({"clamps": [{"signal": "hidden_state", "value": -1.5}]}, "clamps[0].value", None, None),
    "immense memory": ({"clamps": [{"signal": "cell_state", "value": 1e30}]}, "clamps[0].value", None, None),
    "no such layer": ({"clamps": [{"signal": "cell_state", "layer": 2, "value": 0}]}, "clamps[0].layer", None, 2),
    "no such unit": (
        {"clamps": [{"signal": "cell_state", "units": [0, 8], "value": 0}]},
        "clamps[0].units[1]",
        HIDDEN_SIZE - 1,
        8,
    ),
    "no such step": (
        {"clamps": [{"signal": "cell_state", "steps": {"start": 99}, "value": 0}]},
        "clamps[0].steps.start",
        None,
        99,
    ),
    "no object": ({"clamps": [0]}, "clamps[0]", None, "number"),
    "a long name": ({"model": "m" * 65}, "model", 64, 65),
    "too many": ({"clamps": [{"signal": "cell_state", "value": 0}] * 65}, "clamps", 64, 65),
    "a cut beyond the text": ({"cut": [{"start": 0, "stop": 12}]}, "cut[0].stop", 11, 12),
    "a cut behind the text": ({"cut": [{"start": 0, "stop": 1}, {"start": 11}]}, "cut[1].start", 10, 11),
    "a cut of nothing": ({"cut": [{"start": 3, "stop": 3}]}, "cut[0].stop", 11, 3),
    "a negative cut": ({"cut": [{"start": -3, "stop": 3}]}, "cut[0].start", 0, -3),
    "too many cuts": ({"cut": [{}] * 65}, "cut", 64, 65),
}


@pytest.mark.parametrize(("asked", "field", "limit", "found"), INVALID.values(), ids=INVALID.keys())
def test_what_cannot_be_is_refused_by_name(
    served: tuple[Client, Path], asked: dict[str, Any], field: str, limit: int | None, found: object
) -> None:
    """A limit of None here is one that depends on the model, or none."""
    response = served[0].post("/gates", {"text": TEXT} | asked)
    (error,) = assert_problem(response, 422, "invalid-request")["errors"]
    assert (error["field"], error.get("found")) == (field, found)
    assert limit is None or error["limit"] == limit


def test_an_empty_text_is_said_to_be_empty_whatever_is_cut_out_of_it(served: tuple[Client, Path]) -> None:
    assert_problem(served[0].post("/gates", {"text": "", "cut": [{"start": 0, "stop": 1}]}), 422, "empty-text")


def test_a_text_of_one_token_has_a_trace_of_one_step(served: tuple[Client, Path]) -> None:
    client, artifacts = served
    answer = ask(client, "a", detail="summary", layers=[0], units={"top": 2, "by": "variance"})
    assert answer["layers"][0]["steps"] == list(range(len(answer["tokens"])))
    assert answer["probabilities"]["negative"] == pytest.approx(
        Predictor.load(artifacts, "cpu").predict("a").probability_negative, abs=1e-6
    )
