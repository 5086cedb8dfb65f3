"""Summaries of a trace and rankings of its units, against plain loops."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.predictor import Predictor
from charlstm.summary import GateSummary, Ranking, half_life, rank_units, saturation, summarize, summarize_gate
from tests.tiny import HIDDEN_SIZE, random_tensor, texts, tiny_artifacts


@pytest.fixture(scope="module")
def two_layers(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(tiny_artifacts(tmp_path_factory.mktemp("summary"), num_layers=2), device="cpu")


@given(seed=st.integers(0, 1000), steps=st.integers(1, 9), units=st.integers(1, 9))
def test_a_summary_is_what_a_loop_over_the_units_finds(seed: int, steps: int, units: int) -> None:
    values = random_tensor(steps, units, seed=seed).numpy()
    found = summarize(values)
    for step, row in enumerate(values.tolist()):
        assert found.mean[step] == pytest.approx(math.fsum(row) / units, abs=1e-6)
        assert (found.minimum[step], found.maximum[step]) == (min(row), max(row))
        assert found.norm[step] == pytest.approx(math.sqrt(math.fsum(value * value for value in row)), rel=1e-6)


def test_a_gate_is_closed_below_a_tenth_and_open_above_nine() -> None:
    gate = np.array([[0.0, 0.05, 0.1, 0.5], [0.9, 0.95, 1.0, 0.09]], np.float32)
    found = summarize_gate(gate)
    assert isinstance(found, GateSummary)
    assert found.closed.tolist() == [0.5, 0.25]
    assert found.open.tolist() == [0.0, 0.5]
    assert found.maximum.tolist() == [0.5, 1.0]


def test_half_of_the_memory_is_left_after_the_half_life() -> None:
    """Two units that keep 1/4 and all of it keep half on geometric average."""
    gate = np.array([[0.5, 0.5], [0.25, 1.0], [1.0, 1.0], [0.9, 0.9]], np.float32)
    found = half_life(gate)
    assert found[:3].tolist() == pytest.approx([1.0, 1.0, math.inf])
    assert 0.9 ** float(found[3]) == pytest.approx(0.5)


def test_a_memory_that_is_wiped_is_gone_within_a_step() -> None:
    assert 0 < half_life(np.zeros((1, 3), np.float32))[0] < 0.01


@given(text=texts())
def test_units_are_ranked_by_what_is_asked_for(two_layers: Predictor, text: str) -> None:
    """Share in the logit, variance of the memory along the text, and saturation of the gates, each worked out anew."""
    trace = two_layers.trace(text)
    top = trace.layers[1]
    weight = two_layers.artifacts.model.head.weight.detach().numpy()[0]
    gates = (top.forget_gate, top.input_gate, top.output_gate)
    expected: dict[Ranking, list[float]] = {"share": [], "variance": [], "saturation": []}
    for unit in range(HIDDEN_SIZE):
        expected["share"].append(abs(float(weight[unit] * top.hidden_state[-1, unit])))
        expected["variance"].append(float(np.var(top.cell_state[:, unit].astype(np.float64))))
        values = np.concatenate([gate[:, unit] for gate in gates])
        expected["saturation"].append(float(np.mean((values < 0.1) | (values > 0.9))))
    for by, measure in expected.items():
        ranked = rank_units(trace, 1, by)
        assert sorted(ranked) == list(range(HIDDEN_SIZE))
        in_order = [measure[unit] for unit in ranked]
        assert all(one >= other - 1e-6 for one, other in itertools.pairwise(in_order)), by


def test_equals_are_ranked_by_their_number(two_layers: Predictor) -> None:
    """After one step no memory has varied."""
    assert rank_units(two_layers.trace("a"), 0, "variance").tolist() == list(range(HIDDEN_SIZE))


def test_saturation_counts_all_three_gates(two_layers: Predictor) -> None:
    layer = two_layers.trace("so much fun").layers[0]
    shut = layer._replace(**{name: np.zeros_like(layer.forget_gate) for name in ("forget_gate", "input_gate")})
    shut = shut._replace(output_gate=np.full_like(layer.output_gate, 0.5))
    assert saturation(shut).tolist() == pytest.approx([2 / 3] * HIDDEN_SIZE)


def test_units_below_the_top_have_no_share(two_layers: Predictor) -> None:
    with pytest.raises(ValueError, match="only units of the top layer, 1, have a share, found layer 0"):
        rank_units(two_layers.trace("a"), 0, "share")


def test_the_committed_model_ranks_a_unit_by_its_share_whichever_way_it_pushes() -> None:
    trace = Predictor.load(Path(__file__).parent.parent / "artifacts", device="cpu").trace("Worst update ever")
    shares = trace.attribution.units
    foremost = rank_units(trace, 0, "share")[:16]
    assert min(abs(shares[foremost])) >= np.sort(abs(shares))[-16]
    assert shares[foremost].min() < 0 < shares[foremost].max()
