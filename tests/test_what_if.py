"""A trace with signals held by force, against the cell in NumPy that is interfered with in the same way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.clamp import Clamp
from charlstm.predictor import Predictor
from charlstm.trace import SIGNALS, GateTrace
from tests.tiny import HIDDEN_SIZE, tiny_artifacts

TEXT = "I hate waiting in line"


@pytest.fixture(scope="module", params=[1, 2])
def predictor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    directory = tmp_path_factory.mktemp("what-if")
    return Predictor.load(tiny_artifacts(directory, num_layers=request.param, temperature=1.3), device="cpu")


clamps = st.builds(
    Clamp,
    signal=st.sampled_from(SIGNALS),
    layer=st.just(0),
    value=st.floats(0, 1, width=32),
    units=st.none() | st.lists(st.integers(0, HIDDEN_SIZE - 1), min_size=1, max_size=3).map(tuple),
    start=st.integers(0, len(TEXT) - 1),
    stop=st.none() | st.integers(1, len(TEXT)),
)


def stepped(predictor: Predictor, token_ids: tuple[int, ...], held: list[Clamp]) -> dict[str, np.ndarray]:
    """Work layer 0 in NumPy, one step at a time, in float64: {signal: (T, H)}."""
    state = {name: tensor.double().numpy() for name, tensor in predictor.artifacts.model.state_dict().items()}
    hidden, cell = np.zeros(HIDDEN_SIZE), np.zeros(HIDDEN_SIZE)
    steps: dict[str, list[np.ndarray]] = {name: [] for name in SIGNALS}

    def keep(name: str, value: np.ndarray) -> np.ndarray:
        value = value.copy()
        for clamp in held:
            last = len(token_ids) if clamp.stop is None else clamp.stop
            if clamp.signal == name and clamp.start <= len(steps[name]) < last:
                value[list(clamp.units) if clamp.units is not None else slice(None)] = clamp.value
        steps[name].append(value)
        return value

    for token_id in token_ids:
        read = state["embedding.weight"][token_id]
        stacked = state["lstm.weight_ih_l0"] @ read + state["lstm.bias_ih_l0"]
        stacked = stacked + state["lstm.weight_hh_l0"] @ hidden + state["lstm.bias_hh_l0"]
        write, forget, candidate, show = np.split(stacked, 4)
        forget = keep("forget_gate", 1 / (1 + np.exp(-forget)))
        write = keep("input_gate", 1 / (1 + np.exp(-write)))
        candidate = keep("candidate", np.tanh(candidate))
        show = keep("output_gate", 1 / (1 + np.exp(-show)))
        cell = keep("cell_state", forget * cell + write * candidate)
        hidden = keep("hidden_state", show * np.tanh(cell))
    return {name: np.stack(values) for name, values in steps.items()}


@settings(max_examples=50)
@given(held=st.lists(clamps, min_size=1, max_size=3))
def test_every_signal_equals_a_cell_that_is_held_in_the_same_way(predictor: Predictor, held: list[Clamp]) -> None:
    trace = predictor.trace(TEXT, clamps=held)
    for name, expected in stepped(predictor, trace.token_ids, held).items():
        np.testing.assert_allclose(getattr(trace.layers[0], name), expected, atol=1e-5, err_msg=name)


def assert_same(found: GateTrace, expected: GateTrace) -> None:
    for layer, other in zip(found.layers, expected.layers, strict=True):
        for name in SIGNALS:
            np.testing.assert_allclose(getattr(layer, name), getattr(other, name), atol=1e-6, err_msg=name)
    np.testing.assert_allclose(found.probability_so_far, expected.probability_so_far, atol=1e-6)


def test_holding_what_it_would_be_anyway_changes_nothing(predictor: Predictor) -> None:
    """For each signal: one unit held for one step at the value that it has there."""
    plain = predictor.trace(TEXT)
    for name in SIGNALS:
        value = float(getattr(plain.layers[0], name)[4, 2])
        held = Clamp(signal=name, layer=0, value=value, units=(2,), start=4, stop=5)  # type: ignore[arg-type]  # a field name
        assert_same(predictor.trace(TEXT, clamps=[held]), plain)


def test_what_is_before_a_clamp_stays_as_it_was(predictor: Predictor) -> None:
    plain = predictor.trace(TEXT)
    changed = predictor.trace(TEXT, clamps=[Clamp("cell_state", 0, 0.9, start=10)])
    np.testing.assert_allclose(changed.probability_so_far[:10], plain.probability_so_far[:10], atol=1e-6)
    assert not np.allclose(changed.probability_so_far[10:], plain.probability_so_far[10:], atol=1e-3)


def test_shares_add_up_under_a_clamp_too_unless_it_hides_the_memory(predictor: Predictor) -> None:
    """A top layer that shows something else than its memory leaves a residual, and the answer says how large."""
    top = len(predictor.trace(TEXT).layers) - 1
    held = predictor.trace(TEXT, clamps=[Clamp("cell_state", top, 0.0, start=3, stop=9)])
    assert abs(held.attribution.residual) < 1e-5
    hidden = predictor.trace(TEXT, clamps=[Clamp("hidden_state", top, 0.5)])
    assert abs(hidden.attribution.residual) > 1e-3


@pytest.mark.parametrize(
    ("clamp", "message"),
    [
        (Clamp("cell_state", 0, 0.0, units=(HIDDEN_SIZE,)), "units must be 0 to 7, found 8"),
        (Clamp("cell_state", 0, 0.0, units=(-1,)), "units must be 0 to 7, found -1"),
        (Clamp("forget_gate", 0, 3.0), "value must be 0 to 1 for forget_gate, found 3"),
        (Clamp("hidden_state", 0, float("nan")), "value must be -1 to 1"),
        (Clamp("cell_state", 0, 0.0, start=22), "start must be 0 to 21, found 22"),
        (Clamp("cell_state", 0, 0.0, stop=99), "stop must be 0 to 22, found 99"),
        (Clamp("cell_state", 7, 0.0), "layer must be 0 to [01], found 7"),
        (Clamp("cell_state", -1, 0.0), "layer must be 0 to [01], found -1"),
        (Clamp("cell_stat", 0, 0.0), "signal must be one of forget_gate, .* found 'cell_stat'"),  # type: ignore[arg-type]  # the fault
    ],
)
def test_what_there_is_not_cannot_be_held(predictor: Predictor, clamp: Clamp, message: str) -> None:
    """Passed over, it would look as if it did not matter."""
    with pytest.raises((IndexError, ValueError), match=message):
        predictor.trace(TEXT, clamps=[clamp])
