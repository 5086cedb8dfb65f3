"""What each signal of an LSTM is called, in its own words and in the article's, and what it means.

The article is Bujokas, "Mastering Long Short-Term Memory with Python" (2023).
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from charlstm.clamp import SignalName


class Term(NamedTuple):
    """A signal in words.

    Attributes:
        name: As the field calls it.
        article_name: As the article calls it.
        meaning: One sentence.
        signed: Whether it may be negative; if not, it is a share from 0 to 1.
    """

    name: str
    article_name: str
    meaning: str
    signed: bool


GLOSSARY: Final[Mapping[SignalName, Term]] = {
    "cell_state": Term(
        "cell state",
        "long-term memory",
        "What each unit remembers after a step: what it kept of the step before, plus what it wrote.",
        signed=True,
    ),
    "hidden_state": Term(
        "hidden state",
        "short-term memory",
        "What each unit shows of its long-term memory: the next step reads it, and after the last step the answer "
        "is made of it.",
        signed=True,
    ),
    "forget_gate": Term(
        "forget gate",
        "percentage of the long-term memory to keep",
        "How much of what a unit remembers survives this step: 1 keeps everything, 0 forgets everything.",
        signed=False,
    ),
    "input_gate": Term(
        "input gate",
        "percentage of the potential memory to remember",
        "How much of the candidate is written into the long-term memory at this step.",
        signed=False,
    ),
    "candidate": Term(
        "candidate",
        "potential memory",
        "What a unit would write into its long-term memory at this step, from -1 to 1, if the input gate let it.",
        signed=True,
    ),
    "output_gate": Term(
        "output gate",
        "percentage of the long-term memory to show",
        "How much of its long-term memory a unit shows as short-term memory at this step.",
        signed=False,
    ),
}

GATES: Final[tuple[SignalName, ...]] = ("forget_gate", "input_gate", "output_gate")


# A gate outside of these is saturated.
CLOSED: Final = 0.1  # below it, nearly nothing gets through
OPEN: Final = 0.9  # above it, nearly everything does
