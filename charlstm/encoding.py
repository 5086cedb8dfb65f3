"""From a text to the numbers a model reads: preprocessing and vocabulary together."""

from dataclasses import dataclass, replace

from charlstm.text import Preprocessing
from charlstm.vocabulary import PADDING_ID, Vocabulary


@dataclass(frozen=True, slots=True)
class EncodedText:
    """One text, ready for the model.

    Attributes:
        token_ids: The index of each of its T tokens.
        offsets: For each token the index in the original text where it starts; None for padding.
        characters: How many characters of the original text were read.
        unknown: How many tokens the vocabulary does not know.
        truncated: Whether the text was cut to the model's limit.
    """

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

    def encode(self, text: str, *, truncate: bool = False) -> EncodedText:
        """Check, split and number one text.

        Raises:
            TextError: The text is empty, no valid Unicode, or too long and may not be cut.
        """
        read = self.preprocessing.tokenize(text, truncate=truncate)
        token_ids = tuple(self.vocabulary.encode(read.tokens))
        unknown = token_ids.count(self.vocabulary.unknown_id)
        return EncodedText(token_ids, read.offsets, read.characters, unknown, read.truncated)
