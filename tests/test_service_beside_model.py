"""A file beside a model's own: read once, whoever waits for it."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.beside_model import FilesBesideModels
from tests.service_fixtures import PATIENCE, until

MODEL: Any = SimpleNamespace(folder="", version="1")


def test_who_waits_no_longer_keeps_nobody_from_what_is_read(tmp_path: Path) -> None:
    """The thread goes on reading, and the next one must not take what is not there yet for what there is."""
    started, go_on = threading.Event(), threading.Event()
    reads: list[Path] = []

    def load(directory: Path, _: str, __: Callable[[str], object]) -> str:
        reads.append(directory)
        started.set()
        assert go_on.wait(PATIENCE)
        return "what it says"

    async def ask() -> str | None:
        files = FilesBesideModels(tmp_path, "atlas.json", load)
        first = asyncio.create_task(files.of(MODEL))
        await until(started.is_set)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        second = asyncio.create_task(files.of(MODEL))
        await until(lambda: len(reads) == 2)
        go_on.set()
        return await second

    (tmp_path / "atlas.json").touch()
    assert asyncio.run(ask()) == "what it says"
