"""Many texts, block by block: a column of texts in, columns of predictions out, in the same order.

    scorer = BulkScorer.load("artifacts")
    for block in blocks:  # some thousand texts each
        scores = scorer.score(block)

Each block runs through a continuous batch of its own, the longest texts first: those that are seated together then end
together, and only the shortest are left when the batch runs empty. So blocks need not overlap for the batch to stay
full, and what comes out depends on the block alone, to the last bit on the same machine: a job that goes on where it
was stopped gives what it would have given.

A row that cannot be judged stops nothing: it has no prediction, and a note says why. Sizes: R rows of a block.
"""

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray

from charlstm.artifacts import Artifacts, load_artifacts
from charlstm.batching import ContinuousBatch
from charlstm.config import LABELS, NEGATIVE, POSITIVE, Label, Precision
from charlstm.errors import TextError
from charlstm.model import use_whole_float32
from charlstm.predictor import find_device
from charlstm.readout import FloatArray

Note = Literal["truncated", "empty", "unreadable"]
NOTES: Final[tuple[Note, ...]] = get_args(Note)
COLUMNS: Final = ("label", "probability", "probability_negative", "note")


class EncodedBlock(NamedTuple):
    """The rows of a block as the network reads them.

    Attributes:
        token_ids: Of each row; None where there is nothing to judge.
        notes: As in `Scores`.
    """

    token_ids: list[NDArray[np.int32] | None]
    notes: list[Note | None]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What came out for the rows of a block.

    Attributes:
        probability_negative: (R,) P(negative), 0 to 1, calibrated; NaN where there was nothing to judge.
        note: Of each row `truncated` if the text was cut to the model's limit, `empty` if there is none (missing, or
            white space alone), `unreadable` if it is no string or no valid Unicode; else None.
    """

    probability_negative: FloatArray
    note: list[Note | None]

    @property
    def judged(self) -> NDArray[np.bool_]:
        """(R,) whether there is a prediction."""
        return ~np.isnan(self.probability_negative)

    @property
    def label(self) -> list[Label | None]:
        """The more probable label of each row, at exactly 0.5 `negative`; None where there was nothing to judge."""
        return [
            None if math.isnan(negative) else LABELS[NEGATIVE if negative >= 0.5 else POSITIVE]
            for negative in self.probability_negative.tolist()
        ]

    @property
    def probability(self) -> FloatArray:
        """(R,) the probability of `label`, 0.5 to 1; NaN where there was nothing to judge."""
        return np.maximum(self.probability_negative, 1 - self.probability_negative)

    def columns(self, prefix: str = "") -> dict[str, Any]:
        """Return everything by column: what a data frame's `assign` takes, or a job over blocks gives back.

        Args:
            prefix: What the names begin with.
        """
        return {f"{prefix}{name}": getattr(self, name) for name in COLUMNS}


class BulkScorer:
    """A loaded model that judges blocks of texts. Calls may come from several threads.

    Args:
        artifacts: A verified model; its network is moved to the device.
        device: `auto` (CUDA where there is one, else the CPU), `cpu`, `cuda`, or `cuda:N`.
        precision: Of the LSTM's arithmetic, as in `ContinuousBatch`.

    Raises:
        DeviceError: The device is asked for by name and is not there.
    """

    def __init__(self, artifacts: Artifacts, device: str = "auto", precision: Precision = "float32") -> None:
        use_whole_float32()
        self.artifacts = artifacts
        self.device = find_device(device)
        self.precision: Precision = precision
        self._model = artifacts.model.to(self.device)
        self._encoder = artifacts.encoder
        self._readout = artifacts.readout

    @classmethod
    def load(cls, directory: str | os.PathLike[str], device: str = "auto", precision: Precision = "float32") -> Self:
        """Load and verify the model in a folder.

        Raises:
            ArtifactError: A file is missing, damaged, or does not fit the others.
            DeviceError: The device is asked for by name and is not there.
        """
        return cls(load_artifacts(Path(directory)), device, precision)

    def score(self, texts: Iterable[object], *, on_judged: Callable[[int], None] | None = None) -> Scores:
        """Judge a block of texts; texts over the model's limit are cut.

        Args:
            texts: R of them, such as a list, a NumPy array or a pandas column. What is no text is noted, not refused.
            on_judged: Called every few steps with the number of texts that have been judged so far.

        Raises:
            RuntimeError: The device failed.
        """
        return self.judge(self.encode(texts), on_judged=on_judged)

    def encode(self, texts: Iterable[object]) -> EncodedBlock:
        """Do the first half of `score`, which needs no network: another thread may do it for the next block."""
        rows = [self._encode(text) for text in texts]
        return EncodedBlock([token_ids for token_ids, _ in rows], [note for _, note in rows])

    def judge(self, block: EncodedBlock, *, on_judged: Callable[[int], None] | None = None) -> Scores:
        """Do the second half of `score`.

        Raises:
            RuntimeError: The device failed.
        """
        texts = [(row, token_ids) for row, token_ids in enumerate(block.token_ids) if token_ids is not None]
        batch: ContinuousBatch[int] = ContinuousBatch(self._model, self.precision)
        for row, token_ids in sorted(texts, key=lambda text: -len(text[1])):
            batch.join(row, token_ids, group="block")
        logits = np.zeros(len(block.token_ids), np.float32)
        while len(batch):
            for finished in batch.advance():
                logits[finished.key] = finished.logit
            if on_judged is not None:
                on_judged(len(texts) - len(batch))
        nothing = np.array([token_ids is None for token_ids in block.token_ids], np.bool_)
        return Scores(np.where(nothing, np.float32(np.nan), self._readout.probabilities(logits)), block.notes)

    def _encode(self, text: object) -> tuple[NDArray[np.int32] | None, Note | None]:
        if not isinstance(text, str):
            return None, "empty" if _is_missing(text) else "unreadable"
        if not text.strip():
            return None, "empty"
        try:
            encoded = self._encoder.encode(text, truncate=True)
        except TextError:
            return None, "unreadable"
        read = encoded.padded(self.artifacts.config.model.pad_to)
        return np.array(read.token_ids, np.int32), "truncated" if read.truncated else None


def _is_missing(value: Any) -> bool:
    """Tell whether a cell is empty: None, the NaN of a float column, or the NA of a pandas one, without pandas."""
    try:
        return value is None or bool(value != value)  # noqa: PLR0124  that is what NaN is
    except TypeError:  # NA refuses to be true or false
        return True
    except ValueError:  # an array
        return False
