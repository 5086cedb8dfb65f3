"""The atlas against a naive one: every text traced alone by the predictor, every statistic by NumPy or scikit-learn."""

import dataclasses
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rich.console import Console
from sklearn.metrics import roc_auc_score
from torch import Tensor

from charlstm import GateTrace, Predictor, load_artifacts
from charlstm.atlas import Atlas, TokenEffect, UnitAtlas, load_atlas
from charlstm.gates import LayerSignals, trace_layers
from charlstm.model import SentimentLSTM
from tests.tiny import HIDDEN_SIZE, tiny_artifacts
from tests.trained import trained_on
from tests.training_data import Row, labelled, sentiment_rows, write_kaggle, write_rows
from training import atlas as atlas_module
from training.atlas import AtlasSettings, compute_atlas
from training.cli import main
from training.data import LabelledTexts
from training.errors import TrainingError
from training.progress import texts_bar
from training.splits import SplitName, split_rows

ROWS = [
    *sentiment_rows(tweets=20),
    Row("9001", "game", "Positive", "STRASSE and Straße, ÄÖ!"),
    Row("9002", "game", "Negative", "x"),
    Row("9003", "game", "Negative", "much longer than any of the others, so that it is cut: worst update ever"),
]
EVERYTHING = AtlasSettings(split=None, minimum_texts=10, snippets=True)

MODELS: dict[str, dict[str, Any]] = {
    "characters": {"temperature": 1.7},
    "two layers": {"num_layers": 2, "casefold": True},
    "words": {"level": "word", "max_length": 5},
    "padding": {"pad_to": 40, "num_layers": 2},
}

Traces = list[tuple[GateTrace, int]]


def close_to(value: float | np.floating[Any]) -> Any:
    """Allow for the four digits that are kept, and for signals being float32."""
    return pytest.approx(float(value), rel=1e-3, abs=1e-5)


def geometric_mean(values: NDArray[np.float32]) -> float:
    return float(np.exp(np.log(values.astype(np.float64)).mean()))


def ignore(*_: object) -> None:
    """Hear of no progress."""


@pytest.fixture(scope="module")
def data() -> LabelledTexts:
    return labelled(ROWS)


@pytest.fixture(scope="module", params=list(MODELS))
def predictor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(tiny_artifacts(tmp_path_factory.mktemp("model"), **MODELS[request.param]), "cpu")


@pytest.fixture(scope="module")
def traces(predictor: Predictor) -> Traces:
    return [(predictor.trace(row.text, truncate=True), int(row.sentiment == "Negative")) for row in ROWS]


@pytest.fixture(params=[8, 300, 8192])
def found(
    request: pytest.FixtureRequest, predictor: Predictor, data: LabelledTexts, monkeypatch: pytest.MonkeyPatch
) -> Atlas:
    """Make the atlas from batches of one text each, of several, and from one of all."""
    monkeypatch.setattr(atlas_module, "_STEPS_A_BATCH", request.param)
    return compute_atlas(predictor, data, EVERYTHING, ignore)


def by_layer_and_unit(atlas: Atlas) -> list[tuple[int, UnitAtlas]]:
    return [(layer.layer, unit) for layer in atlas.layers for unit in layer.units]


def token_count(trace: GateTrace) -> int:
    return sum(offset is not None for offset in trace.offsets)


def changes_by_token(traces: Traces, layer: int, unit: int) -> dict[str, list[float]]:
    """Collect c_t - c_(t-1) wherever each token is read, padding aside."""
    changes = defaultdict(list)
    for trace, _ in traces:
        cell_state = [0.0, *trace.layers[layer].cell_state[:, unit].tolist()]
        for step in range(token_count(trace)):
            changes[trace.tokens[step]].append(cell_state[step + 1] - cell_state[step])
    return changes


