"""The in-process way to a prediction and its trace."""

import math
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import charlstm
from charlstm import errors
from charlstm.artifacts import load_artifacts
from charlstm.model import collate
from charlstm.predictor import Predictor, find_device
from charlstm.trace import SIGNALS, Prediction
from tests.service_fixtures import PATIENCE
from tests.tiny import HIDDEN_SIZE, TEXTS, texts, tiny_artifacts

MANY = tuple(f"{text} {'again ' * (n % 7)}{n}" for n in range(40) for text in TEXTS)  # more than two batches

without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here, and would be found")


@pytest.fixture(scope="module")
def predictors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Predictor]:
    """Load one model of each kind."""
    folder = tmp_path_factory.mktemp("predictors")
    return {
        "one layer": Predictor.load(tiny_artifacts(folder / "1"), device="cpu"),
        "two layers": Predictor.load(tiny_artifacts(folder / "2", num_layers=2, casefold=True), device="cpu"),
        "padded": Predictor.load(tiny_artifacts(folder / "3", pad_to=50), device="cpu"),
        "words": Predictor.load(tiny_artifacts(folder / "4", level="word", casefold=True), device="cpu"),
        "unlimited": Predictor.load(tiny_artifacts(folder / "5", max_length=None), device="cpu"),
        "calibrated": Predictor.load(tiny_artifacts(folder / "6", temperature=2.5), device="cpu"),
    }


KINDS = ("one layer", "two layers", "padded", "words", "unlimited", "calibrated")
kinds = st.sampled_from(KINDS)


def probabilities(predictions: list[Prediction]) -> list[float]:
    return [prediction.probability_negative for prediction in predictions]


# Predictions


def test_one_text_gives_one_prediction(tiny_predictor: Predictor) -> None:
    prediction = tiny_predictor.predict("Worst update ever")
    assert 0 < prediction.probability_negative < 1
    assert (prediction.characters, prediction.unknown_characters, prediction.truncated) == (17, 0, False)


@pytest.mark.parametrize(
    ("negative", "label", "probability"),
    [(0.9, "negative", 0.9), (0.2, "positive", 0.8), (0.5, "negative", 0.5), (0.0, "positive", 1.0)],
)
def test_the_label_is_the_more_probable_one(negative: float, label: str, probability: float) -> None:
    prediction = Prediction(negative, characters=1, unknown_characters=0, truncated=False)
    assert prediction.label == label
    assert prediction.probability == pytest.approx(probability)


@pytest.mark.parametrize("kind", KINDS)
def test_many_texts_get_in_order_what_each_gets_alone(predictors: dict[str, Predictor], kind: str) -> None:
    predictor = predictors[kind]
    together = predictor.predict(MANY, truncate=True)
    alone = [predictor.predict(text, truncate=True) for text in MANY]
    np.testing.assert_allclose(probabilities(together), probabilities(alone), atol=1e-6, rtol=0)
    assert len({round(p, 4) for p in probabilities(alone)}) > 5, "the texts must differ for their order to be seen"
    for found, expected in zip(together, alone, strict=True):
        assert (found.characters, found.unknown_characters, found.truncated) == (
            expected.characters,
            expected.unknown_characters,
            expected.truncated,
        )


def test_the_probability_is_the_sigmoid_of_the_logit_of_label_1(tiny_predictor: Predictor) -> None:
    artifacts = tiny_predictor.artifacts
    token_ids = artifacts.vocabulary.encode("so bad")
    with torch.inference_mode():
        logit = artifacts.model(*collate([token_ids])).item()
    expected = 1 / (1 + math.exp(-logit))
    assert tiny_predictor.predict("so bad").probability_negative == pytest.approx(expected, abs=1e-6)


def test_a_temperature_divides_the_logit(predictors: dict[str, Predictor]) -> None:
    """The two models have the same weights."""

    def logit(probability: float) -> float:
        return math.log(probability / (1 - probability))

    for text in TEXTS:
        plain = predictors["one layer"].predict(text).probability_negative
        calibrated = predictors["calibrated"].predict(text).probability_negative
        assert logit(calibrated) == pytest.approx(logit(plain) / 2.5, abs=1e-5)


