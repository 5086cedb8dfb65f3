"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
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


def replace_files(directory: Path, content: Mapping[str, bytes]) -> None:
    """Write files that belong together: all of them are complete before the first takes its place.

    Args:
        directory: Where they go; it has to be there.
        content: Name to content, in the order in which they take their places.
    """
    with ExitStack() as files:
        for name, data in reversed(list(content.items())):  # what is entered last is put in place first
            unfinished = directory / f".{name}-{os.getpid()}"
            files.enter_context(replacing(directory / name, unfinished))
            unfinished.write_bytes(data)
