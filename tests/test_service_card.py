"""What `/info` says of how good the model is: the card that lies beside it, if it is this version's."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from charlstm.artifacts import load_artifacts
from charlstm.card import CARD, Card, CardInBrief
from service.schemas import Info
from tests.card_fixtures import made_up_card
from tests.service_fixtures import Client, serving_model
from tests.tiny import tiny_artifacts


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Path]]:
    folder = tmp_path_factory.mktemp("card")
    artifacts = tiny_artifacts(folder / "artifacts")
    tiny_artifacts(artifacts / "second", seed=1)
    with serving_model(artifacts, folder / "engine.sock") as client:
        yield client, artifacts


@pytest.fixture
def client(served: tuple[Client, Path], artifacts: Path) -> Client:
    (artifacts / CARD).unlink(missing_ok=True)
    return served[0]


@pytest.fixture
def artifacts(served: tuple[Client, Path]) -> Path:
    return served[1]


def save(artifacts: Path, card: Card) -> None:
    (artifacts / CARD).write_text(card.model_dump_json())


def told(client: Client, path: str = "/info") -> CardInBrief | None:
    return Info.model_validate_json(client.get(path).content).card


def test_without_a_card_there_is_null(client: Client) -> None:
    assert client.get("/info").json()["card"] is None


def test_the_short_of_it_is_served_as_soon_as_it_is_there(client: Client, artifacts: Path) -> None:
    card = made_up_card(load_artifacts(artifacts).version)
    assert told(client) is None
    save(artifacts, card)
    assert told(client) == card.brief
    better = card.brief.model_copy(update={"intended_use": "other tests"})
    save(artifacts, card.model_copy(update={"brief": better}))
    assert told(client) == better
    (artifacts / CARD).unlink()
    assert told(client) is None


def test_each_model_has_a_card_of_its_own(client: Client, artifacts: Path) -> None:
    card = made_up_card(load_artifacts(artifacts / "second").version)
    save(artifacts / "second", card)
    assert (told(client), told(client, "/info?model=second")) == (None, card.brief)


def test_the_card_of_another_version_is_not_this_models(
    client: Client, artifacts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so, once."""
    save(artifacts, made_up_card("another"))
    assert (told(client), told(client)) == (None, None)
    assert len([record for record in caplog.records if "another" in record.getMessage()]) == 1


def test_a_damaged_card_is_logged_and_nothing_of_it_is_given_away(
    client: Client, artifacts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (artifacts / CARD).write_text("{")
    response = client.get("/info")
    assert (response.status_code, response.json()["card"]) == (200, None)
    assert str(artifacts) not in response.text
    assert [record.levelno for record in caplog.records if CARD in record.getMessage()] == [logging.ERROR]
