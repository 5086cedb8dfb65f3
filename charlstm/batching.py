"""Continuous batching of an LSTM: texts of any length share a running batch, and join and leave it every few steps.

Waiting for a batch to fill costs latency, padding texts to one length costs work, and a short text should not wait for
a long one. An LSTM carries everything it has read in two vectors, so the batch can be run a chunk of steps at a time
over whatever texts are there: between chunks finished texts leave and waiting ones take their seats (after cellular
batching, Gao et al., EuroSys 2018). A text's result does not depend on its company.

Sizes: B seats taken, K steps in a chunk, H = hidden_size.
"""

import copy
import time
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from charlstm.model import SentimentLSTM
from charlstm.vocabulary import PADDING_ID

# oneDNN prepares a primitive for each shape it meets, so there are few, and `warm_up` shows it all of them.
_STEPS = (8, 16, 24, 32)
_STEPS_ALONE = tuple(range(16, 257, 16))
_SEATS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128)


Key = TypeVar("Key", bound=Hashable)
Precision = Literal["float32", "bfloat16"]
TokenIds = Sequence[int] | NDArray[np.int32]


class Finished(NamedTuple, Generic[Key]):
    """A text that has been read to its end.

    Attributes:
        key: What it joined under.
        logit: The logit of label 1, negative.
        waited: Seconds from joining to taking a seat.
        took: Seconds from taking a seat to the end.
    """

    key: Key
    logit: float
    waited: float
    took: float


class Chunk(NamedTuple):
    """What one chunk did: texts seated, seats run (the rest was padding), steps, and tokens really read."""

    texts: int
    seats: int
    steps: int
    tokens: int


@dataclass(slots=True)
class _Text(Generic[Key]):
    key: Key
    token_ids: TokenIds
    read: int = 0
    joined_at: float = field(default_factory=time.perf_counter)
    seated_at: float = 0.0

    @property
    def remaining(self) -> int:
        return len(self.token_ids) - self.read


class ContinuousBatch(Generic[Key]):
    """A running batch. Not thread-safe: one thread owns it.

    Args:
        model: The network, in evaluation mode, on its device.
        precision: Of the LSTM's arithmetic. bfloat16 is faster where the processor has it, and costs about three
            decimal places of the hidden states.

    Attributes:
        last_chunk: What the latest chunk did; None before the first.
    """

    def __init__(self, model: SentimentLSTM, precision: Precision = "float32") -> None:
        self.last_chunk: Chunk | None = None
        self._model = model
        self._dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._lstm = model.lstm if precision == "float32" else copy.deepcopy(model.lstm).to(self._dtype)
        self._waiting: deque[_Text[Key]] = deque()
        self._seated: list[_Text[Key]] = []
        self._states = self._empty_states(0)

    def __len__(self) -> int:
        """Return the number of texts that have joined and not left."""
        return len(self._waiting) + len(self._seated)

    @property
    def seated(self) -> int:
        """The number of texts in the running batch."""
        return len(self._seated)

    def join(self, key: Key, token_ids: TokenIds) -> None:
        """Add a text of at least one token under a key of its own; it takes a seat at the next chunk, if one is free.

        A model that reads padding (`pad_to`) needs it here.
        """
        if len(token_ids) == 0:
            raise ValueError("a text needs at least one token")
        self._waiting.append(_Text(key, token_ids))

    def leave(self, keys: set[Key]) -> None:
        """Drop texts before they are finished; keys that are not here are ignored."""
        self._waiting = deque(text for text in self._waiting if text.key not in keys)
        self._keep([index for index, text in enumerate(self._seated) if text.key not in keys])

    @torch.inference_mode()
    def advance(self) -> list[Finished[Key]]:
        """Read one chunk of every seated text; return those that ended in it."""
        self._seat()
        if not self._seated:
            return []
        steps = self._choose_steps()
        outputs = self._run(self._chunk(steps))  # (seats, K, H), of which the first B rows are texts
        ended = [index for index, text in enumerate(self._seated) if text.remaining <= steps]
        last = [self._seated[index].remaining - 1 for index in ended]
        logits = self._model.readout(outputs[ended, last].float()).tolist() if ended else []
        now = time.perf_counter()
        finished = [_finished(self._seated[index], logit, now) for index, logit in zip(ended, logits, strict=True)]
        tokens = sum(min(text.remaining, steps) for text in self._seated)
        self.last_chunk = Chunk(len(self._seated), outputs.shape[0], steps, tokens)
        for text in self._seated:
            text.read += steps
        self._keep([index for index, text in enumerate(self._seated) if text.remaining > 0])
        return finished

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Run every shape once, so that no text pays for being the first of its shape."""
        shapes = [(1, steps) for steps in _STEPS_ALONE] + [(seats, steps) for seats in _SEATS for steps in _STEPS]
        for seats, steps in shapes:
            token_ids = torch.zeros((seats, steps), dtype=torch.int64, device=self._model.device)
            self._lstm(self._model.embed(token_ids).to(self._dtype), self._empty_states(seats))

    def _seat(self) -> None:
        free = min(_SEATS[-1] - len(self._seated), len(self._waiting))
        if free:
            newcomers = [self._waiting.popleft() for _ in range(free)]
            for text in newcomers:
                text.seated_at = time.perf_counter()
            self._seated += newcomers
            self._states = _append(self._states, self._empty_states(free))

    def _choose_steps(self) -> int:
        """Read one text alone in one go; in company, as far as the shortest needs, so that it can leave."""
        shortest = min(text.remaining for text in self._seated)
        table = _STEPS_ALONE if len(self._seated) == 1 else _STEPS
        return next((steps for steps in table if steps >= shortest), table[-1])

    def _chunk(self, steps: int) -> Tensor:
        seats = next(seats for seats in _SEATS if seats >= len(self._seated))
        token_ids = np.full((seats, steps), PADDING_ID, dtype=np.int64)
        for row, text in zip(token_ids, self._seated, strict=False):
            part = text.token_ids[text.read : text.read + steps]
            row[: len(part)] = part
        return torch.from_numpy(token_ids).to(self._model.device)  # (seats, K)

    def _run(self, token_ids: Tensor) -> Tensor:
        missing = len(token_ids) - len(self._seated)
        states = _append(self._states, self._empty_states(missing)) if missing else self._states
        outputs: Tensor
        outputs, self._states = self._lstm(self._model.embed(token_ids).to(self._dtype), states)
        return outputs

    def _keep(self, seats: list[int]) -> None:
        if len(seats) != self._states[0].shape[1]:
            self._states = (self._states[0][:, seats], self._states[1][:, seats])
        self._seated = [self._seated[index] for index in seats]

    def _empty_states(self, seats: int) -> tuple[Tensor, Tensor]:
        config = self._model.config
        shape = (config.num_layers, seats, config.hidden_size)
        empty = torch.zeros(shape, dtype=self._dtype, device=self._model.device)
        return empty, empty


def _append(states: tuple[Tensor, Tensor], more: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Join (layers, B, H) states along the seats."""
    return torch.cat((states[0], more[0]), dim=1), torch.cat((states[1], more[1]), dim=1)


def _finished(text: _Text[Key], logit: float, now: float) -> Finished[Key]:
    return Finished(text.key, logit, text.seated_at - text.joined_at, now - text.seated_at)
