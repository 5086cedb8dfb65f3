"""Distillation: a network learns what a teacher says after each word, beside the labels (Hinton et al., 2015).

A label says one thing of a whole text. The teacher says after every word how the text stands so far, and where a
sentence encoder sees it: a hundred times as much to learn from, and no network can learn it by heart as fast as labels.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from charlstm.encoding import TextEncoder
from charlstm.errors import EmptyTextError
from charlstm.model import SentimentLSTM, last_step
from training.sentences import Labels, Reading
from training.splits import Rows


@dataclass(frozen=True)
class Teaching:
    """What is to be learnt of texts.

    Attributes:
        reading: Their M beginnings, as the sentence encoder sees them.
        probabilities: (M,) what the teacher says of each, P(negative); not a number for those of texts that teach
            nothing.
    """

    reading: Reading
    probabilities: npt.NDArray[np.float32]

    def of_whole_texts(self, rows: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return what the teacher says of these (B,) texts: P(negative), (B,)."""
        return self.probabilities[self.reading.starts[1:][rows] - 1].astype(np.float64)

    def mixed_with_labels(self, rows: Rows, labels: Labels, share: float) -> Self:
        """Leave this share of what the teacher says of (B,) texts, after every word; the rest is their (B,) labels."""
        probabilities = self.probabilities.copy()
        for row, label in zip(rows, labels, strict=True):
            words = slice(self.reading.starts[row], self.reading.starts[row + 1])
            probabilities[words] = share * probabilities[words] + (1 - share) * label
        return dataclasses.replace(self, probabilities=probabilities)


@dataclass(frozen=True)
class LessonBatch:
    """The K lessons of a batch.

    Attributes:
        texts, steps: (K,) which text of the batch and after which of its steps.
        probabilities: (K,) what the teacher says, P(negative).
        embeddings: (K, D) where the sentence encoder sees the text so far.
    """

    texts: Tensor
    steps: Tensor
    probabilities: Tensor
    embeddings: Tensor


@dataclass(frozen=True)
class Lessons:
    """All M lessons of R texts, text after text.

    Attributes:
        starts: (R + 1,) where each text's lessons begin, and M.
        steps: (M,) the step of its text that each stands behind, from 0.
        probabilities: (M,) float32.
        embeddings: (M, D) float16.
    """

    starts: Tensor
    steps: Tensor
    probabilities: Tensor
    embeddings: Tensor

    def batch(self, rows: Tensor) -> LessonBatch:
        """Pick the lessons of these (B,) texts."""
        first = self.starts[rows]
        counts = self.starts[rows + 1] - first  # (B,)
        texts = torch.arange(len(rows), device=rows.device).repeat_interleave(counts)  # (K,)
        before = counts.cumsum(0) - counts  # (B,) lessons of the texts before
        which = (first - before)[texts] + torch.arange(len(texts), device=rows.device)  # (K,)
        return LessonBatch(texts, self.steps[which], self.probabilities[which], self.embeddings[which].float())


def lessons_of(encoder: TextEncoder, texts: Mapping[int, str], teaching: Teaching, device: torch.device) -> Lessons:
    """Put the teaching of these texts at the steps at which a student has read as far.

    What a text that was cut has lost teaches nothing; the word it is cut in counts as read. Texts without a token are
    left out, as in `encode_corpus`.

    Args:
        encoder: How the student reads.
        texts: The R texts, by their row in the teaching.
        teaching: What is to be learnt.
        device: Where the lessons are wanted.
    """
    which, steps, counts = [], [], []
    for row, text in texts.items():
        try:
            offsets = np.array(encoder.encode(text, truncate=True).offsets)
        except EmptyTextError:
            continue
        words = np.arange(teaching.reading.starts[row], teaching.reading.starts[row + 1])
        reached = np.searchsorted(offsets, teaching.reading.ends[words]) - 1  # (W,) the last step of each word
        begun = np.concatenate([[True], reached[:-1] < len(offsets) - 1])
        which.append(words[begun])
        steps.append(reached[begun])
        counts.append(int(begun.sum()))
    chosen = np.concatenate(which)
    return Lessons(
        starts=torch.tensor([0, *counts]).cumsum(0).to(device),
        steps=torch.from_numpy(np.concatenate(steps)).to(device),
        probabilities=torch.from_numpy(teaching.probabilities[chosen]).to(device),
        embeddings=torch.from_numpy(teaching.reading.embeddings[chosen]).to(device),
    )


class Answers(NamedTuple):
    """What a student says: a logit for each of B texts and, if it is taught, of each of K lessons what it makes of it.

    Attributes:
        logits: (B,) at the end of each text.
        word_logits: (K,) after the words that have a lesson.
        pointed: (K, D) where it takes the sentence encoder to see the text by then.
    """

    logits: Tensor
    word_logits: Tensor
    pointed: Tensor


class Student(nn.Module):
    """The network and a layer that points from its hidden state to where the sentence encoder sees the text.

    The layer is thrown away after training. What it leaves behind is a hidden state that holds what such an embedding
    holds.
    """

    def __init__(self, model: SentimentLSTM, embedding_size: int) -> None:
        super().__init__()
        self.model = model
        self.pointer = nn.Linear(model.config.hidden_size, embedding_size)

    def forward(self, token_ids: Tensor, lengths: Tensor, lessons: LessonBatch) -> Answers:
        """Read (B, T) token ids to their (B,) lengths, and answer at the end and at each lesson."""
        hidden_states = self.model.hidden_states(self.model.embed(token_ids))  # (B, T, H)
        at_lessons = hidden_states[lessons.texts, lessons.steps]  # (K, H)
        return Answers(
            logits=self.model.readout(last_step(hidden_states, lengths)),
            word_logits=self.model.readout(at_lessons),
            pointed=self.pointer(at_lessons),
        )


def lesson_losses(answers: Answers, lessons: LessonBatch) -> tuple[Tensor, Tensor]:
    """Return how far a student is from its teacher and from the sentence encoder, as means over the K lessons.

    Returns:
        The cross-entropy of its probabilities with the teacher's, and 1 less the cosine of its pointing.
    """
    opinion = nn.functional.binary_cross_entropy_with_logits(answers.word_logits.float(), lessons.probabilities)
    distance = 1 - nn.functional.cosine_similarity(answers.pointed.float(), lessons.embeddings)
    return opinion, distance.mean()
