"""All texts as numbers, encoded once: batches are then cut out of one tensor, with no Python loop over texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from charlstm.encoding import TextEncoder
from charlstm.errors import EmptyTextError
from charlstm.vocabulary import PADDING_ID
from training.distillation import LessonBatch, Lessons

# Batches are cut from pools of this many, each sorted by length: little padding, and still a random mix.
_POOL_OF_BATCHES = 64


@dataclass(frozen=True)
class Batch:
    """One batch: token_ids (B, T), lengths (B,), labels (B,) as float32, and what a teacher says if there is one."""

    token_ids: Tensor
    lengths: Tensor
    labels: Tensor
    lessons: LessonBatch | None = None


@dataclass(frozen=True)
class Corpus:
    """R encoded texts, end to end.

    Attributes:
        token_ids: (N,) the tokens of all texts, one text after the other.
        starts: (R,) where each text begins.
        lengths: (R,) how many tokens it has.
        labels: (R,) float32, 1 for negative; between 0 and 1 where that is not sure.
        pad_to: As in `ModelConfig`.
        lessons: What a teacher says of the texts, if there is one.
    """

    token_ids: Tensor
    starts: Tensor
    lengths: Tensor
    labels: Tensor
    pad_to: int | None
    lessons: Lessons | None = None

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.labels)

    def batch(self, rows: Tensor) -> Batch:
        """Cut out and pad the texts of these (B,) rows."""
        lengths = self.lengths[rows]
        steps = self.pad_to or int(lengths.max())
        at = torch.arange(steps, device=lengths.device)  # (T,)
        inside = at < lengths[:, None]  # (B, T)
        where = (self.starts[rows][:, None] + at).clamp(max=len(self.token_ids) - 1)
        token_ids = self.token_ids[where].masked_fill(~inside, PADDING_ID)
        read = lengths if self.pad_to is None else torch.full_like(lengths, steps)
        lessons = None if self.lessons is None else self.lessons.batch(rows)
        return Batch(token_ids, read, self.labels[rows], lessons)

    def shuffled(self, batch_size: int, generator: torch.Generator, *, by_length: bool) -> Iterator[Batch]:
        """Give every text once, in random batches, of similar lengths if asked."""
        order = torch.randperm(len(self), generator=generator)
        if by_length:
            pools = torch.split(order, batch_size * _POOL_OF_BATCHES)
            order = torch.cat([pool[self.lengths.cpu()[pool].argsort(stable=True)] for pool in pools])
        batches = torch.split(order, batch_size)
        for index in torch.randperm(len(batches), generator=generator).tolist():
            yield self.batch(batches[index].to(self.lengths.device))

    def in_order_of_length(self, batch_size: int) -> Iterator[tuple[Tensor, Batch]]:
        """Give every text once with its (B,) rows, with as little padding as possible."""
        for rows in torch.split(self.lengths.argsort(stable=True), batch_size):
            yield rows, self.batch(rows)


def encode_corpus(
    encoder: TextEncoder, texts: Sequence[str], labels: Sequence[float], pad_to: int | None, device: torch.device
) -> Corpus:
    """Encode texts once; those over the length limit are cut, those without a token are left out."""
    encoded: list[tuple[int, ...]] = []
    kept: list[float] = []
    for text, label in zip(texts, labels, strict=True):
        try:
            encoded.append(encoder.encode(text, truncate=True).token_ids)
        except EmptyTextError:  # white space alone is no word
            continue
        kept.append(label)
    lengths = torch.tensor([len(token_ids) for token_ids in encoded])
    return Corpus(
        token_ids=torch.tensor([token_id for token_ids in encoded for token_id in token_ids]).to(device),
        starts=(lengths.cumsum(0) - lengths).to(device),
        lengths=lengths.to(device),
        labels=torch.tensor(kept, dtype=torch.float32).to(device),
        pad_to=pad_to,
    )
