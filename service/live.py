"""A live session without its socket: a text that is being typed, and the model's memory at each of its characters.

The whole text is encoded anew for each message, and only what differs from before is read: on from the memory at the
last step that stayed the same. So taking back costs nothing, and padding, words that grow, and characters that fold
into several need no rules of their own. Nothing is kept in the engine: one that was started again reads on as well.

Sizes: T steps, H = hidden_size.
"""

import asyncio
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import numpy as np

from charlstm.encoding import EncodedText
from charlstm.errors import EmptyTextError, TextError
from charlstm.readout import FloatArray
from charlstm.trace import SIGNALS, GateTrace
from service.connection import ServedModel, logits_of, signals_of
from service.errors import CharacterLimitError, InvalidFieldError, StaleModelError, TextFault, UnreadableTextsError
from service.forms import to_json
from service.live_answers import LiveAnswer, empty_document
from service.live_schemas import LiveMessage, View
from service.protocol import Traced
from service.schemas import ModelName

_STATES = [SIGNALS.index("hidden_state"), SIGNALS.index("cell_state")]  # in the order that the engine wants


class Reader(Protocol):
    """Who reads: `Inference`, as far as a session needs it."""

    @property
    def model(self) -> ServedModel:
        """What is served."""

    async def read_on(self, model: ServedModel, token_ids: Sequence[int], states: FloatArray | None) -> Traced:
        """Read some tokens, on from what was remembered of those before them."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A text as a model has read it.

    Attributes:
        model: Which.
        text: With its padding, if the model reads that.
        signals: (layers, 6, T, H) in the order of `LayerTrace`.
        logits: (T,) after each step, not calibrated.
    """

    model: ServedModel
    text: EncodedText
    signals: FloatArray
    logits: FloatArray

    @classmethod
    def beginning(cls, model: ServedModel) -> Self:
        """Return what a model has read before it reads."""
        layers, hidden_size = model.config.model.num_layers, model.config.model.hidden_size
        signals = np.empty((layers, len(SIGNALS), 0, hidden_size), np.float32)
        return cls(model, _nothing_of(""), signals, np.empty(0, np.float32))

    def states(self, steps: int) -> FloatArray | None:
        """Return what is remembered after so many steps, as `Inference.read_on` wants it."""
        return self.signals[:, _STATES, steps - 1] if steps else None

    def read_on(self, text: EncodedText, steps: int, answer: Traced | None) -> Self:
        """Return it as it is of another text: so many steps are the same, and the answer, if any, has the rest."""
        signals, logits = self.signals[:, :, :steps], self.logits[:steps]
        if answer is not None:
            signals = np.concatenate((signals, signals_of(answer)), axis=2)
            logits = np.concatenate((logits, logits_of(answer)))
        return type(self)(self.model, text, signals, logits)

    def trace(self) -> GateTrace:
        """Judge the text, of at least one step, and show its memory."""
        tokens = self.model.encoder.vocabulary.decode(self.text.token_ids)
        return GateTrace.of(self.text, tokens, self.signals, self.logits, self.model.readout)


class _Answered(NamedTuple):
    """What was answered for a text.

    Attributes:
        document: As JSON.
        reading: Of the text.
        layout: Of the rows of the document's layers; None if it has none.
    """

    document: bytes
    reading: Reading
    layout: Hashable


class Session:
    """One text and what was answered for it last.

    Args:
        reader: Who reads.
        most_characters: How long the text may become.
    """

    def __init__(self, reader: Reader, most_characters: int) -> None:
        self._reader = reader
        self._most_characters = most_characters
        self._text = ""
        self._view = View()
        self._last: _Answered | None = None

    async def answer(self, message: LiveMessage) -> bytes:
        """Change the text as a message says, read what is new of it, and write the answer's JSON.

        Whatever is raised, the session is as it was before.

        Raises:
            InvalidFieldError: It takes back more than there is, or asks to see what this model has not.
            UnreadableTextsError: The model cannot read what the text would be, or it would be too long.
            ServiceError: The engine did not answer; see `Inference.judge`.
        """
        text, view = self._edited(message), self._view.changed_by(message)
        try:
            answered = await self._read(text, view)
        except StaleModelError:
            answered = await self._read(text, view)
        self._text, self._view, self._last = text, view, answered
        return answered.document

    def _edited(self, message: LiveMessage) -> str:
        here = len(self._text)
        if message.back > here:
            reason = f"must be at most the {here} characters of the text, found {message.back}"
            raise InvalidFieldError("back", reason, here, message.back)
        text = self._text[: here - message.back] + message.text
        if len(text) > self._most_characters:
            raise UnreadableTextsError([TextFault("text", CharacterLimitError(self._most_characters, len(text)))])
        return text

    async def _read(self, text: str, view: View) -> _Answered:
        model = self._reader.model
        encoded = _encode(model, text)
        before = Reading.beginning(model)
        if self._last is not None and self._last.reading.model.version == model.version:
            before = self._last.reading
        same = _in_common(before.text.token_ids, encoded.token_ids)
        rest = encoded.token_ids[same:]
        answer = await self._reader.read_on(model, rest, before.states(same)) if rest else None
        # For hundreds of steps this takes milliseconds, which are not the event loop's.
        return await asyncio.to_thread(lambda: self._write(before, before.read_on(encoded, same, answer), view))

    def _write(self, before: Reading, reading: Reading, view: View) -> _Answered:
        model = reading.model
        name = ModelName(name=model.config.name, version=model.version, precision="float32")
        if not reading.text.token_ids:
            return _Answered(to_json(empty_document(name, view)), reading, None)
        answer = LiveAnswer(reading.trace(), name, view)
        layout = answer.layout
        fits = layout is None or (self._last is not None and layout == self._last.layout)
        # Other characters can fold into the same token, so that it is not as it was sent although it was not read anew.
        start = _in_common(_steps(before.text), _steps(reading.text)) if fits else 0
        return _Answered(to_json(answer.document(start), view.precision), reading, layout)


def _encode(model: ServedModel, text: str) -> EncodedText:
    """Encode a text as the model reads it: padding and all, and nothing as nothing."""
    try:
        return model.encoder.encode(text).padded(model.config.model.pad_to)
    except EmptyTextError:
        return _nothing_of(text)
    except TextError as error:
        raise UnreadableTextsError([TextFault("text", error)]) from None


def _nothing_of(text: str) -> EncodedText:
    return EncodedText(text, token_ids=(), offsets=(), characters=0, unknown=0, truncated=False)


def _steps(text: EncodedText) -> Iterable[tuple[int, int | None]]:
    return zip(text.token_ids, text.offsets, strict=True)


def _in_common(left: Iterable[object], right: Iterable[object]) -> int:
    """Count the steps that two texts begin with in common."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count
