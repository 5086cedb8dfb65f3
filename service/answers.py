"""From the model's records to what goes out over HTTP."""

from collections.abc import Sequence
from importlib.metadata import version

from charlstm.card import Card
from charlstm.trace import Prediction
from service.connection import ServedModel
from service.results import Judged, TracedText
from service.schemas import BatchResponse, Info, Limits, ModelName, PredictResponse, Probabilities
from service.settings import Settings


def predict_response(judged: Judged) -> PredictResponse:
    """Answer for the only text."""
    return prediction_response(model_name(judged), judged.predictions[0])


def batch_response(judged: Judged) -> BatchResponse:
    """Answer for all texts."""
    name = model_name(judged)
    return BatchResponse(predictions=[prediction_response(name, prediction) for prediction in judged.predictions])


def info(model: ServedModel, models: Sequence[ServedModel], settings: Settings, card: Card | None) -> Info:
    """Describe a model, with the card of this very version, and name all that are served."""
    config = model.config
    return Info(
        model=served_name(model),
        models=[served_name(served) for served in models],
        architecture=config.model,
        preprocessing=config.preprocessing,
        labels=list(config.labels),
        calibration=config.calibration,
        training=config.training,
        metrics=config.metrics,
        card=None if card is None else card.brief,
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
            request_seconds=settings.request_seconds,
            stall_seconds=settings.stall_seconds,
            max_unread_bytes=settings.max_unread_bytes,
            live_sessions=settings.max_live_sessions,
            live_sessions_per_client=settings.max_live_sessions_per_client,
            live_characters=settings.live_characters,
            live_messages_per_second=settings.live_messages_per_second,
            live_idle_seconds=settings.live_idle_seconds,
            live_stall_seconds=settings.live_stall_seconds,
        ),
        package_version=version("charlstm"),
    )


def served_name(model: ServedModel) -> ModelName:
    """Name the model that is served, with the arithmetic of its predictions."""
    return ModelName(name=model.name, version=model.version, precision=model.precision)


def model_name(found: Judged | TracedText) -> ModelName:
    """Name the model that an answer comes from, with the arithmetic of that answer."""
    return ModelName(name=found.model.name, version=found.model.version, precision=found.precision)


def prediction_response(model: ModelName, prediction: Prediction) -> PredictResponse:
    """Answer for one text."""
    # Nothing in here comes from outside, so nothing has to be checked.
    return PredictResponse.model_construct(
        label=prediction.label,
        probability=prediction.probability,
        probabilities=probabilities_of(prediction.probability_negative),
        characters=prediction.characters,
        unknown_characters=prediction.unknown_characters,
        truncated=prediction.truncated,
        model=model,
    )


def probabilities_of(negative: float) -> Probabilities:
    """Give the probability of each label."""
    return Probabilities.model_construct(negative=negative, positive=1.0 - negative)
