"""What holds of every trace, whatever the text: for one layer, for two, and for the committed model."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.predictor import Predictor
from charlstm.trace import SIGNALS
from tests.tiny import texts, tiny_artifacts

ROOT = Path(__file__).parent.parent
KINDS = ("one layer", "two layers, case-folding", "committed")

each_kind = pytest.mark.parametrize("kind", KINDS)
some_texts = settings(max_examples=40)


@pytest.fixture(scope="module")
def predictors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Predictor]:
    folder = tmp_path_factory.mktemp("invariants")
    one = tiny_artifacts(folder / "1", max_length=None, temperature=1.7)
    two = tiny_artifacts(folder / "2", max_length=None, num_layers=2, casefold=True, seed=3)
    return {
        kind: Predictor.load(place, device="cpu")
        for kind, place in zip(KINDS, (one, two, ROOT / "artifacts"), strict=True)
    }


@each_kind
@some_texts
@given(text=texts())
def test_the_memory_is_what_was_kept_and_what_was_written(
    predictors: dict[str, Predictor], kind: str, text: str
) -> None:
    """C = f c' + i g, from an empty memory on."""
    for layer in predictors[kind].trace(text).layers:
        before = np.vstack((np.zeros_like(layer.cell_state[:1]), layer.cell_state[:-1]))
        expected = layer.forget_gate * before + layer.input_gate * layer.candidate
        np.testing.assert_allclose(layer.cell_state, expected, atol=1e-5)


@each_kind
@some_texts
@given(text=texts())
def test_what_is_shown_is_the_memory_through_the_output_gate(
    predictors: dict[str, Predictor], kind: str, text: str
) -> None:
    """H = o tanh c, where h is PyTorch's own and c was recovered from it."""
    for layer in predictors[kind].trace(text).layers:
        np.testing.assert_allclose(layer.hidden_state, layer.output_gate * np.tanh(layer.cell_state), atol=1e-5)


@each_kind
@some_texts
@given(text=texts())
def test_gates_are_shares_and_candidates_are_bounded(predictors: dict[str, Predictor], kind: str, text: str) -> None:
    for layer in predictors[kind].trace(text).layers:
        for gate in (layer.forget_gate, layer.input_gate, layer.output_gate):
            assert (gate >= 0).all()
            assert (gate <= 1).all()
        assert (np.abs(layer.candidate) <= 1).all()
        assert (np.abs(layer.hidden_state) <= 1).all()


@each_kind
@some_texts
@given(text=texts())
def test_the_last_probability_is_the_prediction(predictors: dict[str, Predictor], kind: str, text: str) -> None:
    trace, prediction = predictors[kind].trace(text), predictors[kind].predict(text)
    assert float(trace.probability_so_far[-1]) == pytest.approx(prediction.probability_negative, abs=1e-6)


@each_kind
@some_texts
@given(text=texts(min_size=2), data=st.data())
def test_the_beginning_of_a_trace_is_the_trace_of_the_beginning(
    predictors: dict[str, Predictor], kind: str, text: str, data: st.DataObject
) -> None:
    """Also where case folding makes several steps of one character."""
    length = data.draw(st.integers(1, len(text) - 1))
    whole, beginning = predictors[kind].trace(text), predictors[kind].trace(text[:length])
    steps = sum(offset is not None and offset < length for offset in whole.offsets)
    assert whole.tokens[:steps] == beginning.tokens
    assert whole.offsets[:steps] == beginning.offsets
    np.testing.assert_allclose(whole.probability_so_far[:steps], beginning.probability_so_far, atol=1e-6)
    for layer, other in zip(whole.layers, beginning.layers, strict=True):
        for name in SIGNALS:
            np.testing.assert_allclose(getattr(layer, name)[:steps], getattr(other, name), atol=1e-5, err_msg=name)
