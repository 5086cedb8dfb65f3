"""What happens inside an LSTM while it reads: every gate, candidate and memory of every step.

PyTorch's fused LSTM returns the hidden states and nothing else, so people who want the gates usually step a cell in
a Python loop and pay for it many times over. There is no need: once all hidden states are known, all gates of all
steps are one matrix product, and the memory is a linear recurrence whose factors are then known as well. So one
fused pass gives the prediction and the trace, on the CPU and on the GPU.

Sizes: B texts, T steps, I = a layer's inputs, H = hidden_size.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from charlstm.model import SentimentLSTM


class LayerSignals(NamedTuple):
    """Six tensors of one shape, (B, T, H): the inner life of one layer."""

    forget_gate: Tensor
    input_gate: Tensor
    candidate: Tensor
    output_gate: Tensor
    cell_state: Tensor
    hidden_state: Tensor


class LayerState(NamedTuple):
    """What one layer carries from one step to the next: the short-term and the long-term memory, (B, H) each."""

    hidden_state: Tensor
    cell_state: Tensor


def trace_layers(
    model: SentimentLSTM, embedded: Tensor, states: Sequence[LayerState] | None = None
) -> list[LayerSignals]:
    """Run the LSTM once, layer by layer, and work out the signals of every step.

    Args:
        model: The network, in evaluation mode.
        embedded: (B, T, E) embedded tokens.
        states: What each layer remembers of the text before; nothing if this is its beginning.

    Returns:
        The signals of each layer; the last one's hidden states are what the prediction reads.
    """
    layers = []
    inputs = embedded  # (B, T, I)
    for index, weights in enumerate(weights_by_layer(model.lstm)):
        state = states[index] if states is not None else _empty_state(inputs, weights)
        hidden_states = _run_layer(inputs, weights, state)  # (B, T, H)
        layers.append(layer_signals(inputs, hidden_states, weights, state))
        inputs = hidden_states
    return layers


class LayerWeights(NamedTuple):
    """PyTorch's parameters of one layer. Rows stack the gates in the order i, f, g, o."""

    weight_ih: Tensor  # (4H, I)
    weight_hh: Tensor  # (4H, H)
    bias_ih: Tensor  # (4H,)
    bias_hh: Tensor  # (4H,)


def layer_signals(inputs: Tensor, hidden_states: Tensor, weights: LayerWeights, state: LayerState) -> LayerSignals:
    """Recover what a layer did, from what it read (B, T, I), what it showed (B, T, H) and the state it started in."""
    previous_hidden = torch.cat((state.hidden_state.unsqueeze(1), hidden_states[:, :-1]), dim=1)  # (B, T, H)
    # In one place from here on: to ask the system for fresh memory takes longer than to compute what goes into it.
    stacked = nn.functional.linear(inputs, weights.weight_ih, weights.bias_ih + weights.bias_hh)  # (B, T, 4H)
    stacked.flatten(0, 1).addmm_(previous_hidden.flatten(0, 1), weights.weight_hh.T)
    input_gate, forget_gate, candidate, output_gate = stacked.chunk(4, dim=-1)  # (B, T, H) each
    for gate in (input_gate, forget_gate, output_gate):
        gate.sigmoid_()
    candidate.tanh_()
    cell_state = linear_recurrence(forget_gate, input_gate * candidate, state.cell_state)
    return LayerSignals(forget_gate, input_gate, candidate, output_gate, cell_state, hidden_states)


def linear_recurrence(keep: Tensor, add: Tensor, start: Tensor) -> Tensor:
    """Solve c_t = keep_t * c_(t-1) + add_t with c_0 = start for all steps at once.

    The steps are cut into about as many chunks as each has steps. All chunks are gone through side by side as if each
    began with 0, then what each really begins with is carried from one to the next: T steps take about 3 sqrt(T)
    operations on whole tensors, and each value is touched a few times, however many steps there are. Nothing is
    divided, so long runs of closed gates are harmless.

    Args:
        keep: (B, T, H) factors in 0..1.
        add: (B, T, H) what each step writes.
        start: (B, H).

    Returns:
        (B, T, H).
    """
    steps = keep.shape[1]
    width = math.isqrt(steps - 1) + 1  # steps of a chunk
    # Both are written over: what is kept since the chunk's beginning, and what the chunk alone holds.
    kept, held = _in_chunks(keep, width), _in_chunks(add, width)  # (B, chunks, width, H)
    for step in range(1, width):
        held[:, :, step].addcmul_(kept[:, :, step], held[:, :, step - 1])
        kept[:, :, step].mul_(kept[:, :, step - 1])
    begin = [start]
    for chunk in range(held.shape[1] - 1):
        begin.append(torch.addcmul(held[:, chunk, -1], kept[:, chunk, -1], begin[-1]))
    held.addcmul_(kept, torch.stack(begin, dim=1).unsqueeze(2))
    return held.flatten(1, 2)[:, :steps]


def _in_chunks(values: Tensor, width: int) -> Tensor:
    """Copy (B, T, H) values into (B, chunks, width, H), with 0 behind their end."""
    batch, steps, size = values.shape
    chunks = values.new_zeros(batch, -(-steps // width), width, size)
    chunks.flatten(1, 2)[:, :steps] = values
    return chunks


def weights_by_layer(lstm: torch.nn.LSTM) -> list[LayerWeights]:
    """Return PyTorch's parameters of each layer, from the bottom up."""
    return [LayerWeights(*parameters) for parameters in lstm.all_weights]


def _empty_state(inputs: Tensor, weights: LayerWeights) -> LayerState:
    empty = inputs.new_zeros(len(inputs), weights.weight_hh.shape[1])  # (B, H)
    return LayerState(empty, empty)


def _run_layer(inputs: Tensor, weights: LayerWeights, state: LayerState) -> Tensor:
    """Run the fused LSTM over one layer alone: nn.LSTM keeps the hidden states of its lower layers to itself."""
    outputs: Tensor = torch.lstm(
        inputs,
        (state.hidden_state.unsqueeze(0), state.cell_state.unsqueeze(0)),  # (1, B, H) each
        list(weights),
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=False,
        bidirectional=False,
        batch_first=True,
    )[0]
    return outputs