def test_any_iterable_of_texts_will_do(tiny_predictor: Predictor) -> None:
    def generator() -> Iterator[str]:
        yield from TEXTS

    expected = tiny_predictor.predict(list(TEXTS))
    assert tiny_predictor.predict(TEXTS) == expected
    assert tiny_predictor.predict(generator()) == expected
    assert tiny_predictor.predict(pd.Series(TEXTS, index=range(9, 9 + len(TEXTS)))) == expected
    assert tiny_predictor.predict(np.array(TEXTS)) == expected


def test_no_texts_give_no_predictions(tiny_predictor: Predictor) -> None:
    assert tiny_predictor.predict([]) == []


def test_unknown_characters_are_counted(tiny_predictor: Predictor) -> None:
    assert tiny_predictor.predict("so 漢字").unknown_characters == 2


def test_case_does_not_matter_to_a_folding_model(predictors: dict[str, Predictor]) -> None:
    folding, plain = predictors["two layers"], predictors["one layer"]
    assert folding.predict("SO BAD") == folding.predict("so bad")
    assert plain.predict("SO BAD") != plain.predict("so bad")


def test_a_long_text_is_cut_only_where_that_is_allowed(tiny_predictor: Predictor) -> None:
    text = "so bad " * 20
    with pytest.raises(errors.TextTooLongError, match="at most 64 characters long, found 140"):
        tiny_predictor.predict(text)
    with pytest.raises(errors.TextTooLongError, match="at most 64 characters long, found 140"):
        tiny_predictor.trace(text)
    cut = tiny_predictor.predict(text, truncate=True)
    assert (cut.truncated, cut.characters) == (True, 64)
    assert cut.probability_negative == tiny_predictor.predict(text[:64]).probability_negative
    assert len(tiny_predictor.trace(text, truncate=True).tokens) == 64


def test_a_model_without_a_limit_reads_long_texts(predictors: dict[str, Predictor]) -> None:
    prediction = predictors["unlimited"].predict("so bad " * 500)
    assert (prediction.characters, prediction.truncated) == (3500, False)


@pytest.mark.parametrize(
    ("text", "error"),
    [("", errors.EmptyTextError), ("a\0b", errors.InvalidCharacterError), ("\ud83c", errors.InvalidCharacterError)],
)
def test_a_bad_text_is_refused_in_every_call(
    tiny_predictor: Predictor, text: str, error: type[errors.TextError]
) -> None:
    with pytest.raises(error):
        tiny_predictor.predict(text)
    with pytest.raises(error):
        tiny_predictor.predict(["good", text])
    with pytest.raises(error):
        tiny_predictor.trace(text)


def test_white_space_holds_no_word(predictors: dict[str, Predictor]) -> None:
    with pytest.raises(errors.EmptyTextError, match="at least 1 word"):
        predictors["words"].predict("  \n")


# Traces


@settings(max_examples=150)
@given(text=texts(), kind=kinds)
def test_any_text_has_a_trace_that_ends_in_its_prediction(
    predictors: dict[str, Predictor], text: str, kind: str
) -> None:
    predictor = predictors[kind]
    try:
        prediction = predictor.predict(text, truncate=True)
    except errors.EmptyTextError:
        assert kind == "words"
        assert not text.strip()
        return
    traced = predictor.trace(text, truncate=True)
    assert 0 <= prediction.probability_negative <= 1
    assert traced.prediction.probability_negative == pytest.approx(prediction.probability_negative, abs=1e-6)
    assert float(traced.probability_so_far[-1]) == traced.prediction.probability_negative
    assert traced.prediction.characters == prediction.characters
    steps = len(traced.tokens)
    assert len(traced.token_ids) == len(traced.offsets) == len(traced.probability_so_far) == steps
    for layer in traced.layers:
        assert {signal.shape for signal in layer} == {(steps, HIDDEN_SIZE)}
        assert all(np.isfinite(signal).all() for signal in layer)


@pytest.mark.parametrize("kind", ["one layer", "two layers", "words", "calibrated"])
def test_the_probability_so_far_is_that_of_the_text_so_far(predictors: dict[str, Predictor], kind: str) -> None:
    predictor, text = predictors[kind], "Worst update ever"
    trace = predictor.trace(text)
    ends = [*trace.offsets[1:], len(text)]
    so_far = probabilities(predictor.predict([text[:end] for end in ends if end is not None]))
    np.testing.assert_allclose(trace.probability_so_far, so_far, atol=1e-6, rtol=0)


