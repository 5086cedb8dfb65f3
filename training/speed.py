"""How fast a model reads texts on one thread of this machine, and what bfloat16 arithmetic would cost its answers."""

import os
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from charlstm.batching import ContinuousBatch
from charlstm.card import Contestant, LowPrecision, Speed
from charlstm.config import ModelConfig, Precision
from charlstm.predictor import Predictor
from training.robustness import Judgement

_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class _Pass:
    """One reading of R texts: (R,) P(negative) of each, and how long it took."""

    negative: npt.NDArray[np.float32]
    seconds: float


def machine() -> str:
    """Name this machine: its processor, how many cores it has, and the torch that runs on it."""
    name = platform.processor() or platform.machine()
    if _CPU_INFO.exists():
        lines = _CPU_INFO.read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores, torch {torch.__version__}"


def measure_speed(contestant: Contestant, predictor: Predictor, texts: Sequence[str], rounds: int) -> Speed:
    """Read texts in both precisions in turn, round after round, on one thread; the median round counts."""
    artifacts = predictor.artifacts
    config = artifacts.config
    seconds: dict[Precision, list[float]] = {"float32": [], "bfloat16": []}
    with _one_thread():
        batches = {precision: _warm_batch(predictor, precision) for precision in seconds}
        for _ in range(rounds):
            for precision, batch in batches.items():
                seconds[precision].append(_read(predictor, batch, texts).seconds)
    rates = {precision: len(texts) / statistics.median(found) for precision, found in seconds.items()}
    grouped = contestant.reached.get("grouped")
    return Speed(
        name=contestant.name,
        architecture=_architecture(config.model),
        parameters=sum(parameter.numel() for parameter in artifacts.model.parameters()),
        accuracy=None if grouped is None else grouped.accuracy,
        float32=float(f"{rates['float32']:.3g}"),
        bfloat16=float(f"{rates['bfloat16']:.3g}"),
    )


def measure_low_precision(predictor: Predictor, judged: Judgement) -> LowPrecision:
    """Read the same texts in both precisions and count what differs."""
    whole, low = (
        _read(predictor, ContinuousBatch(predictor.artifacts.model, precision), judged.texts).negative
        for precision in _PRECISIONS
    )
    difference = np.abs(whole.astype(np.float64) - low)
    right = judged.labels.astype(np.bool_)
    return LowPrecision(
        rows=len(judged.texts),
        accuracy_float32=float(((whole >= 0.5) == right).mean()),
        accuracy_bfloat16=float(((low >= 0.5) == right).mean()),
        other_labels=int(((whole >= 0.5) != (low >= 0.5)).sum()),
        mean_difference=float(difference.mean()),
        largest_difference=float(difference.max()),
    )


_PRECISIONS: tuple[Precision, Precision] = ("float32", "bfloat16")


def _warm_batch(predictor: Predictor, precision: Precision) -> ContinuousBatch[int]:
    batch: ContinuousBatch[int] = ContinuousBatch(predictor.artifacts.model, precision)
    batch.warm_up()
    return batch


def _read(predictor: Predictor, batch: ContinuousBatch[int], texts: Sequence[str]) -> _Pass:
    artifacts = predictor.artifacts
    pad_to = artifacts.config.model.pad_to
    encoded = [artifacts.encoder.encode(text, truncate=True).padded(pad_to).token_ids for text in texts]
    logits = np.empty(len(texts), dtype=np.float32)
    started = time.perf_counter()
    for index, token_ids in enumerate(encoded):
        batch.join(index, token_ids)
    while len(batch):
        for finished in batch.advance():
            logits[finished.key] = finished.logit
    return _Pass(artifacts.readout.probabilities(logits), time.perf_counter() - started)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _architecture(model: ModelConfig) -> str:
    layers = "1 layer" if model.num_layers == 1 else f"{model.num_layers} layers"
    padding = "" if model.pad_to is None else f", padded to {model.pad_to}"
    return f"{layers} of {model.hidden_size} units, embedding of {model.embedding_dim}{padding}"
