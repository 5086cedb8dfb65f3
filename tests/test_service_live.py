"""A live session: whatever is typed and taken back, it says what a trace of the whole text says."""

import asyncio
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.errors import InvalidCharacterError, TextTooLongError
from charlstm.predictor import Predictor
from service.errors import (
    CharacterLimitError,
    DeadlineError,
    EngineLostError,
    InvalidFieldError,
    StaleModelError,
    UnreadableTextsError,
)
from service.forms import to_json
from service.gates_answers import gates_document
from service.live import Session
from service.live_reading import Readings
from service.live_schemas import LiveMessage
from service.schemas import ModelName
from service.selection import Selection
from tests.live_fixtures import STEPS, DirectReader, Transcript, assert_close
from tests.tiny import HIDDEN_SIZE, tiny_artifacts

MODELS: Mapping[str, Mapping[str, Any]] = {
    "one layer": {"max_length": None},
    "two layers": {"num_layers": 2, "temperature": 1.7},
    "case folded": {"casefold": True},
    "padded": {"pad_to": 12, "num_layers": 2, "casefold": True},
    "words": {"level": "word", "casefold": True},
}
LIMIT = 60
ROOM = 1_000_000  # bytes, more than these tests need

FOLDING = st.sampled_from(["ß", "ss", "s", "İ", "i̇", "SS"])
WORDS = st.sampled_from(["worst", "Update ", "ever", " ", "  ", "best", ", ", "game"])
ANYTHING = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3)
EDITS = st.lists(
    st.tuples(st.integers(0, 6), FOLDING | WORDS | ANYTHING | st.sampled_from(["🎮", "👩‍👩‍👧", "é"])), max_size=12
)


class Typist:
    """Types into a session, and keeps what a client would."""

    def __init__(self, reader: DirectReader, limit: int = LIMIT, readings: Readings | None = None) -> None:
        self.session = Session(reader, readings or Readings(ROOM), limit)
        self.transcript = Transcript()
        self.text = ""

    def say(self, back: int = 0, text: str = "", **view: Any) -> dict[str, Any]:
        message = LiveMessage.model_validate({"back": back, "text": text} | view)
        answer: dict[str, Any] = json.loads(asyncio.run(self.session.answer(message)))
        self.transcript.hear(answer)
        self.text = self.text[: len(self.text) - back] + text
        return answer


class Subject:
    """A model, who reads it for sessions, and what it says of whole texts."""

    def __init__(self, folder: Path, **model: Any) -> None:
        self.folder = tiny_artifacts(folder, **model)
        self.reader = DirectReader(self.folder)
        self.predictor = Predictor.load(self.folder, device="cpu")

    def gates(self, text: str, **selection: Any) -> dict[str, Any]:
        """Answer as `/gates` does, from one pass over the whole text."""
        traced = self.predictor.trace(text)
        version = self.predictor.artifacts.version
        name = ModelName(name="tiny", version=version, precision="float32")
        document = gates_document(traced, name, Selection.model_validate(selection))
        answer: dict[str, Any] = json.loads(to_json(document))
        return {field: value for field, value in answer.items() if field not in {"about", "text", "what_if"}}


@pytest.fixture(scope="module", params=MODELS)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return Subject(tmp_path_factory.mktemp("artifacts"), **MODELS[request.param])


@pytest.fixture
def tiny(tmp_path: Path) -> Subject:
    return Subject(tmp_path, num_layers=2)


@settings(max_examples=40)
@given(edits=EDITS)
def test_answers_add_up_to_the_trace_of_the_whole_text_whatever_was_edited(
    subject: Subject, edits: list[tuple[int, str]]
) -> None:
    typist = Typist(subject.reader)
    typist.say(detail="full")
    for back, text in edits:
        try:
            typist.say(min(back, len(typist.text)), text)
        except UnreadableTextsError as error:
            assert isinstance(error.faults[0].reason, TextTooLongError | CharacterLimitError)  # noqa: PT017  which one is the point
        if typist.transcript.answer["tokens"]:
            assert_close(typist.transcript.answer, subject.gates(typist.text))
        else:
            assert not typist.text.strip()


