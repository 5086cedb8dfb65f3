"""Writing a card into its model's folder: for people, for programs, and to look at."""

from pathlib import Path
from typing import Final

from charlstm.artifacts import Artifacts
from charlstm.card import CARD, Card
from charlstm.replacing import replace_files
from training.card_page import CALIBRATION, COMPARISON, NEITHER, ROBUSTNESS, card_page
from training.card_plots import calibration_picture, comparison_picture, neither_picture, robustness_picture

MODEL_CARD: Final = "MODEL_CARD.md"


def write_card(directory: Path, card: Card, artifacts: Artifacts) -> None:
    """Write a card and its pictures beside the model's files: all of it is complete before any of it is in place.

    Args:
        directory: The model's folder.
        card: The figures.
        artifacts: The model they are about.
    """
    content = {
        COMPARISON: comparison_picture(card.comparison),
        CALIBRATION: calibration_picture(card.before, card.after),
        ROBUSTNESS: robustness_picture(card),
        MODEL_CARD: card_page(card, artifacts).encode(),
        CARD: card.model_dump_json(indent=1).encode() + b"\n",
    }
    if card.neither:
        content = {NEITHER: neither_picture(card.neither)} | content
    replace_files(directory, content)
