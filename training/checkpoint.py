"""The state of an unfinished run: enough to go on after a kill as if it had never happened.

Random numbers need no saving: every epoch seeds its own from the run's seed and the epoch's number.
"""

import io
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from charlstm.replacing import replacing
from training.errors import CheckpointError


@dataclass(frozen=True)
class Validation:
    """How the network did on the held-out texts after an epoch.

    Attributes:
        loss: Mean log loss, in nats.
        calibrated_loss: The same at the temperature that suits these texts best: the best epoch has the least.
        accuracy, auc: The share of right labels, and the area under the ROC.
    """

    loss: float
    calibrated_loss: float
    accuracy: float
    auc: float


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did.

    Attributes:
        epoch: Its number, from 0.
        train_loss: Mean loss over the training texts while they were trained on, in nats.
        validation: On the held-out texts; None where none are held out.
        seconds: How long it took.
        tokens_per_second: Tokens of the training texts, padding not counted, by time.
    """

    epoch: int
    train_loss: float
    validation: Validation | None
    seconds: float
    tokens_per_second: float


@dataclass
class RunState:
    """Where a run stands after its last whole epoch.

    Attributes:
        weights, optimizer: To go on from.
        best_weights, best_epoch: The weights to keep.
        history: One record an epoch.
        interrupted: Whether Ctrl-C ended the run, be it in its last epoch; never so in a checkpoint.
    """

    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    best_weights: dict[str, Tensor]
    best_epoch: int = -1
    history: list[EpochRecord] = field(default_factory=list)
    interrupted: bool = False


def save_checkpoint(path: Path, fingerprint: str, state: RunState) -> None:
    """Write the state, whole or not at all."""
    content = io.BytesIO()  # torch.save into a file hides why it could not be written
    torch.save({"fingerprint": fingerprint} | asdict(state), content)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    with replacing(path, unfinished):
        unfinished.write_bytes(content.getbuffer())


def load_checkpoint(path: Path, fingerprint: str) -> RunState | None:
    """Read the state of an unfinished run, if there is one.

    Args:
        path: Where it would be.
        fingerprint: Everything that shapes the run's result; it has to be that of the unfinished one.

    Raises:
        CheckpointError: There is one, but of a run with other data or settings, or it cannot be read.
    """
    if not path.exists():
        return None
    content = io.BytesIO(path.read_bytes())
    try:
        saved = torch.load(content, map_location="cpu", weights_only=True)
        found = saved.pop("fingerprint")
        history = [_record(**fields) for fields in saved.pop("history")]
        state = RunState(**saved, history=history)
    except Exception as error:  # a damaged pickle raises whatever its bytes spell
        raise CheckpointError(f"{path}: the unfinished run cannot be read; use --fresh to start over") from error
    if found != fingerprint:
        raise CheckpointError(
            f"{path}: an unfinished run with other data or settings stands here; "
            "repeat its settings to finish it, or use --fresh to start over"
        )
    return state


def _record(*, validation: dict[str, float] | None, **fields: Any) -> EpochRecord:
    return EpochRecord(validation=None if validation is None else Validation(**validation), **fields)