def test_a_trace_shows_the_tokens_as_read_with_their_place_in_the_original(predictors: dict[str, Predictor]) -> None:
    trace = predictors["two layers"].trace("Aß漢")
    assert trace.tokens == ("a", "s", "s", "<UNK>")
    assert trace.offsets == (0, 1, 1, 2)
    vocabulary = predictors["two layers"].artifacts.vocabulary
    assert trace.token_ids == (*vocabulary.encode("ass"), vocabulary.unknown_id)


def test_a_trace_has_a_layer_for_each_layer_of_the_network(predictors: dict[str, Predictor]) -> None:
    assert len(predictors["one layer"].trace("so bad").layers) == 1
    layers = predictors["two layers"].trace("so bad").layers
    assert len(layers) == 2
    assert not np.allclose(layers[0].hidden_state, layers[1].hidden_state)
    assert all(isinstance(getattr(layers[0], name), np.ndarray) for name in SIGNALS)


def test_the_trace_reads_out_its_own_last_hidden_state(predictors: dict[str, Predictor]) -> None:
    for kind in ("one layer", "two layers"):
        head = predictors[kind].artifacts.model.head
        trace = predictors[kind].trace("so bad")
        with torch.inference_mode():
            logits = trace.layers[-1].hidden_state @ head.weight.numpy()[0] + head.bias.numpy()
        np.testing.assert_allclose(trace.probability_so_far, 1 / (1 + np.exp(-logits)), atol=1e-6, rtol=0)


def test_padding_that_is_read_is_shown_as_such(predictors: dict[str, Predictor]) -> None:
    trace = predictors["padded"].trace("so bad")
    assert trace.tokens == (*"so bad", *["<PAD>"] * 44)
    assert trace.offsets == (*range(6), *[None] * 44)
    assert trace.token_ids[6:] == (0,) * 44
    assert trace.layers[0].cell_state.shape == (50, HIDDEN_SIZE)
    assert not np.allclose(trace.layers[0].cell_state[5], trace.layers[0].cell_state[-1]), "padding changes the memory"


def test_a_text_that_fills_the_padding_has_none(predictors: dict[str, Predictor]) -> None:
    trace = predictors["padded"].trace("x" * 50)
    assert "<PAD>" not in trace.tokens
    assert trace.offsets == tuple(range(50))


def test_a_padded_text_over_the_limit_is_refused(predictors: dict[str, Predictor]) -> None:
    with pytest.raises(errors.TextTooLongError, match="at most 50 characters long, found 51"):
        predictors["padded"].predict("x" * 51)


# Loading and devices


def test_loading_and_predicting_leave_the_random_numbers_of_the_caller_alone(tiny_directory: Path) -> None:
    before = torch.get_rng_state()
    Predictor.load(tiny_directory, device="cpu").trace("so bad")
    assert torch.equal(torch.get_rng_state(), before)


def test_predicting_leaves_gradients_switched_on(tiny_predictor: Predictor) -> None:
    tiny_predictor.trace("so bad")
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_a_folder_may_be_named_by_a_string(tiny_directory: Path, tiny_predictor: Predictor) -> None:
    loaded = charlstm.Predictor.load(str(tiny_directory), device="cpu")
    assert loaded.predict("so bad") == tiny_predictor.predict("so bad")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.ArtifactError, match=r"config\.json: expected a file, found nothing there"):
        Predictor.load(tmp_path)


@pytest.mark.parametrize("device", ["gpu", "", "tpu:0", "meta", "cuda:x", "cuda:-1", "mps", "CPU", "cpu:3", "cpu:-1"])
def test_a_device_that_means_nothing_here_is_refused_by_name(tiny_directory: Path, device: str) -> None:
    with pytest.raises(errors.DeviceError, match="device must be auto, cpu, cuda or cuda:N, found") as caught:
        Predictor.load(tiny_directory, device=device)
    assert repr(device) in str(caught.value)


@without_cuda
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7"])
def test_a_missing_cuda_device_is_an_error_that_names_it(tiny_directory: Path, device: str) -> None:
    with pytest.raises(errors.DeviceError, match=f"device '{device}' is not available: .* 0 CUDA devices"):
        Predictor.load(tiny_directory, device=device)


@without_cuda
def test_auto_is_the_cpu_where_there_is_no_cuda() -> None:
    assert find_device("auto") == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine shows no CUDA device")