def test_it_says_what_it_was_made_from(found: Atlas, predictor: Predictor, data: LabelledTexts, traces: Traces) -> None:
    config = predictor.artifacts.config.model
    assert found.model_version == predictor.artifacts.version
    assert (found.data, found.data_sha256, found.part) == (data.name, data.sha256, "all rows")
    labels = [label for _, label in traces]
    assert (found.rows.positive, found.rows.negative) == (labels.count(0), labels.count(1))
    assert found.steps == sum(token_count(trace) for trace, _ in traces)
    assert [len(layer.units) for layer in found.layers] == [HIDDEN_SIZE] * config.num_layers


def test_tokens_move_a_unit_as_they_do_in_single_traces(found: Atlas, traces: Traces) -> None:
    """Only those of enough texts are named; padding, though a step in some models, is none."""
    texts = Counter(token for trace, _ in traces for token in set(trace.tokens[: token_count(trace)]))
    named = 0
    for layer, unit in by_layer_and_unit(found):
        changes = changes_by_token(traces, layer, unit.unit)
        means = {token: float(np.mean(all_)) for token, all_ in changes.items() if texts[token] >= 10}
        raising = sorted((token for token in means if means[token] > 0), key=lambda token: -means[token])[:5]
        lowering = sorted((token for token in means if means[token] < 0), key=lambda token: means[token])[:5]
        assert [effect.token for effect in unit.raised_by] == raising
        assert [effect.token for effect in unit.lowered_by] == lowering
        for effect in (*unit.raised_by, *unit.lowered_by):
            assert_is_the_mean(effect, changes[effect.token])
            named += 1
    assert named > HIDDEN_SIZE


def assert_is_the_mean(effect: TokenEffect, changes: Sequence[float]) -> None:
    assert effect.count == len(changes)
    assert effect.change == close_to(np.mean(changes))
    assert effect.standard_error == close_to(np.std(changes, ddof=1) / np.sqrt(len(changes)))


@pytest.mark.parametrize("gate", ["forget_gate", "input_gate", "output_gate"])
def test_gates_are_averaged_over_the_tokens(found: Atlas, traces: Traces, gate: str) -> None:
    for layer, unit in by_layer_and_unit(found):
        values = np.concatenate(
            [getattr(trace.layers[layer], gate)[: token_count(trace), unit.unit] for trace, _ in traces]
        )
        use = getattr(unit, gate)
        assert use.mean == close_to(values.mean(dtype=np.float64))
        assert use.closed == close_to((values < 0.1).mean())
        assert use.open == close_to((values > 0.9).mean())
        if gate == "forget_gate":
            assert unit.half_life is not None
            assert geometric_mean(values) ** unit.half_life == close_to(0.5)


def test_the_last_hidden_state_is_told_by_label(found: Atlas, traces: Traces) -> None:
    """After the padding, in a model that reads it: that is what the prediction is made from."""
    labels = np.array([label for _, label in traces])
    for layer, unit in by_layer_and_unit(found):
        last = np.array([trace.layers[layer].hidden_state[-1, unit.unit] for trace, _ in traces])
        for label, name in enumerate(("positive", "negative")):
            counts, _ = np.histogram(last[labels == label], bins=found.bins, range=(-1, 1))
            assert list(getattr(unit.histogram, name)) == counts.tolist()
            assert getattr(unit.mean, name) == close_to(last[labels == label].mean())
        assert unit.separation == pytest.approx(roc_auc_score(labels, last.round(6)), abs=2e-3)


def test_the_spread_of_a_share_is_that_of_the_predictions_own_shares(found: Atlas, traces: Traces) -> None:
    """The readout sees the top layer alone, so units below have neither weight nor share."""
    shares = np.array([trace.attribution.units for trace, _ in traces])  # (R, H)
    hidden = np.array([trace.layers[-1].hidden_state[-1] for trace, _ in traces])
    for unit in found.layers[-1].units:
        assert unit.share_spread == close_to(shares[:, unit.unit].std())
        assert unit.weight == close_to(np.median(shares[:, unit.unit] / hidden[:, unit.unit]))
    for layer in found.layers[:-1]:
        assert {(unit.share_spread, unit.weight) for unit in layer.units} == {(None, None)}


