"""Which part of a trace an answer holds: what is asked for, as NumPy would take it out of the whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.predictor import Predictor
from charlstm.summary import half_life, rank_units, summarize, summarize_gate
from charlstm.trace import SIGNALS
from service.gates_schemas import GatesResponse
from tests.service_fixtures import Client, assert_problem, serving_model
from tests.tiny import HIDDEN_SIZE, texts, tiny_artifacts

TEXT = "so much fun"
GATES = ("forget_gate", "input_gate", "output_gate")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"), num_layers=2)


@pytest.fixture(scope="module")
def client(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    path = tmp_path_factory.mktemp("engine") / "engine.sock"
    with serving_model(artifacts, path) as client:
        yield client


def ask(client: Client, **asked: Any) -> Any:
    response = client.post("/gates", {"text": TEXT} | asked)
    assert response.status_code == 200, response.text
    GatesResponse.model_validate_json(response.content)
    return response.json()


def indices(count: int) -> st.SearchStrategy[Any]:
    """Draw a choice out of so many, in either form that the request has for it."""
    several = st.lists(st.integers(0, count - 1), min_size=1, unique=True)
    spans = st.tuples(st.integers(0, count - 1), st.integers(1, count)).filter(lambda span: span[0] < span[1])
    return (
        several
        | spans.map(lambda span: {"start": span[0], "stop": span[1]})
        | st.integers(1, count).map(lambda stop: {"stop": stop})
        | st.integers(0, count - 1).map(lambda start: {"start": start})
    )


def numbers(asked: Any, count: int) -> list[int]:
    if asked is None:
        return list(range(count))
    return asked if isinstance(asked, list) else list(range(count))[asked.get("start", 0) : asked.get("stop")]


@given(
    text=texts(max_size=12),
    signals=st.none() | st.lists(st.sampled_from(SIGNALS), min_size=1, unique=True),
    layers=st.none() | st.lists(st.integers(0, 1), min_size=1, unique=True),
    units=st.none() | indices(HIDDEN_SIZE),
    data=st.data(),
)
def test_a_selection_is_what_numpy_takes_out_of_the_whole(  # noqa: PLR0913, PLR0917  one for each field
    client: Client, text: str, signals: Any, layers: Any, units: Any, data: st.DataObject
) -> None:
    """Whatever is chosen, and in whatever order; all that is not in `layers` stays as it is."""
    whole = ask(client, text=text)
    steps = data.draw(st.none() | indices(len(whole["tokens"])))
    found = ask(client, text=text, signals=signals, layers=layers, units=units, steps=steps)
    rows, columns = numbers(steps, len(whole["tokens"])), numbers(units, HIDDEN_SIZE)
    assert [layer["layer"] for layer in found["layers"]] == numbers(layers, 2)
    for layer in found["layers"]:
        assert (layer["steps"], layer["units"]) == (rows, columns)
        assert layer.keys() == {"layer", "steps", "units", *(signals or SIGNALS)}
        for name in signals or SIGNALS:
            expected = np.array(whole["layers"][layer["layer"]][name])[np.ix_(rows, columns)]
            np.testing.assert_allclose(layer[name], expected, atol=1e-6)
    for name in found.keys() - {"layers", "probability", "probabilities", "probability_so_far", "contributions"}:
        assert found[name] == whole[name]
    np.testing.assert_allclose(found["probability_so_far"], whole["probability_so_far"], atol=1e-6)
    np.testing.assert_allclose(found["contributions"]["steps"], whole["contributions"]["steps"], atol=1e-6)


def test_the_foremost_units_come_in_their_order(client: Client, artifacts: Path) -> None:
    trace = Predictor.load(artifacts, "cpu").trace(TEXT)
    for by in ("share", "variance", "saturation"):
        (layer,) = ask(client, layers=[1], units={"top": 3, "by": by})["layers"]
        assert layer["units"] == rank_units(trace, 1, by)[:3].tolist()
        np.testing.assert_allclose(layer["cell_state"], trace.layers[1].cell_state[:, layer["units"]], atol=1e-6)
    (layer,) = ask(client, layers=[1], units={"top": HIDDEN_SIZE})["layers"]
    assert layer["units"] == rank_units(trace, 1, "share").tolist()


def test_a_summary_is_over_the_chosen_units_at_the_chosen_steps(client: Client, artifacts: Path) -> None:
    layers = Predictor.load(artifacts, "cpu").trace(TEXT).layers
    for units in (list(range(HIDDEN_SIZE)), [5, 1]):
        found = ask(client, detail="summary", units=units, steps={"start": 2})
        assert found["about"]["axes"] == ["step"]
        for layer, trace in zip(found["layers"], layers, strict=True):
            assert layer["steps"] == list(range(2, len(TEXT)))
            np.testing.assert_allclose(layer["half_life"], half_life(trace.forget_gate[2:, units]), rtol=1e-4)
            for name in SIGNALS:
                values = getattr(trace, name)[2:, units]
                expected = summarize_gate(values) if name in GATES else summarize(values)
                assert layer[name].keys() == set(expected._fields)
                for figure, row in expected._asdict().items():
                    np.testing.assert_allclose(layer[name][figure], row, atol=1e-5, err_msg=f"{name}.{figure}")


def test_a_memory_of_which_nothing_is_forgotten_has_no_half_life(client: Client) -> None:
    keep = {"signal": "forget_gate", "layer": 0, "value": 1.0}
    below, above = ask(client, detail="summary", clamps=[keep])["layers"]
    assert below["half_life"] == [None] * len(TEXT)
    assert None not in above["half_life"]


def test_numbers_are_rounded_to_the_digits_asked_for(client: Client) -> None:
    whole = ask(client)
    for precision in (0, 3):
        rounded = ask(client, precision=precision)
        for layer, expected in zip(rounded["layers"], whole["layers"], strict=True):
            for name in SIGNALS:
                for row, other in zip(layer[name], expected[name], strict=True):
                    assert row == pytest.approx([round(value, precision) for value in other], abs=1.01 * 10**-precision)
                    assert row == [round(value, precision) for value in row]
        assert rounded["contributions"]["logit"] == round(whole["contributions"]["logit"], precision)
        assert rounded["probability"] == pytest.approx(whole["probability"], abs=1e-6)
    (layer, _) = ask(client, detail="summary", precision=2)["layers"]
    assert layer["forget_gate"]["mean"] == [round(value, 2) for value in layer["forget_gate"]["mean"]]


INVALID: dict[str, tuple[dict[str, Any], str, int | None, object]] = {
    "unknown detail": ({"detail": "half"}, "detail", None, None),
    "unknown signal": ({"signals": ["forget_gate", "gate"]}, "signals[1]", None, None),
    "no signal": ({"signals": []}, "signals", 1, 0),
    "a signal twice": ({"signals": ["candidate", "candidate"]}, "signals", None, None),
    "a layer too many": ({"layers": [0, 2]}, "layers[1]", 1, 2),
    "no unit": ({"units": []}, "units", 1, 0),
    "a unit twice": ({"units": [1, 2, 1]}, "units", None, None),
    "a unit too many": ({"units": [0, 8]}, "units[1]", 7, 8),
    "a negative unit": ({"units": [-1]}, "units[0]", 0, -1),
    "half a unit": ({"units": [0.5]}, "units[0]", None, "number"),
    "an immense unit": ({"units": [10**30]}, "units[0]", 1 << 31, None),
    "a word for units": ({"units": "all"}, "units", None, "string"),
    "units that start too late": ({"units": {"start": 8}}, "units.start", 7, 8),
    "units that stop too late": ({"units": {"start": 0, "stop": 9}}, "units.stop", 8, 9),
    "units that stop before": ({"units": {"start": 4, "stop": 4}}, "units.stop", 8, 4),
    "more than all units": ({"layers": [1], "units": {"top": 9}}, "units.top", 8, 9),
    "the foremost none": ({"layers": [1], "units": {"top": 0}}, "units.top", 1, 0),
    "unknown ranking": ({"units": {"top": 1, "by": "size"}}, "units.by", None, None),
    "a ranking of none": ({"units": {"by": "variance"}}, "units.top", None, None),
    "a ranking and a range": ({"units": {"top": 1, "start": 0}}, "units.top", None, None),
    "shares below the top": ({"units": {"top": 1}}, "units.by", 1, 0),
    "steps beyond the end": ({"steps": {"start": 0, "stop": len(TEXT) + 1}}, "steps.stop", len(TEXT), len(TEXT) + 1),
    "a step beyond the end": ({"steps": [len(TEXT)]}, "steps[0]", len(TEXT) - 1, len(TEXT)),
    "the foremost steps": ({"steps": {"top": 3}}, "steps.top", None, None),
    "negative digits": ({"precision": -1}, "precision", 0, -1),
    "too many digits": ({"precision": 10}, "precision", 9, 10),
}


@pytest.mark.parametrize(("asked", "field", "limit", "found"), INVALID.values(), ids=INVALID.keys())
def test_what_there_is_not_is_refused_by_name(
    client: Client, asked: dict[str, Any], field: str, limit: int | None, found: object
) -> None:
    response = client.post("/gates", {"text": TEXT} | asked)
    (error,) = assert_problem(response, 422, "invalid-request")["errors"]
    assert (error["field"], error.get("limit"), error.get("found")) == (field, limit, found)


def test_a_choice_of_steps_is_held_against_the_text_as_it_was_read(tmp_path: Path) -> None:
    """After it was cut to the model's limit, and with the padding that the model reads."""
    folder, path = tiny_artifacts(tmp_path / "artifacts", max_length=4, pad_to=6), tmp_path / "engine.sock"
    with serving_model(folder, path) as client:
        cut = ask(client, truncate=True, steps=[3, 4])
        assert cut["text"] == TEXT[:4]
        assert cut["offsets"] == [0, 1, 2, 3, None, None]
        assert np.shape(cut["layers"][0]["cell_state"]) == (2, HIDDEN_SIZE)
        asked = {"text": TEXT, "truncate": True, "steps": [6]}
        (error,) = assert_problem(client.post("/gates", asked), 422, "invalid-request")["errors"]
        assert (error["field"], error["limit"]) == ("steps[0]", 5)
