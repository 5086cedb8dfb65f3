"""Both clients against the real service, over a real port, held against the same model in this process."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm import Predictor
from charlstm.clamp import Clamp
from service.client import AsyncSentimentClient, Foremost, Policy, Range, SentimentClient
from service.client.errors import (
    EmptyTextError,
    InvalidCharacterError,
    InvalidRequestError,
    NotFoundError,
    SessionEndedError,
    TextTooLongError,
    TooManyWordsError,
    UnauthorizedError,
    UnknownModelError,
    UnknownUnitError,
    UnreachableError,
)
from tests.client_fixtures import BOTH, Connect
from tests.served import Served, eventually, served
from tests.tiny import tiny_artifacts

ROOT = Path(__file__).parent.parent
KEY, ADMIN_KEY = "one", "boss"
TEXTS = ["Worst update ever", "I love it", "ok", "Straße 🎮 İstanbul", "x" * 150]
MOST_TEXTS = 7


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the committed model, which has an atlas."""
    settings = {"api_keys": KEY, "admin_keys": ADMIN_KEY, "max_texts": MOST_TEXTS, "access_log": True}
    with served(tmp_path_factory.mktemp("server"), ROOT / "artifacts", **settings) as server:
        with SentimentClient(server.url) as client:
            client.wait_until_ready()
        yield server


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load(ROOT / "artifacts", device="cpu")


@pytest.fixture(params=BOTH, ids=["blocking", "asynchronous"])
def client(request: pytest.FixtureRequest, server: Served) -> Iterator[Any]:
    connect: Connect = request.param
    with connect(server.url, KEY) as client:
        yield client


def test_a_prediction_is_the_models(client: Any, predictor: Predictor) -> None:
    for text in TEXTS:
        found, expected = client.predict(text), predictor.predict(text)
        assert (found.label, found.characters, found.truncated) == (expected.label, expected.characters, False)
        assert found.probabilities.negative == pytest.approx(expected.probability_negative, abs=1e-5)


def test_a_batch_of_any_size_is_answered_in_order(client: Any, predictor: Predictor) -> None:
    """Ten times what one request may hold."""
    texts = [f"{text} {number}" for number in range(15) for text in TEXTS]
    assert len(texts) > 10 * MOST_TEXTS
    found = [prediction.probabilities.negative for prediction in client.predict_batch(texts)]
    expected = [prediction.probability_negative for prediction in predictor.predict(texts)]
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_text_that_cannot_be_read_is_named_by_its_number_in_the_batch(client: Any) -> None:
    with pytest.raises(EmptyTextError, match=r"texts\[40\] must hold at least 1 character"):
        client.predict_batch(["Worst"] * 40 + [""] + ["Worst"] * 40)


def test_a_trace_is_the_models(client: Any, predictor: Predictor) -> None:
    clamps = [Clamp("cell_state", 0, 0.0, units=(23,))]
    for held in ([], clamps):
        found, expected = client.trace("I love it", clamps=held), predictor.trace("I love it", clamps=held)
        assert (found.tokens, found.token_ids, found.offsets) == (expected.tokens, expected.token_ids, expected.offsets)
        np.testing.assert_allclose(found.layers, expected.layers, atol=1e-5)
        np.testing.assert_allclose(found.attribution.steps, expected.attribution.steps, atol=1e-4)


def test_a_part_of_a_trace_is_that_part(client: Any, predictor: Predictor) -> None:
    expected = predictor.trace("I love it").layers[0]
    gates = client.gates("I love it", signals=["cell_state"], units=range(3), steps=Range(start=2, stop=5))
    np.testing.assert_allclose(gates.signal("cell_state"), expected.cell_state[2:5, :3], atol=1e-5)
    foremost = client.gates("I love it", units=Foremost(top=4, by="variance"), detail="summary")
    gate = expected.forget_gate[:, foremost.units()]
    np.testing.assert_allclose(foremost.summary("forget_gate").mean, gate.mean(axis=1), atol=1e-5)
    cut = client.gates("I love it", cut=[Range(start=2, stop=7)])
    assert cut.prediction.probability == pytest.approx(predictor.predict("I it").probability, abs=1e-5)


def test_texts_are_compared_and_words_left_out(client: Any, predictor: Predictor) -> None:
    compared = client.compare("I love it", "I loved it")
    logits = [predictor.trace(text).attribution.logit for text in ("I love it", "I loved it")]
    assert compared.logit_difference == pytest.approx(logits[1] - logits[0], abs=1e-4)
    word = client.occlusion("I love it").words[1]
    assert word.probabilities.negative == pytest.approx(predictor.predict("I it").probability_negative, abs=1e-5)


def test_units_and_what_is_served_are_described(client: Any, predictor: Predictor) -> None:
    units = client.units()
    assert len(units.layers[0].units) == predictor.artifacts.config.model.hidden_size
    assert client.unit(3, layer=0).top_characters == units.layers[0].units[3].top_characters
    info = client.info()
    assert (info.model.version, info.limits.max_texts) == (predictor.artifacts.version, MOST_TEXTS)
    assert client.is_ready()


@pytest.mark.parametrize(
    ("method", "arguments", "expected"),
    [
        ("predict", {"text": ""}, EmptyTextError),
        ("predict", {"text": "\0"}, InvalidCharacterError),
        ("predict", {"text": "\ud800"}, InvalidCharacterError),
        ("predict", {"text": "x" * 10_001, "truncate": True}, TextTooLongError),
        ("gates", {"text": "x", "layers": [1]}, InvalidRequestError),
        ("trace", {"text": "x", "clamps": [Clamp("input_gate", 0, 2.0)]}, InvalidRequestError),
        ("occlusion", {"text": "word " * 10}, TooManyWordsError),
        ("unit", {"number": 1000}, UnknownUnitError),
        ("reload", {}, UnauthorizedError),
    ],
)
def test_what_is_refused_is_an_error_of_its_own(
    client: Any, method: str, arguments: dict[str, Any], expected: type[Exception]
) -> None:
    with pytest.raises(expected) as raised:
        getattr(client, method)(**arguments)
    assert type(raised.value) is expected


