"""Texts to measure with: real ones from a data file, or made ones of the same lengths."""

import random
from pathlib import Path

from training.data import read_data

# The quartiles of real tweets are 41, 83 and 148 characters, the longest has 727.
_MEDIAN, _SPREAD, _LONGEST = 83, 0.9, 727
_WORDS = """
the a i you this game update server again really love hate best worst just why so much fun finally fix please new map
season with my friends all day can't wait for never ever broken lag lol great awesome trash buy sold out today
""".split()  # noqa: SIM905 - easier to read than so many quotes


def tweets(count: int, data: Path | None = None, seed: int = 0) -> list[str]:
    """Return `count` texts, the same ones for the same arguments.

    Args:
        count: How many.
        data: A data file as the training commands read it; without one, texts are made of common words.
        seed: Of the choice.
    """
    chance = random.Random(seed)  # noqa: S311 - nothing secret about it
    if data is not None:
        return chance.choices(read_data(data).texts, k=count)
    return [_made(chance) for _ in range(count)]


def _made(chance: random.Random) -> str:
    length = min(_LONGEST, max(1, round(chance.lognormvariate(0, _SPREAD) * _MEDIAN)))
    text = ""
    while len(text) < length:
        text += chance.choice(_WORDS) + chance.choice(("", "", "", "!", ",", "...")) + " "
    return text[:length]
