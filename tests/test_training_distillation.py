"""Where lessons stand in a text, what a batch gets of them, and what a student learns from them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charlstm.config import ModelConfig
from charlstm.encoding import TextEncoder
from charlstm.model import SentimentLSTM, last_step
from charlstm.text import Preprocessing, word_spans
from charlstm.vocabulary import Vocabulary
from tests.stub_sentences import SIZE, StubEncoder
from tests.tiny import texts, tiny_model
from training.distillation import Answers, LessonBatch, Lessons, Student, Teaching, lesson_losses, lessons_of
from training.sentences import read_by_words

CPU = torch.device("cpu")
LIMIT = 24


def taught(some: list[str]) -> Teaching:
    """Give every beginning an opinion of its own, so that it can be told from all others."""
    reading = read_by_words(StubEncoder(), some)
    return Teaching(reading, np.linspace(0, 1, len(reading.ends), endpoint=False, dtype=np.float32))


def lessons_for(some: list[str], preprocessing: Preprocessing) -> tuple[Lessons, TextEncoder]:
    encoder = TextEncoder(preprocessing, Vocabulary.build(some, preprocessing))
    return lessons_of(encoder, dict(enumerate(some)), taught(some), CPU), encoder


@given(some=st.lists(texts(max_size=60), min_size=1, max_size=6), casefold=st.booleans())
def test_a_lesson_stands_at_the_last_step_of_its_word(some: list[str], *, casefold: bool) -> None:
    """The space behind it included, also where a character became several; a cut word ends where the text is cut."""
    lessons, encoder = lessons_for(some, Preprocessing(casefold=casefold, max_length=LIMIT))
    for row, text in enumerate(some):
        offsets = encoder.encode(text, truncate=True).offsets
        begun = [(start, stop) for start, stop in word_spans(text) if start <= (offsets[-1] or 0)]
        expected = [max(step for step, at in enumerate(offsets) if (at or 0) < stop) for _, stop in begun]
        assert lessons.steps[lessons.starts[row] : lessons.starts[row + 1]].tolist() == expected
        assert expected[-1] == len(offsets) - 1


@given(st.lists(texts(), min_size=1, max_size=6), st.data())
def test_a_batch_has_the_lessons_of_its_texts(some: list[str], draw: st.DataObject) -> None:
    lessons, _ = lessons_for(some, Preprocessing())
    rows = draw.draw(st.lists(st.integers(0, len(some) - 1), min_size=1, max_size=8))
    batch = lessons.batch(torch.tensor(rows))
    for at, row in enumerate(rows):
        mine, all_of_it = batch.texts == at, slice(int(lessons.starts[row]), int(lessons.starts[row + 1]))
        assert torch.equal(batch.steps[mine], lessons.steps[all_of_it])
        assert torch.equal(batch.probabilities[mine], lessons.probabilities[all_of_it])
        assert torch.equal(batch.embeddings[mine], lessons.embeddings[all_of_it].float())
    assert batch.texts.tolist() == sorted(batch.texts.tolist())


def test_texts_without_a_token_teach_nothing() -> None:
    lessons, _ = lessons_for(["a b", " ", "c"], Preprocessing(level="word"))
    assert lessons.starts.tolist() == [0, 2, 3]
    np.testing.assert_allclose(lessons.probabilities, [0.0, 0.25, 0.75])  # the blank text's is 0.5


def test_rows_may_be_any_of_those_that_were_read() -> None:
    """As the unlabelled texts are, which stand behind all labelled ones."""
    some = ["a b", "c", "d e"]
    encoder = TextEncoder(Preprocessing(), Vocabulary.build(some))
    lessons = lessons_of(encoder, {2: "d e", 0: "a b"}, taught(some), CPU)
    np.testing.assert_allclose(lessons.probabilities, [0.6, 0.8, 0.0, 0.2])


def test_labels_are_mixed_in_after_every_word_of_the_texts_that_have_one() -> None:
    teaching = taught(["a b", "c", "d e"])  # 0.0 and 0.2, 0.4, 0.6 and 0.8
    mixed = teaching.mixed_with_labels(np.array([2, 0]), np.array([1, 0]), share=0.25)
    np.testing.assert_allclose(mixed.probabilities, [0.0, 0.05, 0.4, 0.9, 0.95])
    np.testing.assert_allclose(mixed.of_whole_texts([2]), 0.25 * teaching.of_whole_texts([2]) + 0.75)
    assert mixed.reading is teaching.reading


@pytest.fixture
def model() -> SentimentLSTM:
    return tiny_model(ModelConfig(num_embeddings=9, embedding_dim=4, hidden_size=5))


def test_a_student_answers_what_the_network_says_and_where_it_points(model: SentimentLSTM) -> None:
    token_ids, lengths = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]]), torch.tensor([4, 2])
    steps = torch.tensor([1, 3, 0])
    lessons = LessonBatch(torch.tensor([0, 0, 1]), steps, torch.zeros(3), torch.zeros(3, SIZE))
    student = Student(model, SIZE).eval()
    answers = student(token_ids, lengths, lessons)
    torch.testing.assert_close(answers.logits, model(token_ids, lengths))
    beginnings = torch.tensor([[1, 2, 0, 0], [1, 2, 3, 4], [5, 0, 0, 0]])
    torch.testing.assert_close(answers.word_logits, model(beginnings, steps + 1))
    states = last_step(model.hidden_states(model.embed(beginnings)), steps + 1)
    torch.testing.assert_close(answers.pointed, student.pointer(states))


def test_the_losses_are_cross_entropy_and_cosine() -> None:
    answers = Answers(torch.zeros(1), torch.tensor([0.0, math.log(3)]), torch.tensor([[2.0, 0.0], [1.0, 1.0]]))
    lessons = LessonBatch(
        torch.zeros(2), torch.zeros(2), torch.tensor([0.3, 0.75]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    )
    opinion, distance = lesson_losses(answers, lessons)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert float(opinion) == pytest.approx((math.log(2) + entropy) / 2)
    assert float(distance) == pytest.approx((0 + 1 - math.sqrt(0.5)) / 2)


def test_every_weight_of_a_student_learns_from_its_lessons(model: SentimentLSTM) -> None:
    token_ids, lengths = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]]), torch.tensor([4, 2])
    lessons = LessonBatch(torch.tensor([0, 1]), torch.tensor([1, 1]), torch.tensor([0.9, 0.2]), torch.ones(2, SIZE))
    student = Student(model, SIZE)
    torch.autograd.backward(lesson_losses(student(token_ids, lengths, lessons), lessons))
    for name, parameter in student.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.abs().sum() > 0), name
