"""A model in the engine: on its device, with the batch that predictions run in, and the passes that traces take.

Sizes: B texts, T steps, E = embedding_dim, H = hidden_size.
"""

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from charlstm.artifacts import Artifacts
from charlstm.batching import ContinuousBatch
from charlstm.clamp import Clamp
from charlstm.config import Precision
from charlstm.gates import LayerSignals, LayerState, trace_layers
from charlstm.model import use_whole_float32
from charlstm.readout import FloatArray
from charlstm.vocabulary import PADDING_ID
from charlstm.what_if import trace_clamped
from service.protocol import Described

TokenIds = NDArray[np.int32]

# Passes that brief traces share, such as the steps of live sessions, have few shapes; `warm_up` meets them all.
_TEXTS_TOGETHER = (1, 2, 4, 8, 16)
_STEPS_TOGETHER = (1, 8, 32)
MOST_TEXTS_TOGETHER: Final = _TEXTS_TOGETHER[-1]
MOST_STEPS_TOGETHER: Final = _STEPS_TOGETHER[-1]


class Address(NamedTuple):
    """Whose question it is: a worker's connection, and the id the worker gave it."""

    worker: int
    id: int


class Signals(NamedTuple):
    """The trace of a text as bytes of float32: (T,) logits, and (layers, 6, T, H) signals as in `LayerTrace`."""

    logits: bytes
    signals: bytes


class LoadedModel:
    """A model on its device with the batch it runs in.

    Args:
        artifacts: A verified model.
        device: Where it runs.
        precision: Of predictions.
        folder: As in `Described`.
    """

    def __init__(self, artifacts: Artifacts, device: torch.device, precision: Precision, folder: str = "") -> None:
        use_whole_float32()
        self.artifacts = artifacts
        self.folder = folder
        self.network = artifacts.model.to(device)
        self.batch: ContinuousBatch[tuple[Address, int]] = ContinuousBatch(self.network, precision)

    @property
    def version(self) -> str:
        """As in `Artifacts`."""
        return self.artifacts.version

    def warm_up(self) -> None:
        """Meet every shape before a text does."""
        self.batch.warm_up()
        self.trace(np.ones(64, np.int32))
        for texts, steps in itertools.product(_TEXTS_TOGETHER, _STEPS_TOGETHER):
            self.read_on([np.ones(steps, np.int32)] * texts, [None] * texts)

    @torch.inference_mode()
    def trace(self, token_ids: TokenIds, state: FloatArray | None = None, clamps: Sequence[Clamp] = ()) -> Signals:
        """Trace one text of any length; what is remembered of the text before it is as in `read_on`."""
        embedded = self._embed(token_ids[np.newaxis])  # (1, T, E)
        if clamps:
            layers = trace_clamped(self.network, embedded, clamps)
        else:
            layers = trace_layers(self.network, embedded, self._layer_states([state], 1))
        (signals,) = self._signals(layers, [len(token_ids)])
        return signals

    @torch.inference_mode()
    def read_on(self, texts: Sequence[TokenIds], states: Sequence[FloatArray | None]) -> list[Signals]:
        """Trace a few tokens of each of some texts in one pass, on from what is remembered of what came before.

        Args:
            texts: At most 16, of at most 32 tokens each.
            states: Of each text (layers, 2, H), hidden and cell state of each layer; None is a beginning.
        """
        seats = next(seats for seats in _TEXTS_TOGETHER if seats >= len(texts))
        steps = next(steps for steps in _STEPS_TOGETHER if steps >= max(map(len, texts)))
        token_ids = np.full((seats, steps), PADDING_ID, np.int32)
        for seat, text in enumerate(texts):
            token_ids[seat, : len(text)] = text
        layers = trace_layers(self.network, self._embed(token_ids), self._layer_states(states, seats))
        return self._signals(layers, [len(text) for text in texts])

    def _layer_states(self, states: Sequence[FloatArray | None], seats: int) -> list[LayerState]:
        """Put what is remembered of each text side by side, (seats, H) for each layer; nothing is zeros."""
        config = self.network.config
        together = np.zeros((config.num_layers, 2, seats, config.hidden_size), np.float32)
        for seat, state in enumerate(states):
            if state is not None:
                together[:, :, seat] = state
        return [LayerState(*layer) for layer in torch.from_numpy(together).to(self.network.device)]

    def _embed(self, token_ids: TokenIds) -> Tensor:
        """Embed (B, T) token ids: (B, T, E)."""
        return self.network.embed(torch.from_numpy(token_ids.astype(np.int64)).to(self.network.device))

    def _signals(self, layers: Sequence[LayerSignals], lengths: Sequence[int]) -> list[Signals]:
        """Take each text's part, without its padding, out of what one pass gave."""
        logits = self.network.readout(layers[-1].hidden_state).cpu().numpy()  # (B, T)
        together = torch.stack([signal for layer in layers for signal in layer]).cpu().numpy()  # (layers * 6, B, T, H)
        return [
            Signals(logits[seat, :length].tobytes(), together[:, seat, :length].tobytes())
            for seat, length in enumerate(lengths)
        ]


def describe(artifacts: Artifacts, device: str, precision: Precision, folder: str = "") -> Described:
    """Tell workers of a model."""
    readout = artifacts.readout
    return Described(
        name=folder or artifacts.config.name,
        folder=folder,
        version=artifacts.version,
        config=artifacts.config.model_dump_json().encode(),
        vocabulary=artifacts.vocabulary.to_json().encode(),
        device=device,
        precision=precision,
        readout_weight=readout.weight.tobytes(),
        readout_bias=readout.bias,
    )
