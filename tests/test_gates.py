"""The trace, against the cell in NumPy."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from charlstm.config import ModelConfig
from charlstm.gates import LayerSignals, LayerState, linear_recurrence, trace_layers
from charlstm.model import SentimentLSTM
from charlstm.reference import Array, Step, cell_from_state_dict
from charlstm.trace import SIGNALS
from tests.tiny import random_tensor, tiny_model

HIDDEN_SIZE, EMBEDDING_DIM = 6, 5

seeds = st.integers(0, 10_000)
lengths = st.integers(1, 40)
layer_counts = st.integers(1, 2)


def network(seed: int, num_layers: int, *, scale: float = 0.7, hidden_size: int = HIDDEN_SIZE) -> SentimentLSTM:
    config = ModelConfig(num_embeddings=4, embedding_dim=EMBEDDING_DIM, hidden_size=hidden_size, num_layers=num_layers)
    return tiny_model(config, seed=seed, scale=scale)


def inputs_of(steps: int, seed: int, *, texts: int = 1) -> Tensor:
    return random_tensor(texts, steps, EMBEDDING_DIM, seed=seed)


@torch.inference_mode()
def traced(model: SentimentLSTM, embedded: Tensor) -> list[LayerSignals]:
    return trace_layers(model, embedded)


def worked_step_by_step(model: SentimentLSTM, embedded: Tensor) -> Iterator[list[Step]]:
    """Work each layer of one text (T, E) in NumPy, in float64."""
    state = {name: tensor.double().numpy() for name, tensor in model.lstm.state_dict().items()}
    values: Array = embedded.double().numpy()
    for layer in range(model.config.num_layers):
        steps = cell_from_state_dict(state, layer).forward(values)
        values = np.stack([step.hidden_state for step in steps])  # (T, H)
        yield steps


def assert_equals_the_cell(model: SentimentLSTM, embedded: Tensor, *, within: float = 1e-5) -> None:
    layers = traced(model, embedded)
    for number, (signals, steps) in enumerate(zip(layers, worked_step_by_step(model, embedded[0]), strict=True)):
        for name in SIGNALS:
            expected = np.stack([getattr(step, name) for step in steps])
            found = getattr(signals, name)[0].numpy()
            np.testing.assert_allclose(found, expected, atol=within, rtol=0, err_msg=f"layer {number}, {name}")


@given(seed=seeds, steps=lengths, num_layers=layer_counts)
def test_every_signal_of_every_step_equals_the_numpy_cell(seed: int, steps: int, num_layers: int) -> None:
    assert_equals_the_cell(network(seed, num_layers), inputs_of(steps, seed))


@pytest.mark.parametrize("num_layers", [1, 2])
def test_long_texts_do_not_drift_from_the_numpy_cell(num_layers: int) -> None:
    assert_equals_the_cell(network(1, num_layers), inputs_of(500, 2))


@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_memory_that_never_forgets_stays_exact_over_a_long_text(num_layers: int) -> None:
    """With the forget gate open all along, the memory sums 500 contributions."""
    model = network(3, num_layers)
    with torch.inference_mode():
        for layer in range(num_layers):
            getattr(model.lstm, f"bias_ih_l{layer}")[HIDDEN_SIZE : 2 * HIDDEN_SIZE] = 12.0
            getattr(model.lstm, f"weight_hh_l{layer}").zero_()
    embedded = inputs_of(500, 4)
    assert traced(model, embedded)[0].forget_gate.min() > 0.999
    signals = traced(model, embedded)[0]
    (steps, *_) = worked_step_by_step(model, embedded[0])
    expected = np.stack([step.cell_state for step in steps])
    assert np.abs(expected).max() > 10
    np.testing.assert_allclose(signals.cell_state[0].numpy(), expected, atol=1e-4, rtol=1e-5)


@given(seed=seeds, steps=lengths, num_layers=layer_counts)
def test_gates_driven_to_their_ends_still_equal_the_numpy_cell(seed: int, steps: int, num_layers: int) -> None:
    """Biases of +-40 shut or open each gate of each unit completely: exactly 0 and 1 in float32."""
    model = network(seed, num_layers)
    with torch.inference_mode():
        for layer in range(num_layers):
            bias = getattr(model.lstm, f"bias_ih_l{layer}")
            bias.copy_(40 * random_tensor(*bias.shape, seed=seed + layer).sign())
    assert_equals_the_cell(model, inputs_of(steps, seed))
    gate = traced(model, inputs_of(steps, seed))[0].forget_gate
    assert ((gate < 1e-10) | (gate == 1)).all()


@settings(max_examples=30)
@given(seed=seeds, steps=lengths, num_layers=layer_counts)
def test_in_double_precision_large_weights_equal_the_numpy_cell(seed: int, steps: int, num_layers: int) -> None:
    """Large weights saturate gates by what is read; such a network amplifies rounding, hence the double precision."""
    model = network(seed, num_layers, scale=3.0).double()
    assert_equals_the_cell(model, inputs_of(steps, seed).double(), within=1e-9)


@given(seed=seeds, steps=lengths, num_layers=layer_counts)
def test_the_traced_hidden_states_are_those_of_the_fused_lstm(seed: int, steps: int, num_layers: int) -> None:
    model, embedded = network(seed, num_layers), inputs_of(steps, seed, texts=3)
    with torch.inference_mode():
        top, (last_hidden, last_cell) = model.lstm(embedded)
    layers = traced(model, embedded)
    torch.testing.assert_close(layers[-1].hidden_state, top, atol=1e-6, rtol=0)
    for layer in range(num_layers):
        torch.testing.assert_close(layers[layer].hidden_state[:, -1], last_hidden[layer], atol=1e-6, rtol=0)
        torch.testing.assert_close(layers[layer].cell_state[:, -1], last_cell[layer], atol=1e-5, rtol=0)


@given(seed=seeds, steps=lengths, num_layers=layer_counts)
def test_the_recurrences_hold_between_the_traced_signals(seed: int, steps: int, num_layers: int) -> None:
    """c_t = f_t c_(t-1) + i_t g_t and h_t = o_t tanh c_t, from c_0 = 0."""
    for signals in traced(network(seed, num_layers, scale=2.0), inputs_of(steps, seed)):
        before = torch.nn.functional.pad(signals.cell_state, (0, 0, 1, 0))[:, :-1]
        cell_state = signals.forget_gate * before + signals.input_gate * signals.candidate
        torch.testing.assert_close(signals.cell_state, cell_state, atol=1e-5, rtol=0)
        hidden_state = signals.output_gate * signals.cell_state.tanh()
        torch.testing.assert_close(signals.hidden_state, hidden_state, atol=1e-5, rtol=0)


@given(seed=seeds, steps=lengths, num_layers=layer_counts)
def test_gates_are_percentages_and_candidates_lie_between_minus_1_and_1(seed: int, steps: int, num_layers: int) -> None:
    for signals in traced(network(seed, num_layers, scale=5.0), inputs_of(steps, seed)):
        for gate in (signals.forget_gate, signals.input_gate, signals.output_gate):
            assert gate.min() >= 0
            assert gate.max() <= 1
        assert signals.candidate.abs().max() <= 1
        assert signals.hidden_state.abs().max() <= 1


@given(seed=seeds, steps=lengths, more=lengths, num_layers=layer_counts)
def test_the_trace_of_a_prefix_is_the_prefix_of_the_trace(seed: int, steps: int, more: int, num_layers: int) -> None:
    model, embedded = network(seed, num_layers), inputs_of(steps + more, seed)
    whole, prefix = traced(model, embedded), traced(model, embedded[:, :steps])
    for of_whole, of_prefix in zip(whole, prefix, strict=True):
        for name in SIGNALS:
            expected = getattr(of_whole, name)[:, :steps]
            torch.testing.assert_close(getattr(of_prefix, name), expected, atol=1e-5, rtol=0)


@given(seed=seeds, steps=lengths, num_layers=layer_counts)
def test_a_text_traced_in_company_equals_it_traced_alone(seed: int, steps: int, num_layers: int) -> None:
    model, embedded = network(seed, num_layers), inputs_of(steps, seed, texts=3)
    together = traced(model, embedded)
    for row in range(3):
        for company, alone in zip(together, traced(model, embedded[row : row + 1]), strict=True):
            for name in SIGNALS:
                torch.testing.assert_close(getattr(company, name)[row], getattr(alone, name)[0], atol=1e-5, rtol=0)


def test_every_signal_has_one_value_a_text_a_step_and_a_unit() -> None:
    layers = traced(network(0, 2), inputs_of(7, 0, texts=3))
    assert [tensor.shape for signals in layers for tensor in signals] == [(3, 7, HIDDEN_SIZE)] * 12


def test_the_signals_are_named_in_the_order_they_are_stored() -> None:
    assert LayerSignals._fields == SIGNALS
    assert SIGNALS == ("forget_gate", "input_gate", "candidate", "output_gate", "cell_state", "hidden_state")


@st.composite
def recurrences(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Draw keep and add of shape (B, T, H), where some factors are exactly 0 or 1."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 3)))
    seed = draw(seeds)
    keep, ends = random_tensor(*shape, seed=seed).sigmoid(), random_tensor(*shape, seed=seed + 1)
    keep = torch.where(ends > 0.8, 0.0, torch.where(ends < -0.8, 1.0, keep))
    return keep, random_tensor(*shape, seed=seed + 2)


def nothing_before(factors: Tensor) -> Tensor:
    return torch.zeros_like(factors[:, 0])


@given(case=recurrences(), seed=seeds)
def test_the_scan_equals_a_plain_loop(case: tuple[Tensor, Tensor], seed: int) -> None:
    keep, add = case
    start = random_tensor(*keep[:, 0].shape, seed=seed)
    memory, expected = start.double(), []
    for step in range(add.shape[1]):
        memory = keep[:, step].double() * memory + add[:, step].double()
        expected.append(memory)
    found = linear_recurrence(keep, add, start)
    torch.testing.assert_close(found.double(), torch.stack(expected, dim=1), atol=1e-5, rtol=1e-5)


@given(case=recurrences())
def test_the_scan_leaves_its_inputs_as_they_were(case: tuple[Tensor, Tensor]) -> None:
    keep, add = case
    before = keep.clone(), add.clone()
    linear_recurrence(keep, add, torch.ones_like(keep[:, 0]))
    assert torch.equal(keep, before[0])
    assert torch.equal(add, before[1])


def test_the_scan_gives_the_numbers_worked_out_by_hand() -> None:
    keep = torch.tensor([[[9.0], [0.5], [0.0], [1.0], [0.25]]])
    add = torch.tensor([[[8.0], [1.0], [3.0], [2.0], [1.0]]])
    assert linear_recurrence(keep, add, nothing_before(keep)).flatten().tolist() == [8.0, 5.0, 3.0, 5.0, 2.25]
    assert linear_recurrence(keep, add, torch.tensor([[2.0]])).flatten().tolist() == [26.0, 14.0, 3.0, 5.0, 2.25]


def test_the_scan_survives_factors_too_small_to_divide_by() -> None:
    """A division by the product of the factors would give NaN here."""
    keep, add = torch.full((1, 300, 1), 1e-20), torch.ones(1, 300, 1)
    torch.testing.assert_close(linear_recurrence(keep, add, nothing_before(keep)), add)


@given(seed=seeds, steps=st.integers(2, 40), num_layers=layer_counts, data=st.data())
def test_a_text_read_on_from_its_states_is_traced_as_if_in_one_go(
    seed: int, steps: int, num_layers: int, data: st.DataObject
) -> None:
    """Wherever it is interrupted: hidden and cell state of each layer are all that a text leaves behind."""
    model, embedded = network(seed, num_layers), inputs_of(steps, seed, texts=2)
    whole = traced(model, embedded)
    cut = data.draw(st.integers(1, steps - 1))
    states = [LayerState(layer.hidden_state[:, cut - 1], layer.cell_state[:, cut - 1]) for layer in whole]
    with torch.inference_mode():
        rest = trace_layers(model, embedded[:, cut:], states)
    for expected, found in zip(whole, rest, strict=True):
        for name in SIGNALS:
            torch.testing.assert_close(getattr(found, name), getattr(expected, name)[:, cut:], atol=1e-6, rtol=1e-6)
