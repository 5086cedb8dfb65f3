"""What is answered for a text without each of its words."""

from service.answers import model_name, prediction_response, probabilities_of
from service.comparison_schemas import Occlusion, OcclusionResponse
from service.results import Occluded


def occlusion_response(occluded: Occluded) -> OcclusionResponse:
    """Answer for a text: as for any other, and for each of its words."""
    (whole,) = occluded.judged.predictions
    return OcclusionResponse.model_construct(
        **dict(prediction_response(model_name(occluded.judged), whole)),
        words=[
            Occlusion.model_construct(
                start=start,
                stop=stop,
                text=occluded.text[start:stop],
                probabilities=None if without is None else probabilities_of(without),
                change=None if without is None else whole.probability_negative - without,
            )
            for (start, stop), without in zip(occluded.words, occluded.without, strict=True)
        ],
    )
