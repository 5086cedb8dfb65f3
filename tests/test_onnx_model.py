"""A network in ONNX Runtime gives what it gives here: probabilities, and every signal of the trace."""

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charlstm.artifacts import Artifacts, load_artifacts
from charlstm.gates import trace_layers
from charlstm.model import collate
from charlstm.onnx_model import build_model
from charlstm.predictor import Predictor
from charlstm.readout import FloatArray
from charlstm.trace import SIGNALS
from tests.onnx_session import Session
from tests.tiny import tiny_config, tiny_model

COMMITTED = Path(__file__).parent.parent / "artifacts"
TOLERANCE: Final = 1e-5  # and as much of a cell state, which is unbounded
PAD_TO: Final = 24
KINDS: Final = [(1, None), (2, None), (1, PAD_TO), (2, PAD_TO)]
TEXTS: Final = ("Worst update ever", "I love this game", "x", "Straße, İstanbul 🎮! " * 10)


@cache
def tiny(num_layers: int, pad_to: int | None) -> tuple[Artifacts, Session, Session]:
    """Make a model, and sessions of it without and with signals."""
    config, vocabulary = tiny_config(num_layers=num_layers, pad_to=pad_to, temperature=1.7)
    artifacts = Artifacts(config, vocabulary, tiny_model(config.model), version="0123456789ab")
    light, whole = (Session(build_model(artifacts, signals=signals)) for signals in (False, True))
    return artifacts, light, whole


@torch.inference_mode()
def computed_here(artifacts: Artifacts, token_ids: list[int]) -> dict[str, FloatArray]:
    """Read one text alone: every output that a network with signals has, without its first axis."""
    model = artifacts.model
    read, _ = collate([token_ids], artifacts.config.model.pad_to)  # (1, T)
    layers = trace_layers(model, model.embed(read))
    so_far = artifacts.readout.probabilities(model.readout(layers[-1].hidden_state[0]).numpy())  # (T,)
    signals = {
        f"layer_{index}.{name}": getattr(layer, name)[0].numpy()
        for index, layer in enumerate(layers)
        for name in SIGNALS
    }
    return {"probability_negative": so_far[-1], "probability_so_far": so_far} | signals


def assert_equal(found: FloatArray, expected: FloatArray, name: str) -> None:
    relative = TOLERANCE if name.endswith("cell_state") else 0.0
    np.testing.assert_allclose(found, expected, rtol=relative, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize(("num_layers", "pad_to"), KINDS)
@given(data=st.data())
def test_each_text_of_any_batch_gets_what_it_gets_alone(
    num_layers: int, pad_to: int | None, data: st.DataObject
) -> None:
    """Whatever stands behind the shorter texts, and with as many columns behind the longest as there may be."""
    artifacts, light, whole = tiny(num_layers, pad_to)
    token = st.integers(0, artifacts.config.model.num_embeddings - 1)
    texts = data.draw(st.lists(st.lists(token, min_size=1, max_size=PAD_TO), min_size=1, max_size=5), "texts")
    columns = data.draw(st.integers(max(map(len, texts)), PAD_TO), "columns")
    behind = data.draw(st.integers(-3, artifacts.config.model.num_embeddings + 3), "what stands behind")
    token_ids = np.array([text + [behind] * (columns - len(text)) for text in texts])
    lengths = [len(text) for text in texts]
    found, less = whole.run(token_ids, lengths), light.run(token_ids, lengths)
    for index, text in enumerate(texts):
        expected = computed_here(artifacts, text)
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            assert_equal(found[name][index][: len(values)] if values.ndim else found[name][index], values, name)
        for name, values in less.items():
            np.testing.assert_array_equal(values[index], found[name][index])


def test_the_committed_model_gives_the_answers_and_the_trace_of_the_predictor() -> None:
    predictor = Predictor.load(COMMITTED, "cpu")
    whole = Session(build_model(predictor.artifacts, signals=True))
    traces = [predictor.trace(text) for text in TEXTS]
    longest = max(len(trace.token_ids) for trace in traces)
    token_ids = np.array([trace.token_ids + (0,) * (longest - len(trace.token_ids)) for trace in traces])
    found = whole.run(token_ids, [len(trace.token_ids) for trace in traces])
    for index, (trace, prediction) in enumerate(zip(traces, predictor.predict(TEXTS), strict=True)):
        steps = len(trace.token_ids)
        assert found["probability_negative"][index] == pytest.approx(prediction.probability_negative, abs=TOLERANCE)
        assert_equal(found["probability_so_far"][index, :steps], trace.probability_so_far, "probability_so_far")
        for layer, signals in enumerate(trace.layers):
            for name, values in signals._asdict().items():
                assert_equal(found[f"layer_{layer}.{name}"][index, :steps], values, name)


def test_the_texts_of_the_test_above_speak_for_different_labels() -> None:
    """Or a network that always gives one of them would pass."""
    labels = {prediction.label for prediction in Predictor.load(COMMITTED, "cpu").predict(TEXTS)}
    assert labels == {"negative", "positive"}


@pytest.mark.parametrize(("num_layers", "pad_to"), KINDS)
def test_sizes_of_texts_and_steps_are_free_unless_the_model_pads(num_layers: int, pad_to: int | None) -> None:
    artifacts, light, whole = tiny(num_layers, pad_to)
    steps = pad_to or "steps"
    assert whole.inputs == light.inputs
    assert whole.inputs == {"token_ids": ("tensor(int64)", ["texts", "steps"]), "lengths": ("tensor(int64)", ["texts"])}
    probabilities = {
        "probability_negative": ("tensor(float)", ["texts"]),
        "probability_so_far": ("tensor(float)", ["texts", steps]),
    }
    assert light.outputs == probabilities
    size = artifacts.config.model.hidden_size
    signals = {f"layer_{layer}.{name}" for layer in range(num_layers) for name in SIGNALS}
    assert whole.outputs == probabilities | dict.fromkeys(signals, ("tensor(float)", ["texts", steps, size]))


def test_a_model_says_what_it_is() -> None:
    """Its metadata names it, and each input and output has a sentence."""
    artifacts, _, whole = tiny(2, None)
    assert whole.metadata == {
        "format_version": "1",
        "name": "tiny",
        "version": "0123456789ab",
        "labels": '["positive", "negative"]',
        "preprocessing": '{"level":"character","casefold":false,"max_length":64}',
    }
    model = onnx.load_from_string(build_model(artifacts, signals=True))
    assert (model.producer_name, model.graph.name) == ("charlstm", "tiny")
    assert all(value.doc_string for value in (*model.graph.input, *model.graph.output))


def test_writing_a_network_down_twice_gives_the_same_bytes() -> None:
    artifacts, _, _ = tiny(2, PAD_TO)
    assert build_model(artifacts, signals=True) == build_model(artifacts, signals=True)


def test_the_trace_adds_no_weights_to_a_file() -> None:
    """What the gates are recovered with is what the LSTM runs with."""
    artifacts = load_artifacts(COMMITTED)
    light, whole = (len(build_model(artifacts, signals=signals)) for signals in (False, True))
    assert whole < 1.01 * light
