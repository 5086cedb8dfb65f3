"""An LSTM cell, gate by gate, in plain NumPy: a lesson to read, and the oracle the tests hold everything else against.

It follows Bujokas, "Mastering Long Short-Term Memory with Python" (2023), whose cell is a handful of scalars: one
number comes in, one number of long-term memory and one of short-term memory go from step to step. Four gates each
own two weights and a bias, twelve numbers in all:

    forget gate    what percentage of the long-term memory to keep
    input gate     what percentage of the potential memory to remember, and that potential memory itself
    output gate    what percentage of the long-term memory to show as the short-term memory

Nothing changes for H units but the shapes: a weight becomes a matrix, a bias a vector, and a product of a weight and
a number becomes a product of a matrix and a vector. So every function here takes either. It is slow on purpose:
one step, one gate, one line at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def sigmoid(x: Array) -> Array:
    """Squash any number into 0..1: a percentage. By way of tanh, which no number is too large for."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


@dataclass(frozen=True)
class Gate:
    """The weights of one gate.

    Attributes:
        input_weight: What the input counts: a number, or (H, I).
        memory_weight: What the short-term memory counts: a number, or (H, H).
        bias: A number, or (H,).
    """

    input_weight: Array
    memory_weight: Array
    bias: Array

    def weigh(self, x: Array, short_term: Array) -> Array:
        """Add up what comes in and what is remembered, each by its weight, and the bias."""
        return _product(self.input_weight, x) + _product(self.memory_weight, short_term) + self.bias


@dataclass(frozen=True)
class Step:
    """Everything that one step of a cell computed; each a number, or (H,)."""

    forget_gate: Array
    input_gate: Array
    candidate: Array
    output_gate: Array
    cell_state: Array
    hidden_state: Array


@dataclass(frozen=True)
class Cell:
    """One LSTM cell: four gates."""

    forget: Gate
    input: Gate
    candidate: Gate
    output: Gate

    def step(self, x: Array, long_term: Array, short_term: Array) -> Step:
        """Read one input with the memories of the step before."""
        keep = forget_gate(self.forget, x, short_term)
        remember, potential = input_gate(self.input, self.candidate, x, short_term)
        new_long_term = keep * long_term + remember * potential
        show = output_gate(self.output, x, short_term)
        new_short_term = show * np.tanh(new_long_term)
        return Step(keep, remember, potential, show, new_long_term, new_short_term)

    def forward(
        self, inputs: Sequence[Array] | Array, long_term: Array | None = None, short_term: Array | None = None
    ) -> list[Step]:
        """Read a sequence, one input after the other, from the given memories; from empty ones by default.

        The article starts from random memories, PyTorch and this project from empty ones.
        """
        long_term = np.zeros_like(self.forget.bias) if long_term is None else long_term
        short_term = np.zeros_like(self.forget.bias) if short_term is None else short_term
        steps = []
        for x in inputs:
            step = self.step(np.asarray(x, dtype=np.float64), long_term, short_term)
            long_term, short_term = step.cell_state, step.hidden_state
            steps.append(step)
        return steps


def forget_gate(gate: Gate, x: Array, short_term: Array) -> Array:
    """Return the percentage of the long-term memory to keep."""
    return sigmoid(gate.weigh(x, short_term))


def input_gate(gate: Gate, candidate: Gate, x: Array, short_term: Array) -> tuple[Array, Array]:
    """Return the percentage to remember, and the potential memory that it is a percentage of."""
    return sigmoid(gate.weigh(x, short_term)), np.tanh(candidate.weigh(x, short_term))


def output_gate(gate: Gate, x: Array, short_term: Array) -> Array:
    """Return the percentage of the long-term memory to show."""
    return sigmoid(gate.weigh(x, short_term))


def scalar_cell(weights: Sequence[float], biases: Sequence[float]) -> Cell:
    """Build the article's cell from its twelve numbers, in the article's order.

    Args:
        weights: w1 to w8: what the input and what the short-term memory counts, for the forget gate, the potential
            memory, the input gate's percentage, and the output gate.
        biases: b1 to b4, in the same order of gates.
    """
    w1, w2, w3, w4, w5, w6, w7, w8 = np.asarray(weights, dtype=np.float64)
    b1, b2, b3, b4 = np.asarray(biases, dtype=np.float64)
    return Cell(forget=Gate(w1, w2, b1), candidate=Gate(w3, w4, b2), input=Gate(w5, w6, b3), output=Gate(w7, w8, b4))


def cell_from_state_dict(state: Mapping[str, Array], layer: int = 0) -> Cell:
    """Build layer `layer` of a PyTorch LSTM, from NumPy copies of its parameters.

    PyTorch stacks the gates as input, forget, candidate, output and has two biases where one is enough.
    """
    weight_ih, weight_hh = state[f"weight_ih_l{layer}"], state[f"weight_hh_l{layer}"]  # (4H, I), (4H, H)
    bias = state[f"bias_ih_l{layer}"] + state[f"bias_hh_l{layer}"]  # (4H,)
    parts = (np.split(array.astype(np.float64), 4) for array in (weight_ih, weight_hh, bias))
    by_input, by_forget, by_candidate, by_output = (Gate(*of_gate) for of_gate in zip(*parts, strict=True))
    return Cell(by_forget, by_input, by_candidate, by_output)


def _product(weight: Array, value: Array) -> Array:
    return weight @ value if np.ndim(weight) == 2 else weight * value
