"""A worker's side of the socket, with a real engine process, a scripted one, and none."""

import asyncio
import os
import random
import signal
import string
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop

from charlstm.artifacts import load_artifacts
from charlstm.predictor import Predictor
from service import connection as connection_module
from service.connection import EngineConnection, PackedTexts, pack
from service.errors import (
    DeadlineError,
    EngineFailedError,
    EngineLostError,
    NotReadyError,
    OverloadedError,
    StaleModelError,
    UnreadableTextsError,
)
from service.inference import Inference
from service.loaded_model import describe
from service.passages import Passage
from service.protocol import (
    Answer,
    Cancel,
    Frames,
    Loaded,
    Logits,
    Question,
    Rejected,
    Reload,
    Reloaded,
    Statistics,
    Submit,
    Trace,
    decode_question,
    frame,
)
from tests.service_fixtures import PATIENCE, engine_process, make_settings, stopped, until
from tests.tiny import TEXTS, tiny_artifacts

LATER = 1e12
PACKED = pack([(1, 2, 3)])


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("tiny") / "artifacts", num_layers=2, temperature=1.7)


@pytest.fixture(scope="module")
def engine(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """Run one engine for the tests of this module: where it listens, and its process id."""
    path = tmp_path_factory.mktemp("engine") / "engine.sock"
    with engine_process(artifacts, path) as process:
        yield path, process.pid


@asynccontextmanager
async def _inference(artifacts: Path, path: Path, **settings: Any) -> AsyncIterator[Inference]:
    async with asyncio.timeout(PATIENCE), Inference(make_settings(artifacts, engine_socket=path, **settings)) as model:
        await model.loading
        yield model


def _texts(count: int) -> list[str]:
    drawn = random.Random(0)  # noqa: S311 - nothing here is secret
    alphabet = string.printable + "".join(TEXTS)
    return ["".join(drawn.choices(alphabet, k=drawn.randint(1, 64))) for _ in range(count)]


def test_answers_equal_those_of_the_predictor_however_many_ask_at_once(
    artifacts: Path, engine: tuple[Path, int]
) -> None:
    """Thousands of questions of two workers, some of them given up; each gets its own answer."""
    texts = _texts(2000)
    expected = Predictor.load(artifacts, "cpu").predict(texts)

    async def ask() -> None:
        async with _inference(artifacts, engine[0]) as one, _inference(artifacts, engine[0]) as another:

            async def check(number: int) -> None:
                judged = await (one, another)[number % 2].judge({"text": texts[number]}, truncate=False)
                assert judged.predictions[0].probability_negative == pytest.approx(
                    expected[number].probability_negative, abs=1e-6
                )
                assert judged.predictions[0].characters == len(texts[number])

            asked = [asyncio.create_task(check(number)) for number in range(len(texts))]
            await asyncio.sleep(0)
            for given_up in asked[::7]:
                given_up.cancel()
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            await until(lambda: one.statistics is not None and one.statistics.waiting_texts == 0)
            assert one._connection._waiting == another._connection._waiting == {}
        for number, outcome in enumerate(outcomes):
            assert isinstance(outcome, asyncio.CancelledError) if number % 7 == 0 else outcome is None, outcome

    asyncio.run(ask())


def test_a_batch_and_its_traces_equal_those_of_the_predictor(artifacts: Path, engine: tuple[Path, int]) -> None:
    texts = _texts(20)
    predictor = Predictor.load(artifacts, "cpu")

    async def ask() -> None:
        async with _inference(artifacts, engine[0]) as model:
            judged = await model.judge({f"texts[{n}]": text for n, text in enumerate(texts)}, truncate=False)
            for text, found in zip(texts, judged.predictions, strict=True):
                expected = predictor.trace(text)
                assert found.probability_negative == pytest.approx(expected.prediction.probability_negative, abs=1e-6)
                traced = await model.trace(Passage("text", text), LATER, truncate=False)
                trace = traced.trace()
                assert trace.tokens == expected.tokens
                assert trace.token_ids == expected.token_ids
                assert trace.offsets == expected.offsets
                so_far = trace.probability_so_far
                assert so_far.dtype == np.float32
                np.testing.assert_allclose(so_far, expected.probability_so_far, atol=1e-6)
                assert trace.prediction.probability_negative == so_far[-1]
                np.testing.assert_allclose(np.array(trace.layers), np.array(expected.layers), atol=1e-6)

    asyncio.run(ask())


def test_a_request_of_many_characters_is_encoded_off_the_event_loop(
    artifacts: Path, engine: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.passages._MOST_CHARACTERS_AT_ONCE", 100)

    async def ask() -> None:
        async with _inference(artifacts, engine[0]) as model:
            texts = {f"texts[{number}]": "Worst update" for number in range(30)}
            alone = await model.judge({"text": "Worst update"}, truncate=False)
            judged = await model.judge(texts, truncate=False)
            assert len(judged.predictions) == 30
            for found in judged.predictions:
                probability = alone.predictions[0].probability_negative
                assert found.probability_negative == pytest.approx(probability, abs=1e-6)
            with pytest.raises(UnreadableTextsError) as raised:
                await model.judge(texts | {"texts[30]": ""}, truncate=False)
            assert [fault.field for fault in raised.value.faults] == ["texts[30]"]

    asyncio.run(ask())


def test_a_question_that_nobody_waits_for_any_more_is_dropped_by_the_engine(
    artifacts: Path, engine: tuple[Path, int]
) -> None:
    path, pid = engine

    async def ask() -> None:
        async with _inference(artifacts, path) as model:
            await model.judge({"text": "Worst"}, truncate=False)
            await until(lambda: model.statistics is not None and model.statistics.waiting_texts == 0)
            assert model.statistics is not None
            before = model.statistics.tokens
            with stopped(pid):
                asked = [
                    asyncio.create_task(model.judge({f"texts[{n}]": "Worst" * 10 for n in range(100)}, truncate=False)),
                    asyncio.create_task(model.trace(Passage("text", "Worst"), LATER, truncate=False)),
                ]
                await until(lambda: len(model._connection._waiting) == 2)
                for task in asked:
                    task.cancel()
                await asyncio.wait(asked)
                assert all(task.cancelled() for task in asked)
            model._connection.statistics = None
            await model.judge({"text": "Worst"}, truncate=False)
            await until(lambda: model.statistics is not None and model.statistics.waiting_texts == 0)
            assert model.statistics is not None
            assert model.statistics.waiting_tokens == 0
            assert model.statistics.tokens < before + 5000 + 5

    asyncio.run(ask())


def test_texts_are_packed_one_after_the_other() -> None:
    packed = pack([(1, 2), (3,), (2**31 - 1,)])
    assert packed == PackedTexts(np.array([1, 2, 3, 2**31 - 1], "<i4").tobytes(), [2, 1, 1])


# A scripted engine: it says what a test tells it to.

Script = Callable[["_Peer"], Awaitable[None]]


class _Peer:
    """The engine's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._frames = Frames()
        self._heard: list[Question] = []

    def say(self, *answers: Answer) -> None:
        self._writer.write(b"".join(map(frame, answers)))

    def say_raw(self, data: bytes) -> None:
        self._writer.write(data)

    async def hear(self) -> Question:
        while not self._heard:
            data = await self._reader.read(1 << 16)
            if not data:
                raise EOFError
            self._heard += map(decode_question, self._frames.feed(data))
        return self._heard.pop(0)


@asynccontextmanager
async def _scripted(path: Path, *scripts: Script) -> AsyncIterator[None]:
    """Run an engine that follows one script a connection; after the last it hangs up on everybody."""
    left = list(scripts)
    playing: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        playing.append(task)
        try:
            if left:
                await left.pop(0)(_Peer(reader, writer))
        except EOFError:
            pass
        finally:
            writer.close()

    async with asyncio.timeout(PATIENCE):
        server = await asyncio.start_unix_server(serve, path)
        try:
            yield
        finally:
            server.close()
            for task in playing:
                task.cancel()
            await asyncio.gather(*playing, return_exceptions=True)


@asynccontextmanager
async def _connected(path: Path, *scripts: Script) -> AsyncIterator[EngineConnection]:
    async with _scripted(path, *scripts), EngineConnection(path) as connection:
        yield connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "engine.sock"


@pytest.fixture
def loaded(artifacts: Path) -> Loaded:
    return _loaded(artifacts)


def _loaded(directory: Path) -> Loaded:
    return Loaded([describe(load_artifacts(directory), "cpu", "float32")])


async def _hold(peer: _Peer) -> None:
    """Read what comes and say nothing."""
    while True:
        await peer.hear()


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("overloaded", OverloadedError),
        ("expired", DeadlineError),
        ("stale", StaleModelError),
        ("failed", EngineFailedError),
    ],
)
def test_each_refusal_has_its_error(path: Path, loaded: Loaded, reason: Any, error: type[Exception]) -> None:
    async def refuse(peer: _Peer) -> None:
        peer.say(loaded)
        for _ in range(2):
            question = await peer.hear()
            peer.say(Rejected(question.id, reason, 2.5))
        await _hold(peer)

    async def ask() -> None:
        async with _connected(path, refuse) as connection:
            await connection.until_loaded()
            with pytest.raises(error):
                await connection.submit(loaded.models[0].version, PACKED, LATER)
            with pytest.raises(error) as raised:
                await connection.trace(loaded.models[0].version, PACKED.token_ids, LATER)
            assert getattr(raised.value, "headers", {"Retry-After": "3"}) == {"Retry-After": "3"}

    asyncio.run(ask())


def test_an_engine_that_dies_as_soon_as_it_has_loaded_is_no_failure_to_load(
    path: Path, loaded: Loaded, artifacts: Path
) -> None:
    """The supervisor starts another one."""

    async def say_and_die(peer: _Peer) -> None:
        peer.say(loaded)

    async def load() -> None:
        async with _scripted(path, say_and_die), Inference(make_settings(artifacts, engine_socket=path)) as model:
            await model.loading

    asyncio.run(load())


def test_before_there_is_a_model_nothing_is_asked(path: Path, loaded: Loaded) -> None:
    """Although a connection is there: a socket accepts for an engine that has yet to load."""
    asked: list[Question] = []

    async def load_late(peer: _Peer) -> None:
        asked.append(await peer.hear())

    async def ask() -> None:
        async with _connected(path, load_late) as connection:
            await until(lambda: connection._writer is not None)
            for question in (
                connection.submit(loaded.models[0].version, PACKED, LATER),
                connection.trace(loaded.models[0].version, PACKED.token_ids, LATER),
                connection.reload(),
            ):
                with pytest.raises(NotReadyError):
                    await question
        assert asked == []

    asyncio.run(ask())


def test_answers_find_who_asked_in_whatever_order_they_come(path: Path, loaded: Loaded) -> None:
    async def answer_backwards(peer: _Peer) -> None:
        peer.say(loaded)
        questions = [await peer.hear() for _ in range(100)]
        peer.say(Logits(10**6, [0.0], 0.0, 0.0))  # nobody's
        for question in reversed(questions):
            assert isinstance(question, Submit)
            peer.say(Logits(question.id, [float(question.lengths[0])], 0.0, 0.0))
        await _hold(peer)

    async def ask() -> None:
        async with _connected(path, answer_backwards) as connection:
            await connection.until_loaded()
            asked = [
                connection.submit(loaded.models[0].version, pack([(1,) * length]), LATER) for length in range(1, 101)
            ]
            answers = await asyncio.gather(*asked)
            assert [answer.logits for answer in answers] == [[float(length)] for length in range(1, 101)]

    asyncio.run(ask())


def test_a_lost_engine_is_told_to_everybody_and_found_again(path: Path, loaded: Loaded) -> None:
    async def die(peer: _Peer) -> None:
        peer.say(loaded, Statistics(*[1] * 9))
        for _ in range(3):
            await peer.hear()

    async def answer(peer: _Peer) -> None:
        peer.say(loaded)
        question = await peer.hear()
        peer.say(Logits(question.id, [0.5], 0.0, 0.0))
        await _hold(peer)

    async def ask() -> None:
        async with _connected(path, die, answer) as connection:
            await connection.until_loaded()
            await until(lambda: connection.statistics is not None)
            asked: list[Awaitable[object]] = [
                connection.submit(loaded.models[0].version, PACKED, LATER),
                connection.trace(loaded.models[0].version, PACKED.token_ids, LATER),
                connection.reload(),
            ]
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [EngineLostError] * 3
            await connection.until_loaded()
            assert connection.statistics is None
            assert (await connection.submit(loaded.models[0].version, PACKED, LATER)).logits == [0.5]

    asyncio.run(ask())


def test_whoever_asks_a_lost_engine_before_its_loss_is_noticed_is_told_of_it(path: Path, loaded: Loaded) -> None:
    """It is noticed after its last answers, two a turn; its connection is closed long before. On the service's loop."""
    unhandled: list[dict[str, Any]] = []

    async def answer_much_and_die(peer: _Peer) -> None:
        peer.say(loaded)
        await peer.hear()
        peer.say(*[Logits(10**6, [0.0], 0.0, 0.0)] * 100)

    async def ask() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        async with _connected(path, answer_much_and_die) as connection:
            await connection.until_loaded()
            asked = []
            while connection.model is not None:
                asked.append(asyncio.create_task(connection.submit(loaded.models[0].version, PACKED, LATER)))
                await asyncio.sleep(0)
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes[:-1]} == {EngineLostError}
            assert type(outcomes[-1]) in {EngineLostError, NotReadyError}

    uvloop.run(ask())
    assert unhandled == []


def test_why_there_is_no_engine_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A path that is wrong would else be a service that is never ready, and nobody knows why."""

    async def wait() -> None:
        async with EngineConnection(tmp_path / "none"):
            await asyncio.sleep(0.3)

    asyncio.run(wait())
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith(f"no connection to the engine at {tmp_path / 'none'}: ")


@pytest.mark.parametrize("nonsense", [b"\xff\xff\xff\xff", b"\0\0\0\x01\xc1", frame(Reload(1))])
def test_an_engine_that_cannot_be_understood_is_left_and_tried_again(
    path: Path, loaded: Loaded, nonsense: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection_module, "_RECONNECT_AFTER_NONSENSE", 0.01)

    async def babble(peer: _Peer) -> None:
        peer.say_raw(nonsense)
        await _hold(peer)

    async def load(peer: _Peer) -> None:
        peer.say(loaded)
        await _hold(peer)

    async def ask() -> None:
        async with _connected(path, babble, load) as connection:
            assert (await connection.until_loaded())[0].version == loaded.models[0].version

    asyncio.run(ask())
    assert "of no use" in caplog.text


def test_a_question_is_given_up_a_little_after_its_deadline(
    path: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Question] = []
    monkeypatch.setattr(connection_module, "_GRACE", 0.0)

    async def note(peer: _Peer) -> None:
        peer.say(loaded)
        while True:
            heard.append(await peer.hear())

    async def ask() -> None:
        async with _connected(path, note) as connection:
            await connection.until_loaded()
            with pytest.raises(DeadlineError):
                await connection.submit(loaded.models[0].version, PACKED, deadline=0.0)
            await until(lambda: len(heard) == 2)

    asyncio.run(ask())
    assert [type(question) for question in heard] == [Submit, Cancel]
    assert heard[0].id == heard[1].id


def test_an_engine_that_does_not_read_is_not_asked_without_end(
    path: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "_MOST_UNSENT", 1 << 20)

    async def never_read(peer: _Peer) -> None:
        peer.say(loaded)
        await asyncio.sleep(PATIENCE)

    async def ask() -> None:
        async with _connected(path, never_read) as connection:
            await connection.until_loaded()
            text = pack([(1,) * 100_000])
            asked: list[asyncio.Task[Logits]] = []
            while not (asked and asked[-1].done()):
                assert len(asked) < 100
                asked.append(asyncio.create_task(connection.submit(loaded.models[0].version, text, LATER)))
                await asyncio.sleep(0)
                await asyncio.sleep(0)  # now it is written
            with pytest.raises(OverloadedError):
                await asked[-1]
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    asyncio.run(ask())


def test_a_question_that_meets_a_new_model_is_encoded_anew(
    artifacts: Path, path: Path, tmp_path: Path, loaded: Loaded
) -> None:
    """Nobody notices a reload: neither who judges nor who traces."""
    renewed = _loaded(tiny_artifacts(tmp_path / "other", casefold=True))
    versions: list[str] = []

    async def replace(peer: _Peer) -> None:
        peer.say(loaded)
        for new, old in ((renewed, loaded), (loaded, renewed)):
            question = await peer.hear()
            assert isinstance(question, Submit | Trace)
            assert question.version == old.models[0].version
            peer.say(new, Rejected(question.id, "stale"))
            question = await peer.hear()
            assert isinstance(question, Submit | Trace)
            versions.append(question.version)
            if isinstance(question, Submit):
                peer.say(Logits(question.id, [1.0], 0.0, 0.0))
            else:
                peer.say(Rejected(question.id, "stale"))  # twice in a row is too much
        await _hold(peer)

    async def ask() -> None:
        async with _scripted(path, replace), _inference(artifacts, path) as model:
            judged = await model.judge({"text": "WORST"}, truncate=False)
            assert judged.model.version == renewed.models[0].version
            with pytest.raises(NotReadyError):
                await model.trace(Passage("text", "WORST"), LATER, truncate=False)

    asyncio.run(ask())
    assert versions == [renewed.models[0].version, loaded.models[0].version]


def test_an_answer_of_another_kind_is_a_failure(path: Path, loaded: Loaded) -> None:
    async def confuse(peer: _Peer) -> None:
        peer.say(loaded)
        question = await peer.hear()
        peer.say(Reloaded(question.id, ["version"], None))
        await _hold(peer)

    async def ask() -> None:
        async with _connected(path, confuse) as connection:
            await connection.until_loaded()
            with pytest.raises(EngineFailedError):
                await connection.submit(loaded.models[0].version, PACKED, LATER)

    asyncio.run(ask())


def test_an_engine_that_is_killed_is_noticed_at_once(artifacts: Path, engine: tuple[Path, int]) -> None:
    """Stands last: it ends the engine of this module."""
    path, pid = engine

    async def ask() -> None:
        async with _inference(artifacts, path) as model:
            with stopped(pid):
                asked: list[asyncio.Task[object]] = [
                    asyncio.create_task(model.judge({"text": "Worst"}, truncate=False)) for _ in range(20)
                ]
                asked += [
                    asyncio.create_task(model.trace(Passage("text", "Worst"), LATER, truncate=False)) for _ in range(20)
                ]
                await until(lambda: len(model._connection._waiting) == 40)
                os.kill(pid, signal.SIGKILL)
                outcomes = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [EngineLostError] * 40
            assert not model.ready
            with pytest.raises(NotReadyError):
                await model.judge({"text": "Worst"}, truncate=False)

    asyncio.run(ask())
