"""Continuous batching of an LSTM: texts of any length share a running batch, and join and leave it every few steps.

Waiting for a batch to fill costs latency, padding texts to one length costs work, and a short text should not wait for
a long one. An LSTM carries everything it has read in two vectors, so the batch can be run a chunk of steps at a time
over whatever texts are there: between chunks finished texts leave and waiting ones take their seats (after cellular
batching, Gao et al., EuroSys 2018). A text's result does not depend on its company.

Where there are fewer seats than texts, groups of texts take turns: one text of each group is seated, then a second one
of each. So a text on its own waits for one seat, however many thousands somebody else has brought.

Sizes: B seats taken, K steps in a chunk, H = hidden_size.
"""

import copy
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from charlstm.config import Precision
from charlstm.model import SentimentLSTM
from charlstm.vocabulary import PADDING_ID

_logger = logging.getLogger(__name__)

# oneDNN prepares a primitive for each shape it meets, so there are few, and `warm_up` shows it all of them.
_STEPS = (16, 32)
_STEPS_ALONE = tuple(range(8, 257, 8))
_SEATS = (1, 2, 4, 8, 16, 24, 32, 48, 64)  # each is the sum of two smaller ones, so a batch can be split
MOST_SEATS = _SEATS[-1]
"""How many texts a batch reads at the same time."""

Key = TypeVar("Key", bound=Hashable)
TokenIds = Sequence[int] | NDArray[np.int32]
_States = tuple[Tensor, Tensor]  # hidden and cell state, (layers, B, H) each


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
        self._lstm.flatten_parameters()
        self._waiting: OrderedDict[Hashable, deque[_Text[Key]]] = OrderedDict()  # by group, whose turn it is first
        self._waiting_texts = 0
        self._seated: list[_Text[Key]] = []
        self._states = self._empty_states(0)

    def __len__(self) -> int:
        """Return the number of texts that have joined and not left."""
        return self._waiting_texts + len(self._seated)

    @property
    def seated(self) -> int:
        """The number of texts in the running batch."""
        return len(self._seated)

    def join(self, key: Key, token_ids: TokenIds, group: Hashable = None) -> None:
        """Add a text; it takes a seat at the next chunk, or when it is its turn.

        Args:
            key: Its own, as long as it is here.
            token_ids: At least one. A model that reads padding (`pad_to`) needs it here.
            group: The texts that it takes turns with others among; by default it is a group by itself.

        Raises:
            ValueError: There is no token.
        """
        if len(token_ids) == 0:
            raise ValueError("a text needs at least one token")
        self._waiting.setdefault(key if group is None else group, deque()).append(_Text(key, token_ids))
        self._waiting_texts += 1

    def leave(self, keys: set[Key], groups: Iterable[Hashable] | None = None) -> None:
        """Drop texts before they are finished; keys that are not here are ignored.

        Args:
            keys: Theirs.
            groups: Those that they joined, so that no other one has to be looked through.
        """
        for group in list(self._waiting) if groups is None else groups:
            texts = self._waiting.get(group, deque())
            staying = deque(text for text in texts if text.key not in keys)
            self._waiting_texts -= len(texts) - len(staying)
            if staying:
                self._waiting[group] = staying
            else:
                self._waiting.pop(group, None)
        self._keep([index for index, text in enumerate(self._seated) if text.key not in keys])

    @torch.inference_mode()
    def advance(self) -> list[Finished[Key]]:
        """Read one chunk of every seated text; return those that ended in it.

        If the device has no memory left for it, the batch is run in parts. An error leaves every text where it was.

        Raises:
            RuntimeError: The device failed.
        """
        self._seat()
        if not self._seated:
            self.last_chunk = None
            return []
        steps = self._choose_steps()
        token_ids = self._chunk(steps)  # (seats, K), of which the first B rows are texts
        seats = len(token_ids)
        outputs, states = self._run(token_ids, _append(self._states, self._empty_states(seats - len(self._seated))))
        ended = [index for index, text in enumerate(self._seated) if text.remaining <= steps]
        last = [self._seated[index].remaining - 1 for index in ended]
        logits = self._model.readout(outputs[ended, last].float()).tolist() if ended else []
        now = time.perf_counter()
        finished = [_finished(self._seated[index], logit, now) for index, logit in zip(ended, logits, strict=True)]
        tokens = sum(min(text.remaining, steps) for text in self._seated)
        self.last_chunk = Chunk(len(self._seated), seats, steps, tokens)
        self._states = states
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
        free = min(MOST_SEATS - len(self._seated), self._waiting_texts)
        if free:
            self._states = _append(self._states, self._empty_states(free))
            self._waiting_texts -= free
            self._seated += [self._next() for _ in range(free)]

    def _next(self) -> _Text[Key]:
        """Take the next text of the group whose turn it is."""
        group, texts = self._waiting.popitem(last=False)
        text = texts.popleft()
        if texts:
            self._waiting[group] = texts  # behind the others
        text.seated_at = time.perf_counter()
        return text

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
        return _to_device(torch.from_numpy(token_ids), self._model.device)  # (seats, K)

    def _run(self, token_ids: Tensor, states: _States) -> tuple[Tensor, _States]:
        """Run (seats, K) token ids on from their states, in halves if the device has no memory for all at once."""
        try:
            outputs, after = self._lstm(self._model.embed(token_ids).to(self._dtype), states)  # (seats, K, H)
        except torch.OutOfMemoryError:
            if len(token_ids) == 1:
                raise
        else:
            return outputs, after
        # Not within the handler: what the exception refers to would stay in memory.
        seats = next(seats for seats in _SEATS if 2 * seats >= len(token_ids))
        _logger.warning("no memory for %d texts at once; running %d first", len(token_ids), seats)
        first, after_first = self._run(token_ids[:seats], _seats_of(states, slice(seats)))
        rest, after_rest = self._run(token_ids[seats:], _seats_of(states, slice(seats, None)))
        return torch.cat((first, rest)), _append(after_first, after_rest)

    def _keep(self, seats: list[int]) -> None:
        if len(seats) != self._states[0].shape[1]:
            self._states = _seats_of(self._states, seats)
        self._seated = [self._seated[index] for index in seats]

    def _empty_states(self, seats: int) -> _States:
        config = self._model.config
        shape = (config.num_layers, seats, config.hidden_size)
        empty = torch.zeros(shape, dtype=self._dtype, device=self._model.device)
        return empty, empty


def _append(states: _States, more: _States) -> _States:
    """Join (layers, B, H) states along the seats."""
    if more[0].shape[1] == 0:
        return states
    return torch.cat((states[0], more[0]), dim=1), torch.cat((states[1], more[1]), dim=1)


def _seats_of(states: _States, seats: slice | list[int]) -> _States:
    """Pick some seats of (layers, B, H) states."""
    return states[0][:, seats].contiguous(), states[1][:, seats].contiguous()


def _to_device(token_ids: Tensor, device: torch.device) -> Tensor:
    """Copy to the device; to a GPU from pinned memory, so that nothing waits for the copy."""
    return token_ids.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else token_ids


def _finished(text: _Text[Key], logit: float, now: float) -> Finished[Key]:
    return Finished(text.key, logit, text.seated_at - text.joined_at, now - text.seated_at)
