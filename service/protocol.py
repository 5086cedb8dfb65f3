"""What HTTP workers and the engine process say to each other, over a Unix socket.

Each message is a frame: its length as four bytes, then MessagePack. Workers send texts as token ids, because they have
the vocabulary and know no torch; the engine answers in numbers. Every question carries an id of the worker's own
choosing, and gets exactly one answer with that id, unless it is cancelled. Whoever breaks the protocol is disconnected.
"""

import struct
from typing import Final, Literal

import msgspec

from charlstm.clamp import Clamp
from charlstm.config import Precision
from service.logs import Form

LARGEST_FRAME: Final = 1 << 30  # bytes of one message; the trace of a book takes less

_LENGTH = struct.Struct(">I")


class ProtocolError(Exception):
    """The other side says something that cannot be meant: it is of another version, or broken."""


class EngineSettings(msgspec.Struct, frozen=True):
    """What the supervisor tells the engine process, as JSON in its only argument.

    Attributes:
        artifacts, device, precision, threads: As in `Settings`.
        max_waiting_texts, max_waiting_tokens: How much may wait.
        listener: The file descriptor of the listening socket.
        lifeline: The file descriptor of a pipe that ends when the supervisor does.
        log_level, log_format: As in `Settings`.
    """

    artifacts: str
    device: str
    precision: str
    threads: int | None
    max_waiting_texts: int
    max_waiting_tokens: int
    listener: int
    lifeline: int
    log_level: str
    log_format: Form


class Submit(msgspec.Struct, tag=True, frozen=True):
    """Judge these texts.

    Attributes:
        id: The question.
        version: The model that the token ids are meant for.
        token_ids: Those of all texts, one text after the other, as little-endian 32-bit integers.
        lengths: The number of tokens of each text.
        deadline: When the answer is no longer wanted, on this machine's monotonic clock.
    """

    id: int
    version: str
    token_ids: bytes
    lengths: list[int]
    deadline: float


class Trace(msgspec.Struct, tag=True, frozen=True):
    """Read one text, given as in `Submit`, and show its memory.

    A step of a live session is this, too: a few tokens, read on from what was remembered of the text before them.
    The memory is kept by who asks, so the engine keeps nothing between two steps, and a new engine goes on with them.

    Attributes:
        states: What each layer remembers, (layers, 2, H) as float32: hidden state, then cell state. Empty at the
            beginning of a text.
        clamps: Signals to hold by force; only at the beginning of a text.
    """

    id: int
    version: str
    token_ids: bytes
    deadline: float
    states: bytes = b""
    clamps: list[Clamp] = []


class Cancel(msgspec.Struct, tag=True, frozen=True):
    """Nobody waits for the answer to this question any more; there will be none, if it is not on its way already."""

    id: int


class Reload(msgspec.Struct, tag=True, frozen=True):
    """Load the artifacts folder again and, if it is sound, serve what it holds now."""

    id: int


class Described(msgspec.Struct, frozen=True):
    """A model, as far as a worker needs to know it.

    Attributes:
        name: What requests call it.
        folder: Where it is in the artifacts folder; empty for the default model, which is that folder itself.
        version: As in `Artifacts`.
        config, vocabulary: The documents `config.json` and `vocabulary.json`.
        device: What it runs on.
        precision: Of its arithmetic for predictions; traces are always float32.
        readout_weight, readout_bias: Of its linear head, the weight as (H,) float32.
    """

    name: str
    folder: str
    version: str
    config: bytes
    vocabulary: bytes
    device: str
    precision: Precision
    readout_weight: bytes
    readout_bias: float


class Loaded(msgspec.Struct, tag=True, frozen=True):
    """The models that are served from here on, the default first; the first message on every connection."""

    models: list[Described]


class Logits(msgspec.Struct, tag=True, frozen=True):
    """The answer to `Submit`: a logit a text, and the seconds until the first took a seat and from there to the end."""

    id: int
    logits: list[float]
    waited: float
    took: float


class Traced(msgspec.Struct, tag=True, frozen=True):
    """The answer to `Trace`.

    Attributes:
        id: The question.
        logits: (T,) the logit after each step, as float32.
        signals: (layers, 6, T, H) the signals in the order of `LayerTrace`, as float32.
        layers, hidden_size: The sizes of `signals`.
        waited, took: As in `Logits`.
    """

    id: int
    logits: bytes
    signals: bytes
    layers: int
    hidden_size: int
    waited: float
    took: float


class Rejected(msgspec.Struct, tag=True, frozen=True):
    """There will be no other answer.

    Attributes:
        id: The question.
        reason: `overloaded`: too much waits already. `expired`: its deadline has passed. `stale`: it names a model
            that is no longer there. `failed`: the engine failed at it; its log says how.
        retry_after: If overloaded, the seconds after which what waits now will be done.
    """

    id: int
    reason: Literal["overloaded", "expired", "stale", "failed"]
    retry_after: float = 0.0


class Reloaded(msgspec.Struct, tag=True, frozen=True):
    """The answer to `Reload`: the versions now served, the default's first, and why they are the old ones if so."""

    id: int
    versions: list[str]
    error: str | None


class Statistics(msgspec.Struct, tag=True, frozen=True):
    """How the engine is doing; sent to every worker a few times a second while there is something to tell.

    Attributes:
        waiting_texts, waiting_tokens: Texts accepted and not answered, and how many tokens they have.
        seated_texts: Texts in the running batch.
        chunks, chunk_texts, chunk_seats, chunk_steps, tokens, capacity: Since the engine started: chunks run, and the
            sums over them of texts, of seats, of steps, of tokens read, and of seats times steps.
    """

    waiting_texts: int
    waiting_tokens: int
    seated_texts: int
    chunks: int
    chunk_texts: int
    chunk_seats: int
    chunk_steps: int
    tokens: int
    capacity: int


Question = Submit | Trace | Cancel | Reload
Answer = Loaded | Logits | Traced | Rejected | Reloaded | Statistics

_ENCODER = msgspec.msgpack.Encoder()
_QUESTIONS: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
_ANSWERS: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def frame(message: Question | Answer) -> bytes:
    """Write one message.

    Raises:
        ProtocolError: It is too large.
    """
    payload = _ENCODER.encode(message)
    if len(payload) > LARGEST_FRAME:
        raise ProtocolError(f"a message must be at most {LARGEST_FRAME} bytes long, found {len(payload)}")
    return _LENGTH.pack(len(payload)) + payload


def decode_question(payload: bytes) -> Question:
    """Read what a worker says.

    Raises:
        ProtocolError: It is no question.
    """
    try:
        return _QUESTIONS.decode(payload)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"expected a question, found something else: {error}") from error


def decode_answer(payload: bytes) -> Answer:
    """Read what the engine says.

    Raises:
        ProtocolError: It is no answer.
    """
    try:
        return _ANSWERS.decode(payload)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"expected an answer, found something else: {error}") from error


class Frames:
    """Puts messages together again from whatever pieces they arrive in.

    Args:
        largest: Of the payloads, in bytes.
    """

    def __init__(self, largest: int = LARGEST_FRAME) -> None:
        self._largest = largest
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take what has arrived; return the payload of each message that is complete.

        Raises:
            ProtocolError: A message announces itself as too large.
        """
        self._buffer += data
        payloads: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > self._largest:
                raise ProtocolError(f"a message must be at most {self._largest} bytes long, found {length}")
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            payloads.append(bytes(self._buffer[start + _LENGTH.size : end]))
            start = end
        del self._buffer[:start]
        return payloads
