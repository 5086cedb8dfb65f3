"""The state of an unfinished run on disk."""

import errno
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from training.checkpoint import EpochRecord, RunState, Validation, load_checkpoint, save_checkpoint
from training.errors import CheckpointError


def run_state() -> RunState:
    model = torch.nn.Linear(20, 20)
    optimizer = torch.optim.AdamW(model.parameters())
    torch.autograd.backward(model(torch.ones(1, 20)).sum())
    optimizer.step()
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    best = {name: tensor + 1 for name, tensor in weights.items()}
    history = [EpochRecord(0, 0.7, Validation(0.6, 0.5, 0.4, 0.3), 1.5, 99.0), EpochRecord(1, 0.6, None, 1.0, 9.0)]
    return RunState(weights, optimizer.state_dict(), best, best_epoch=0, history=history)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / ".unfinished.pt"


def test_a_state_comes_back_as_it_was(path: Path) -> None:
    state = run_state()
    save_checkpoint(path, "mine", state)
    found = load_checkpoint(path, "mine")
    assert found is not None
    assert (found.best_epoch, found.history) == (0, state.history)
    torch.testing.assert_close(found.weights, state.weights, rtol=0, atol=0)
    torch.testing.assert_close(found.best_weights, state.best_weights, rtol=0, atol=0)
    torch.testing.assert_close(found.optimizer["state"], state.optimizer["state"], rtol=0, atol=0)
    assert found.optimizer["param_groups"] == state.optimizer["param_groups"]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_where_there_is_none_nothing_is_loaded_or_made(path: Path) -> None:
    assert load_checkpoint(path, "mine") is None
    assert not path.parent.exists()


def test_another_runs_state_is_refused(path: Path) -> None:
    save_checkpoint(path, "mine", run_state())
    with pytest.raises(CheckpointError, match=r"other data or settings.*--fresh"):
        load_checkpoint(path, "yours")


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "flipped", "no state", "no record", "not even a dict"])
def test_a_damaged_state_is_refused(path: Path, damage: str) -> None:
    save_checkpoint(path, "mine", run_state())
    whole = path.read_bytes()
    middle = whole.index(b"best_weights")  # within the pickle
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "text":
            path.write_text("not a checkpoint", encoding="utf-8")
        case "flipped":
            path.write_bytes(
                whole[:middle] + bytes(byte ^ 0xFF for byte in whole[middle : middle + 8]) + whole[middle + 8 :]
            )
        case "no state":
            torch.save({"fingerprint": "mine", "history": []}, path)
        case "no record":
            torch.save({"fingerprint": "mine", "history": [{"epoch": 1}]}, path)
        case _:
            torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match=r"cannot be read; use --fresh"):
        load_checkpoint(path, "mine")


def test_every_byte_counts(path: Path) -> None:
    """Wherever a file is cut short, loading says so in its own words, never in those of a parser."""
    save_checkpoint(path, "mine", run_state())
    whole = path.read_bytes()
    for length in range(0, len(whole), len(whole) // 60):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            load_checkpoint(path, "mine")


def test_a_pickle_that_runs_code_is_not_run(path: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[object]]:
            return Path.touch, (tmp_path / "trapped",)

    path.parent.mkdir()
    torch.save({"fingerprint": "mine", "history": [Trap()]}, path)
    with pytest.raises(CheckpointError):
        load_checkpoint(path, "mine")
    assert not (tmp_path / "trapped").exists()


def test_a_full_disk_keeps_the_earlier_state_and_leaves_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(path, "mine", run_state())
    whole, write_bytes = path.read_bytes(), Path.write_bytes

    def run_full(self: Path, data: bytes) -> NoReturn:
        write_bytes(self, bytes(data[:100]))
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", run_full)
    with pytest.raises(OSError, match="No space left on device"):
        save_checkpoint(path, "mine", run_state())
    assert path.read_bytes() == whole
    assert [file.name for file in path.parent.iterdir()] == [path.name]
