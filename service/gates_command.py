"""What `python -m service gates` does: reads one text in this process, and shows or writes its trace. Needs no server.

The files are what `/gates` answers.
"""

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console

from charlstm.errors import TextError, TextTooLongError
from charlstm.predictor import Predictor
from charlstm.replacing import replacing
from charlstm.trace import GateTrace
from charlstm.views import to_html
from service.errors import CommandError
from service.forms import to_json, to_npz
from service.gates_answers import gates_document
from service.schemas import ModelName
from service.terminal import show

STANDARD: Final = Path("-")  # input, or output


class Files(NamedTuple):
    """Where to write each form; None if it is not asked for, `STANDARD` for standard output."""

    html: Path | None = None
    npz: Path | None = None
    json: Path | None = None


def show_gates(text: str, artifacts: Path, files: Files, *, truncate: bool) -> None:
    """Read a text, write what is asked for, and print the view for terminals unless standard output has another use.

    Args:
        text: Or `-`: all of standard input, but for a line break at its end.
        artifacts: The folder of the model.
        files: What to write, and where.
        truncate: Whether a text over the model's limit is cut instead of refused.

    Raises:
        ArtifactError: The model cannot be loaded.
        MissingPackageError: HTML is asked for, and Plotly is not installed.
        CommandError: The text cannot be read, or a file not be written.
    """
    if list(files).count(STANDARD) > 1:
        raise CommandError("only one of --html, --npz and --json can go to standard output")
    predictor = Predictor.load(artifacts, device="cpu")
    try:
        traced = predictor.trace(_read() if text == str(STANDARD) else text, truncate=truncate)
    except TextTooLongError as error:
        unit = predictor.artifacts.config.preprocessing.level
        limit = f"the text must be at most {error.limit} {unit}s long, found {error.found}"
        raise CommandError(f"{limit}; --truncate cuts it") from error
    except TextError as error:
        raise CommandError(f"the text {error}") from error
    name = predictor.artifacts.config.name
    model = ModelName(name=name, version=predictor.artifacts.version, precision="float32")
    for path, content in _contents(traced, model, files):
        _write(path, content)
    if STANDARD not in files:
        show(Console(markup=False, emoji=False, highlight=False), traced, f"{model.name} {model.version}")


def _read() -> str:
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise CommandError(f"standard input must be UTF-8, found another byte at {error.start}") from error
    return text.removesuffix("\n").removesuffix("\r")


def _contents(traced: GateTrace, model: ModelName, files: Files) -> Iterator[tuple[Path, bytes]]:
    if files.html is not None:
        yield files.html, to_html(traced, f"{model.name} {model.version}").encode()
    if files.npz is not None:
        yield files.npz, to_npz(gates_document(traced, model))
    if files.json is not None:
        yield files.json, to_json(gates_document(traced, model)) + b"\n"


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; what is no plain file, such as a pipe, is written into."""
    if path == STANDARD:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        target = path.resolve()  # a link stays one
        if target.exists() and not target.is_file():
            target.write_bytes(content)
        else:
            _replace(target, content)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from error
    print(f"wrote {path}", file=sys.stderr)  # noqa: T201  a command speaks to its user


def _replace(target: Path, content: bytes) -> None:
    unfinished = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}")
    with replacing(target, unfinished), unfinished.open("xb") as file:
        file.write(content)
