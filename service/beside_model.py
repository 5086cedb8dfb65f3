"""A file that may lie beside a model's own, such as its atlas or its card: read when it or the model has changed."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from charlstm.errors import ArtifactError
from service.connection import ServedModel

_logger = logging.getLogger(__name__)

_Record = TypeVar("_Record")
_Loaded_co = TypeVar("_Loaded_co", covariant=True)


class Load(Protocol[_Loaded_co]):
    """Reads the file of a version of the model from the model's folder; None if there is none of this version."""

    def __call__(self, directory: Path, version: str, ignored: Callable[[str], object], /) -> _Loaded_co | None:
        """Tell `ignored` why a file that is there is not returned; raise ArtifactError if it is damaged."""


class FilesBesideModels(Generic[_Record]):
    """Such a file of each model that is served.

    Args:
        artifacts: The folder of the default model, and of the others' folders.
        name: The file's name.
        load: Reads it.
    """

    def __init__(self, artifacts: Path, name: str, load: Load[_Record]) -> None:
        self._artifacts, self._name, self._load = artifacts, name, load
        self._files: dict[str, _FileBesideModel[_Record]] = {}

    async def of(self, model: ServedModel) -> _Record | None:
        """Give what the file says of a model; None if that can't be had, and then the log says why."""
        if model.folder not in self._files:
            self._files[model.folder] = _FileBesideModel(self._artifacts / model.folder, self._name, self._load)
        return await self._files[model.folder].of(model.version)


class _FileBesideModel(Generic[_Record]):
    def __init__(self, directory: Path, name: str, load: Load[_Record]) -> None:
        self._directory, self._name, self._load = directory, name, load
        self._reading = asyncio.Lock()
        # Of what was read: the model's version, the file's age and size.
        self._state: tuple[str, int, int] | None = None
        self._found: _Record | None = None

    async def of(self, version: str) -> _Record | None:
        async with self._reading:
            return await asyncio.to_thread(self._refreshed, version)

    def _refreshed(self, version: str) -> _Record | None:
        try:
            file = (self._directory / self._name).stat()
        except OSError:
            self._state, self._found = None, None
            return None
        state = (version, file.st_mtime_ns, file.st_size)
        if state == self._state:
            return self._found
        found = None
        try:
            found = self._load(self._directory, version, _logger.warning)
        except ArtifactError as error:
            _logger.error("%s cannot be read: %s", self._name, error)  # noqa: TRY400  the message says it all
        # At the end, and in this order: whoever waited for it may be gone, and another thread look in between.
        self._found, self._state = found, state
        return found