def test_snippets_show_the_steps_that_moved_a_unit_most(found: Atlas, traces: Traces) -> None:
    """One of each text, and of each group of paraphrases."""
    for layer, unit in by_layer_and_unit(found):
        strongest = [strongest_change(trace, layer, unit.unit)[1] for trace, _ in traces]
        of_group: dict[str, float] = defaultdict(float)
        for change, row in zip(strongest, ROWS, strict=True):
            of_group[row.tweet_id] = max(of_group[row.tweet_id], change, key=abs)
        expected = sorted(of_group.values(), key=abs, reverse=True)[:4]
        assert [abs(snippet.change) for snippet in unit.snippets] == [close_to(abs(change)) for change in expected]
        for snippet in unit.snippets:
            assert any(
                change == close_to(snippet.change)
                and snippet.text in row.text
                and snippet.label == row.sentiment.lower()
                for change, row in zip(strongest, ROWS, strict=True)
            )


def strongest_change(trace: GateTrace, layer: int, unit: int) -> tuple[int, float]:
    """Find the step, padding aside, that changed a unit's cell state most, and by how much."""
    cell_state = trace.layers[layer].cell_state[: token_count(trace), unit]
    changes = np.diff(cell_state, prepend=np.float32(0))
    step = int(np.abs(changes).argmax())
    return step, float(changes[step])


def test_a_snippet_points_at_its_step(predictor: Predictor) -> None:
    """The text is as it was written, and begins some way before the step."""
    long = "so much fun with friends this year, best game of all, and so much fun in line with friends this year"
    data = labelled([Row("1", "game", "Positive", long), Row("2", "game", "Negative", "Worst update ever")])
    found = compute_atlas(predictor, data, EVERYTHING, ignore)
    for layer, unit in by_layer_and_unit(found):
        for snippet in unit.snippets:
            text = data.texts[int(snippet.label == "negative")]
            trace = predictor.trace(text, truncate=True)
            offset = trace.offsets[strongest_change(trace, layer, unit.unit)[0]]
            assert offset is not None
            assert text[max(0, offset - 30) : offset + 12] == snippet.text
            assert text.index(snippet.text) + snippet.at == offset


def test_nothing_of_a_text_is_kept_unless_asked_for(tiny_predictor: Predictor, data: LabelledTexts) -> None:
    settings = dataclasses.replace(EVERYTHING, snippets=False)
    document = compute_atlas(tiny_predictor, data, settings, ignore).model_dump_json()
    words = {word for text in data.texts for word in text.split() if len(word) > 3}
    assert not any(f" {word}" in document or f'"{word}' in document for word in words)
    unit = compute_atlas(tiny_predictor, data, EVERYTHING, ignore).layers[0].units[0]
    assert any(word in snippet.text for snippet in unit.snippets for word in words)


def test_a_character_of_few_texts_is_not_named_however_often_it_stands_there(tiny_predictor: Predictor) -> None:
    rows = [
        *sentiment_rows(tweets=10),
        *(Row(str(number), "game", "Negative", "!" * 60) for number in range(1000, 1009)),
    ]

    def named(minimum_texts: int) -> set[str]:
        settings = AtlasSettings(split=None, minimum_texts=minimum_texts, tokens=100)
        units = compute_atlas(tiny_predictor, labelled(rows), settings, ignore).layers[0].units
        return {effect.token for unit in units for effect in (*unit.raised_by, *unit.lowered_by)}

    assert ("!" in named(9), "!" in named(10)) == (True, False)


def test_the_same_settings_give_the_same_atlas(predictor: Predictor, data: LabelledTexts) -> None:
    settings = AtlasSettings(limit=10, seed=3, split=None, minimum_texts=2)
    first, second = (compute_atlas(predictor, data, settings, ignore) for _ in range(2))
    assert first.model_dump_json() == second.model_dump_json()
    other = compute_atlas(predictor, data, dataclasses.replace(settings, seed=4), ignore)
    assert other.layers != first.layers
    assert other.rows.positive + other.rows.negative == first.rows.positive + first.rows.negative == 10


