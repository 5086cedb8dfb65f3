"""Files that belong together: none takes its place before all of them are complete."""

from pathlib import Path

import pytest

from charlstm.replacing import replace_files


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_all_files_are_written_and_others_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "c").write_bytes(b"other")
    replace_files(tmp_path, {"a": b"new", "b": b""})
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == {"a": b"new", "b": b"", "c": b"other"}


def test_they_take_their_places_in_the_order_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed: list[str] = []
    replace = Path.replace

    def watched(path: Path, target: Path) -> Path:
        placed.append(target.name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", watched)
    replace_files(tmp_path, {"first": b"1", "second": b"2", "third": b"3"})
    assert placed == ["first", "second", "third"]


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_when_one_cannot_be_written_all_old_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"old")
    write, calls = Path.write_bytes, iter(range(1, 4))

    def run_full(path: Path, data: bytes) -> int:
        if next(calls) == failing:
            raise OSError("no space left")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", run_full)
    with pytest.raises(OSError, match="no space left"):
        replace_files(tmp_path, {"a": b"new", "b": b"new", "c": b"new"})
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == dict.fromkeys("abc", b"old")
