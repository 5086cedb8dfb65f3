"""The command that writes a model for other languages: `export`. What it writes is the core's business."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from charlstm.artifacts import load_artifacts
from training.arguments import ModelFolder


class ExportFormat(StrEnum):
    """What a model can be written as."""

    ONNX = "onnx"


def export(
    model: ModelFolder,
    form: Annotated[ExportFormat, typer.Option("--format", help="What to write it as.")] = ExportFormat.ONNX,
    output: Annotated[Path | None, typer.Option(help="The folder to write to. Default: DIR/onnx.")] = None,
) -> None:
    """Write the model in DIR for languages other than Python, with what they need to read a text as it does."""
    from charlstm.onnx_files import MODEL, TEXT, TRACE, export_onnx  # noqa: PLC0415  an extra

    directory = output or model / form.value
    export_onnx(load_artifacts(model), directory)
    typer.echo(f"wrote {directory / MODEL}, {TRACE} and {TEXT}", err=True)