def test_an_atlas_of_texts_that_the_model_knows_says_so(tiny_predictor: Predictor, data: LabelledTexts) -> None:
    model = trained_on(tiny_predictor, data, SplitName.GROUPED, 5)
    part = "test part of the grouped split (seed 5)"
    assert compute_atlas(model, data, AtlasSettings(split_seed=5), ignore).part == part
    known = np.isin(split_rows(data, SplitName.GROUPED, 6).test, split_rows(data, SplitName.GROUPED, 5).train).mean()
    part = f"test part of the grouped split (seed 6); the model was trained on {known:.0%} of these texts"
    assert compute_atlas(model, data, AtlasSettings(split_seed=6), ignore).part == part


@pytest.mark.parametrize("split", list(SplitName))
def test_texts_come_from_the_part_that_was_not_trained_on(
    tiny_predictor: Predictor, data: LabelledTexts, split: SplitName
) -> None:
    """Snippets name the texts: those of the test part, and no others."""
    test = split_rows(data, split, 5).test
    settings = AtlasSettings(split=split, split_seed=5, snippets=True)
    found = compute_atlas(tiny_predictor, data, settings, ignore)
    assert found.part == f"test part of the {split.value} split (seed 5)"
    assert (found.rows.positive, found.rows.negative) == tuple(np.bincount(data.labels[test]))
    allowed = [data.texts[row] for row in test]
    assert all(
        any(snippet.text in text for text in allowed) for unit in found.layers[0].units for snippet in unit.snippets
    )


