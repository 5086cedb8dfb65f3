"""A batch of any size as requests that the service takes."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from service.client.calls import to_json
from service.client.errors import DeadlineError, ProblemError, RefusedError, UnexpectedAnswerError, error_of
from service.schemas import FieldError, Limits, Problem

_INDEX = re.compile(r"(?<=\btexts\[)\d+(?=\])")


class Sizes(NamedTuple):
    """How much goes into one request.

    Attributes:
        texts: So many texts at most.
        characters: So many characters at most, unless it is a single text that has more.
        encoded: So many bytes of JSON, likewise.
    """

    texts: int
    characters: int
    encoded: int

    @classmethod
    def within(cls, limits: Limits, concurrency: int) -> "Sizes":
        """Keep to a service's limits.

        Parts that are under way together are at most half of the texts that may wait there, and a quarter of the
        characters: a full queue of those takes it about as long as it has for an answer.
        """
        share = 2 * concurrency
        return cls(
            texts=max(1, min(limits.max_texts, limits.max_waiting_texts // share)),
            characters=max(1, limits.max_waiting_characters // (2 * share)),
            encoded=max(1, limits.max_body_bytes * 3 // 4),
        )


DEFAULT: Final = Sizes(texts=64, characters=65_536, encoded=262_144)
"""For a service that does not say what it takes."""


UNTOLD: Final = (RefusedError, UnexpectedAnswerError)
"""How a service's `/info` fails if it does not say."""


class Part(NamedTuple):
    """Some texts of a batch that stand beside each other.

    Attributes:
        start: Which text of the batch is the first, from 0.
        texts: They.
    """

    start: int
    texts: Sequence[str]

    def halves_after(self, error: ProblemError, *, in_time: bool) -> "tuple[Part, Part]":
        """Divide it, if it was too much at once and there is time left: each is asked of alone, and so is sooner done.

        Raises:
            ProblemError: It was something else, or the end of it; as an error of the whole batch.
        """
        if not (isinstance(error, DeadlineError) and len(self.texts) > 1 and in_time):
            raise self.error_of(error) from None
        middle = len(self.texts) // 2
        return Part(self.start, self.texts[:middle]), Part(self.start + middle, self.texts[middle:])

    def error_of(self, error: ProblemError) -> ProblemError:
        """Return an error of this part as one of the whole batch: where it names a text, by its number there."""
        if not self.start:
            return error
        problem = error.problem
        errors = problem.errors and [self._renumbered(fault) for fault in problem.errors]
        moved = problem.model_copy(update={"detail": self._moved(problem.detail), "errors": errors})
        return _like(error, moved)

    def _renumbered(self, fault: FieldError) -> FieldError:
        return fault.model_copy(update={"field": self._moved(fault.field)})

    def _moved(self, words: str) -> str:
        return _INDEX.sub(lambda found: str(int(found[0]) + self.start), words)


def checked(texts: Iterable[str]) -> list[str]:
    """Return the texts of a batch.

    Raises:
        TypeError: It is a single text, whose characters would be taken for texts, or one is no text.
    """
    if isinstance(texts, str):
        raise TypeError("texts must be several strings, found one")
    listed = list(texts)
    for index, text in enumerate(listed):
        if not isinstance(text, str):
            raise TypeError(f"texts[{index}] must be a string, found {type(text).__name__}")
    return listed


def split(texts: Sequence[str], sizes: Sizes) -> Iterator[Part]:
    """Divide a batch, in order; a text that is too large by any measure goes alone, for the service to judge."""
    start, characters, encoded = 0, 0, 0
    for index, text in enumerate(texts):
        more = len(to_json(text)) + 1
        full = (
            index - start >= sizes.texts or characters + len(text) > sizes.characters or encoded + more > sizes.encoded
        )
        if full and index > start:
            yield Part(start, texts[start:index])
            start, characters, encoded = index, 0, 0
        characters, encoded = characters + len(text), encoded + more
    if start < len(texts):
        yield Part(start, texts[start:])


def _like(error: ProblemError, problem: Problem) -> ProblemError:
    other = error_of(problem, error.retry_after)
    other.request_id = error.request_id
    for note in getattr(error, "__notes__", ()):
        other.add_note(note)
    return other
