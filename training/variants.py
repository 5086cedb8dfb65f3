"""Changes to a text that leave its meaning alone: what a classifier of sentiment should not care about."""

import random
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

_KEYBOARD: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")

_EMOJI = re.compile(
    "(?:[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff][\ufe0f\u200d\u20e3]*)+"  # pictures, and what joins them
)
_TAGS = re.compile(
    r"(?:https?://|www\.)\S+"  # links
    r"|\b[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}/\S*"  # links without a scheme, such as pic.twitter.com/abc
    r"|[#@]\w+"  # hashtags and mentions
)
_WORD = re.compile(r"[A-Za-z]{2,}")


def without_emoji(text: str) -> str:
    """Take the emoji out."""
    return _without(_EMOJI, text)


def without_tags(text: str) -> str:
    """Take hashtags, mentions and links out."""
    return _without(_TAGS, text)


def with_typos(text: str, seed: int = 0) -> str:
    """Put one typing error into each word of at least two letters: always the same ones for the same text and seed.

    A letter is hit beside its key, left out or doubled, or changes places with the next one.
    """
    draw = random.Random(f"{seed} {text}")  # noqa: S311  typing errors are no secret
    return _WORD.sub(lambda word: _mistyped(word[0], draw), text)


# By name, in the order of a table.
CHANGES: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {
        "upper case": str.upper,
        "lower case": str.lower,
        "one typing error a word": with_typos,
        "without emoji": without_emoji,
        "without hashtags, mentions and links": without_tags,
    }
)


def _without(pattern: re.Pattern[str], text: str) -> str:
    """Take out what matches, and the gap it would leave; a text of nothing else stays, for there has to be one."""
    if not pattern.search(text):
        return text
    left = re.sub(rf"\s*(?:{pattern.pattern})\s*", " ", text).strip()
    return left or text


def _mistyped(word: str, draw: random.Random) -> str:
    at = draw.randrange(len(word))
    return draw.choice((_beside, _dropped, _doubled, _swapped))(word, at, draw)


def _beside(word: str, at: int, draw: random.Random) -> str:
    near = draw.choice(_NEIGHBOURS[word[at].lower()])
    return word[:at] + (near.upper() if word[at].isupper() else near) + word[at + 1 :]


def _dropped(word: str, at: int, _: random.Random) -> str:
    return word[:at] + word[at + 1 :]


def _doubled(word: str, at: int, _: random.Random) -> str:
    return word[:at] + word[at] + word[at:]


def _swapped(word: str, at: int, draw: random.Random) -> str:
    at = min(at, len(word) - 2)
    if word[at] == word[at + 1]:  # nobody would see it
        return _beside(word, at, draw)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _neighbours() -> dict[str, str]:
    """Collect for each letter the keys around it: the rows of a keyboard are shifted by half a key."""
    found = {}
    for row, keys in enumerate(_KEYBOARD):
        for column, key in enumerate(keys):
            around = [(row, column - 1), (row, column + 1)]
            around += [(row - 1, column), (row - 1, column + 1), (row + 1, column - 1), (row + 1, column)]
            found[key] = "".join(
                _KEYBOARD[at][place]
                for at, place in around
                if 0 <= at < len(_KEYBOARD) and 0 <= place < len(_KEYBOARD[at])
            )
    return found


_NEIGHBOURS: Final = _neighbours()
