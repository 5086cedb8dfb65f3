"""The engine without any socket: each question answered once, by its own numbers, whatever happens around it."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from charlstm.artifacts import Artifacts, load_artifacts
from charlstm.batching import MOST_SEATS
from charlstm.clamp import Clamp
from charlstm.gates import trace_layers
from charlstm.predictor import Predictor
from charlstm.readout import FloatArray
from charlstm.trace import SIGNALS
from service import engine as engine_module
from service.admission import Limits
from service.connection import logits_of, signals_of
from service.engine import Engine, Reply
from service.loaded_model import LoadedModel
from service.protocol import Answer, Cancel, Logits, ProtocolError, Rejected, Statistics, Submit, Trace, Traced
from tests.service_fixtures import LIMITS
from tests.tiny import HIDDEN_SIZE, tiny_artifacts

LATER = 1e12  # a deadline that does not come
LAYERS = 2


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return load_artifacts(tiny_artifacts(tmp_path_factory.mktemp("artifacts"), num_layers=LAYERS))


@pytest.fixture(scope="module")
def other_artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return load_artifacts(tiny_artifacts(tmp_path_factory.mktemp("other"), num_layers=LAYERS, seed=1))


@pytest.fixture(scope="module")
def third_artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return load_artifacts(tiny_artifacts(tmp_path_factory.mktemp("third"), num_layers=LAYERS, seed=2))


def _load(artifacts: Artifacts) -> LoadedModel:
    return LoadedModel(artifacts, torch.device("cpu"), "float32")


def _engine(artifacts: Artifacts, limits: Limits = LIMITS) -> Engine:
    return Engine([_load(artifacts)], limits)


def _packed(*texts: list[int]) -> bytes:
    return np.array([token_id for text in texts for token_id in text], "<i4").tobytes()


def _submit(number: int, artifacts: Artifacts, *texts: list[int], deadline: float = LATER) -> Submit:
    return Submit(number, artifacts.version, _packed(*texts), [len(text) for text in texts], deadline)


def _trace(number: int, artifacts: Artifacts, text: list[int], deadline: float = LATER) -> Trace:
    return Trace(number, artifacts.version, _packed(text), deadline)


def _signals(answer: Answer) -> FloatArray:
    """Unpack a trace: (layers, 6, T, H)."""
    assert isinstance(answer, Traced)
    return signals_of(answer)


def _states_after(answer: Answer) -> bytes:
    """Pack what a text leaves behind: hidden and cell state of each layer after its last step."""
    memories = [SIGNALS.index("hidden_state"), SIGNALS.index("cell_state")]
    return _signals(answer)[:, memories, -1].tobytes()


@torch.inference_mode()
def _logits_alone(artifacts: Artifacts, text: list[int]) -> list[float]:
    """Judge a text after each of its tokens, by one plain pass."""
    model = artifacts.model
    logits: list[float] = model.readout(model.hidden_states(model.embed(torch.tensor([text])))[0]).tolist()
    return logits


def _run(engine: Engine) -> list[Reply]:
    replies = []
    while engine.busy:
        replies += engine.work()
    return replies


def _answered(replies: list[Reply]) -> list[tuple[int, int]]:
    """List the questions that were answered and not refused."""
    return sorted((worker, answer.id) for worker, answer in replies if isinstance(answer, Logits | Traced))


def _assert_idle(engine: Engine) -> None:
    statistics = engine.statistics()
    assert (statistics.waiting_texts, statistics.waiting_tokens, statistics.seated_texts) == (0, 0, 0)
    assert not engine.busy


def _assert_right(answer: Answer, question: Submit | Trace, artifacts: Artifacts) -> None:
    token_ids = np.frombuffer(question.token_ids, "<i4").tolist()
    if isinstance(question, Trace):
        assert isinstance(answer, Traced)
        logits = np.frombuffer(answer.logits, np.float32)
        np.testing.assert_allclose(logits, _logits_alone(artifacts, token_ids), atol=1e-6)
        return
    assert isinstance(answer, Logits)
    ends = np.cumsum(question.lengths).tolist()
    texts = [token_ids[end - length : end] for length, end in zip(question.lengths, ends, strict=True)]
    expected = [_logits_alone(artifacts, text)[-1] for text in texts]
    np.testing.assert_allclose(answer.logits, expected, atol=1e-6)
    assert answer.waited >= 0
    assert answer.took >= 0


@dataclass
class _Crowd:
    """Workers that ask at random, and a record of what they may still hear."""

    artifacts: Artifacts
    random: random.Random
    asked: dict[tuple[int, int], Submit | Trace] = field(default_factory=dict)
    cancelled: set[tuple[int, int]] = field(default_factory=set)
    late: set[tuple[int, int]] = field(default_factory=set)
    answers: dict[tuple[int, int], Answer] = field(default_factory=dict)

    def ask(self, engine: Engine) -> None:
        worker = self.random.randrange(5)
        # every worker counts its questions on its own, so ids repeat from one to another
        number = sum(1 for asked_by, _ in self.asked if asked_by == worker)
        deadline = LATER
        if self.random.random() < 0.05:
            deadline = time.monotonic() + self.random.choice([-1.0, 1e-3])
            self.late.add((worker, number))
        question: Submit | Trace
        if self.random.random() < 0.1:
            question = _trace(number, self.artifacts, self._text(), deadline)
        else:
            texts = [self._text() for _ in range(self.random.choice([1, 1, 1, 1, 1, 2, 7, 20]))]
            question = _submit(number, self.artifacts, *texts, deadline=deadline)
        self.asked[worker, number] = question
        self.hear(engine.ask(worker, question))

    def cancel(self, engine: Engine) -> None:
        address = self.random.choice(list(self.asked))
        if address not in self.answers:
            self.cancelled.add(address)
        assert engine.ask(address[0], Cancel(address[1])) == []

    def hear(self, replies: list[Reply]) -> None:
        for worker, answer in replies:
            assert isinstance(answer, Logits | Traced | Rejected)
            address = (worker, answer.id)
            assert address in self.asked
            assert address not in self.answers
            assert address not in self.cancelled
            self.answers[address] = answer

    def _text(self) -> list[int]:
        length = self.random.choice([self.random.randint(1, 30), self.random.randint(1, 300)])
        limit = self.artifacts.config.model.num_embeddings
        return [self.random.randrange(1, limit) for _ in range(length)]


def test_thousands_of_interleaved_questions_are_each_answered_once_and_right(artifacts: Artifacts) -> None:
    engine = _engine(artifacts, Limits(10**6, 10**9))
    crowd = _Crowd(artifacts, random.Random(0))  # noqa: S311 - nothing here is secret
    while len(crowd.asked) < 2000:
        for _ in range(crowd.random.randrange(40)):
            crowd.ask(engine)
        if crowd.asked and crowd.random.random() < 0.8:
            crowd.cancel(engine)
        crowd.hear(engine.work())
    crowd.hear(_run(engine))
    _assert_idle(engine)
    assert crowd.answers.keys() | crowd.cancelled == crowd.asked.keys()
    assert crowd.cancelled
    refused = {address for address, answer in crowd.answers.items() if isinstance(answer, Rejected)}
    assert refused
    assert refused <= crowd.late
    for address in crowd.answers.keys() - refused:
        _assert_right(crowd.answers[address], crowd.asked[address], artifacts)
    reasons = {answer.reason for answer in crowd.answers.values() if isinstance(answer, Rejected)}
    assert "expired" in reasons
    assert reasons <= {"expired", "overloaded"}  # late, or found to be so on arrival


def test_a_trace_shows_every_signal_of_every_layer(artifacts: Artifacts) -> None:
    engine, text = _engine(artifacts), [3, 1, 4, 1, 5]
    assert engine.ask(1, _trace(7, artifacts, text)) == []
    ((worker, answer),) = _run(engine)
    assert worker == 1
    assert isinstance(answer, Traced)
    assert (answer.id, answer.layers, answer.hidden_size) == (7, LAYERS, HIDDEN_SIZE)
    signals = np.frombuffer(answer.signals, np.float32).reshape(LAYERS, len(SIGNALS), len(text), HIDDEN_SIZE)
    with torch.inference_mode():
        expected = trace_layers(artifacts.model, artifacts.model.embed(torch.tensor([text])))
    for found, layer in zip(signals, expected, strict=True):
        for signal, name in zip(found, SIGNALS, strict=True):
            np.testing.assert_allclose(signal, getattr(layer, name)[0], atol=1e-6)


def test_a_question_about_no_text_is_answered_at_once(artifacts: Artifacts) -> None:
    engine = _engine(artifacts)
    assert engine.ask(1, _submit(2, artifacts)) == [Reply(1, Logits(2, [], 0.0, 0.0))]
    _assert_idle(engine)


@pytest.mark.parametrize("kind", [_submit, _trace])
def test_a_question_that_comes_too_late_costs_nothing(artifacts: Artifacts, kind: Any) -> None:
    engine = _engine(artifacts)
    assert engine.ask(1, kind(2, artifacts, [1], deadline=time.monotonic() - 1)) == [Reply(1, Rejected(2, "expired"))]
    _assert_idle(engine)


@pytest.mark.parametrize("kind", [_submit, _trace])
def test_a_question_that_waited_too_long_is_dropped(
    artifacts: Artifacts, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = _engine(artifacts)
    assert engine.ask(1, kind(2, artifacts, [1], deadline=time.monotonic() + 100)) == []
    engine.ask(1, _submit(3, artifacts, [1] * 300))
    now = time.monotonic()
    monkeypatch.setattr("service.engine.time.monotonic", lambda: now + 200)
    assert engine.work() == [Reply(1, Rejected(2, "expired"))]
    assert _answered(_run(engine)) == [(1, 3)]
    _assert_idle(engine)


def test_too_much_at_once_is_refused_with_the_time_that_the_rest_will_take(artifacts: Artifacts) -> None:
    engine = _engine(artifacts, Limits(texts=4, tokens=100))
    assert engine.ask(1, _submit(0, artifacts, [1] * 50)) == []
    for refused in (_submit(1, artifacts, *[[1]] * 4), _submit(2, artifacts, [1] * 51), _trace(3, artifacts, [1] * 51)):
        ((worker, answer),) = engine.ask(2, refused)
        assert worker == 2
        assert isinstance(answer, Rejected)
        assert answer == Rejected(refused.id, "overloaded", engine._admission.seconds_left)
    assert engine.ask(2, _submit(4, artifacts, [1] * 25, [1] * 24)) == []
    assert engine.ask(3, _trace(0, artifacts, [1])) == []
    ((_, answer),) = engine.ask(3, _submit(1, artifacts, [1]))
    assert isinstance(answer, Rejected)
    assert _answered(_run(engine)) == [(1, 0), (2, 4), (3, 0)]
    _assert_idle(engine)
    assert engine.ask(3, _submit(2, artifacts, [1])) == []


def test_a_question_of_any_size_is_taken_if_nothing_else_is_under_way(artifacts: Artifacts) -> None:
    engine = _engine(artifacts, Limits(texts=1, tokens=1))
    question = _submit(0, artifacts, *[[1, 2, 3]] * 300)
    assert engine.ask(1, question) == []
    ((_, answer),) = _run(engine)
    _assert_right(answer, question, artifacts)


def test_what_would_be_late_is_refused_and_not_begun(artifacts: Artifacts) -> None:
    """Turns are taken, so a short question is not late because of a long one."""
    engine = _engine(artifacts)
    soon, later = time.monotonic() + 8, time.monotonic() + 100
    engine._admission.pace_of(artifacts.version).tokens_per_second = 10.0
    assert engine.ask(1, _submit(0, artifacts, [1] * 90, deadline=soon)) == []
    assert engine.ask(2, _submit(1, artifacts, [1] * 50, deadline=soon)) == [Reply(2, Rejected(1, "overloaded", 9.0))]
    assert engine.ask(2, _trace(2, artifacts, [1] * 50, deadline=soon)) == [Reply(2, Rejected(2, "overloaded", 9.0))]
    assert engine.ask(2, _submit(3, artifacts, [1] * 50, deadline=later)) == []
    assert engine.ask(2, _submit(4, artifacts, [1] * 10, deadline=soon)) == []
    assert engine.ask(2, _trace(5, artifacts, [1] * 10, deadline=soon)) == []
    assert sorted(_answered(_run(engine))) == [(1, 0), (2, 3), (2, 4), (2, 5)]
    _assert_idle(engine)


def test_the_pace_is_that_of_full_chunks(artifacts: Artifacts) -> None:
    """A few texts take about as long as many would, and a trace runs no chunk, nor counts the last one again."""
    engine = _engine(artifacts)
    engine.ask(1, _submit(0, artifacts, [1] * 10))
    _run(engine)
    pace = engine._admission.pace_of(artifacts.version)
    assert pace.tokens_per_second is None
    after_one = engine.statistics()
    assert after_one == Statistics(0, 0, 0, 1, 1, 1, 16, 10, 16)
    engine.ask(1, _submit(1, artifacts, *[[1] * 10] * MOST_SEATS))
    _run(engine)
    found, after_many = pace.tokens_per_second, engine.statistics()
    assert found is not None
    assert found > 0
    engine.ask(1, _trace(2, artifacts, [1] * 10))
    _run(engine)
    assert engine.statistics() == after_many
    assert pace.tokens_per_second == found


def test_a_model_that_is_not_there_is_stale(artifacts: Artifacts, other_artifacts: Artifacts) -> None:
    engine = _engine(artifacts)
    assert engine.ask(1, _submit(0, other_artifacts, [1])) == [Reply(1, Rejected(0, "stale"))]
    assert engine.ask(1, _trace(1, other_artifacts, [1])) == [Reply(1, Rejected(1, "stale"))]
    _assert_idle(engine)


def test_what_was_asked_of_a_model_is_answered_by_it_also_after_it_was_replaced(
    artifacts: Artifacts, other_artifacts: Artifacts, third_artifacts: Artifacts
) -> None:
    engine = _engine(artifacts)
    text = list(range(1, 20)) * 20
    questions: dict[int, tuple[Submit | Trace, Artifacts]] = {}
    replies: list[Reply] = []

    def ask(question: Submit | Trace, of: Artifacts) -> None:
        questions[question.id] = (question, of)
        assert engine.ask(1, question) == []

    ask(_submit(0, artifacts, text, text[:40]), artifacts)
    replies += engine.work()
    ask(_trace(1, artifacts, text), artifacts)
    engine.replace([_load(other_artifacts)])
    assert engine.models[0].artifacts is other_artifacts
    ask(_submit(2, artifacts, text[:30]), artifacts)  # it was on its way
    ask(_submit(3, other_artifacts, text), other_artifacts)
    replies += engine.work()
    ask(_submit(4, artifacts, text), artifacts)
    engine.replace([_load(third_artifacts)])
    ask(_submit(5, third_artifacts, text), third_artifacts)
    assert engine.statistics().seated_texts > 0
    replies += _run(engine)
    _assert_idle(engine)
    assert engine.ask(1, _submit(6, artifacts, text)) == [Reply(1, Rejected(6, "stale"))]
    ask(_submit(7, other_artifacts, text), other_artifacts)
    replies += _run(engine)
    assert _answered(replies) == [(1, number) for number in (*range(6), 7)]
    for _, answer in replies:
        assert isinstance(answer, Logits | Traced)
        _assert_right(answer, *questions[answer.id])


def test_loading_the_same_version_again_loses_nobody(artifacts: Artifacts) -> None:
    engine = _engine(artifacts)
    questions: list[Submit | Trace] = [
        _submit(0, artifacts, [1, 2] * 100),
        _trace(1, artifacts, [1, 2]),
        _submit(2, artifacts, [3] * 100),
    ]
    for question in questions[:2]:
        engine.ask(1, question)
    replies = engine.work()
    for _ in range(3):
        engine.replace([_load(artifacts)])
    engine.ask(1, questions[2])
    engine.ask(1, Submit(3, artifacts.version, _packed([1] * 300), [300], LATER))
    engine.ask(1, Cancel(3))
    replies += _run(engine)
    _assert_idle(engine)
    assert len(replies) == 3
    for _, answer in replies:
        assert isinstance(answer, Logits | Traced)
        _assert_right(answer, questions[answer.id], artifacts)


def test_what_a_worker_asked_is_dropped_when_it_is_gone(artifacts: Artifacts) -> None:
    engine = _engine(artifacts)
    for worker in (1, 2):
        for number in range(0, 400, 2):
            engine.ask(worker, _submit(number, artifacts, [1] * 40, [2] * 60))
            engine.ask(worker, _trace(number + 1, artifacts, [1] * 5))
    replies = engine.work()
    engine.forget(1)
    assert engine.statistics().waiting_texts <= 600
    replies += _run(engine)
    _assert_idle(engine)
    assert [number for worker, number in _answered(replies) if worker == 2] == list(range(400))


def test_a_cancelled_question_is_never_answered(artifacts: Artifacts) -> None:
    engine = _engine(artifacts)
    engine.ask(1, _submit(0, artifacts, [1] * 300, [1]))
    for number in (1, 2):
        engine.ask(1, _trace(number, artifacts, [1] * 300))
    engine.ask(2, _submit(0, artifacts, [1] * 300))
    assert engine.work() != []  # the trace
    for number in (0, 1, 2, 5):  # seated, answered, waiting, unknown
        assert engine.ask(1, Cancel(number)) == []
    assert {reply.worker for reply in _run(engine)} == {2}
    _assert_idle(engine)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Let a model's network fail until told otherwise."""

    class Failing:
        def start(self, engine: Engine, error: RuntimeError) -> None:
            def fail(_: Any) -> Any:
                raise error

            monkeypatch.setattr(engine.models[0].network, "embed", fail)

        def stop(self) -> None:
            monkeypatch.undo()

    yield Failing()
    monkeypatch.undo()