def test_no_batch_is_larger_than_allowed(
    predictor: Predictor, data: LabelledTexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it is one text: so the memory needed depends on neither their number nor their lengths."""
    shapes: list[tuple[int, ...]] = []

    def watched(model: SentimentLSTM, embedded: Tensor) -> list[LayerSignals]:
        shapes.append(tuple(embedded.shape))
        return trace_layers(model, embedded)

    monkeypatch.setattr(atlas_module, "trace_layers", watched)
    monkeypatch.setattr(atlas_module, "_STEPS_A_BATCH", 100)
    compute_atlas(predictor, data, EVERYTHING, ignore)
    assert sum(texts for texts, _, _ in shapes) == len(ROWS)
    assert all(texts * steps <= 100 or texts == 1 for texts, steps, _ in shapes)
    assert max(texts for texts, _, _ in shapes) > 1


def test_it_tells_how_far_it_is(
    tiny_predictor: Predictor, data: LabelledTexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atlas_module, "_STEPS_A_BATCH", 300)
    told: list[tuple[int, int]] = []
    compute_atlas(tiny_predictor, data, EVERYTHING, lambda done, total: told.append((done, total)))
    assert told[0] == (0, len(ROWS))
    assert told[-1] == (len(ROWS), len(ROWS))
    assert told == sorted(set(told))
    assert len(told) > 3


def test_texts_without_a_word_are_left_out(tmp_path: Path) -> None:
    predictor = Predictor.load(tiny_artifacts(tmp_path, level="word"), "cpu")
    rows = [
        Row("1", "game", "Positive", "best game"),
        Row("2", "game", "Negative", " \n"),
        Row("3", "game", "Negative", "Worst"),
    ]
    found = compute_atlas(predictor, labelled(rows), EVERYTHING, ignore)
    assert (found.rows.positive, found.rows.negative, found.steps) == (1, 1, 3)
    assert {snippet.label for unit in found.layers[0].units for snippet in unit.snippets} == {"positive", "negative"}


def test_a_gate_that_is_shut_for_good_has_a_half_life_of_nearly_nothing(tmp_path: Path, data: LabelledTexts) -> None:
    """And one that never forgets has none: no infinity gets into the file."""
    predictor = Predictor.load(tiny_artifacts(tmp_path), "cpu")
    with torch.no_grad():
        bias = predictor.artifacts.model.get_parameter("lstm.bias_ih_l0")
        bias[HIDDEN_SIZE : 2 * HIDDEN_SIZE] = torch.tensor([-200.0, 200.0] * (HIDDEN_SIZE // 2))
    shut, open_ = compute_atlas(predictor, data, EVERYTHING, ignore).layers[0].units[:2]
    assert shut.half_life == pytest.approx(0, abs=0.01)
    assert (shut.forget_gate.closed, open_.forget_gate.open, open_.half_life) == (1.0, 1.0, None)


def test_texts_of_one_label_make_no_atlas(tiny_predictor: Predictor) -> None:
    rows = [row for row in ROWS if row.sentiment == "Positive"]
    with pytest.raises(TrainingError, match=f"texts of both labels, found {len(rows)} texts of 1"):
        compute_atlas(tiny_predictor, labelled(rows), EVERYTHING, ignore)


Main = Callable[..., tuple[int, str]]


@pytest.fixture
def run_main(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Main:
    """Call the entry point in this process: exit code, stderr."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["training", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capfd.readouterr().err

    return run


def test_the_command_writes_the_atlas_into_the_models_folder(tmp_path: Path, run_main: Main) -> None:
    model, data = tiny_artifacts(tmp_path / "model"), write_kaggle(tmp_path / "tweets.csv", tweets=60)
    version = load_artifacts(model).version
    assert run_main("atlas", model, data) == (
        0,
        f"wrote {model / 'atlas.json'}, from 48 texts: test part of the grouped split (seed 42)\n",
    )
    found = load_atlas(model, version)
    assert found is not None
    assert (found.data, found.minimum_texts, found.layers[0].units[0].snippets) == ("tweets.csv", 50, ())
    assert load_artifacts(model).version == version


def test_flags_say_what_to_read_and_what_to_keep(tmp_path: Path, run_main: Main) -> None:
    model = tiny_artifacts(tmp_path / "model")
    table = [("stars", "body"), *(("51"[number % 2], f"text {number}") for number in range(40))]
    data = write_rows(tmp_path / "reviews.csv", table)
    form = "--header --text-column body --label-column stars --positive 5 --negative 1"
    flags = "--split all --limit 30 --seed 1 --minimum-texts 7 --snippets --threads 1 --device cpu"
    assert run_main("atlas", model, data, *form.split(), *flags.split())[0] == 0
    found = load_atlas(model, load_artifacts(model).version)
    assert found is not None
    assert (found.part, found.seed, found.minimum_texts) == ("all rows", 1, 7)
    assert found.rows.positive + found.rows.negative == 30
    assert all(unit.snippets for unit in found.layers[0].units)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{model}", "{tmp}/no.csv"], "no.csv: there is no such file"),
        (["{tmp}", "{data}"], "config.json: expected a file"),
        (["{model}", "{data}", "--split", "random"], "--split must be article, grouped or all"),
        (["{model}", "{data}", "--group-column="], "a grouped split needs a --group-column"),
        (["{model}", "{data}", "--device", "tpu"], "device must be auto, cpu"),
    ],
)
def test_what_a_person_can_mend_is_one_line(tmp_path: Path, run_main: Main, arguments: list[str], message: str) -> None:
    """And nothing is written."""
    model, data = tiny_artifacts(tmp_path / "model"), write_kaggle(tmp_path / "tweets.csv", tweets=10)
    before = {file.name for file in model.iterdir()}
    code, stderr = run_main("atlas", *(part.format(model=model, data=data, tmp=tmp_path) for part in arguments))
    assert (code, stderr.startswith("error: "), stderr.count("\n"), message in stderr) == (2, True, 1, True)
    assert {file.name for file in model.iterdir()} == before


def test_a_terminal_shows_how_many_texts_are_read() -> None:
    with Path(os.devnull).open("w") as nowhere:
        console = Console(force_terminal=True, record=True, width=100, file=nowhere)
        with texts_bar(console) as progress:
            progress(1234, 5678)
    assert "1234/5678" in console.export_text()
