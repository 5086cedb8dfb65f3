"""A live session without its socket: a text that is being typed, and the model's memory at each of its characters.

The whole text is encoded anew for each message, and only what differs from before is read: on from the memory at the
last step that stayed the same. So taking back costs nothing, and padding, words that grow, and characters that fold
into several need no rules of their own. Nothing is kept in the engine: one that was started again reads on as well.
"""

import asyncio
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from charlstm.encoding import EncodedText
from charlstm.errors import EmptyTextError, TextError
from charlstm.readout import FloatArray
from service.connection import ServedModel
from service.errors import CharacterLimitError, InvalidFieldError, StaleModelError, TextFault, UnreadableTextsError
from service.forms import to_json
from service.live_answers import LiveAnswer, empty_document
from service.live_reading import NOTHING, Reading, Readings
from service.live_schemas import LiveMessage, View
from service.protocol import Traced
from service.schemas import ModelName


class Reader(Protocol):
    """Who reads: `Inference`, as far as a session needs it."""

    def find(self, name: str | None) -> ServedModel:
        """Return the model of a name, or the default one."""

    async def read_on(self, model: ServedModel, token_ids: Sequence[int], states: FloatArray | None) -> Traced:
        """Read some tokens, on from what was remembered of those before them."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """What a client has been told of, so that only what differs from it has to be sent.

    Attributes:
        version: Of the model.
        text: As it was read.
        layout: Of the rows of the answer's layers; None if it had none.
    """

    version: str
    text: EncodedText
    layout: Hashable

    def holds(self, version: str, text: EncodedText, layout: Hashable) -> int:
        """Count the steps of another answer that are in it: of the same model, in the same layout."""
        if version != self.version or (layout is not None and layout != self.layout):
            return 0
        # Other characters can fold into the same token, so that it is not as it was sent although it is not read anew.
        return _in_common(_steps(self.text), _steps(text))


class _Answered(NamedTuple):
    """What comes of a message: the answer's JSON, and what the session is from then on."""

    document: bytes
    view: View
    sent: _Sent
    reading: Reading


class Session:
    """One text, and what a client has been told of it.

    Args:
        reader: Who reads.
        readings: Where what was read is kept.
        most_characters: How long the text may become.
    """

    def __init__(self, reader: Reader, readings: Readings, most_characters: int) -> None:
        self._reader = reader
        self._readings = readings
        self._most_characters = most_characters
        self._text = ""
        self._view = View()
        self._sent: _Sent | None = None

    async def answer(self, message: LiveMessage) -> bytes:
        """Change the text as a message says, read what is new of it, and write the answer's JSON.

        Whatever is raised, the session is as it was before.

        Raises:
            InvalidFieldError: It takes back more than there is, or asks to see what this model has not.
            UnreadableTextsError: The model cannot read what the text would be, or it would be too long.
            UnknownModelError: There is no model of the name that the session asks.
            ServiceError: The engine did not answer; see `Inference.judge`.
        """
        text = self._edited(message)
        try:
            answered = await self._read(text, message)
        except StaleModelError:
            answered = await self._read(text, message)
        self._text, self._view, self._sent = text, answered.view, answered.sent
        self._readings.keep(self, answered.reading)
        return answered.document

    def end(self) -> None:
        """Keep nothing more of it."""
        self._readings.drop(self)

    def _edited(self, message: LiveMessage) -> str:
        here = len(self._text)
        if message.back > here:
            reason = f"must be at most the {here} characters of the text, found {message.back}"
            raise InvalidFieldError("back", reason, here, message.back)
        text = self._text[: here - message.back] + message.text
        if len(text) > self._most_characters:
            raise UnreadableTextsError([TextFault("text", CharacterLimitError(self._most_characters, len(text)))])
        return text

    async def _read(self, text: str, message: LiveMessage) -> _Answered:
        model = self._reader.find(self._view.changed_by(message).model)
        view, dropped = self._view_of(model, message)
        encoded = _encode(model, text)
        before = self._readings.of(self, model)
        same = _in_common(before.text.token_ids, encoded.token_ids)
        rest = encoded.token_ids[same:]
        answer = await self._reader.read_on(model, rest, before.states(same)) if rest else None
        # For hundreds of steps this takes milliseconds, which are not the event loop's.
        return await asyncio.to_thread(lambda: self._write(before.read_on(encoded, same, answer), view, dropped))

    def _view_of(self, model: ServedModel, message: LiveMessage) -> tuple[View, str | None]:
        """Return what is to be shown, and why it is not what it was, if another model has come that has not that."""
        kept, dropped = self._view, None
        try:
            kept.check(model.config.model)
        except InvalidFieldError as error:
            kept, dropped = View(model=kept.model), f"{error.field} {error}"
        view = kept.changed_by(message)
        view.check(model.config.model)
        return view, dropped

    def _write(self, reading: Reading, view: View, dropped: str | None) -> _Answered:
        model, text = reading.model, reading.text
        name = ModelName(name=model.name, version=model.version, precision="float32")
        answer = LiveAnswer(reading.trace(), name, view) if text.token_ids else None
        layout = None if answer is None else answer.layout
        start = 0 if self._sent is None else self._sent.holds(model.version, text, layout)
        document = empty_document(name, view) if answer is None else answer.document(start)
        if dropped is not None:
            document["view_dropped"] = dropped
        return _Answered(to_json(document, view.precision), view, _Sent(model.version, text, layout), reading)


def _encode(model: ServedModel, text: str) -> EncodedText:
    """Encode a text as the model reads it: padding and all, and nothing as nothing."""
    try:
        return model.encoder.encode(text).padded(model.config.model.pad_to)
    except EmptyTextError:
        return NOTHING
    except TextError as error:
        raise UnreadableTextsError([TextFault("text", error)]) from None


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