@pytest.mark.parametrize("error", [RuntimeError("the device failed"), torch.OutOfMemoryError("no memory for it")])
def test_a_failure_is_answered_and_the_engine_lives_on(
    artifacts: Artifacts, error: RuntimeError, failing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    engine = _engine(artifacts)
    engine.ask(1, _submit(0, artifacts, [1] * 300))
    engine.work()
    engine.ask(1, _submit(1, artifacts, *[[1]] * 200))
    engine.ask(2, _trace(1, artifacts, [1, 2, 3]))
    failing.start(engine, error)
    replies = _run(engine)
    assert {(worker, answer) for worker, answer in replies} == {
        (1, Rejected(0, "failed")),
        (1, Rejected(1, "failed")),
        (2, Rejected(1, "failed")),
    }
    _assert_idle(engine)
    assert str(error) in caplog.text
    failing.stop()
    questions: dict[int, Submit | Trace] = {2: _submit(2, artifacts, [1, 2, 3]), 3: _trace(3, artifacts, [1, 2, 3])}
    for question in questions.values():
        engine.ask(1, question)
    for _, answer in _run(engine):
        assert isinstance(answer, Logits | Traced)
        _assert_right(answer, questions[answer.id], artifacts)


@pytest.mark.parametrize("kind", [_submit, _trace])
def test_a_device_that_fails_at_everything_ends_the_engine(
    artifacts: Artifacts, failing: Any, kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    engine = _engine(artifacts)
    failing.start(engine, RuntimeError("CUDA error: an illegal memory access was encountered"))
    for number in range(engine_module._MOST_FAILURES - 1):
        engine.ask(1, kind(number, artifacts, [1]))
        assert engine.work() == [Reply(1, Rejected(number, "failed"))]
    engine.ask(1, kind(99, artifacts, [1]))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        engine.work()
    assert caplog.text.count("inference failed") == engine_module._MOST_FAILURES


def test_a_lack_of_memory_never_ends_the_engine(artifacts: Artifacts, failing: Any) -> None:
    engine = _engine(artifacts)
    failing.start(engine, torch.OutOfMemoryError("CUDA out of memory"))
    for number in range(2 * engine_module._MOST_FAILURES):
        engine.ask(1, _trace(number, artifacts, [1]))
        assert engine.work() == [Reply(1, Rejected(number, "failed"))]


@pytest.mark.parametrize("lengths", [[1], [4], [2, 2], [3, 0], [4, -1], [0, 3]])
def test_lengths_that_do_not_fit_the_token_ids_break_the_protocol(artifacts: Artifacts, lengths: list[int]) -> None:
    engine = _engine(artifacts)
    with pytest.raises(ProtocolError, match="lengths must be positive"):
        engine.ask(1, Submit(0, artifacts.version, _packed([1, 2, 3]), lengths, LATER))
    _assert_idle(engine)


@pytest.mark.parametrize("token_ids", [_packed([1]) + b"\0", b"", b"\0"])
def test_a_trace_of_no_whole_text_breaks_the_protocol(artifacts: Artifacts, token_ids: bytes) -> None:
    with pytest.raises(ProtocolError, match="lengths must be positive"):
        _engine(artifacts).ask(1, Trace(0, artifacts.version, token_ids, LATER))


@pytest.mark.parametrize("token_id", [-1, 10_000, 2**31 - 1])
def test_a_token_that_is_none_breaks_the_protocol_before_the_network_meets_it(
    artifacts: Artifacts, token_id: int
) -> None:
    engine = _engine(artifacts)
    for question in (_submit(0, artifacts, [1, token_id]), _trace(0, artifacts, [1, token_id])):
        with pytest.raises(ProtocolError, match="token ids must be 0 to"):
            engine.ask(1, question)
    _assert_idle(engine)


def test_an_id_that_is_in_use_breaks_the_protocol(artifacts: Artifacts) -> None:
    engine = _engine(artifacts)
    engine.ask(1, _submit(0, artifacts, [1]))
    with pytest.raises(ProtocolError, match="question 0 is under way already"):
        engine.ask(1, _trace(0, artifacts, [1]))
    assert engine.ask(2, _trace(0, artifacts, [1])) == []
    assert len(_run(engine)) == 2
    assert engine.ask(1, _trace(0, artifacts, [1])) == []


def test_one_text_does_not_wait_for_the_thousands_of_somebody_else(artifacts: Artifacts) -> None:
    engine = _engine(artifacts, Limits(10_000, 10**9))
    engine.ask(1, _submit(0, artifacts, *[[1] * 20] * 4096))
    engine.work()
    engine.ask(2, _submit(0, artifacts, [1] * 20))
    replies = engine.work()
    assert [reply.worker for reply in replies] == [2]
    assert [reply.worker for reply in _run(engine)] == [1]


def test_texts_read_on_in_company_are_traced_as_if_in_one_go(artifacts: Artifacts) -> None:
    """Twenty live sessions that take a few tokens at a time, beside predictions and a long trace."""
    chance, engine = random.Random(0), _engine(artifacts)  # noqa: S311 - a repeatable test, no secret
    texts = [[chance.randrange(1, 20) for _ in range(chance.randrange(1, 120))] for _ in range(20)]
    pieces: list[list[Answer]] = [[] for _ in texts]
    read = [0] * len(texts)
    number = 0
    while any(done < len(text) for done, text in zip(read, texts, strict=True)):
        asked = {}
        for index, text in enumerate(texts):
            part = text[read[index] : read[index] + chance.choice([1, 1, 1, 2, 5, 40])]
            if part and chance.random() < 0.7:
                states = _states_after(pieces[index][-1]) if pieces[index] else b""
                number += 1
                asked[number] = index
                engine.ask(1, Trace(number, artifacts.version, _packed(part), LATER, states))
                read[index] += len(part)
        engine.ask(2, _submit(number, artifacts, [1] * 70))
        engine.ask(3, _trace(number, artifacts, [1] * 70))
        for worker, answer in _run(engine):
            if worker == 1:
                pieces[asked[answer.id]].append(answer)  # type: ignore[union-attr]  # every answer to a question has one
    _assert_idle(engine)
    for text, parts in zip(texts, pieces, strict=True):
        logits = np.concatenate([logits_of(part) for part in parts if isinstance(part, Traced)])
        np.testing.assert_allclose(logits, _logits_alone(artifacts, text), atol=1e-6)
        (whole,) = (_signals(answer) for _, answer in _ask_alone(artifacts, text))
        np.testing.assert_allclose(np.concatenate([_signals(part) for part in parts], axis=2), whole, atol=1e-6)


def _ask_alone(artifacts: Artifacts, text: list[int]) -> list[Reply]:
    engine = _engine(artifacts)
    engine.ask(1, _trace(1, artifacts, text))
    return _run(engine)


def test_a_key_that_is_pressed_waits_for_no_long_trace_and_no_crowd(artifacts: Artifacts) -> None:
    engine = _engine(artifacts)
    engine.ask(1, _submit(0, artifacts, *[[1] * 50] * 200))
    for number in range(5):
        engine.ask(2, _trace(number, artifacts, [1] * 300))
    for worker in range(3, 13):
        engine.ask(worker, _trace(0, artifacts, [1]))
    assert {reply.worker for reply in engine.work()} == {2, *range(3, 13)}


def test_brief_traces_of_two_models_do_not_share_a_pass(artifacts: Artifacts, other_artifacts: Artifacts) -> None:
    engine = _engine(artifacts)
    engine.ask(1, _trace(0, artifacts, [1, 2]))
    engine.replace([_load(other_artifacts)])
    engine.ask(1, _trace(1, other_artifacts, [1, 2]))
    for _, answer in _run(engine):
        assert isinstance(answer, Traced)
        _assert_right(answer, _trace(answer.id, artifacts, [1, 2]), [artifacts, other_artifacts][answer.id])


def test_a_trace_with_a_signal_held_is_the_predictors(artifacts: Artifacts) -> None:
    clamps = [Clamp("cell_state", 0, 0.5, units=(1, 3), start=2, stop=5)]
    engine, predictor = _engine(artifacts), Predictor(artifacts, "cpu")
    expected = predictor.trace("Worst update", clamps=clamps)
    engine.ask(1, Trace(0, artifacts.version, _packed(list(expected.token_ids)), LATER, clamps=clamps))
    ((_, answer),) = _run(engine)
    np.testing.assert_allclose(_signals(answer), np.array(expected.layers), atol=1e-6)


@pytest.mark.parametrize("states", [b"\0" * 4, b"\0" * (4 * LAYERS * 2 * HIDDEN_SIZE - 1)])
def test_states_of_another_size_break_the_protocol(artifacts: Artifacts, states: bytes) -> None:
    engine = _engine(artifacts)
    with pytest.raises(ProtocolError, match="states must be"):
        engine.ask(1, Trace(0, artifacts.version, _packed([1]), LATER, states))
    _assert_idle(engine)


def test_signals_cannot_be_held_in_the_middle_of_a_text(artifacts: Artifacts) -> None:
    states = bytes(4 * LAYERS * 2 * HIDDEN_SIZE)
    with pytest.raises(ProtocolError, match="clamps"):
        _engine(artifacts).ask(
            1, Trace(0, artifacts.version, _packed([1]), LATER, states, [Clamp("cell_state", 0, 0.0)])
        )


@pytest.mark.parametrize("clamp", [Clamp("cell_state", LAYERS, 0.0), Clamp("cell_state", 0, 0.0, (HIDDEN_SIZE,))])
def test_what_there_is_not_to_hold_breaks_the_protocol(artifacts: Artifacts, clamp: Clamp) -> None:
    engine = _engine(artifacts)
    with pytest.raises(ProtocolError, match="clamps"):
        engine.ask(1, Trace(0, artifacts.version, _packed([1]), LATER, clamps=[clamp]))
    _assert_idle(engine)


def test_the_tiny_models_differ(artifacts: Artifacts, other_artifacts: Artifacts, tmp_path: Path) -> None:
    """Or else the tests above would show nothing."""
    assert abs(_logits_alone(artifacts, [1, 2, 3])[-1] - _logits_alone(other_artifacts, [1, 2, 3])[-1]) > 0.01
    assert load_artifacts(tiny_artifacts(tmp_path, num_layers=LAYERS)).version == artifacts.version
