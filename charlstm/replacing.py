"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path, unfinished: Path) -> Iterator[None]:
    """Put a file into another's place once it has been written; after an error, the old one stays and this one goes.

    Args:
        path: What is to be there in the end.
        unfinished: What is written meanwhile, by whoever enters this; in the same folder.
    """
    try:
        yield
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):  # what went wrong is what is worth telling
            unfinished.unlink(missing_ok=True)
        raise
