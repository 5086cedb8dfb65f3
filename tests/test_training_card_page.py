"""The page and the pictures of a card: every figure of the record stands there, whatever names hold."""

from pathlib import Path

import pytest

from charlstm.artifacts import Artifacts, load_artifacts
from charlstm.card import Part
from tests.card_fixtures import made_up_card
from tests.test_training_plots import size
from tests.trained import record_of, save_trained
from tests.training_data import labelled, sentiment_rows
from training.card_page import card_page
from training.card_plots import calibration_picture, comparison_picture, neither_picture, robustness_picture
from training.splits import SplitName

CARD = made_up_card("0123456789ab")
DATA = labelled(sentiment_rows(tweets=5))


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    record = record_of(DATA, SplitName.GROUPED, options={"hidden_size": 8})
    return load_artifacts(save_trained(tmp_path_factory.mktemp("model"), record, {}))


@pytest.mark.parametrize(
    "line",
    [
        "Version `0123456789ab`",
        "- anything else;",
        "- truth.",
        "99.9% of its test rows have a paraphrase of themselves in training.",
        "The tool that wrote this does not know its licence",
        "| a \\| simple $ method $ | 0.900 (0.950) \\* |  |",
        "| **tiny** | 0.900 (0.950) \\* | 0.700 (0.800) |",
        "\\* recorded.",
        "| grouped | 42 | 1 | 10 | 0.800 | 0.800 | 0.020 |",
        "| grouped | 42 | 2 | 0.7500 ± 0.0707 | 0.8000 ± 0.0000 |",
        "2 of 10 test texts stand word for word, in whatever case, among the texts of the data that it learnt from",
        "on the other 8 its accuracy is 0.6500 (AUC 0.7500).",
        "| as trained | 0.1000 | 0.0250 | 0.0100 to 0.0400 |",
        "| with logits divided by the temperature 1.700 | 0.0200 | 0.0300 | 0.0100 to 0.0500 |",
        "the texts are finitely many.\n",
        "| upper case | 0.600 | 0.700 | 9 | 0.700 | 0.550 |",
        "| without emoji | 0.700 | 0.800 | 0 |  |  |",
        "| 1 to 9 characters | 10 | 0.700 | 0.800 |",
        "| $game$ | 6 | 0.800 |  |",
        "| a\\|b | 4 | 0.500 | 0.500 |",
        "It was trained on none of these.",
        "| Neutral | 4 | 0.500 | 0.200 / 0.500 / 0.800 | 25.0% | 50.0% |",
        "on one thread of: an abacus.",
        "| tiny | 1 layer of 8 units, embedding of 6 | 1,000 | 0.700 | 1,234 | 2,345 |",
        "1 of 10 texts get another label (accuracy 0.6000 instead of 0.7000)",
        "| `hidden_size` | `8` |",
        "0.500 on a|b (4 texts), 0.800 on $game$ (6 texts)",
        "The change that costs most, upper case, leaves an accuracy of 0.600.",
        "On the grouped split the simple method a better one does as well.",
    ],
)
def test_the_page_tells(artifacts: Artifacts, line: str) -> None:
    assert line in card_page(CARD, artifacts)


def test_texts_that_share_a_label_are_counted_once(artifacts: Artifacts) -> None:
    shared = CARD.after.model_copy(update={"floor": CARD.after.floor.model_copy(update={"draws": 4})})
    page = card_page(CARD.model_copy(update={"after": shared}), artifacts)
    assert "those of a group share a label, which leaves 4 labels to chance" in page


def test_each_table_has_as_many_cells_in_every_row(artifacts: Artifacts) -> None:
    tables = [block for block in card_page(CARD, artifacts).split("\n\n") if block.startswith("| ")]
    assert len(tables) == 10
    for table in tables:
        cells = {line.replace("\\|", "").count("|") for line in table.splitlines() if not line.startswith("|---")}
        assert len(cells) == 1, table


def test_what_there_is_not_has_no_section(artifacts: Artifacts) -> None:
    bare = made_up_card("0123456789ab", spreads=(), neither=(), entities=())
    page = card_page(bare, artifacts)
    for heading in ("## Other runs", "## Texts that are neither", "$game$"):
        assert heading in card_page(CARD, artifacts)
        assert heading not in page


def test_a_model_that_had_a_teacher_says_so(tmp_path: Path, artifacts: Artifacts) -> None:
    record = record_of(DATA, SplitName.GROUPED, options={"teacher_share": 0.7})
    taught = load_artifacts(save_trained(tmp_path, record, {}))
    page = card_page(made_up_card("0123456789ab", learnt_from_neither=True), taught)
    assert "what a teacher thinks of these texts and of texts that are neither. The teacher is" in page
    assert "trained on such texts with its teacher's opinion" in page
    assert "what a teacher thinks of these texts. The teacher is" in card_page(CARD, taught)
    assert "teacher" not in card_page(CARD, artifacts)


def test_a_model_that_learnt_from_made_texts_says_so(tmp_path: Path) -> None:
    record = record_of(DATA, SplitName.GROUPED, options={"teacher_share": 0.7, "augmentations": 2})
    page = card_page(CARD, load_artifacts(save_trained(tmp_path, record, {})))
    assert "So it did of further texts, 2 pieces of each, most with some words exchanged. The teacher" in page


@pytest.mark.parametrize(
    ("unrepeated", "told"),
    [
        (None, "Every test text stands word for word"),
        (Part(name="all", rows=10, accuracy=0.7, auc=None), "No test text stands word for word"),
        (Part(name="one", rows=1, accuracy=1.0, auc=None), "on the other 1 its accuracy is 1.0000."),
    ],
)
def test_the_page_tells_how_many_test_texts_are_not_new(
    artifacts: Artifacts, unrepeated: Part | None, told: str
) -> None:
    assert told in card_page(made_up_card("0123456789ab", unrepeated=unrepeated), artifacts)


def test_a_page_is_made_of_a_model_that_says_how_it_was_trained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="says how it was trained"):
        card_page(CARD, load_artifacts(save_trained(tmp_path, None, {})))


def test_the_pictures_are_drawn_whatever_the_names() -> None:
    """The same each time; dollar signs are no formula, and a missing figure is no bar."""
    pictures = [
        (
            comparison_picture(CARD.comparison),
            calibration_picture(CARD.before, CARD.after),
            robustness_picture(CARD),
            neither_picture(CARD.neither),
        )
        for _ in range(2)
    ]
    assert pictures[0] == pictures[1]
    assert all(min(size(picture)) > 200 for picture in pictures[0])


def test_other_figures_make_another_picture() -> None:
    better = CARD.comparison.contestants[1].model_copy(update={"reached": {}})
    other = CARD.comparison.model_copy(update={"contestants": (*CARD.comparison.contestants[:1], better)})
    assert comparison_picture(other) != comparison_picture(CARD.comparison)
    assert calibration_picture(CARD.after, CARD.before) != calibration_picture(CARD.before, CARD.after)
    assert robustness_picture(made_up_card("x", entities=())) != robustness_picture(CARD)