@pytest.mark.parametrize(
    "view",
    [
        {},
        {"detail": "summary", "layers": [1], "units": [3, 1]},
        {"detail": "full", "signals": ["cell_state"], "units": {"start": 2, "stop": 5}},
        {"detail": "full", "layers": [1], "units": {"top": 3, "by": "share"}},
        {"detail": "summary", "units": {"top": 2, "by": "variance"}},
    ],
)
def test_a_view_is_that_of_gates_and_stays_until_it_is_changed(tiny: Subject, view: dict[str, Any]) -> None:
    typist = Typist(tiny.reader)
    typist.say(text="W", **view)
    for character in "orst update":
        typist.say(text=character)
        expected = tiny.gates(typist.text, **({"detail": "summary"} | view))
        assert_close(typist.transcript.answer, expected, tolerance=1e-5)


@pytest.mark.parametrize(
    "view", [{"detail": "full"}, {"signals": ["cell_state"]}, {"layers": [1]}, {"units": [3]}, {"units": {"start": 1}}]
)
def test_another_view_shows_every_step_anew_but_reads_none(tiny: Subject, view: dict[str, Any]) -> None:
    typist = Typist(tiny.reader)
    typist.say(text="Worst")
    assert typist.say(**view)["start"] == 0
    assert_close(typist.transcript.answer, tiny.gates("Worst", **({"detail": "summary"} | view)), tolerance=1e-5)
    assert typist.say(**view)["start"] == 5
    assert tiny.reader.asked == [5]


def test_only_what_is_new_is_read(tiny: Subject) -> None:
    typist = Typist(tiny.reader)
    starts = [typist.say(back, text)["start"] for back, text in [(0, "Worst"), (0, "!"), (3, ""), (0, "st"), (2, "st")]]
    assert starts == [0, 5, 3, 3, 5]
    assert tiny.reader.asked == [5, 1, 2]


def test_padding_is_read_again_behind_the_text(tmp_path: Path) -> None:
    subject = Subject(tmp_path, pad_to=10)
    typist = Typist(subject.reader)
    assert typist.say(text="Worst")["tokens"][4:6] == ["t", "<PAD>"]
    answer = typist.say(text="!")
    assert (answer["start"], len(answer["tokens"]), answer["characters"]) == (5, 5, 6)
    assert subject.reader.asked == [10, 5]


def test_characters_that_fold_into_the_same_tokens_are_sent_anew_but_not_read_anew(tmp_path: Path) -> None:
    subject = Subject(tmp_path, casefold=True)
    typist = Typist(subject.reader)
    assert typist.say(text="aß")["offsets"] == [0, 1, 1]
    answer = typist.say(back=1, text="ss")
    assert (answer["start"], answer["offsets"], answer["characters"]) == (2, [2], 3)
    assert subject.reader.asked == [3]


@pytest.mark.parametrize(("level", "text"), [("character", ""), ("word", " \n ")])
def test_a_text_with_nothing_to_read_has_no_prediction(tmp_path: Path, level: str, text: str) -> None:
    subject = Subject(tmp_path, level=level)
    typist = Typist(subject.reader)
    typist.say(text="worst")
    answer = typist.say(back=5, text=text)
    nothing = dict.fromkeys(["label", "probability", "probabilities", "contributions"])
    empty: dict[str, Any] = {name: [] for name in (*STEPS, "layers")}
    model = {"name": "tiny", "version": subject.predictor.artifacts.version, "precision": "float32"}
    counts = {"start": 0, "characters": 0, "unknown_characters": 0, "truncated": False}
    assert answer == nothing | empty | counts | {"model": model}
    assert "layers" not in typist.say(detail="none")
    typist.say(text="worst", detail="full")
    assert_close(typist.transcript.answer, subject.gates(text + "worst"))


def test_without_detail_there_are_no_layers_and_with_it_again_they_are_all_there(tiny: Subject) -> None:
    typist = Typist(tiny.reader)
    typist.say(text="Wor")
    answer = typist.say(text="st", detail="none")
    assert (answer["start"], "layers" in answer) == (3, False)
    assert typist.say(text="!", detail="summary", units=None)["start"] == 0
    assert_close(typist.transcript.answer, tiny.gates("Worst!", detail="summary"), tolerance=1e-5)
    assert tiny.reader.asked == [3, 2, 1]