@pytest.mark.parametrize("connect", BOTH)
def test_a_key_opens_the_service_and_another_does_not(connect: Connect, server: Served) -> None:
    with connect(server.url, "two") as client, pytest.raises(UnauthorizedError):
        client.predict("Worst")
    with connect(server.url, ADMIN_KEY) as client:
        assert not client.reload().changed


@pytest.mark.parametrize("connect", BOTH)
def test_the_service_logs_a_request_under_the_id_that_the_client_gives_it(connect: Connect, server: Served) -> None:
    name = f"id-of-{connect.__name__}"  # type: ignore[attr-defined]  # it is a function
    with connect(server.url, KEY, policy=Policy(request_id=lambda: name)) as client:
        client.predict("Worst")
    eventually(lambda: name in server.log.read_text())


@pytest.mark.parametrize("connect", BOTH)
def test_a_path_at_which_there_is_another_service_is_not_found(connect: Connect, server: Served) -> None:
    with connect(server.url + "/page", KEY) as client, pytest.raises(NotFoundError):
        client.info()


@pytest.mark.parametrize("connect", BOTH)
def test_plain_http_is_not_spoken_where_tls_is_asked_for(connect: Connect, server: Served) -> None:
    with connect(server.url.replace("http", "https"), KEY) as client:
        with pytest.raises(UnreachableError):
            client.predict("Worst")
        with pytest.raises(UnreachableError), client.live():
            pass


def test_certificates_of_ones_own_are_used() -> None:
    """Nothing is trusted here, but what is asked for over plain HTTP needs no trust."""
    with SentimentClient("https://localhost:1", tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as client:
        assert not client.is_ready()


def test_what_is_typed_live_ends_as_what_gates_says(client: Any, predictor: Predictor) -> None:
    with client.live(detail="full") as session:
        assert session.type("Worst updat").start == 0
        assert session.type("e", back=0).start == 11
        assert session.type("t", back=5).start == 7
        assert session.rewrite("Worst up ever").start == 7
        assert session.text == "Worst up ever"
        expected = predictor.trace("Worst up ever")
        whole = session.whole
        assert tuple(whole.tokens) == expected.tokens
        assert whole.probability_so_far == pytest.approx(expected.probability_so_far.tolist(), abs=1e-5)
        np.testing.assert_allclose(whole.layers[0].cell_state, expected.layers[0].cell_state, atol=1e-5)
        assert session.rewrite("").label is None
        assert session.type("ok", detail="summary").layers[0].half_life


def test_what_a_session_refuses_leaves_it_open_and_what_it_cannot_read_ends_it(client: Any) -> None:
    with client.live() as session:
        session.type("Worst")
        with pytest.raises(TextTooLongError):
            session.type("x" * 1001)
        assert session.type("!").characters == 6
        with pytest.raises(SessionEndedError, match=r"4400 \(units\[0\] must be at least 0, found -1\)") as raised:
            session.type("x", units=[-1])
        assert raised.value.request_id
        with pytest.raises(SessionEndedError):
            session.type("x")


def test_tasks_that_share_a_session_take_turns(server: Served) -> None:
    async def type_all() -> None:
        async with AsyncSentimentClient(server.url, api_key=KEY) as client, client.live() as session:
            answers = await asyncio.gather(*map(session.type, "Worst"), session.rewrite("Worse"))
            assert [answer.characters for answer in answers] == [1, 2, 3, 4, 5, 5]
            assert session.text == "Worse"

    asyncio.run(type_all())


@pytest.mark.parametrize("connect", BOTH)
def test_a_session_without_a_key_says_so_at_its_first_message(connect: Connect, server: Served) -> None:
    with (
        connect(server.url) as client,
        client.live() as session,
        pytest.raises(SessionEndedError, match=r"4401 \(a key is needed\)"),
    ):
        session.type("Worst")


def test_each_call_can_name_its_model(tmp_path: Path) -> None:
    """In the body, in the query or in a message, as the route has it; a model that is not served is not found."""
    default = tiny_artifacts(tmp_path / "artifacts", max_length=None)
    other = Predictor.load(tiny_artifacts(default / "other", max_length=None, num_layers=2, seed=1), device="cpu")
    expected = other.predict("Worst").probability_negative
    with served(tmp_path, default) as server, ExitStack() as clients:
        eventually(server.is_ready)
        for client in [clients.enter_context(connect(server.url)) for connect in BOTH]:
            with client.live(model="other") as session:
                answers = [
                    client.predict("Worst", model="other"),
                    *client.predict_batch(["Worst", "Worst"], model="other"),
                    client.gates("Worst", model="other").prediction,
                    client.compare("Worst", "best", model="other").first,
                    client.occlusion("Worst", model="other"),
                    session.type("Wor"),
                    session.type("st"),
                ]
            assert {answer.model.name for answer in answers} == {"other"}
            del answers[-2]  # of half the text
            judged = [answer.probabilities.negative for answer in answers]
            assert judged == pytest.approx([expected] * len(answers), abs=1e-5)
            assert len(client.trace("Worst", model="other").layers) == 2
            assert client.info(model="other").model.version == other.artifacts.version
            assert client.predict("Worst").model.version != other.artifacts.version
            for ask in (client.units, client.info):
                with pytest.raises(UnknownModelError, match="model"):
                    ask(model="third")
            with pytest.raises(UnknownModelError, match="model"):
                client.predict("Worst", model="third")
