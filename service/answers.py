"""From the model's records to what goes out over HTTP."""

from importlib.metadata import version
from typing import Any

import numpy as np
import orjson

from charlstm.trace import SIGNALS, LayerTrace, Prediction
from service.connection import ServedModel
from service.inference import Judged, TracedText
from service.schemas import BatchResponse, Info, Limits, ModelName, PredictResponse, Probabilities
from service.settings import Settings


def predict_response(judged: Judged) -> PredictResponse:
    """Answer for the only text."""
    return _response(_name(judged), judged.predictions[0])


def batch_response(judged: Judged) -> BatchResponse:
    """Answer for all texts."""
    name = _name(judged)
    return BatchResponse(predictions=[_response(name, prediction) for prediction in judged.predictions])


def gates_document(traced: TracedText) -> bytes:
    """Write the JSON of a `GatesResponse`. Takes milliseconds: not for the event loop."""
    trace = traced.trace
    document: dict[str, Any] = _response(_name(traced), traced.prediction).model_dump() | {
        "tokens": trace.tokens,
        "token_ids": trace.token_ids,
        "offsets": trace.offsets,
        "probability_so_far": trace.probability_so_far,
        "layers": [_layer_document(layer) for layer in trace.layers],
    }
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def info(model: ServedModel, settings: Settings) -> Info:
    """Describe what is served."""
    config = model.config
    return Info(
        model=ModelName(name=config.name, version=model.version, precision=model.precision),
        architecture=config.model,
        preprocessing=config.preprocessing,
        labels=list(config.labels),
        calibration=config.calibration,
        training=config.training,
        metrics=config.metrics,
        device=model.device,
        precision=model.precision,
        limits=Limits(
            max_texts=settings.max_texts,
            max_characters=settings.max_characters,
            max_body_bytes=settings.max_body_bytes,
            max_tokens=config.preprocessing.max_length,
            max_waiting_texts=settings.max_waiting_texts,
            max_waiting_characters=settings.max_waiting_characters,
            deadline_seconds=settings.deadline_seconds,
        ),
        package_version=version("charlstm"),
    )


def _name(found: Judged | TracedText) -> ModelName:
    return ModelName(name=found.model.config.name, version=found.model.version, precision=found.precision)


def _response(model: ModelName, prediction: Prediction) -> PredictResponse:
    negative = prediction.probability_negative
    # Nothing in here comes from outside, so nothing has to be checked.
    return PredictResponse.model_construct(
        label=prediction.label,
        probability=prediction.probability,
        probabilities=Probabilities.model_construct(negative=negative, positive=1.0 - negative),
        characters=prediction.characters,
        unknown_characters=prediction.unknown_characters,
        truncated=prediction.truncated,
        model=model,
    )


def _layer_document(layer: LayerTrace) -> dict[str, orjson.Fragment]:
    """Write one layer, a signal at a time: orjson keeps the interpreter to itself while it writes."""
    return {
        name: orjson.Fragment(orjson.dumps(np.ascontiguousarray(signal), option=orjson.OPT_SERIALIZE_NUMPY))
        for name, signal in zip(SIGNALS, layer, strict=True)
    }
