"""The cell in NumPy, against numbers worked out by hand and against PyTorch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charlstm.reference import (
    Array,
    Cell,
    Gate,
    cell_from_state_dict,
    forget_gate,
    input_gate,
    output_gate,
    scalar_cell,
    sigmoid,
)
from tests.tiny import random_tensor

# x = 1, short-term memory 1/2. sigmoid(ln 3) = 3/4, sigmoid(-ln 3) = 1/4, sigmoid(0) = 1/2, tanh(ln 2) = 3/5 and
# tanh(ln 3) = 4/5, so a cell with these weights can be worked with pencil and paper. Each row: the weight of the
# input, the weight of the short-term memory, and the bias that brings the sum to the wanted value.
LN2, LN3 = math.log(2), math.log(3)
FORGET = (3.0, 2.0, LN3 - 4.0)
INPUT = (0.5, -1.0, -LN3)
CANDIDATE = (-1.0, 4.0, LN2 - 1.0)
OUTPUT = (0.25, 0.5, -0.5)
ROWS = (FORGET, CANDIDATE, INPUT, OUTPUT)  # the article's order
WEIGHTS = [weight for *weights, _ in ROWS for weight in weights]
BIASES = [bias for *_, bias in ROWS]

numbers = st.floats(-3, 3)


def number(value: float) -> Array:
    return np.asarray(value, dtype=np.float64)


def lstm(input_size: int, hidden_size: int, num_layers: int, seed: int) -> torch.nn.LSTM:
    made = torch.nn.LSTM(input_size, hidden_size, num_layers, batch_first=True, dtype=torch.float64)
    for place, parameter in enumerate(made.parameters()):
        parameter.data = random_tensor(*parameter.shape, seed=seed * 100 + place, dtype=torch.float64)
    return made


def numpy_state(module: torch.nn.Module) -> dict[str, Array]:
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def test_each_gate_gives_the_numbers_worked_out_by_hand() -> None:
    cell, x, short_term = scalar_cell(WEIGHTS, BIASES), number(1.0), number(0.5)
    assert forget_gate(cell.forget, x, short_term) == pytest.approx(3 / 4)
    assert input_gate(cell.input, cell.candidate, x, short_term) == pytest.approx((1 / 4, 3 / 5))
    # 0.5 * 0.5 + 0.25 * 1 - 0.5 = 0
    assert output_gate(cell.output, x, short_term) == pytest.approx(1 / 2)


def test_one_step_of_the_scalar_cell_gives_the_numbers_worked_out_by_hand() -> None:
    """A long-term memory that becomes ln 3, because 3/4 of it and 1/4 of 3/5 make that."""
    step = scalar_cell(WEIGHTS, BIASES).step(number(1.0), number((LN3 - 3 / 20) * 4 / 3), number(0.5))
    assert step.cell_state == pytest.approx(LN3)
    assert step.hidden_state == pytest.approx(1 / 2 * 4 / 5)


def test_two_steps_from_empty_memories_give_the_numbers_worked_out_by_hand() -> None:
    """With weights of the short-term memory of 0 the gates are the same in both steps, and c goes 3/20, 21/80."""
    still = [0.0, 0.0, LN2, 0.0, 0.0, 0.0, 0.0, 0.0], [LN3, 0.0, -LN3, 0.0]
    first, second = scalar_cell(*still).forward([number(1.0), number(1.0)])
    assert (first.cell_state, second.cell_state) == pytest.approx((3 / 20, 3 / 4 * 3 / 20 + 3 / 20))
    assert second.hidden_state == pytest.approx(math.tanh(21 / 80) / 2)


def test_the_short_term_memory_of_a_step_is_read_by_the_next() -> None:
    """The input is 0 and only the forget gate's weight of the short-term memory is not."""
    cell = scalar_cell([0.0, 8.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0])
    first, second = cell.forward([number(0.0), number(0.0)])
    assert first.forget_gate == pytest.approx(1 / 2)
    assert second.forget_gate == pytest.approx(1 / (1 + math.exp(-8 * float(first.hidden_state))))
    assert second.forget_gate > 0.75


def test_a_sequence_may_start_from_other_memories() -> None:
    """Reading on from the memories of a first half equals reading the whole."""
    cell, inputs = scalar_cell(WEIGHTS, BIASES), [number(x) for x in (0.5, 0.6, 0.7, 0.8, 0.9)]
    whole, first = cell.forward(inputs), cell.forward(inputs[:2])[-1]
    assert cell.forward(inputs[2:], first.cell_state, first.hidden_state) == whole[2:]


