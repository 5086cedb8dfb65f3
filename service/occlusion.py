"""What the model says of a text without each of its words: all of it judged together, in one question."""

from collections.abc import Sequence
from typing import Final

from charlstm.encoding import EncodedText, Span
from charlstm.text import word_spans
from service.answers import model_name, prediction_response, probabilities_of
from service.comparison_schemas import Occlusion, OcclusionResponse
from service.errors import TooManyWordsError
from service.inference import Judged

NOTHING: Final[Span] = (0, 0)  # leaves out nothing


def words_of(text: EncodedText, most: int) -> list[Span]:
    """Divide a text, as far as it was read, into its words.

    Raises:
        TooManyWordsError: There are more than `most`.
    """
    words = word_spans(text.text)
    if len(words) > most:
        raise TooManyWordsError(most, len(words), "text")
    return words


def leaves_something(text: EncodedText, word: Span) -> bool:
    """Tell whether there is a token outside of a word."""
    start, stop = word
    return any(offset is not None and not start <= offset < stop for offset in text.offsets)


def occlusion_response(
    text: EncodedText, words: Sequence[Span], left_out: Sequence[Span], judged: Judged
) -> OcclusionResponse:
    """Answer for a text.

    Args:
        text: As it was read.
        words: All of its words.
        left_out: Those of them that were left out, one by one.
        judged: The text, then the text without each of them.
    """
    whole, *others = judged.predictions
    without = dict(zip(left_out, others, strict=True))
    answer = prediction_response(model_name(judged), whole)
    return OcclusionResponse.model_construct(
        **dict(answer),
        words=[
            Occlusion.model_construct(
                start=word[0],
                stop=word[1],
                text=text.text[slice(*word)],
                probabilities=probabilities_of(without[word]) if word in without else None,
                change=whole.probability_negative - without[word].probability_negative if word in without else None,
            )
            for word in words
        ],
    )
