"""What the network would have said if one of its signals had been another: a trace with signals held by force.

The fused LSTM cannot be interfered with, so this one does step a cell in Python, layer by layer. It costs a few times
as much as a trace, and with nothing held it gives the same.

Sizes: T steps, I = a layer's inputs, H = hidden_size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from charlstm.clamp import Clamp, SignalName, check_clamps
from charlstm.gates import LayerSignals, LayerWeights, weights_by_layer
from charlstm.model import SentimentLSTM

_Held = dict[SignalName, Tensor]  # (T, H) each: the value where the signal is held, not a number where it is free


def trace_clamped(model: SentimentLSTM, embedded: Tensor, clamps: Sequence[Clamp]) -> list[LayerSignals]:
    """Read one text from an empty memory with signals held.

    Args:
        model: The network, in evaluation mode.
        embedded: (1, T, E) embedded tokens.
        clamps: What to hold; where two hold the same, the later one wins.

    Returns:
        As `trace_layers`: the signals of each layer, (1, T, H).

    Raises:
        ValueError: A clamp names a signal that there is not, or a value that it cannot have.
        IndexError: A clamp names a layer, a unit or a step that there is not.
    """
    check_clamps(clamps, model.config, embedded.shape[1])
    layers = []
    inputs = embedded[0]  # (T, I)
    for index, weights in enumerate(weights_by_layer(model.lstm)):
        held = _held(inputs, weights, [clamp for clamp in clamps if clamp.layer == index])
        signals = _step_through(inputs, weights, held)
        layers.append(LayerSignals(*(signal.unsqueeze(0) for signal in signals)))
        inputs = signals.hidden_state
    return layers


def _held(inputs: Tensor, weights: LayerWeights, clamps: Sequence[Clamp]) -> _Held:
    shape = (len(inputs), weights.weight_hh.shape[1])
    held: _Held = {}
    for clamp in clamps:
        values = held.setdefault(clamp.signal, inputs.new_full(shape, torch.nan))
        units = slice(None) if clamp.units is None else list(clamp.units)
        values[clamp.start : clamp.stop, units] = clamp.value
    return held


def _step_through(inputs: Tensor, weights: LayerWeights, held: _Held) -> LayerSignals:
    """Step the cell over (T, I) inputs; return six signals of (T, H)."""

    def hold(signal: SignalName, step: int, value: Tensor) -> Tensor:
        if signal not in held:
            return value
        forced = held[signal][step]
        return torch.where(forced.isnan(), value, forced)

    projected = torch.nn.functional.linear(inputs, weights.weight_ih, weights.bias_ih) + weights.bias_hh  # (T, 4H)
    hidden_state = cell_state = inputs.new_zeros(weights.weight_hh.shape[1])  # (H,)
    steps = []
    for step, from_input in enumerate(projected):
        stacked = from_input + weights.weight_hh @ hidden_state  # (4H,)
        input_gate, forget_gate, candidate, output_gate = stacked.chunk(4)  # (H,) each
        input_gate = hold("input_gate", step, input_gate.sigmoid())
        forget_gate = hold("forget_gate", step, forget_gate.sigmoid())
        candidate = hold("candidate", step, candidate.tanh())
        output_gate = hold("output_gate", step, output_gate.sigmoid())
        cell_state = hold("cell_state", step, forget_gate * cell_state + input_gate * candidate)
        hidden_state = hold("hidden_state", step, output_gate * cell_state.tanh())
        steps.append((forget_gate, input_gate, candidate, output_gate, cell_state, hidden_state))
    return LayerSignals(*(torch.stack(signal) for signal in zip(*steps, strict=True)))