@pytest.mark.parametrize(("x", "expected"), [(0.0, 1 / 2), (LN3, 3 / 4), (-LN3, 1 / 4), (100.0, 1.0), (-100.0, 0.0)])
def test_sigmoid_is_a_percentage(x: float, expected: float) -> None:
    assert sigmoid(number(x)) == pytest.approx(expected)


@pytest.mark.parametrize(("weights", "biases"), [(7, 4), (9, 4), (8, 3), (8, 5)])
def test_a_scalar_cell_has_eight_weights_and_four_biases(weights: int, biases: int) -> None:
    with pytest.raises(ValueError, match="unpack"):
        scalar_cell([0.0] * weights, [0.0] * biases)


@given(weights=st.lists(numbers, min_size=12, max_size=12), inputs=st.lists(numbers, min_size=1, max_size=8))
def test_a_cell_of_one_unit_in_vector_form_equals_the_scalar_cell(weights: list[float], inputs: list[float]) -> None:
    scalar = scalar_cell(weights[:8], weights[8:])

    def vector(gate: Gate) -> Gate:
        return Gate(gate.input_weight.reshape(1, 1), gate.memory_weight.reshape(1, 1), gate.bias.reshape(1))

    one_unit = Cell(vector(scalar.forget), vector(scalar.input), vector(scalar.candidate), vector(scalar.output))
    by_number = scalar.forward([number(x) for x in inputs])
    by_vector = one_unit.forward(np.array(inputs)[:, None])
    for step, same in zip(by_number, by_vector, strict=True):
        for name, value in vars(step).items():
            assert getattr(same, name) == pytest.approx(value.reshape(1), abs=1e-14), name


@given(seed=st.integers(0, 1000), input_size=st.integers(1, 5), hidden_size=st.integers(1, 6))
def test_one_step_equals_the_lstm_cell_of_pytorch(seed: int, input_size: int, hidden_size: int) -> None:
    theirs = torch.nn.LSTMCell(input_size, hidden_size, dtype=torch.float64)
    for place, parameter in enumerate(theirs.parameters()):
        parameter.data = random_tensor(*parameter.shape, seed=seed * 100 + place, dtype=torch.float64)
    x, hidden, cell = (random_tensor(size, seed=seed) for size in (input_size, hidden_size, hidden_size + 1))
    x, hidden, cell = x.double(), hidden.double(), cell[1:].double()
    with torch.inference_mode():
        expected_hidden, expected_cell = theirs(x, (hidden, cell))
    state = {f"{name}_l0": array for name, array in numpy_state(theirs).items()}
    step = cell_from_state_dict(state).step(x.numpy(), cell.numpy(), hidden.numpy())
    np.testing.assert_allclose(step.hidden_state, expected_hidden.numpy(), atol=1e-10, rtol=0)
    np.testing.assert_allclose(step.cell_state, expected_cell.numpy(), atol=1e-10, rtol=0)


@given(seed=st.integers(0, 1000), num_layers=st.integers(1, 2), steps=st.integers(1, 30), hidden_size=st.integers(1, 6))
def test_a_sequence_equals_the_lstm_of_pytorch(seed: int, num_layers: int, steps: int, hidden_size: int) -> None:
    theirs = lstm(3, hidden_size, num_layers, seed)
    inputs = random_tensor(1, steps, 3, seed=seed, dtype=torch.float64)
    with torch.inference_mode():
        expected, (last_hidden, last_cell) = theirs(inputs)
    values: Array = inputs[0].numpy()
    for layer in range(num_layers):
        trace = cell_from_state_dict(numpy_state(theirs), layer).forward(values)
        values = np.stack([step.hidden_state for step in trace])
        np.testing.assert_allclose(trace[-1].cell_state, last_cell[layer, 0].numpy(), atol=1e-10, rtol=0)
        np.testing.assert_allclose(trace[-1].hidden_state, last_hidden[layer, 0].numpy(), atol=1e-10, rtol=0)
    np.testing.assert_allclose(values, expected[0].numpy(), atol=1e-10, rtol=0)


def test_an_empty_sequence_has_no_steps() -> None:
    assert scalar_cell(WEIGHTS, BIASES).forward([]) == []
