"""From a text to the tokens a model reads, each with its offset in the original text.

What was done to the texts in training has to be done again in serving, so it is a record of its own that
travels with the model. It knows nothing of indices: those are the vocabulary's.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt

from charlstm.errors import EmptyTextError, InvalidCharacterError, TextTooLongError

Level = Literal["character", "word"]

_NOT_TEXT = re.compile("[\0\ud800-\udfff]")
_WORD = re.compile(r"\w+|[^\w\s]")
_WORD_WITH_SPACE = re.compile(r"\A\s*\S*\s*|\S+\s*")


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """The tokens of one text.

    Attributes:
        tokens: The T tokens, in reading order, as the model sees them.
        offsets: For each token the index in the original text where it starts, T values.
        characters: How many characters of the original text they stand for.
        truncated: Whether the text was cut to the model's limit.
    """

    tokens: tuple[str, ...]
    offsets: tuple[int, ...]
    characters: int
    truncated: bool = False


class Preprocessing(BaseModel):
    """What is done to every text before the model reads it, in training and in serving alike.

    Attributes:
        level: What a token is: a character, or a word (a run of letters, digits and underscores, or one other
            character that is not white space).
        casefold: Whether tokens are case-folded. One character may become several (`ß` becomes `ss`); all of them
            then carry the offset of the original.
        max_length: The largest number of tokens the model reads, or None for no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Level = "character"
    casefold: bool = False
    max_length: PositiveInt | None = None

    def tokenize(self, text: str, *, truncate: bool = False) -> TokenizedText:
        """Check and split one text.

        Args:
            text: Any valid Unicode text with at least one token.
            truncate: Whether a text over `max_length` tokens is cut (at its end) instead of refused.

        Raises:
            EmptyTextError: The text holds no token.
            InvalidCharacterError: The text holds a NUL or a lone surrogate.
            TextTooLongError: The text is over the limit and may not be cut.
        """
        check_characters(text)
        tokens, offsets = self._characters(text) if self.level == "character" else self._words(text)
        if not tokens:
            raise EmptyTextError(self.level)
        if self.max_length is None or len(tokens) <= self.max_length:
            return TokenizedText(tokens, offsets, characters=len(text))
        if not truncate:
            raise TextTooLongError(self.max_length, len(tokens), self.level)
        # Case folding may have made several tokens of the last character, not all of which are read.
        read = max(offsets[self.max_length], offsets[self.max_length - 1] + 1)
        return TokenizedText(tokens[: self.max_length], offsets[: self.max_length], read, truncated=True)

    def split(self, text: str) -> tuple[str, ...]:
        """Return every token of the text, unchecked and uncut: what a vocabulary is built from."""
        return (self._characters(text) if self.level == "character" else self._words(text))[0]

    def _characters(self, text: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
        read = text.casefold() if self.casefold else text
        if len(read) == len(text):  # no character became several, since none becomes nothing
            return tuple(read), tuple(range(len(text)))
        # Case folding works on each character alone, so folding one at a time equals folding the whole.
        return _unzip((folded, offset) for offset, original in enumerate(text) for folded in original.casefold())

    def _words(self, text: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
        matches = ((match.group(), match.start()) for match in _WORD.finditer(text))
        return _unzip((word.casefold() if self.casefold else word, start) for word, start in matches)


def check_characters(text: str) -> None:
    """Check that a text is valid Unicode, of characters that can stand in any document.

    Raises:
        InvalidCharacterError: It holds a NUL or a lone surrogate.
    """
    if bad := _NOT_TEXT.search(text):
        raise InvalidCharacterError(bad.group(), bad.start())


def word_spans(text: str) -> list[tuple[int, int]]:
    """Divide a text into words by its white space, without a gap: each span holds a word and the space behind it.

    This is how people read a text. A model's tokens are another matter, but none of them reaches over a span's end.
    """
    return [match.span() for match in _WORD_WITH_SPACE.finditer(text)]


def _unzip(pairs: Iterable[tuple[str, int]]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    columns = list(pairs)
    return tuple(token for token, _ in columns), tuple(offset for _, offset in columns)
