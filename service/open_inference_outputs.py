"""The model's answers as tensors of the Open Inference Protocol: what can be asked for, and how it is filled.

Sizes: N texts, T steps, H = hidden_size.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np

from charlstm.config import ModelConfig
from charlstm.trace import SIGNALS, GateTrace, Prediction
from service.errors import InferenceRequestError
from service.open_inference_schemas import TensorMetadata
from service.results import Judged, TracedText
from service.tensors import RequestedOutput, Tensor

DEFAULT_OUTPUTS: Final = ("probability_negative", "label")  # what comes if nothing is asked for
_OF_ANY_TEXTS: Final = (*DEFAULT_OUTPUTS, "truncated")  # however many they are
PADDING_OFFSET: Final = -1  # in `offsets`, for a step of padding


def available_outputs(config: ModelConfig) -> list[TensorMetadata]:
    """List each output: those of any number of texts first, then the trace of a single one."""
    steps = [-1]
    layers = [
        TensorMetadata(name=_signal_name(layer, signal), datatype="FP32", shape=[-1, config.hidden_size])
        for layer in range(config.num_layers)
        for signal in SIGNALS
    ]
    return [
        TensorMetadata(name="probability_negative", datatype="FP32", shape=[-1]),
        TensorMetadata(name="label", datatype="BYTES", shape=[-1]),
        TensorMetadata(name="truncated", datatype="BOOL", shape=[-1]),
        TensorMetadata(name="tokens", datatype="BYTES", shape=steps),
        TensorMetadata(name="token_ids", datatype="INT32", shape=steps),
        TensorMetadata(name="offsets", datatype="INT32", shape=steps),
        TensorMetadata(name="probability_so_far", datatype="FP32", shape=steps),
        *layers,
    ]


def need_trace(chosen: Iterable[RequestedOutput], config: ModelConfig, texts: int) -> bool:
    """Tell whether these outputs take a trace, of so many texts.

    Raises:
        InferenceRequestError: One is no output of this model, or a trace is asked for of more than one text.
    """
    known = {tensor.name for tensor in available_outputs(config)}
    traced = False
    for index, output in enumerate(chosen):
        if output.name not in known:
            raise InferenceRequestError(f"outputs[{index}].name", "must be one that the model's metadata lists")
        if output.name not in _OF_ANY_TEXTS:
            if texts != 1:
                raise InferenceRequestError(f"output {output.name}", f"is of a single text, found {texts} texts")
            traced = True
    return traced


def output_tensors(answer: Judged | TracedText, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """Give every output that an answer holds, by name.

    Args:
        answer: Of N texts, or of one with its trace.
        shape: The texts' shape, (N,) or (N, 1).
    """
    if isinstance(answer, Judged):
        return _by_name(_of_predictions(answer.predictions, shape))
    trace = answer.trace()
    return _by_name([*_of_predictions([trace.prediction], shape), *_of_trace(trace)])


def _of_predictions(predictions: list[Prediction], shape: tuple[int, ...]) -> list[Tensor]:
    probabilities = np.array([prediction.probability_negative for prediction in predictions], np.float32)
    truncated = np.array([prediction.truncated for prediction in predictions], np.bool_)
    return [
        Tensor("probability_negative", shape, probabilities.reshape(shape)),
        Tensor("label", shape, [prediction.label for prediction in predictions]),
        Tensor("truncated", shape, truncated.reshape(shape)),
    ]


def _of_trace(trace: GateTrace) -> list[Tensor]:
    steps = (len(trace.token_ids),)
    offsets = [PADDING_OFFSET if offset is None else offset for offset in trace.offsets]
    layers = [
        Tensor(_signal_name(layer, signal), values.shape, values)
        for layer, signals in enumerate(trace.layers)
        for signal, values in zip(SIGNALS, signals, strict=True)
    ]
    return [
        Tensor("tokens", steps, trace.tokens),
        Tensor("token_ids", steps, np.array(trace.token_ids, np.int32)),
        Tensor("offsets", steps, np.array(offsets, np.int32)),
        Tensor("probability_so_far", steps, trace.probability_so_far),
        *layers,
    ]


def _signal_name(layer: int, signal: str) -> str:
    return f"layer_{layer}.{signal}"


def _by_name(found: list[Tensor]) -> dict[str, Tensor]:
    return {tensor.name: tensor for tensor in found}
