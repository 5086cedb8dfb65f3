"""The texts of a request, each with the field that it stands in: checked, and numbered as the engine takes them.

Sizes: T tokens.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from charlstm.encoding import EncodedText, Span
from charlstm.errors import NothingLeftError, TextError
from charlstm.text import word_spans
from charlstm.vocabulary import PADDING_ID
from service.connection import PackedTexts, ServedModel, pack
from service.errors import CharacterLimitError, TextFault, TooManyWordsError, UnreadableTextsError

_Result = TypeVar("_Result")

# Encoding takes about a microsecond for ten characters; more than this is not done on the event loop.
_MOST_CHARACTERS_AT_ONCE = 50_000
_TOKEN_ID = np.dtype("<i4")  # as the protocol has them


class Passage(NamedTuple):
    """A text of a request.

    Attributes:
        field: Where in the request it stands.
        text: As given.
        leave_out: Spans of it that are not read.
    """

    field: str
    text: str
    leave_out: Sequence[Span] = ()


class Encoded(NamedTuple):
    """Texts as a model reads them, with their padding if it reads that, and as the engine takes them."""

    texts: list[EncodedText]
    packed: PackedTexts


class EncodedWithoutWords(NamedTuple):
    """A text, and what is left of it without each of its words.

    Attributes:
        words: All of its words, which divide it without a gap.
        places: For each of them where in `packed` the rest stands; None if nothing is left to read.
        packed: The whole text, then the rests.
    """

    words: list[Span]
    places: list[int | None]
    packed: PackedTexts


def check_sizes(passages: Sequence[Passage], limit: int) -> None:
    """Refuse texts of more characters than the service takes.

    Raises:
        UnreadableTextsError: There are some.
    """
    faults = [
        TextFault(passage.field, CharacterLimitError(limit, len(passage.text)))
        for passage in passages
        if len(passage.text) > limit
    ]
    if faults:
        raise UnreadableTextsError(faults)


async def encode(model: ServedModel, passages: Sequence[Passage], *, truncate: bool) -> Encoded:
    """Encode texts for a model, beside the event loop if they are long.

    Raises:
        UnreadableTextsError: The model cannot read some of them; each is named.
    """
    characters = sum(len(passage.text) for passage in passages)
    return await _beside_if_long(characters, lambda: _encode(model, passages, truncate=truncate))


async def encode_without_words(model: ServedModel, text: EncodedText, most: int) -> EncodedWithoutWords:
    """Take a text that a model reads apart into words, and put it together without each of them; as `encode` does it.

    Raises:
        TooManyWordsError: It has more words than `most`.
    """
    letters = len(text.text)  # there may be a word for every second one, so half their square is written
    return await _beside_if_long(letters * letters // 2, lambda: _encode_without_words(model, text, most))


async def _beside_if_long(characters: int, work: Callable[[], _Result]) -> _Result:
    return work() if characters <= _MOST_CHARACTERS_AT_ONCE else await asyncio.to_thread(work)


def _encode(model: ServedModel, passages: Sequence[Passage], *, truncate: bool) -> Encoded:
    texts: list[EncodedText] = []
    faults: list[TextFault] = []
    for field, text, leave_out in passages:
        try:
            encoded = model.encoder.encode(text, truncate=truncate, leave_out=leave_out)
        except NothingLeftError as error:
            faults.append(TextFault("cut", error))  # the one way for a request to leave something out
        except TextError as error:
            faults.append(TextFault(field, error))
        else:
            texts.append(encoded.padded(model.config.model.pad_to))
    if faults:
        raise UnreadableTextsError(faults)
    return Encoded(texts, pack([text.token_ids for text in texts]))


def _encode_without_words(model: ServedModel, text: EncodedText, most: int) -> EncodedWithoutWords:
    words = word_spans(text.text)
    if len(words) > most:
        raise TooManyWordsError(most, len(words))
    whole = np.array(text.token_ids, _TOKEN_ID)  # (T,)
    texts, places = [whole], list[int | None]()
    for rest in _without_each(text, words):
        places.append(len(texts) if len(rest) else None)
        if len(rest):
            texts.append(_padded(rest, model.config.model.pad_to))
    token_ids = np.concatenate(texts).tobytes()
    return EncodedWithoutWords(words, places, PackedTexts(token_ids, [len(found) for found in texts]))


def _without_each(text: EncodedText, words: Sequence[Span]) -> list[NDArray[np.int32]]:
    """Return the token ids that are left of a text without each of its words, and without its padding.

    No token reaches over the end of a word, at either level, so there is nothing to be read anew.
    """
    offsets = [offset for offset in text.offsets if offset is not None]
    read = np.array(text.token_ids[: len(offsets)], _TOKEN_ID)
    bounds = np.searchsorted(offsets, words).tolist()  # for each word its first token, and the one behind its last
    return [np.concatenate((read[:first], read[behind:])) for first, behind in bounds]


def _padded(token_ids: NDArray[np.int32], pad_to: int | None) -> NDArray[np.int32]:
    missing = 0 if pad_to is None else pad_to - len(token_ids)
    return np.concatenate((token_ids, np.full(missing, PADDING_ID, _TOKEN_ID))) if missing else token_ids
