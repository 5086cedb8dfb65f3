"""The network as an ONNX model, for wherever there is no Python. Needs the extra `onnx`.

As in `gates`, one fused LSTM gives the hidden states; the gates of all steps are then one matrix product, and the
memory is a scan.

Inside, steps come first, as ONNX's LSTM wants it. Sizes: B texts, T steps, E = embedding_dim, I = a layer's inputs,
H = hidden_size.
"""

import json
from importlib.metadata import version
from typing import Final

import numpy as np
from torch import Tensor

from charlstm.artifacts import Artifacts
from charlstm.clamp import SignalName
from charlstm.gates import LayerWeights, weights_by_layer
from charlstm.glossary import GLOSSARY
from charlstm.onnx_graph import Graph
from charlstm.readout import FloatArray
from charlstm.vocabulary import PADDING_ID

FORMAT_VERSION: Final = 1
TOKEN_IDS, LENGTHS = "token_ids", "lengths"
PROBABILITY, PROBABILITY_SO_FAR = "probability_negative", "probability_so_far"
_ANY_TEXTS, _ANY_STEPS = "texts", "steps"  # what a size that may be any is called


def build_model(artifacts: Artifacts, *, signals: bool) -> bytes:
    """Write a network down, as it stands in a file.

    It reads `token_ids` (B, T), the tokens of each text from the left, and `lengths` (B,), how many these are, 1 to T;
    both int64. What stands behind them is not looked at. All that it gives is float32:

        probability_negative     (B,) P(negative), calibrated
        probability_so_far       (B, T) the same, if the text ended after this step
        layer_0.forget_gate ...  (B, T, H) each of `SIGNALS` of each layer, with `signals`

    Steps of a text from its length on are padding and mean nothing. Not so in a model with `pad_to`, which reads them:
    then texts are padded to so many steps, whatever T was, and all of them count, as in a `GateTrace`.

    Args:
        artifacts: What to write down.
        signals: Whether the signals of a trace are given too. A runtime computes whatever a graph can give, asked for
            or not, so without them it is faster.
    """
    config = artifacts.config.model
    graph, by_step = Graph(), [_ANY_TEXTS, config.pad_to or _ANY_STEPS]
    graph.give(PROBABILITY, [_ANY_TEXTS], "P(negative)")
    graph.give(PROBABILITY_SO_FAR, by_step, "P(negative) if the text ended after this step")
    token_ids = _take_tokens(graph, config.pad_to)  # (T, B)
    inputs = graph.node("Gather", graph.constant(_array(artifacts.model.embedding.weight)), token_ids)  # (T, B, E)
    for index, weights in enumerate(weights_by_layer(artifacts.model.lstm)):
        layer = _Layer(graph, weights)
        hidden_states = layer.run(inputs)  # (T, B, H)
        found = layer.signals(inputs, hidden_states) if signals else {}
        for signal, value in found.items():
            name = graph.node("Transpose", value, perm=[1, 0, 2], output=f"layer_{index}.{signal}")  # (B, T, H)
            graph.give(name, [*by_step, config.hidden_size], GLOSSARY[signal].meaning)
        inputs = hidden_states
    _read_out(graph, inputs, artifacts)
    meaning = "How probably texts are negative"
    return graph.to_model(artifacts.config.name, meaning, version("charlstm"), _metadata(artifacts))


def _take_tokens(graph: Graph, pad_to: int | None) -> str:
    """Read texts, and give their tokens with 0 behind them: (T, B)."""
    token_ids = graph.take(TOKEN_IDS, [_ANY_TEXTS, _ANY_STEPS], "The tokens of each text, from the left")
    lengths = graph.take(LENGTHS, [_ANY_TEXTS], "How many tokens each text has")
    padding, zero, one = graph.constant(PADDING_ID), graph.constant(0), graph.constant(1)
    steps = graph.node("Gather", graph.node("Shape", token_ids), one)  # ()
    places = graph.node("Range", zero, steps, one)  # (T,)
    is_text = graph.node("Less", places, graph.node("Unsqueeze", lengths, graph.constant([1])))  # (B, T)
    token_ids = graph.node("Where", is_text, token_ids, padding)
    if pad_to is not None:
        missing = graph.node("Sub", graph.constant([pad_to]), steps)  # (1,); below 0, that much is cut off
        behind = graph.node("Concat", graph.constant([0, 0, 0]), missing, axis=0)
        token_ids = graph.node("Pad", token_ids, behind, padding)  # (B, pad_to)
    return graph.node("Transpose", token_ids, perm=[1, 0])


