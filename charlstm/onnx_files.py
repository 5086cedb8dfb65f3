"""A model's folder as files for other languages: the network for any ONNX runtime, and how to read a text, as JSON.

    model.onnx   the network; gives P(negative), and how it came about along the text
    trace.onnx   the same network; gives every signal of the trace as well
    text.json    what a program needs to turn a text into token ids, and a probability into a label

Needs the extra `onnx`.
"""

import hashlib
import sys
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from charlstm.artifacts import Artifacts
from charlstm.config import Label
from charlstm.onnx_model import FORMAT_VERSION, build_model
from charlstm.replacing import replace_files
from charlstm.text import Preprocessing

MODEL, TRACE, TEXT = "model.onnx", "trace.onnx", "text.json"
_CODE_POINTS: Final = sys.maxunicode + 1


class TextRules(BaseModel):
    """The whole of `text.json`.

    Attributes:
        format_version: Which layout of these files this is.
        name, version: Of the model.
        labels: The name of each label, by number.
        preprocessing: What is done to a text before the model reads it.
        folded: If it is case-folded: every character that this changes, and what it becomes, one or several; so no
            other language needs Python's `str.casefold`.
        pad_to: As in `ModelConfig`.
        vocabulary: Every token, the one with id 0 first; the last one is that of whatever is unknown.
        files: SHA-256 of the other two files.
    """

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = FORMAT_VERSION
    name: str
    version: str
    labels: tuple[Label, ...]
    preprocessing: Preprocessing
    folded: dict[str, str] = Field(repr=False)
    pad_to: int | None
    vocabulary: tuple[str, ...]
    files: dict[str, str]


def export_onnx(artifacts: Artifacts, directory: Path) -> None:
    """Write a model's ONNX files into a folder: all of them are complete before the first takes its place.

    Args:
        artifacts: The model.
        directory: Made if it does not exist. Other files in it are left alone.

    Raises:
        OSError: The folder cannot be written to.
    """
    networks = {MODEL: build_model(artifacts, signals=False), TRACE: build_model(artifacts, signals=True)}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in networks.items()}
    rules = text_rules(artifacts, hashes)
    directory.mkdir(parents=True, exist_ok=True)
    replace_files(directory, networks | {TEXT: rules.model_dump_json(indent=1).encode() + b"\n"})


def text_rules(artifacts: Artifacts, files: dict[str, str]) -> TextRules:
    """Say how a model reads a text.

    Args:
        artifacts: The model.
        files: SHA-256 of its ONNX files, by name.
    """
    config = artifacts.config
    return TextRules(
        name=config.name,
        version=artifacts.version,
        labels=config.labels,
        preprocessing=config.preprocessing,
        folded=_folded() if config.preprocessing.casefold else {},
        pad_to=config.model.pad_to,
        vocabulary=artifacts.vocabulary.tokens,
        files=files,
    )


def _folded() -> dict[str, str]:
    """Return each character that case folding changes, with what it becomes. Folding works on each alone."""
    changed = ((character, character.casefold()) for character in map(chr, range(_CODE_POINTS)))
    return {character: folded for character, folded in changed if character != folded}
