"""What the engine decides before it loads: precision and threads."""

from pathlib import Path

import pytest
import torch

from charlstm.errors import ArtifactError, DeviceError
from service import loader

CPU = torch.device("cpu")


def test_float32_is_what_it_is_asked_for() -> None:
    assert loader.choose_precision("float32", CPU) == "float32"


@pytest.mark.parametrize("able", [True, False])
def test_bfloat16_is_taken_where_it_is_and_refused_elsewhere(able: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a case
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able})
    assert loader.choose_precision("auto", CPU) == ("bfloat16" if able else "float32")
    if able:
        assert loader.choose_precision("bfloat16", CPU) == "bfloat16"
    else:
        with pytest.raises(DeviceError, match="precision bfloat16 is not available on cpu"):
            loader.choose_precision("bfloat16", CPU)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 2), (64, 4)])
def test_a_core_is_left_to_http(cores: int, threads: int) -> None:
    assert loader.threads_for(cores) == threads


def test_a_folder_that_may_not_be_listed_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may list any, so it is the system that says no."""

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(ArtifactError, match="expected a folder that may be listed, found Permission denied"):
        loader.further_folders(tmp_path)
