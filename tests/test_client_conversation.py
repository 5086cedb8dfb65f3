"""A live session's other end, without a socket: it knows at each moment what the service has read, and said of it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.client.conversation import Conversation, Edit
from service.client.errors import InvalidRequestError, OverloadedError, UnexpectedAnswerError
from service.errors import InvalidFieldError, UnreadableTextsError
from service.errors import OverloadedError as ServiceOverloadedError
from service.live import Session
from service.live_reading import Readings
from service.live_routes import _problem_document
from service.live_schemas import LiveMessage, LiveResponse
from tests.live_fixtures import DirectReader, assert_close


@pytest.fixture(scope="module")
def reader(tiny_directory: Path) -> DirectReader:
    return DirectReader(tiny_directory)


class Service:
    """A session of the service, and what it says to a message."""

    def __init__(self, reader: DirectReader) -> None:
        self._session = Session(reader, Readings(1 << 20), 60)

    def answer(self, edit: Edit) -> bytes:
        message = LiveMessage.model_validate_json(edit.message)
        try:
            return asyncio.run(self._session.answer(message))
        except (InvalidFieldError, UnreadableTextsError) as error:
            return _problem_document(error, "")


def said(service: Service, **message: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(service.answer(Edit(json.dumps(message), "")))
    return document


LETTERS = st.text(st.sampled_from("Worstbe ß🎮İ"), max_size=6)
VIEWS = st.sampled_from(
    [
        {},
        {},
        {"detail": "none"},
        {"detail": "full"},
        {"detail": "summary", "units": [1, 2]},
        {"signals": ["cell_state"], "precision": 3},
        {"units": {"top": 2}},
    ]
)


@given(edits=st.lists(st.tuples(st.integers(0, 6), LETTERS, VIEWS), min_size=1, max_size=8))
def test_the_whole_is_what_a_new_session_says_of_the_whole_text(
    reader: DirectReader, edits: list[tuple[int, str, Any]]
) -> None:
    """However it was typed, and whatever was shown meanwhile; no field of an answer is unknown to the record."""
    conversation, service = Conversation(None, {}), Service(reader)
    view: dict[str, Any] = {}
    for back, text, change in edits:
        edit = conversation.edit(text, min(back, len(conversation.text)), change)
        document = service.answer(edit)
        assert json.loads(document).keys() <= LiveResponse.model_fields.keys()
        response = conversation.hear(edit, document)
        view = view | change
        whole = conversation.whole
        assert whole is not None
        assert whole.tokens[response.start :] == response.tokens
        expected = said(Service(reader), text=conversation.text, **view)
        assert_close(whole.model_dump(exclude_unset=True), expected, 1e-5)


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=6))
def test_rewriting_sends_only_what_differs_and_ends_with_the_text(texts: list[str]) -> None:
    conversation, here = Conversation(None, {}), ""
    for text in texts:
        edit = conversation.rewrite(text, {})
        message = json.loads(edit.message)
        assert edit.text == text == here[: len(here) - message["back"]] + message["text"]
        kept = len(here) - message["back"]
        assert kept == min(len(here), len(text)) or here[kept] != text[kept]
        conversation.text = here = text


def test_a_view_and_a_model_are_said_until_the_service_has_heard_them(reader: DirectReader) -> None:
    conversation, service = Conversation("other", {"detail": "none"}), Service(reader)
    edit = conversation.edit("Worst", 0, {})
    assert json.loads(edit.message) == {"back": 0, "text": "Worst", "model": "other", "detail": "none"}
    busy = _problem_document(ServiceOverloadedError(2.5), "")
    with pytest.raises(OverloadedError) as raised:
        conversation.hear(edit, busy)
    assert (raised.value.retry_after, conversation.text, conversation.whole) == (3, "", None)
    again = conversation.edit("Worst", 0, {})
    assert again == edit
    conversation.hear(again, service.answer(Edit('{"text": "Worst", "detail": "none"}', "")))
    assert json.loads(conversation.edit("", 0, {}).message) == {"back": 0, "text": ""}
    assert conversation.text == "Worst"


def test_what_the_service_refuses_leaves_everything_as_it_was(reader: DirectReader) -> None:
    conversation, service = Conversation(None, {}), Service(reader)
    first = conversation.edit("Worst", 0, {})
    conversation.hear(first, service.answer(first))
    wrong = conversation.edit("x", 0, {"units": [1000]})
    with pytest.raises(InvalidRequestError, match="units"):
        conversation.hear(wrong, service.answer(wrong))
    assert conversation.text == "Worst"
    assert conversation.whole is not None
    assert conversation.whole.characters == 5


@pytest.mark.parametrize("back", [-1, 6])
def test_no_more_is_taken_off_than_there_is(reader: DirectReader, back: int) -> None:
    """A negative number would end the session."""
    conversation, service = Conversation(None, {}), Service(reader)
    edit = conversation.edit("Worst", 0, {})
    conversation.hear(edit, service.answer(edit))
    with pytest.raises(ValueError, match=f"back must be 0 to 5, the characters of the text, found {back}"):
        conversation.edit("", back, {})


@pytest.mark.parametrize(
    "nonsense",
    [
        lambda _: "",
        lambda _: "null",
        lambda _: "[]",
        lambda _: "9" * 5000,
        lambda _: json.dumps({"problem": 1}),
        lambda _: json.dumps({"problem": {"title": "no more"}}),
        lambda answer: json.dumps(answer | {"start": 7}),
        lambda answer: json.dumps(answer | {"layers": answer["layers"] * 2, "start": 1}),
        lambda answer: json.dumps({name: value for name, value in answer.items() if name != "tokens"}),
    ],
)
def test_nonsense_is_an_unexpected_answer_and_changes_nothing(reader: DirectReader, nonsense: Any) -> None:
    conversation, service = Conversation(None, {"detail": "full"}), Service(reader)
    edit = conversation.edit("Worst", 0, {})
    document = service.answer(edit)
    conversation.hear(edit, document)
    before = conversation.whole
    with pytest.raises(UnexpectedAnswerError):
        conversation.hear(conversation.edit("!", 0, {}), nonsense(json.loads(document)))
    assert (conversation.text, conversation.whole) == ("Worst", before)
