"""What a memory trace costs: beside the prediction it comes with, and beside stepping a cell in Python.

All three are measured in turn, round after round, in one process and on the same texts; what counts is the ratios of
the medians. `python -m benchmarks.trace --help` names the options.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from charlstm import Predictor

TEXT = "I have loved this game for years, but the last update broke everything and nobody at support answers. "


class SteppedCell:
    """The usual way to the gates: PyTorch's own LSTM cell, unrolled in Python, its gates worked out at each step."""

    def __init__(self, predictor: Predictor) -> None:
        model = predictor.artifacts.model
        self.encoder, self.model, self.device = predictor.artifacts.encoder, model, predictor.device
        self.weights = model.lstm.all_weights[0]

    @torch.inference_mode()
    def trace(self, text: str) -> list[tuple[torch.Tensor, ...]]:
        """Return every signal of every step of the first layer."""
        weight_ih, weight_hh, bias_ih, bias_hh = self.weights
        token_ids = torch.tensor(self.encoder.encode(text).token_ids, device=self.device)
        embedded = self.model.embed(token_ids)  # (T, E)
        hidden = cell = torch.zeros(weight_hh.shape[1], device=self.device)
        steps: list[tuple[torch.Tensor, ...]] = []
        for x in embedded:
            stacked = nn.functional.linear(x, weight_ih, bias_ih) + nn.functional.linear(hidden, weight_hh, bias_hh)
            i, f, g, o = stacked.chunk(4)
            i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
            cell = f * cell + i * g
            hidden = o * cell.tanh()
            steps.append((f, i, g, o, cell, hidden))
        return steps


def milliseconds(call: Callable[[], object]) -> float:
    """Time one call."""
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


def main() -> None:
    """Print one row for each text length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="the model (default: artifacts)")
    parser.add_argument("--rounds", type=int, default=50, help="rounds, of which the median counts (default: 50)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: 1)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    predictor = Predictor.load(options.artifacts)
    stepped = SteppedCell(predictor)
    print(f"{predictor.artifacts.config.model}, {predictor.device}, {options.threads} threads, {options.rounds} rounds")
    print("characters   predict     trace   stepped   trace/predict   stepped/trace")
    for length in (20, 100, 200, 400):
        text = (TEXT * 5)[:length]
        calls: list[Callable[[], object]] = [
            partial(predictor.predict, text),
            partial(predictor.trace, text),
            partial(stepped.trace, text),
        ]
        rounds = [[milliseconds(call) for call in calls] for _ in range(options.rounds + 5)][5:]  # 5 to warm up
        predict, trace, step = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratios = f"{trace / predict:>15.2f} {step / trace:>15.1f}"
        print(f"{length:>10} {predict:>6.2f} ms {trace:>6.2f} ms {step:>6.2f} ms {ratios}")


if __name__ == "__main__":
    main()
