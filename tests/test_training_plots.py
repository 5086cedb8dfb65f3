"""The pictures: PNG files of the stated size, drawn the same each time, whatever the text holds."""

import struct
import zlib

import pytest

from charlstm import Predictor
from charlstm.config import Scores
from tests.tiny import tiny_artifacts
from training.checkpoint import EpochRecord, Validation
from training.plots import confusion_picture, learning_curve, trace_picture

HISTORY = [EpochRecord(number, 0.7 - number / 10, Validation(0.6, 0.55, 0.5, 0.5), 1.0, 10.0) for number in range(3)]
SCORES = Scores(rows=10, accuracy=0.7, auc=0.8, log_loss=0.5, f1=0.6, calibration_error=0.1, confusion=((4, 1), (2, 3)))


def size(picture: bytes) -> tuple[int, int]:
    """Check the signature and every chunk's checksum, and return width and height."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    at, kinds = 8, []
    while at < len(picture):
        (length,) = struct.unpack_from(">I", picture, at)
        kinds.append(picture[at + 4 : at + 8])
        (checksum,) = struct.unpack_from(">I", picture, at + 8 + length)
        assert zlib.crc32(picture[at + 4 : at + 8 + length]) == checksum
        at += 12 + length
    assert (kinds[0], kinds[-1]) == (b"IHDR", b"IEND")
    width, height = struct.unpack_from(">II", picture, 16)
    return width, height


def test_a_learning_curve_is_drawn_with_and_without_validation() -> None:
    bare = [EpochRecord(record.epoch, record.train_loss, None, 1.0, 10.0) for record in HISTORY]
    validated, unvalidated = learning_curve(HISTORY, 1), learning_curve(bare, 2)
    assert size(validated) == size(unvalidated) == (960, 540)
    assert validated != unvalidated
    assert validated != learning_curve(HISTORY, 2)


def test_a_confusion_matrix_is_drawn() -> None:
    picture = confusion_picture(SCORES, "test part")
    assert size(picture) == (576, 528)
    assert picture != confusion_picture(SCORES.model_copy(update={"confusion": ((5, 0), (2, 3))}), "test part")


def test_a_class_without_rows_is_drawn_too() -> None:
    assert size(confusion_picture(SCORES.model_copy(update={"confusion": ((0, 0), (5, 5))}), "half")) == (576, 528)


@pytest.mark.parametrize(
    "text", ["Worst update ever", "x", "$5 or \\frac$", "$$", "a_b^c{", "🎮 \U0001f469\u200d\U0001f680", "\t\n", "ש"]
)
def test_a_trace_is_drawn_whatever_the_text(tiny_predictor: Predictor, text: str) -> None:
    """Dollar signs are no formula, and what the font lacks is no warning."""
    assert size(trace_picture(tiny_predictor.trace(text), text)) == (1200, 1080)


def test_padding_that_is_read_shows_in_the_picture(tmp_path_factory: pytest.TempPathFactory) -> None:
    predictor = Predictor.load(tiny_artifacts(tmp_path_factory.mktemp("padded"), pad_to=100), "cpu")
    assert size(trace_picture(predictor.trace("Worst"), "Worst")) == (1200, 1080)


def test_each_layer_has_its_own_picture(tmp_path_factory: pytest.TempPathFactory) -> None:
    trace = Predictor.load(tiny_artifacts(tmp_path_factory.mktemp("deep"), num_layers=2), "cpu").trace("Worst")
    assert trace_picture(trace, "Worst", layer=1) == trace_picture(trace, "Worst")
    assert trace_picture(trace, "Worst", layer=0) != trace_picture(trace, "Worst")


def test_the_same_figures_give_the_same_file() -> None:
    assert learning_curve(HISTORY, 1) == learning_curve(HISTORY, 1)
    assert confusion_picture(SCORES, "a") == confusion_picture(SCORES, "a")
