"""What is in the artifacts folder is damaged, or its disk is full, while clients ask on: the old model serves on."""

import contextlib
import json
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from charlstm.artifacts import load_artifacts
from tests.chaos_fixtures import LONG, assert_answers, load, right_answers
from tests.served import Served, eventually, served
from tests.service_fixtures import PATIENCE, assert_problem
from tests.tiny import tiny_artifacts

pytestmark = pytest.mark.chaos

KEY = "root"
DISK_BYTES = 256 * 1024


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk of its own, where this process may make one; or else a folder like any other."""
    folder = tmp_path_factory.mktemp("disk")
    with contextlib.suppress(OSError):
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
        subprocess.run(command, capture_output=True, check=False)
    yield folder
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def artifacts(disk: Path) -> Path:
    return tiny_artifacts(disk / "artifacts")


@pytest.fixture(scope="module")
def expected(artifacts: Path) -> dict[str, float]:
    return right_answers(artifacts)


@pytest.fixture(scope="module")
def server(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("server"), artifacts, threads=1, admin_keys=KEY) as server:
        eventually(server.is_ready, LONG)
        yield server


@pytest.fixture
def another(tmp_path: Path) -> Path:
    """Another sound model."""
    return tiny_artifacts(tmp_path / "another", seed=1)


@pytest.fixture(autouse=True)
def _old_set(artifacts: Path, tmp_path: Path) -> Iterator[None]:
    """Put the old set back after each test."""
    kept = shutil.copytree(artifacts, tmp_path / "kept")
    yield
    shutil.rmtree(artifacts, ignore_errors=True)  # a test may have done it
    shutil.copytree(kept, artifacts)


def _reload(server: Served) -> httpx.Response:
    return httpx.post(f"{server.url}/admin/reload", headers={"X-API-Key": KEY}, timeout=PATIENCE)


# Ways to damage a set; each returns the name of the file that is then at fault.


def _remove_a_file(artifacts: Path, _: Path) -> str:
    (artifacts / "model.safetensors").unlink()
    return "model.safetensors"


def _remove_all(artifacts: Path, _: Path) -> str:
    shutil.rmtree(artifacts)
    return "config.json"


def _make_unreadable(artifacts: Path, _: Path) -> str:
    """Also for root, who may read any file."""
    (artifacts / "vocabulary.json").unlink()
    (artifacts / "vocabulary.json").mkdir()
    return "vocabulary.json"


def _cut_short(artifacts: Path, _: Path) -> str:
    config = (artifacts / "config.json").read_text()
    (artifacts / "config.json").write_text(config[: len(config) // 2])
    return "config.json"


def _empty(artifacts: Path, _: Path) -> str:
    (artifacts / "config.json").write_bytes(b"")
    return "config.json"


def _copy_half(artifacts: Path, another: Path) -> str:
    """Copy a new set over the old one, file by file, and get no further than the first."""
    shutil.copy(another / "config.json", artifacts)
    return "model.safetensors"


@pytest.mark.parametrize("damage", [_remove_a_file, _remove_all, _make_unreadable, _cut_short, _empty, _copy_half])
def test_a_set_that_cannot_be_read_is_refused_with_the_reason_and_the_old_one_serves_on(
    server: Served, artifacts: Path, another: Path, expected: dict[str, float], damage: Callable[[Path, Path], str]
) -> None:
    refused = server.log.read_text().count("the new models are not used")
    with load(server, expected) as outcomes:
        file = damage(artifacts, another)
        problem = assert_problem(_reload(server), 409, "reload-refused")
        server.signal(signal.SIGHUP)
        eventually(lambda: server.log.read_text().count("the new models are not used") == refused + 2)
        assert_answers(server, expected)
    assert problem["detail"].startswith(f"{file} expected ")
    assert (outcomes.wrong, outcomes.refused, outcomes.lost) == ([], {}, 0)
    assert outcomes.right


@contextlib.contextmanager
def _full(disk: Path, artifacts: Path) -> Iterator[None]:
    """Let the disk have no room, or else no file be written beyond its beginning, which fails in the same way."""
    if disk.is_mount():
        filler = disk / "filler"
        try:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            yield
        finally:
            filler.unlink()
    else:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((artifacts / "model.safetensors").stat().st_size // 2, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_new_model_that_finds_no_room_on_the_disk_leaves_the_old_one_as_it_was(
    server: Served, disk: Path, artifacts: Path, expected: dict[str, float]
) -> None:
    version = load_artifacts(artifacts).version
    with load(server, expected) as outcomes:
        with _full(disk, artifacts), pytest.raises(OSError, match=r"No space left|File too large"):
            tiny_artifacts(artifacts, seed=1)
        assert load_artifacts(artifacts).version == version
        answer = _reload(server).json()
        assert (answer["version"], answer["changed"]) == (version, False)
        assert_answers(server, expected)
    assert (outcomes.wrong, outcomes.refused, outcomes.lost) == ([], {}, 0)


def test_a_copy_that_finds_no_room_on_the_disk_is_refused_until_it_is_whole(
    server: Served, disk: Path, artifacts: Path, another: Path, expected: dict[str, float]
) -> None:
    weights = artifacts / "model.safetensors"
    with load(server, expected) as outcomes:
        weights.write_bytes(b"")  # as `cp` does it
        with _full(disk, another), contextlib.suppress(OSError):
            shutil.copyfile(another / "model.safetensors", weights)
        assert_problem(_reload(server), 409, "reload-refused")
        assert_answers(server, expected)
    assert (outcomes.wrong, outcomes.refused, outcomes.lost) == ([], {}, 0)
    shutil.copytree(another, artifacts, dirs_exist_ok=True)
    answer = _reload(server).json()
    version = json.loads(server.get("/info").content)["model"]["version"]
    assert (answer["version"], answer["changed"]) == (version, True)
    assert_answers(server, right_answers(another))
