"""Continuous batching: company changes nothing, nobody is lost, and nobody waits for longer than need be."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charlstm import batching
from charlstm.batching import Chunk, ContinuousBatch, Finished
from charlstm.config import Precision
from charlstm.model import SentimentLSTM
from tests.tiny import random_tensor, tiny_config, tiny_model

LAYERS = (1, 2)
TABLE = {(1, steps) for steps in batching._STEPS_ALONE} | {
    (seats, steps) for seats in batching._SEATS for steps in batching._STEPS
}


def _model(num_layers: int = 1) -> SentimentLSTM:
    return tiny_model(tiny_config(num_layers=num_layers)[0].model)


MODELS = {num_layers: _model(num_layers) for num_layers in LAYERS}


def _text(length: int, seed: int = 0) -> list[int]:
    """Draw a text of any known tokens."""
    num_embeddings = MODELS[1].config.num_embeddings
    generator = torch.Generator().manual_seed(1000 * seed + length)
    return torch.randint(1, num_embeddings, (length,), generator=generator).tolist()


@torch.inference_mode()
def _logit_alone(model: SentimentLSTM, token_ids: list[int]) -> float:
    return float(model(torch.tensor([token_ids]), torch.tensor([len(token_ids)])))


def _finish(batch: ContinuousBatch[Any]) -> list[Finished[Any]]:
    finished = []
    while len(batch):
        finished += batch.advance()
    return finished


@contextmanager
def _spied(batch: ContinuousBatch[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[set[tuple[int, int]]]:
    """Note the shape of each run of the LSTM."""
    seen: set[tuple[int, int]] = set()
    lstm = batch._lstm

    def run(embedded: torch.Tensor, states: Any) -> Any:
        seen.add((embedded.shape[0], embedded.shape[1]))
        return lstm(embedded, states)

    with monkeypatch.context() as patch:
        patch.setattr(batch, "_lstm", run)
        yield seen


@dataclass
class _Turn:
    """What happens between two chunks: lengths of texts that arrive together, and which of all so far leave."""

    arriving: list[int] = field(default_factory=list)
    leaving: list[int] = field(default_factory=list)


TURNS = st.lists(
    st.builds(
        _Turn,
        arriving=st.lists(st.integers(1, 400) | st.integers(1, 30), max_size=60),
        leaving=st.lists(st.integers(0, 200), max_size=5),
    ),
    min_size=1,
    max_size=12,
)


@given(turns=TURNS, num_layers=st.sampled_from(LAYERS))
def test_a_text_is_judged_as_if_alone_and_exactly_once_whoever_comes_and_goes(
    turns: list[_Turn], num_layers: int
) -> None:
    model = MODELS[num_layers]
    batch: ContinuousBatch[int] = ContinuousBatch(model)
    lengths: list[int] = []
    left: set[int] = set()
    logits: dict[int, float] = {}

    def take(finished: list[Finished[int]]) -> None:
        for key, logit, waited, took in finished:
            assert key not in logits
            assert key not in left
            assert waited >= 0
            assert took >= 0
            logits[key] = logit

    for number, turn in enumerate(turns):
        for length in turn.arriving:
            batch.join(len(lengths), _text(length), group=number % 3 or None)
            lengths.append(length)
        leaving = {key for key in turn.leaving if key < len(lengths)} - logits.keys()
        batch.leave(leaving | {-1})
        left |= leaving
        assert len(batch) == len(lengths) - len(left) - len(logits)
        take(batch.advance())
        assert batch.seated <= batching.MOST_SEATS
    take(_finish(batch))
    assert logits.keys() == set(range(len(lengths))) - left
    for key, logit in logits.items():
        assert logit == pytest.approx(_logit_alone(model, _text(lengths[key])), abs=1e-6)


@given(turns=TURNS)
def test_only_shapes_that_were_warmed_are_ever_run(turns: list[_Turn]) -> None:
    batch: ContinuousBatch[tuple[int, int]] = ContinuousBatch(MODELS[1])
    with pytest.MonkeyPatch.context() as monkeypatch:
        with _spied(batch, monkeypatch) as warmed:
            batch.warm_up()
        with _spied(batch, monkeypatch) as run:
            for number, turn in enumerate(turns):
                for index, length in enumerate(turn.arriving):
                    batch.join((number, index), _text(length))
                batch.advance()
            _finish(batch)
    assert warmed == TABLE
    assert run <= warmed


@pytest.mark.parametrize("length", [1, 16, 17, 100, 256])
def test_a_text_alone_costs_one_pass(length: int) -> None:
    batch: ContinuousBatch[str] = ContinuousBatch(MODELS[1])
    batch.join("only", _text(length))
    (finished,) = batch.advance()
    assert finished.key == "only"
    assert batch.last_chunk == Chunk(texts=1, seats=1, steps=-(-length // 8) * 8, tokens=length)


def test_a_short_text_leaves_before_a_long_one_that_came_first() -> None:
    batch: ContinuousBatch[str] = ContinuousBatch(MODELS[1])
    batch.join("long", _text(2000))
    assert batch.advance() == []
    batch.join("short", _text(5))
    assert [finished.key for finished in batch.advance()] == ["short"]
    assert batch.seated == 1
    assert [finished.key for finished in _finish(batch)] == ["long"]


def test_a_chunk_in_company_is_as_short_as_the_shortest_text_needs() -> None:
    batch: ContinuousBatch[int] = ContinuousBatch(MODELS[1])
    for length in (300, 9, 300):
        batch.join(length + len(batch), _text(length))
    batch.advance()
    assert batch.last_chunk == Chunk(texts=3, seats=4, steps=16, tokens=16 + 9 + 16)


def test_a_newcomer_takes_turns_with_thousands_of_texts_of_somebody_else() -> None:
    batch: ContinuousBatch[tuple[str, int]] = ContinuousBatch(MODELS[1])
    for index in range(4096):
        batch.join(("crowd", index), _text(20), group="crowd")
    batch.advance()
    batch.join(("newcomer", 0), _text(20), group="newcomer")
    assert ("newcomer", 0) in {text.key for text in batch.advance()}
    assert len(batch) > 3000


def test_texts_of_one_group_are_seated_in_order_and_groups_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "_SEATS", (1, 2))
    monkeypatch.setattr(batching, "MOST_SEATS", 2)
    batch: ContinuousBatch[str] = ContinuousBatch(MODELS[1])
    for key in ("a1", "a2", "a3", "b1", "b2", "c1"):
        batch.join(key, _text(4), group=key[0])
    order = []
    while len(batch):
        order.append({text.key for text in batch.advance()})
    assert order == [{"a1", "b1"}, {"c1", "a2"}, {"b2", "a3"}]


def test_texts_can_leave_from_the_queue_and_from_their_seats() -> None:
    batch: ContinuousBatch[int] = ContinuousBatch(MODELS[1])
    for key in range(200):
        batch.join(key, _text(100, seed=key))
    batch.advance()
    assert (len(batch), batch.seated) == (200, 64)
    batch.leave({3, 63, 150, 199, 1000})
    assert (len(batch), batch.seated) == (196, 62)
    finished = _finish(batch)
    assert sorted(text.key for text in finished) == sorted(set(range(200)) - {3, 63, 150, 199})
    for text in finished:
        assert text.logit == pytest.approx(_logit_alone(MODELS[1], _text(100, seed=text.key)), abs=1e-6)


class Counted(int):
    """A key that counts how often any is looked up."""

    hashes = 0

    def __hash__(self) -> int:
        type(self).hashes += 1
        return super().__hash__()


def test_who_leaves_does_not_have_everybody_looked_through() -> None:
    """Thousands may hang up at once, while thousands wait."""
    batch: ContinuousBatch[int] = ContinuousBatch(MODELS[1])
    for group in range(1000):
        batch.join(Counted(group), _text(3), group=f"group {group}")
    Counted.hashes = 0
    batch.leave({500}, ["group 500", "no group"])
    assert Counted.hashes <= 1
    assert len(batch) == 999
    assert sorted(text.key for text in _finish(batch)) == sorted(set(range(1000)) - {500})


def test_an_empty_batch_does_nothing() -> None:
    batch: ContinuousBatch[int] = ContinuousBatch(MODELS[1])
    assert batch.advance() == []
    assert batch.last_chunk is None
    batch.join(1, _text(3))
    batch.leave({1})
    assert len(batch) == 0
    assert batch.advance() == []
    assert batch.last_chunk is None


def test_a_text_without_a_token_is_refused() -> None:
    batch: ContinuousBatch[int] = ContinuousBatch(MODELS[1])
    with pytest.raises(ValueError, match="at least one token"):
        batch.join(1, [])
    assert len(batch) == 0


@pytest.mark.parametrize("most_seats", [1, 3, 40])
@pytest.mark.parametrize("num_layers", LAYERS)
def test_a_batch_that_the_memory_has_no_room_for_is_split_and_judged_all_the_same(
    num_layers: int, most_seats: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MODELS[num_layers]
    batch: ContinuousBatch[int] = ContinuousBatch(model)
    with _spied(batch, monkeypatch) as run:
        spied = batch._lstm

        def run_if_there_is_room(embedded: torch.Tensor, states: Any) -> Any:
            if len(embedded) > most_seats:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return spied(embedded, states)

        monkeypatch.setattr(batch, "_lstm", run_if_there_is_room)
        for key in range(100):
            batch.join(key, _text(1 + key))
        logits = {text.key: text.logit for text in _finish(batch)}
    assert run <= TABLE
    assert logits.keys() == set(range(100))
    for key, logit in logits.items():
        assert logit == pytest.approx(_logit_alone(model, _text(1 + key)), abs=1e-6)


def test_every_number_of_seats_can_be_split_into_two_that_are_warmed() -> None:
    for seats in batching._SEATS[1:]:
        first = next(fewer for fewer in batching._SEATS if 2 * fewer >= seats)
        assert seats - first in batching._SEATS


@pytest.mark.parametrize("error", [RuntimeError("the device failed"), torch.OutOfMemoryError("not even for one")])
def test_after_an_error_every_text_is_where_it_was(error: RuntimeError, monkeypatch: pytest.MonkeyPatch) -> None:
    batch: ContinuousBatch[int] = ContinuousBatch(MODELS[2])

    def fail(*_: Any) -> Any:
        raise error

    for key in range(150):
        batch.join(key, _text(40 + key))
    batch.advance()
    with monkeypatch.context() as patch:
        patch.setattr(batch, "_lstm", fail)
        with pytest.raises(type(error), match=str(error)):
            batch.advance()
        assert len(batch) == 150
    logits = {text.key: text.logit for text in _finish(batch)}
    for key in range(150):
        assert logits[key] == pytest.approx(_logit_alone(MODELS[2], _text(40 + key)), abs=1e-6)


def test_an_error_in_the_readout_loses_nobody_either(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model()
    batch: ContinuousBatch[int] = ContinuousBatch(model)
    for key in range(3):
        batch.join(key, _text(20 * (key + 1)))

    def fail(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("the device failed")

    with monkeypatch.context() as patch:
        patch.setattr(model, "readout", fail)
        with pytest.raises(RuntimeError, match="the device failed"):
            batch.advance()
    logits = {text.key: text.logit for text in _finish(batch)}
    for key in range(3):
        assert logits[key] == pytest.approx(_logit_alone(model, _text(20 * (key + 1))), abs=1e-6)


def _wide_model(num_layers: int) -> SentimentLSTM:
    """Make a model of a size that rounding tells something about."""
    config = tiny_config(num_layers=num_layers)[0].model.model_copy(update={"hidden_size": 64, "embedding_dim": 32})
    return tiny_model(config, scale=0.2)


@pytest.mark.skipif(
    not torch.cpu.get_capabilities().get("avx512_bf16"), reason="this processor has no bfloat16 arithmetic"
)
@pytest.mark.parametrize("num_layers", LAYERS)
def test_bfloat16_costs_little_and_leaves_the_model_as_it_was(num_layers: int) -> None:
    model = _wide_model(num_layers)
    logits: dict[Precision, dict[int, float]] = {}
    precisions: tuple[Precision, ...] = ("bfloat16", "float32")
    for precision in precisions:
        batch: ContinuousBatch[int] = ContinuousBatch(model, precision)
        batch.warm_up()
        for key in range(50):
            batch.join(key, _text(1 + 5 * key))
        logits[precision] = {text.key: text.logit for text in _finish(batch)}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    for key, logit in logits["float32"].items():
        assert logit == pytest.approx(_logit_alone(model, _text(1 + 5 * key)), abs=1e-6)
        assert torch.tensor(logits["bfloat16"][key]).sigmoid() == pytest.approx(
            float(torch.tensor(logit).sigmoid()), abs=1e-2
        )


def test_states_are_split_and_joined_by_seat() -> None:
    states = random_tensor(2, 5, 3), random_tensor(2, 5, 3, seed=1)
    joined = batching._append(batching._seats_of(states, slice(2)), batching._seats_of(states, [2, 3, 4]))
    for whole, again in zip(states, joined, strict=True):
        assert torch.equal(whole, again)