@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_gpu_gives_what_the_cpu_gives(tmp_path: Path, num_layers: int) -> None:
    directory = tiny_artifacts(tmp_path, num_layers=num_layers)
    on_gpu, on_cpu = Predictor.load(directory, "auto"), Predictor.load(directory, "cpu")
    assert on_gpu.device.type == "cuda"
    found, expected = (probabilities(predictor.predict(MANY, truncate=True)) for predictor in (on_gpu, on_cpu))
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    gpu_trace, cpu_trace = on_gpu.trace(TEXTS[0]), on_cpu.trace(TEXTS[0])
    for gpu_layer, cpu_layer in zip(gpu_trace.layers, cpu_trace.layers, strict=True):
        np.testing.assert_allclose(np.stack(gpu_layer), np.stack(cpu_layer), atol=1e-5, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine shows no CUDA device")
def test_a_cuda_device_beyond_the_last_is_an_error() -> None:
    with pytest.raises(errors.DeviceError, match="device 'cuda:99' is not available"):
        find_device("cuda:99")


# Threads


def test_several_threads_get_what_one_gets(predictors: dict[str, Predictor]) -> None:
    predictor = predictors["two layers"]
    expected = [(predictor.predict(text), predictor.trace(text).probability_so_far.tolist()) for text in TEXTS]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            predictions = pool.map(predictor.predict, TEXTS * 40)
            traces = pool.map(predictor.trace, TEXTS * 40)
            found = [(p, trace.probability_so_far.tolist()) for p, trace in zip(predictions, traces, strict=True)]
    finally:
        sys.setswitchinterval(interval)
    assert found == expected * 40


def test_a_forked_process_goes_on_predicting(tiny_directory: Path) -> None:
    """Its parent has computed with two threads, which the fork does not have and would wait for."""
    code = (
        "import os, signal, sys, torch\n"
        "from charlstm.predictor import Predictor\n"
        "torch.set_num_threads(2)\n"
        "predictor = Predictor.load(sys.argv[1], device='cpu')\n"
        "texts = ['so much fun with friends ' * 2] * 500\n"
        "torch.ones(500, 500) @ torch.ones(500, 500)\n"  # this takes both, however small the model is
        "expected = predictor.predict(texts)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    signal.alarm(60)\n"
        "    torch.ones(500, 500) @ torch.ones(500, 500)\n"
        "    os._exit(0 if predictor.predict(texts) == expected else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tiny_directory)], check=True, timeout=PATIENCE)


def test_loading_in_several_threads_gives_the_same_model_everywhere(tiny_directory: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(load_artifacts, [tiny_directory] * 16))
    first = loaded[0].model.state_dict()
    for other in loaded[1:]:
        assert all(torch.equal(other.model.state_dict()[name], first[name]) for name in first)
    assert torch.empty(0).device == torch.device("cpu"), "building on the meta device must not leak"


def test_a_refused_text_says_which_of_several_it_is(tiny_predictor: Predictor) -> None:
    """The index is on the error and in its traceback's note."""
    with pytest.raises(errors.TextError) as caught:
        tiny_predictor.predict(["fine", "fine", ""])
    assert caught.value.index == 2
    assert caught.value.__notes__ == ["It is texts[2]."]


def test_a_cell_without_text_in_a_column_is_named(tiny_predictor: Predictor) -> None:
    """A pandas column fills empty cells with a float."""
    with pytest.raises(TypeError, match=r"texts\[1\] must be a string, found float"):
        tiny_predictor.predict(pd.Series(["fine", float("nan")]))


def test_a_predictor_computes_in_whole_float32(tiny_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For LSTMs, cuDNN's default keeps 10 bits of the mantissa, which only a GPU would show."""
    monkeypatch.setattr(torch.backends.cudnn.rnn, "fp32_precision", "tf32")
    Predictor.load(tiny_directory, device="cpu")
    assert torch.backends.cudnn.rnn.fp32_precision == "ieee"  # type: ignore[attr-defined]  # torch does not declare it


def test_neither_loading_nor_reading_wakes_the_compiler(tiny_directory: Path) -> None:
    """PyTorch's compiler, which some innocent calls import, would take seconds and 75 MB."""
    code = (
        "import sys; from charlstm import Predictor; predictor = Predictor.load(sys.argv[1], device='cpu'); "
        "predictor.predict(['Worst', 'best']); predictor.trace('Worst'); "
        "print(sorted({'sympy', 'torch._dynamo', 'torch._inductor'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tiny_directory)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert finished.stdout == "[]\n"
