"""The messages between workers and the engine, and the frames they travel in."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.clamp import Clamp
from charlstm.trace import SIGNALS
from service import protocol
from service.protocol import (
    Answer,
    Cancel,
    Described,
    Frames,
    Loaded,
    Logits,
    ProtocolError,
    Question,
    Rejected,
    Reload,
    Reloaded,
    Statistics,
    Submit,
    Trace,
    Traced,
    decode_answer,
    decode_question,
    frame,
)

IDS = st.integers(0, 2**63 - 1)
COUNTS = st.integers(0, 2**62)
SECONDS = st.floats(0, 1e9)
BYTES = st.binary(max_size=100)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)

CLAMPS = st.builds(
    Clamp,
    signal=st.sampled_from(SIGNALS),
    layer=COUNTS,
    value=st.floats(allow_nan=False),
    units=st.none() | st.lists(COUNTS, max_size=3).map(tuple),
    start=COUNTS,
    stop=st.none() | COUNTS,
)

QUESTIONS: st.SearchStrategy[Question] = st.one_of(
    st.builds(Submit, IDS, TEXTS, BYTES, st.lists(COUNTS, max_size=5), SECONDS),
    st.builds(Trace, IDS, TEXTS, BYTES, SECONDS, BYTES, st.lists(CLAMPS, max_size=2)),
    st.builds(Cancel, IDS),
    st.builds(Reload, IDS),
)
PRECISIONS = st.sampled_from(["float32", "bfloat16"])
DESCRIBED = st.builds(Described, TEXTS, TEXTS, TEXTS, BYTES, BYTES, TEXTS, PRECISIONS, BYTES, SECONDS)
ANSWERS: st.SearchStrategy[Answer] = st.one_of(
    st.builds(Loaded, st.lists(DESCRIBED, max_size=3)),
    st.builds(Logits, IDS, st.lists(st.floats(allow_nan=False), max_size=5), SECONDS, SECONDS),
    st.builds(Traced, IDS, BYTES, BYTES, COUNTS, COUNTS, SECONDS, SECONDS),
    st.builds(Rejected, IDS, st.sampled_from(["overloaded", "expired", "stale", "failed"]), SECONDS),
    st.builds(Reloaded, IDS, st.lists(TEXTS, max_size=3), st.none() | TEXTS),
    st.builds(Statistics, *[COUNTS] * len(Statistics.__struct_fields__)),
)


def _payload(message: Question | Answer) -> bytes:
    (payload,) = Frames().feed(frame(message))
    return payload


@given(message=QUESTIONS)
def test_every_question_arrives_as_it_was_sent(message: Question) -> None:
    assert decode_question(_payload(message)) == message


@given(message=ANSWERS)
def test_every_answer_arrives_as_it_was_sent(message: Answer) -> None:
    assert decode_answer(_payload(message)) == message


@given(messages=st.lists(ANSWERS, max_size=8), cuts=st.lists(st.integers(0, 2000), max_size=30))
def test_messages_arrive_whole_and_in_order_in_whatever_pieces(messages: list[Answer], cuts: list[int]) -> None:
    stream = b"".join(map(frame, messages))
    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    frames = Frames()
    payloads = [payload for start, end in itertools.pairwise(bounds) for payload in frames.feed(stream[start:end])]
    assert [decode_answer(payload) for payload in payloads] == messages


def test_a_message_may_be_of_the_largest_size_and_no_larger() -> None:
    frames = Frames(largest=3)
    assert frames.feed(b"\0\0\0\x03abc\0\0") == [b"abc"]
    with pytest.raises(ProtocolError, match="at most 3 bytes long, found 4"):
        frames.feed(b"\0\x04")


def test_a_length_that_is_none_is_refused_before_anything_is_kept_for_it() -> None:
    with pytest.raises(ProtocolError, match="found 1195725856"):
        Frames().feed(b"GET / HTTP/1.1\r\n")


def test_a_message_that_is_too_large_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LARGEST_FRAME", 100)
    with pytest.raises(ProtocolError, match="at most 100 bytes long, found 1"):
        frame(Trace(1, "version", bytes(100), 1.0))


@given(payload=st.binary(max_size=50) | ANSWERS.map(_payload))
def test_what_is_no_question_is_a_protocol_error(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="expected a question"):
        decode_question(payload)


@given(payload=st.binary(max_size=50) | QUESTIONS.map(_payload))
def test_what_is_no_answer_is_a_protocol_error(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="expected an answer"):
        decode_answer(payload)


@pytest.mark.parametrize("payload", [{"type": "Cancel"}, {"type": "Cancel", "id": "one"}, ["Cancel", 1]])
def test_a_question_of_the_wrong_fields_is_a_protocol_error(payload: object) -> None:
    with pytest.raises(ProtocolError):
        decode_question(msgspec.msgpack.encode(payload))
