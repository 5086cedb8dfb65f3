"""Traces as the client reads them: what the service writes, taken apart and put together again."""

import dataclasses
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.predictor import Predictor
from charlstm.summary import half_life, summarize, summarize_gate
from charlstm.trace import SIGNALS, GateTrace
from service.client.errors import UnexpectedAnswerError
from service.client.gates import Gates, read_trace
from service.forms import to_npz
from service.gates_answers import gates_document
from service.gates_schemas import GatesRequest, GatesResponse
from service.schemas import ModelName
from tests.tiny import tiny_artifacts

MODEL = ModelName(name="tiny", version="0", precision="float32")
TEXT = "Worst update 🎮 ever"


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> GateTrace:
    """Read a text with a model of two layers that pads."""
    directory = tiny_artifacts(tmp_path_factory.mktemp("tiny"), num_layers=2, pad_to=30)
    return Predictor.load(directory, device="cpu").trace(TEXT)


def written(trace: GateTrace, **asked: Any) -> bytes:
    request = GatesRequest.model_validate({"text": trace.text} | asked)
    return to_npz(gates_document(trace, MODEL, request, request.what_if))


@pytest.fixture(scope="module")
def content(trace: GateTrace) -> bytes:
    """Write it once: a zip file tells the time."""
    return written(trace)


def test_a_whole_trace_comes_back_as_it_was(trace: GateTrace) -> None:
    found = read_trace(written(trace))
    assert repr(found) == repr(trace)
    for field in ("prediction", "text", "tokens", "token_ids", "offsets"):
        assert getattr(found, field) == getattr(trace, field)
    np.testing.assert_array_equal(found.probability_so_far, trace.probability_so_far)
    np.testing.assert_array_equal(found.layers, trace.layers)
    for part in dataclasses.fields(trace.attribution):
        shares, expected = (getattr(one.attribution, part.name) for one in (found, trace))
        np.testing.assert_array_equal(shares, expected)


def test_a_part_of_a_trace_is_in_the_order_that_it_was_asked_for_in(trace: GateTrace) -> None:
    content = written(trace, layers=[1, 0], units=[5, 2], steps=[3, 1], signals=["cell_state", "input_gate"])
    gates = Gates.read(content)
    assert gates.layers == (1, 0)
    for layer, number in ((-2, 1), (-1, 0), (0, 0), (1, 1)):
        found = gates.signal("cell_state", layer)
        np.testing.assert_array_equal(found, trace.layers[number].cell_state[[3, 1]][:, [5, 2]])
        assert (gates.units(layer).tolist(), gates.steps(layer).tolist()) == ([5, 2], [3, 1])
    assert gates.tokens == list(trace.tokens)
    assert gates.offsets[-1] == -1
    assert "steps=30, layers=[1, 0]" in repr(gates)
    assert "Worst" not in repr(gates)


def test_a_summary_is_the_cores_own_record(trace: GateTrace) -> None:
    gates = Gates.read(written(trace, detail="summary"))
    for number, layer in enumerate(trace.layers):
        np.testing.assert_array_equal(gates.half_life(number), half_life(layer.forget_gate))
        gate, memory = gates.summary("forget_gate", number), gates.summary("cell_state", number)
        np.testing.assert_array_equal(gate, summarize_gate(layer.forget_gate))
        np.testing.assert_array_equal(memory, summarize(layer.cell_state))
        assert type(gate) is type(summarize_gate(layer.forget_gate))


def test_what_was_otherwise_and_how_to_read_it_come_with_the_arrays(trace: GateTrace) -> None:
    clamps = [{"signal": "cell_state", "value": 0.0}]
    gates = Gates.read(written(trace, clamps=clamps, cut=[{"start": 0, "stop": 2}]))
    assert gates.what_if is not None
    assert (gates.what_if.clamps[0].value, gates.what_if.cut[0].stop) == (0.0, 2)
    assert gates.about.axes == ["step", "unit"]
    assert Gates.read(written(trace)).what_if is None


def test_whatever_the_json_form_has_is_there(trace: GateTrace) -> None:
    """A field that is added to the answer has to be either an array or an attribute."""
    gates = Gates.read(written(trace))
    arrays = {name.partition(".")[0].partition("_0")[0] + "s" * name.startswith("layer_") for name in gates.arrays}
    attributes = set(dir(gates)) | set(type(gates.prediction).model_fields)
    assert GatesResponse.model_fields.keys() <= arrays | attributes


def test_what_was_not_asked_for_is_an_error_that_says_so(trace: GateTrace) -> None:
    part = Gates.read(written(trace, layers=[1], signals=["cell_state"]))
    with pytest.raises(ValueError, match="forget_gate is not in this answer"):
        part.signal("forget_gate")
    with pytest.raises(ValueError, match=r"cell_state\.mean is not in this answer"):
        part.summary("cell_state")
    with pytest.raises(IndexError, match=r"layer must be one of \[1\], found 0"):
        part.signal("cell_state", 0)
    with pytest.raises(IndexError, match=r"layer must be one of \[1\], found -2"):
        part.signal("cell_state", -2)
    with pytest.raises(UnexpectedAnswerError, match="must be a whole trace"):
        read_trace(written(trace, signals=["cell_state"]))


@given(st.data())
def test_a_damaged_answer_is_an_unexpected_one(content: bytes, data: st.DataObject) -> None:
    """Cut or changed anywhere; a change that zip's checksums do not see may pass."""
    if data.draw(st.booleans()):
        damaged = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        place = data.draw(st.integers(0, len(content) - 1))
        damaged = content[:place] + bytes([content[place] ^ data.draw(st.integers(1, 255))]) + content[place + 1 :]
    try:
        read_trace(damaged)
    except UnexpectedAnswerError as error:
        assert "must be" in str(error)  # noqa: PT017  or it is none of the errors that it may be


@pytest.mark.parametrize("left_out", ["metadata", "tokens", "offsets", "contributions.logit", "contributions.units"])
def test_an_answer_without_one_of_its_arrays_is_an_unexpected_one(trace: GateTrace, left_out: str) -> None:
    with np.load(io.BytesIO(written(trace))) as file:
        arrays: Mapping[str, Any] = {name: file[name] for name in file if name != left_out}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with pytest.raises(UnexpectedAnswerError, match="must be"):
        read_trace(buffer.getvalue())


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK", b"\x93NUMPY"])
def test_something_else_is_an_unexpected_answer(content: bytes) -> None:
    with pytest.raises(UnexpectedAnswerError):
        Gates.read(content)


def test_a_pickle_is_not_opened() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, metadata=np.array([object()]), **dict.fromkeys(SIGNALS, np.zeros(1)))  # type: ignore[arg-type]  # ours
    with pytest.raises(UnexpectedAnswerError):
        Gates.read(buffer.getvalue())