def test_signals_come_with_as_many_decimals_as_are_asked_for(tiny: Subject) -> None:
    """All of them anew when that changes, so that a client never holds two kinds."""
    typist = Typist(tiny.reader)
    typist.say(text="Wor", detail="full")
    answer = typist.say(text="st", precision=2)
    assert answer["start"] == 0
    values = [value for row in answer["layers"][0]["cell_state"] for value in row]
    assert values == [round(value, 2) for value in values]
    assert typist.say(text="!")["start"] == 5
    assert_close(typist.transcript.answer, tiny.gates("Worst!"), tolerance=0.0051)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"text": "x" * 20}, TextTooLongError),
        ({"text": "x" * 60}, CharacterLimitError),
        ({"back": 5, "text": "a\0b"}, InvalidCharacterError),
    ],
)
def test_a_text_that_cannot_be_read_leaves_the_old_one(
    tmp_path: Path, message: dict[str, Any], reason: type[Exception]
) -> None:
    subject = Subject(tmp_path, max_length=20)
    typist = Typist(subject.reader, limit=30)
    typist.say(text="Worst")
    with pytest.raises(UnreadableTextsError) as refused:
        typist.say(**message)
    assert isinstance(refused.value.faults[0].reason, reason)
    assert refused.value.faults[0].field == "text"
    typist.say(text="!")
    assert_close(typist.transcript.answer, subject.gates("Worst!", detail="summary"), tolerance=1e-5)


@pytest.mark.parametrize(
    ("message", "field", "limit"),
    [
        ({"back": 6}, "back", 5),
        ({"text": "!", "units": [HIDDEN_SIZE]}, "units[0]", HIDDEN_SIZE - 1),
        ({"text": "!", "layers": [0, 2]}, "layers[1]", 1),
    ],
)
def test_what_there_is_not_is_refused_and_nothing_changes(
    tiny: Subject, message: dict[str, Any], field: str, limit: int
) -> None:
    typist = Typist(tiny.reader)
    typist.say(text="Worst")
    with pytest.raises(InvalidFieldError) as refused:
        typist.say(**message)
    assert (refused.value.field, refused.value.limit) == (field, limit)
    answer = typist.say(text="?")
    assert (answer["start"], len(answer["layers"]), len(answer["layers"][0]["units"])) == (5, 2, HIDDEN_SIZE)
    assert_close(typist.transcript.answer, tiny.gates("Worst?", detail="summary"), tolerance=1e-5)


@pytest.mark.parametrize("text", ["", "Worst"])
@pytest.mark.parametrize(
    ("view", "field", "limit"),
    [
        ({"detail": "full", "units": [999]}, "units[0]", HIDDEN_SIZE - 1),
        ({"detail": "none", "units": {"start": HIDDEN_SIZE}}, "units.start", HIDDEN_SIZE - 1),
        ({"units": {"start": 1, "stop": HIDDEN_SIZE + 1}}, "units.stop", HIDDEN_SIZE),
        ({"layers": [2]}, "layers[0]", 1),
        ({"units": {"top": HIDDEN_SIZE + 1, "by": "variance"}}, "units.top", HIDDEN_SIZE),
        ({"layers": [0], "units": {"top": 1, "by": "share"}}, "units.by", 1),
    ],
)
def test_a_view_is_checked_before_there_is_anything_to_see(
    tiny: Subject, text: str, view: dict[str, Any], field: str, limit: int
) -> None:
    typist = Typist(tiny.reader)
    typist.say(text=text)
    with pytest.raises(InvalidFieldError) as refused:
        typist.say(**view)
    assert (refused.value.field, refused.value.limit) == (field, limit)
    assert typist.say(text="!")["layers"][0]["units"] == list(range(HIDDEN_SIZE))


