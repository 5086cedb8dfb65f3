"""From a text to the numbers a model reads: preprocessing and vocabulary together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from charlstm.errors import EmptyTextError
from charlstm.text import Preprocessing, TokenizedText
from charlstm.vocabulary import PADDING_ID, Vocabulary

Span = tuple[int, int]  # of characters of a text, [start, stop)


@dataclass(frozen=True, slots=True)
class EncodedText:
    """One text, ready for the model.

    Attributes:
        text: As it was given, as far as it was read.
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
            leave_out: Spans of the text; the tokens that start in one are not read. Offsets still count in the whole
                text.

        Raises:
            TextError: The text is empty, no valid Unicode, or too long and may not be cut; or nothing is left of it.
        """
        read = self.preprocessing.tokenize(text, truncate=truncate)
        text = text[: read.characters]
        if leave_out:
            read = _without(read, leave_out)
            if not read.tokens:
                raise EmptyTextError(self.preprocessing.level)
        token_ids = tuple(self.vocabulary.encode(read.tokens))
        unknown = token_ids.count(self.vocabulary.unknown_id)
        return EncodedText(text, token_ids, read.offsets, read.characters, unknown, read.truncated)


def _without(read: TokenizedText, spans: Sequence[Span]) -> TokenizedText:
    kept = [index for index, offset in enumerate(read.offsets) if not any(a <= offset < b for a, b in spans)]
    left_out = {offset for span in spans for offset in range(*span) if 0 <= offset < read.characters}
    return replace(
        read,
        tokens=tuple(read.tokens[index] for index in kept),
        offsets=tuple(read.offsets[index] for index in kept),
        characters=read.characters - len(left_out),
    )
