"""Shares of a logit, against the logit itself and against plain loops."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.attribution import attribute, share_by_word
from charlstm.predictor import Predictor
from charlstm.readout import Readout
from tests.tiny import random_tensor, texts, tiny_artifacts

ROOT = Path(__file__).parent.parent


def predictor_of(
    directory: Path, *, num_layers: int = 1, pad_to: int | None = None, casefold: bool = False
) -> Predictor:
    artifacts = tiny_artifacts(directory, num_layers=num_layers, pad_to=pad_to, casefold=casefold, temperature=1.7)
    return Predictor.load(artifacts, device="cpu")


def assert_adds_up(predictor: Predictor, text: str) -> None:
    trace, prediction = predictor.trace(text), predictor.predict(text)
    found = trace.attribution
    words, padding = share_by_word(text, trace.offsets, found.steps)
    totals = (
        found.bias + found.initial + found.steps.sum(),
        found.bias + found.initial + sum(word.share for word in words) + padding,
        found.bias + found.units.sum(),
    )
    for logit in totals:
        assert logit == pytest.approx(found.logit, abs=1e-5)
        assert 1 / (1 + np.exp(-logit)) == pytest.approx(prediction.probability_negative, abs=1e-5)
    assert found.residual == pytest.approx(found.logit - totals[0], abs=1e-9)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("pad_to", [None, 48])
@pytest.mark.parametrize("casefold", [False, True])
def test_shares_and_bias_add_up_to_the_logit(
    tmp_path: Path, num_layers: int, pad_to: int | None, *, casefold: bool
) -> None:
    """Of steps, of words and of units alike; the answer is that of `predict`, from a pass of its own.

    For one layer and two, with padding read as text and without, and a temperature that is not 1.
    """
    predictor = predictor_of(tmp_path, num_layers=num_layers, pad_to=pad_to, casefold=casefold)

    @settings(max_examples=25)
    @given(text=texts(max_size=16))  # case folding may make three characters of one
    def check(text: str) -> None:
        assert_adds_up(predictor, text)

    check()


def test_the_committed_model_adds_up_too() -> None:
    predictor = Predictor.load(ROOT / "artifacts", device="cpu")

    @settings(max_examples=25)
    @given(text=texts(max_size=200))
    def check(text: str) -> None:
        assert_adds_up(predictor, text)

    check()


def test_each_share_is_what_its_definition_says(tmp_path: Path) -> None:
    """Worked out step by step, unit by unit, from the trace and the state dict."""
    predictor = predictor_of(tmp_path)
    trace = predictor.trace("so much fun")
    state = {name: tensor.double().numpy() for name, tensor in predictor.artifacts.model.state_dict().items()}
    weight, layer = state["head.weight"][0], trace.layers[-1]
    for step in range(len(trace.tokens)):
        share = 0.0
        for unit in range(len(weight)):
            before = np.tanh(layer.cell_state[step - 1, unit]) if step else 0.0
            change = np.tanh(layer.cell_state[step, unit]) - before
            share += weight[unit] * layer.output_gate[-1, unit] * change / 1.7
        assert trace.attribution.steps[step] == pytest.approx(share, abs=1e-6)
    np.testing.assert_allclose(trace.attribution.units, weight * layer.hidden_state[-1] / 1.7, atol=1e-6)
    assert trace.attribution.bias == pytest.approx(state["head.bias"][0] / 1.7)


@given(seed=st.integers(0, 1000), steps=st.integers(1, 20))
def test_a_memory_that_was_not_empty_gets_its_share(seed: int, steps: int) -> None:
    cells = random_tensor(steps + 1, 4, seed=seed).numpy()
    gate = random_tensor(4, seed=seed + 1).sigmoid().numpy()
    readout = Readout(random_tensor(4, seed=seed + 2).numpy(), 0.3, 2.0)
    hidden = gate * np.tanh(cells[-1])
    logit = float(readout.weight @ hidden + readout.bias)
    found = attribute(readout, cells, gate, hidden, logit)
    assert found.initial == pytest.approx(float(readout.weight @ (gate * np.tanh(cells[0]))) / 2.0, abs=1e-6)
    assert found.bias + found.initial + found.steps.sum() == pytest.approx(logit / 2.0, abs=1e-5)


@given(text=texts(), data=st.data())
def test_words_share_out_what_the_steps_hold(text: str, data: st.DataObject) -> None:
    """Words divide the text without a gap; each gets its characters' shares, and the padding gets its own."""
    padding = data.draw(st.integers(0, 3))
    offsets = [*range(len(text)), *[None] * padding]
    steps = np.arange(1.0, len(offsets) + 1)
    words, rest = share_by_word(text, offsets, steps)
    assert "".join(text[word.start : word.stop] for word in words) == text
    for word in words:
        assert word.share == sum(range(word.start + 1, word.stop + 1))
    assert rest == steps[len(text) :].sum()


def test_a_word_owns_the_space_behind_it_and_the_first_one_that_before() -> None:
    words, _ = share_by_word("  so  much fun", range(14), np.ones(14))
    assert [(word.start, word.stop, word.share) for word in words] == [(0, 6, 6.0), (6, 11, 5.0), (11, 14, 3.0)]


def test_a_temperature_scales_probabilities_and_extremes_do_not_overflow() -> None:
    readout = Readout(np.ones(1, np.float32), 0.0, 2.0)
    logits = torch.tensor([-1e4, -3.0, 0.0, 2.0, 1e4])
    expected = (logits.double() / 2).sigmoid().numpy()
    np.testing.assert_allclose(readout.probabilities(logits.numpy()), expected, atol=1e-6)
