"""The work itself, from texts to finished answers: synchronous, and knowing no HTTP.

Everything that takes time is in here: checking texts, encoding, the network, and writing traces as JSON.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import orjson

from charlstm import SIGNALS, GateTrace, LayerTrace, Prediction, Predictor
from charlstm.errors import TextError
from service.errors import CharacterLimitError, TextFault, TooManyTextsError, UnreadableTextsError
from service.schemas import BatchResponse, Info, Limits, ModelName, PredictResponse, Probabilities
from service.settings import Settings


class Engine:
    """A model with the limits it is served under.

    Args:
        predictor: The model on its device.
        settings: Where the limits are from.
    """

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        self._predictor = predictor
        self._config = predictor.artifacts.config
        self._name = ModelName(name=self._config.name, version=predictor.artifacts.version)
        self._limits = Limits(
            max_texts=settings.max_texts,
            max_characters=settings.max_characters,
            max_body_bytes=settings.max_body_bytes,
            max_tokens=self._config.preprocessing.max_length,
        )

    def predict(self, text: str, *, truncate: bool) -> PredictResponse:
        """Judge one text.

        Raises:
            UnreadableTextsError: The model cannot read it; the field is `text`.
        """
        return self._predict({"text": text}, truncate=truncate)[0]

    def predict_batch(self, texts: Sequence[str], *, truncate: bool) -> BatchResponse:
        """Judge many texts, in their order.

        Raises:
            TooManyTextsError: There are more than the service takes at once.
            UnreadableTextsError: The model cannot read some; the fields are `texts[0]`, `texts[1]`, ...
        """
        if len(texts) > self._limits.max_texts:
            raise TooManyTextsError(self._limits.max_texts, len(texts))
        fields = {f"texts[{index}]": text for index, text in enumerate(texts)}
        return BatchResponse(predictions=self._predict(fields, truncate=truncate))

    def gates(self, text: str, *, truncate: bool) -> bytes:
        """Judge one text and show its memory: the JSON of a `GatesResponse`.

        Raises:
            UnreadableTextsError: The model cannot read it; the field is `text`.
        """
        self._check_sizes({"text": text})
        try:
            traced = self._predictor.predict_and_trace(text, truncate=truncate)
        except TextError as error:
            raise UnreadableTextsError([TextFault("text", error)]) from error
        return _trace_document(self._response(traced.prediction), traced.trace)

    def info(self) -> Info:
        """Say what is being served."""
        return Info(
            model=self._name,
            architecture=self._config.model,
            preprocessing=self._config.preprocessing,
            labels=list(self._config.labels),
            calibration=self._config.calibration,
            training=self._config.training,
            metrics=self._config.metrics,
            device=str(self._predictor.device),
            limits=self._limits,
            package_version=version("charlstm"),
        )

    def warm_up(self) -> None:
        """Pay for what only the first inference pays for."""
        self._predictor.predict_and_trace("a")

    def _predict(self, texts: dict[str, str], *, truncate: bool) -> list[PredictResponse]:
        """Judge texts that are named by their fields."""
        self._check_sizes(texts)
        try:
            predictions = self._predictor.predict(texts.values(), truncate=truncate)
        except TextError as error:
            raise UnreadableTextsError(self._faults(texts, truncate=truncate)) from error
        return [self._response(prediction) for prediction in predictions]

    def _check_sizes(self, texts: dict[str, str]) -> None:
        limit = self._limits.max_characters
        oversized = {field: len(text) for field, text in texts.items() if len(text) > limit}
        if oversized:
            raise UnreadableTextsError(
                [TextFault(field, CharacterLimitError(limit, found)) for field, found in oversized.items()]
            )

    def _faults(self, texts: dict[str, str], *, truncate: bool) -> list[TextFault]:
        """Find out which texts of a refused batch are to blame; a batch without fault never gets here."""
        faults = []
        for field, text in texts.items():
            try:
                self._predictor.artifacts.encoder.encode(text, truncate=truncate)
            except TextError as error:
                faults.append(TextFault(field, error))
        return faults

    def _response(self, prediction: Prediction) -> PredictResponse:
        negative = prediction.probability_negative
        return PredictResponse(
            label=prediction.label,
            probability=prediction.probability,
            probabilities=Probabilities(negative=negative, positive=1.0 - negative),
            characters=prediction.characters,
            unknown_characters=prediction.unknown_characters,
            truncated=prediction.truncated,
            model=self._name,
        )


def _trace_document(response: PredictResponse, trace: GateTrace) -> bytes:
    document: dict[str, Any] = response.model_dump() | {
        "tokens": trace.tokens,
        "token_ids": trace.token_ids,
        "offsets": trace.offsets,
        "probability_so_far": trace.probability_so_far,
        "layers": [_layer_document(layer) for layer in trace.layers],
    }
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _layer_document(layer: LayerTrace) -> dict[str, orjson.Fragment]:
    """Write one layer, a signal at a time: orjson keeps the interpreter to itself while it writes."""
    return {
        name: orjson.Fragment(orjson.dumps(np.ascontiguousarray(signal), option=orjson.OPT_SERIALIZE_NUMPY))
        for name, signal in zip(SIGNALS, layer, strict=True)
    }
