"""The tokens a model knows, each with the index of its row in the embedding.

Built as in Bujokas, "Mastering Long Short-Term Memory with Python" (2023): tokens are numbered from 1 in the order
in which they first appear, 0 is kept for padding, and one token for everything unknown comes last.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

from charlstm.text import Preprocessing

PADDING = "<PAD>"
UNKNOWN = "<UNK>"
PADDING_ID = 0


class Vocabulary:
    """An immutable, ordered set of known tokens.

    Args:
        tokens: The known tokens in index order; the first gets index 1.

    Raises:
        ValueError: A token is empty, stands twice, or is one of the two special ones.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self.tokens: tuple[str, ...] = (PADDING, *tokens, UNKNOWN)
        self._index = {token: index for index, token in enumerate(self.tokens)}
        if len(self._index) != len(self.tokens):
            twice = Counter(self.tokens).most_common(1)[0][0]
            raise ValueError(f"token {twice!r} stands more than once")
        if "" in self._index:
            raise ValueError("a token is empty")

    @classmethod
    def build(
        cls, texts: Iterable[str], preprocessing: Preprocessing | None = None, *, min_count: int = 1
    ) -> "Vocabulary":
        """Collect the tokens of the texts joined by a space, in order of first appearance.

        Args:
            texts: The training texts.
            preprocessing: How texts are split; by default into characters as they are.
            min_count: Tokens seen less often are left to `<UNK>`, which teaches the model to live with it.
        """
        preprocessing = preprocessing or Preprocessing()
        counts: Counter[str] = Counter()  # keeps the order of first appearance
        for index, text in enumerate(texts):  # one at a time: all of them together would need many times their memory
            if index:
                counts.update(preprocessing.split(" "))
            counts.update(preprocessing.split(text))
        return cls(token for token, count in counts.items() if count >= min_count)

    def __len__(self) -> int:
        """Return the number of tokens without padding, as the article counts them."""
        return len(self.tokens) - 1

    def __eq__(self, other: object) -> bool:
        """Two vocabularies are equal when they give every token the same index."""
        return isinstance(other, Vocabulary) and self.tokens == other.tokens

    def __hash__(self) -> int:
        """Hash by the tokens, as equality compares them."""
        return hash(self.tokens)

    def __repr__(self) -> str:
        """Show the size and the first few tokens."""
        return f"Vocabulary({len(self)} tokens: {', '.join(map(repr, self.tokens[1:6]))}, ...)"

    @property
    def num_embeddings(self) -> int:
        """The number of embedding rows: every token and the padding."""
        return len(self.tokens)

    @cached_property
    def unknown_id(self) -> int:
        """The index of `<UNK>`, the last one."""
        return self._index[UNKNOWN]

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return each token's index; tokens that are not known get the index of `<UNK>`."""
        index, unknown = self._index, self.unknown_id
        return [index.get(token, unknown) for token in tokens]

    def decode(self, token_ids: Sequence[int]) -> list[str]:
        """Return each index's token; the opposite of `encode` but for unknown tokens.

        Raises:
            ValueError: An index lies outside the vocabulary.
        """
        for token_id in token_ids:
            if not 0 <= token_id < len(self.tokens):
                raise ValueError(f"token id {token_id} lies outside 0 to {len(self.tokens) - 1}")
        return [self.tokens[token_id] for token_id in token_ids]

    def to_json(self) -> str:
        """Write every token with its index, one a line, in index order."""
        return json.dumps(self._index, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, document: str) -> "Vocabulary":
        """Read what `to_json` wrote.

        Raises:
            ValueError: The document is not such an object, or its indices are not 0, 1, 2, ... in order.
        """
        index = json.loads(document, object_pairs_hook=_without_duplicates)
        if not isinstance(index, dict) or not all(type(number) is int for number in index.values()):
            raise ValueError("expected one JSON object of token: index")
        if list(index.values()) != list(range(len(index))):
            raise ValueError("expected indices that count up from 0 in order")
        tokens = list(index)
        if len(tokens) < 2 or tokens[0] != PADDING or tokens[-1] != UNKNOWN:
            raise ValueError(f"expected {PADDING} at index 0 and {UNKNOWN} at the last index")
        return cls(tokens[1:-1])


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a token stands more than once")
    return document
