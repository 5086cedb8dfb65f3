"""From a text to the numbers a model reads: preprocessing and vocabulary together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from charlstm.errors import EmptyTextError, NothingLeftError
from charlstm.text import Preprocessing, TokenizedText, check_characters
from charlstm.vocabulary import PADDING_ID, Vocabulary

Span = tuple[int, int]  # of characters of a text, [start, stop)


@dataclass(frozen=True, slots=True)
class EncodedText:
    """One text, ready for the model.

    Attributes:
        text: As it was given, as far as it was read; what was left out of it stands in it.
        token_ids: The index of each of its T tokens.
        offsets: For each token the index in the original text where it starts; None for padding.
        characters: How many characters of the original text were read.
        unknown: How many tokens the vocabulary does not know.
        truncated: Whether the text was cut to the model's limit.
    """

    text: str
    token_ids: tuple[int, ...]
    offsets: tuple[int | None, ...]
    characters: int
    unknown: int
    truncated: bool

    def padded(self, pad_to: int | None) -> "EncodedText":
        """Return the text as a model with this `pad_to` reads it: the padding counts as steps without an offset."""
        missing = 0 if pad_to is None else pad_to - len(self.token_ids)
        token_ids, offsets = self.token_ids + (PADDING_ID,) * missing, self.offsets + (None,) * missing
        return replace(self, token_ids=token_ids, offsets=offsets)


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """The one way from a text to token ids, used in training and in serving."""

    preprocessing: Preprocessing
    vocabulary: Vocabulary

    def encode(self, text: str, *, truncate: bool = False, leave_out: Sequence[Span] = ()) -> EncodedText:
        """Check, split and number one text.

        Args:
            text: Any valid Unicode text with at least one token.
            truncate: Whether a text over the model's limit is cut instead of refused.
            leave_out: Spans of the text. The rest is read as if it were the text: what stood before and behind a span
                may become one word, and the model's limit is that of the rest. Offsets still count in the whole text.

        Raises:
            TextError: The text is empty, no valid Unicode, or too long and may not be cut; or nothing is left of it.
        """
        if leave_out:
            return self._encode_rest(text, leave_out, truncate=truncate)
        read = self.preprocessing.tokenize(text, truncate=truncate)
        return self._numbered(text[: read.characters], read)

    def _encode_rest(self, text: str, leave_out: Sequence[Span], *, truncate: bool) -> EncodedText:
        check_characters(text)  # all of it: what is left out is shown beside the rest
        places = [place for start, stop in _between(leave_out, len(text)) for place in range(start, stop)]
        rest = "".join([text[place] for place in places])
        try:
            read = self.preprocessing.tokenize(rest, truncate=truncate)
        except EmptyTextError as error:
            raise NothingLeftError(self.preprocessing.level) if text else error from None
        offsets = tuple([places[offset] for offset in read.offsets])
        reached = places[read.characters] if read.characters < len(places) else len(text)
        return self._numbered(text[:reached], replace(read, offsets=offsets))

    def _numbered(self, text: str, read: TokenizedText) -> EncodedText:
        token_ids = tuple(self.vocabulary.encode(read.tokens))
        unknown = token_ids.count(self.vocabulary.unknown_id)
        return EncodedText(text, token_ids, read.offsets, read.characters, unknown, read.truncated)


def _between(spans: Sequence[Span], length: int) -> Iterator[Span]:
    """Return the spans of a text of this length that some spans, in any order, leave between them."""
    reached = 0
    for start, stop in sorted(spans):
        yield reached, min(start, length)
        reached = max(reached, start, stop)
    yield reached, length