def test_a_view_that_another_model_has_not_gives_way_to_the_default_and_that_is_said_once(
    tiny: Subject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Subject(tmp_path_factory.mktemp("other"))
    typist = Typist(tiny.reader)
    typist.say(text="Worst", detail="full", layers=[1], units=[2])
    tiny.reader.load(other.folder)
    tiny.reader.errors = [DeadlineError()]
    with pytest.raises(DeadlineError):
        typist.say(text="!")
    answer = typist.say(text="!")
    assert answer["view_dropped"] == "layers[0] must be one of the 1 layers of this model, from 0, found 1"
    assert_close(typist.transcript.answer, other.gates("Worst!", detail="summary"), tolerance=1e-5)
    assert "view_dropped" not in typist.say(text="?")
    typist.say(detail="full", units=[2])
    assert_close(typist.transcript.answer, other.gates("Worst!?", units=[2]))


def test_a_view_that_comes_with_another_model_is_the_messages_own(
    tiny: Subject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Subject(tmp_path_factory.mktemp("other"))
    typist = Typist(tiny.reader)
    typist.say(text="Worst", detail="full", layers=[1])
    tiny.reader.load(other.folder)
    answer = typist.say(units=[2])
    assert answer["view_dropped"].startswith("layers[0] ")
    assert answer["layers"][0]["units"] == [2]
    with pytest.raises(InvalidFieldError):
        typist.say(layers=[1])


def test_sessions_without_room_for_all_of_them_read_again_and_answer_alike(tiny: Subject) -> None:
    layers, signals, floats = 2, 6, 4
    a_step = layers * signals * HIDDEN_SIZE * floats + floats
    readings = Readings(12 * a_step)
    one, other = Typist(tiny.reader, readings=readings), Typist(tiny.reader, readings=readings)
    one.say(text="Worst", detail="full")
    other.say(text="upda", detail="full")
    assert one.say(text="!")["start"] == 5
    assert tiny.reader.asked == [5, 4, 1]  # there was room for both
    assert other.say(text="te ever")["start"] == 4
    assert one.say(text="?")["start"] == 6
    assert tiny.reader.asked == [5, 4, 1, 7, 7]  # the second one took the first one's place
    other.say(text="!")
    one.say(text=" best game")
    assert tiny.reader.asked == [5, 4, 1, 7, 7, 12, 17]  # too long for all of the room
    one.say(text="s")
    assert tiny.reader.asked[-1] == 18
    assert other.say(back=1)["start"] == 11
    assert tiny.reader.asked[-1] == 18
    for typist in (one, other):
        assert_close(typist.transcript.answer, tiny.gates(typist.text))
    assert 0 < readings.bytes <= 12 * a_step
    one.session.end()
    other.session.end()
    assert readings.bytes == 0


def test_what_is_taken_back_takes_no_room(tiny: Subject) -> None:
    readings = Readings(ROOM)
    typist = Typist(tiny.reader, readings=readings)
    typist.say(text="Worst update")
    before = readings.bytes
    typist.say(back=9)
    assert readings.bytes == before // 4
    reading = readings.of(typist.session, tiny.reader.model)
    assert reading.signals.base is None


def test_a_copy_of_a_model_goes_on_under_its_own_name(tiny: Subject) -> None:
    """It is of the same version, and has read what the other one has."""
    readings = Readings(ROOM)
    typist = Typist(tiny.reader, readings=readings)
    typist.say(text="Worst")
    copy = dataclasses.replace(tiny.reader.model, name="copy")
    reading = readings.of(typist.session, copy)
    assert reading.model.name == "copy"
    assert len(reading.logits) == 5
    assert readings.of(typist.session, tiny.reader.model).model.name == tiny.reader.model.name


def test_another_model_reads_all_again(tiny: Subject, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Subject(tmp_path_factory.mktemp("other"), casefold=True, seed=1)
    typist = Typist(tiny.reader)
    typist.say(text="Worst ß")
    tiny.reader.load(other.folder)
    answer = typist.say(text="!")
    assert (answer["start"], len(answer["tokens"]), len(answer["layers"])) == (0, 9, 1)
    assert_close(typist.transcript.answer, other.gates("Worst ß!", detail="summary"), tolerance=1e-5)


def test_a_model_exchanged_on_the_way_is_asked_once_more(tiny: Subject) -> None:
    typist = Typist(tiny.reader)
    typist.say(text="Wor")
    tiny.reader.errors = [StaleModelError()]
    assert typist.say(text="st")["start"] == 3
    tiny.reader.errors = [StaleModelError(), StaleModelError()]
    with pytest.raises(StaleModelError):
        typist.say(text="!")
    assert typist.text == "Worst"


@pytest.mark.parametrize("error", [EngineLostError(), DeadlineError()])
def test_after_a_fault_of_the_engine_the_session_goes_on_with_the_same_text(tiny: Subject, error: Exception) -> None:
    typist = Typist(tiny.reader)
    typist.say(text="Worst")
    tiny.reader.errors = [error]
    with pytest.raises(type(error)):
        typist.say(back=2, text="d")
    answer = typist.say(text="!")
    assert (answer["start"], len(answer["tokens"])) == (5, 1)
    assert_close(typist.transcript.answer, tiny.gates("Worst!", detail="summary"), tolerance=1e-5)
    assert tiny.reader.asked == [5, 1]
