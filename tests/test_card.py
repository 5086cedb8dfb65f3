"""The card on disk: what is written is read; what is damaged, or about another model, is not taken for this one's."""

import json
from pathlib import Path
from typing import Any

import pytest

from charlstm.card import CARD, Card, load_card
from charlstm.errors import ArtifactError
from tests.card_fixtures import made_up_card

VERSION = "0123456789ab"


def write(directory: Path, **changes: Any) -> None:
    document = json.loads(made_up_card(VERSION).model_dump_json()) | changes
    (directory / CARD).write_text(json.dumps(document))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path)
    assert load_card(tmp_path, VERSION) == made_up_card(VERSION)


def test_there_may_be_none(tmp_path: Path) -> None:
    assert load_card(tmp_path, VERSION) is None
    assert load_card(tmp_path / "no folder", VERSION) is None


def test_the_card_of_another_version_is_ignored_and_why_is_told(tmp_path: Path) -> None:
    write(tmp_path)
    told: list[str] = []
    assert load_card(tmp_path, "another", told.append) is None
    assert len(told) == 1
    assert VERSION in told[0]
    assert "another" in told[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 1}, "format_version 3, found 1"),
        ({"model_version": None}, "model_version"),
        ({"machine": 5}, "valid figures in machine"),
        ({"low_precision": {}}, "valid figures in low_precision"),
        ({"surprise": 1}, "valid figures in surprise"),
    ],
)
def test_a_damaged_card_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write(tmp_path, **changes)
    with pytest.raises(ArtifactError, match=message) as caught:
        load_card(tmp_path, VERSION)
    assert CARD in str(caught.value)


def test_every_figure_of_the_short_record_is_described() -> None:
    """`/docs` shows them to people who have nothing else."""
    definitions = Card.model_json_schema()["$defs"]
    described = definitions["CardInBrief"]["properties"]
    assert {"not_for", "scores", "calibration_error", "part", "robustness", "neither"} <= {
        name for name, field in described.items() if field.get("description")
    }