class _Layer:
    """One LSTM layer in a graph."""

    def __init__(self, graph: Graph, weights: LayerWeights) -> None:
        self._graph = graph
        self._hidden_size = weights.weight_hh.shape[1]
        weight_ih, weight_hh, bias_ih, bias_hh = map(_restacked, weights)
        self._weight_ih = graph.constant(weight_ih[np.newaxis])  # (1, 4H, I)
        self._weight_hh = graph.constant(weight_hh[np.newaxis])  # (1, 4H, H)
        self._biases = graph.constant(np.concatenate((bias_ih, bias_hh))[np.newaxis])  # (1, 8H)
        self._bias = bias_ih + bias_hh  # (4H,)

    def run(self, inputs: str) -> str:
        """Read (T, B, I) from an empty state; give the hidden states, (T, B, H)."""
        read = (inputs, self._weight_ih, self._weight_hh, self._biases)
        outputs = self._graph.node("LSTM", *read, hidden_size=self._hidden_size)  # (T, 1, B, H)
        return self._graph.node("Squeeze", outputs, self._graph.constant([1]))

    def signals(self, inputs: str, hidden_states: str) -> dict[SignalName, str]:
        """Recover what the layer did, from what it read and what it showed: (T, B, H) each."""
        graph = self._graph
        one_later = graph.constant([1, 0, 0, -1, 0, 0])  # a step of zeros before the first, and none behind the last
        previous = graph.node("Pad", hidden_states, one_later)  # (T, B, H)
        weighed = graph.node("Add", self._weigh(inputs, self._weight_ih), self._weigh(previous, self._weight_hh))
        stacked = graph.node("Add", weighed, graph.constant(self._bias))  # (T, B, 4H)
        input_gate, output_gate, forget_gate, candidate = graph.split(stacked, 4)  # (T, B, H) each
        input_gate, output_gate, forget_gate = (
            graph.node("Sigmoid", gate) for gate in (input_gate, output_gate, forget_gate)
        )
        candidate = graph.node("Tanh", candidate)
        empty = graph.node("Gather", previous, graph.constant(0), axis=0)  # (B, H): both memories start as zeros
        return {
            "forget_gate": forget_gate,
            "input_gate": input_gate,
            "candidate": candidate,
            "output_gate": output_gate,
            "cell_state": graph.recurrence(empty, forget_gate, graph.node("Mul", input_gate, candidate)),
            "hidden_state": hidden_states,
        }

    def _weigh(self, values: str, weight: str) -> str:
        """Multiply (T, B, *) by weights (1, 4H, *): (T, B, 4H)."""
        by_input = self._graph.node("Transpose", weight, perm=[0, 2, 1])  # (1, *, 4H)
        return self._graph.node("MatMul", values, by_input)


def _read_out(graph: Graph, hidden_states: str, artifacts: Artifacts) -> None:
    """Give P(negative) after each step, and that after the last one, from (T, B, H)."""
    readout = artifacts.readout
    weighed = graph.node("MatMul", hidden_states, graph.constant(readout.weight))  # (T, B)
    logits = graph.node("Add", weighed, graph.constant(np.float32(readout.bias)))
    scaled = graph.node("Div", logits, graph.constant(np.float32(readout.temperature)))
    so_far = graph.node("Sigmoid", scaled)  # (T, B)
    graph.node("Transpose", so_far, perm=[1, 0], output=PROBABILITY_SO_FAR)
    if (pad_to := artifacts.config.model.pad_to) is not None:
        graph.node("Gather", so_far, graph.constant(pad_to - 1), axis=0, output=PROBABILITY)
        return
    first_axis = graph.constant([0])
    last = graph.node("Unsqueeze", graph.node("Sub", LENGTHS, graph.constant(1)), first_axis)  # (1, B)
    graph.node("Squeeze", graph.node("GatherElements", so_far, last, axis=0), first_axis, output=PROBABILITY)


def _metadata(artifacts: Artifacts) -> dict[str, str]:
    config = artifacts.config
    return {
        "format_version": str(FORMAT_VERSION),
        "name": config.name,
        "version": artifacts.version,
        "labels": json.dumps(config.labels),
        "preprocessing": config.preprocessing.model_dump_json(),
    }


def _restacked(stacked: Tensor) -> FloatArray:
    """Bring PyTorch's rows, for the gates i, f, g, o, into ONNX's order: i, o, f, g."""
    input_gate, forget_gate, candidate, output_gate = np.split(_array(stacked), 4)
    return np.concatenate((input_gate, output_gate, forget_gate, candidate))


def _array(parameter: Tensor) -> FloatArray:
    array: FloatArray = parameter.detach().cpu().numpy()
    return array
