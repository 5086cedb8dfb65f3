"""What `python -m service predict` does: judges some texts in this process, for people or, as JSON, for programs.

The JSON is what `POST /predict` answers, and for a text that it would refuse the same problem document.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from charlstm.errors import TextError, TextTooLongError
from charlstm.predictor import Predictor
from charlstm.trace import Prediction
from service.answers import prediction_response
from service.errors import TextFault, UnreadableTextsError
from service.problems import problem_of
from service.schemas import ModelName
from service.terminal import label_style, visible

_STANDARD_INPUT = "-"
_BEGINNING = 60  # characters that are shown of a text that is too long to be read


def predict(texts: Sequence[str], artifacts: Path, *, truncate: bool, as_json: bool) -> int:
    """Judge texts and print what comes out, in their order.

    Args:
        texts: Or `-` alone: the lines of standard input.
        artifacts: The folder of the model.
        truncate: Whether texts over the model's limit are cut instead of refused.
        as_json: Whether to print JSON lines instead of a table.

    Returns:
        The command's exit code: 1 if a text could not be judged.

    Raises:
        ArtifactError: The model cannot be loaded.
        BrokenPipeError: Nobody reads the answers any more.
    """
    predictor = Predictor.load(artifacts, device="cpu")
    read = _lines() if list(texts) == [_STANDARD_INPUT] else list(texts)
    answers = _judge(predictor, read, truncate=truncate)
    model = ModelName(name=predictor.artifacts.config.name, version=predictor.artifacts.version, precision="float32")
    if as_json:
        for answer in answers:
            print(_document(answer, model).model_dump_json(exclude_none=True))  # noqa: T201  a command speaks to its user
    elif answers:
        console = Console(markup=False, emoji=False, highlight=False)
        with console.capture() as shown:  # by itself, rich would end the process where nobody reads
            console.print(_table(read, answers))
            console.print(f"{visible(model.name)} {model.version}", style="dim")
        sys.stdout.write(shown.get())
    sys.stdout.flush()
    return 1 if any(isinstance(answer, TextError) for answer in answers) else 0


def _lines() -> list[str]:
    """Read standard input; bytes that are no UTF-8 become what the model refuses."""
    text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _judge(predictor: Predictor, texts: Sequence[str], *, truncate: bool) -> list[Prediction | TextError]:
    """Predict those texts that can be read, together; say of the others why not."""
    answers: list[Prediction | TextError | None] = []
    for text in texts:
        try:
            predictor.artifacts.encoder.encode(text, truncate=truncate)
            answers.append(None)
        except TextError as error:
            answers.append(error)
    readable = [text for text, error in zip(texts, answers, strict=True) if error is None]
    predictions = iter(predictor.predict(readable, truncate=truncate))
    return [next(predictions) if error is None else error for error in answers]


def _document(answer: Prediction | TextError, model: ModelName) -> BaseModel:
    if isinstance(answer, TextError):
        return problem_of(UnreadableTextsError([TextFault("text", answer)]))
    return prediction_response(model, answer)


def _table(texts: Sequence[str], answers: Sequence[Prediction | TextError]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("label", "P(negative)", "P(positive)"):
        table.add_column(name, justify="left" if name == "label" else "right", no_wrap=True, min_width=len(name))
    table.add_column("text", overflow="fold")
    for text, answer in zip(texts, answers, strict=True):
        table.add_row(*_cells(visible(text).replace("\n", " "), answer))
    return table


def _cells(text: str, answer: Prediction | TextError) -> tuple[Text, str, str, Text]:
    shown = Text(f"{text[:_BEGINNING]}…" if isinstance(answer, TextTooLongError) else text)
    if isinstance(answer, TextError):
        return Text("-"), "", "", shown.append(f"{' ' * bool(text)}({answer})", "dim")
    if answer.truncated:
        shown.append(f" (cut: {answer.characters} characters were read)", "dim")
    negative = answer.probability_negative
    return Text(answer.label, label_style(answer.label)), f"{negative:.3f}", f"{1 - negative:.3f}", shown
