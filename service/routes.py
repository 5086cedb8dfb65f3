"""The routes: what is asked, who answers it, and what it is called in the OpenAPI document."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from service import answers
from service.bodies import DirectRoute
from service.contract import OF_A_BODY, OF_A_TEXT, OF_THE_ENGINE, problem_answers
from service.errors import NotReadyError
from service.inference import Inference
from service.metrics import Metrics
from service.problems import KINDS_BY_NAME, root_path_of, type_of
from service.results import Judged, TracedText
from service.schemas import (
    BatchRequest,
    BatchResponse,
    Health,
    Info,
    PredictRequest,
    PredictResponse,
    ProblemKind,
    RequestRecord,
)


async def _inference(request: Request) -> Inference:
    inference: Inference = request.app.state.inference
    return inference


Model = Annotated[Inference, Depends(_inference)]


class OfModel(RequestRecord):
    """The query of a route that tells of a model; what it does not know is a mistake, as in a body."""

    model: str | None = Field(
        default=None, max_length=64, description="The name of the model; without it, the default one."
    )


sentiment = APIRouter(
    route_class=DirectRoute,
    tags=["sentiment"],
)
operations = APIRouter(tags=["operations"])

OF_A_QUESTION = ("unknown-model", "invalid-request", *OF_A_BODY, *OF_A_TEXT, *OF_THE_ENGINE)
"""Kinds of problems that a route has which asks a model about a text."""


@sentiment.post(
    "/predict",
    operation_id="predict",
    summary="Judge one text",
    response_model=PredictResponse,
    responses=problem_answers(*OF_A_QUESTION),
)
async def predict(asked: PredictRequest, model: Model) -> Response:
    """Say whether a text is negative or positive, and how probable that is."""
    judged = await model.judge({"text": asked.text}, asked.model, truncate=asked.truncate)
    return timed_answer(judged, answers.predict_response(judged))


@sentiment.post(
    "/predict/batch",
    operation_id="predict_batch",
    summary="Judge many texts",
    response_model=BatchResponse,
    responses=problem_answers(*OF_A_QUESTION, "too-many-texts"),
)
async def predict_batch(asked: BatchRequest, model: Model) -> Response:
    """Judge each text as `/predict` does, and answer in the order of the request."""
    model.check_count(len(asked.texts))  # before hundreds of thousands of names are made
    texts = {f"texts[{index}]": text for index, text in enumerate(asked.texts)}
    judged = await model.judge(texts, asked.model, truncate=asked.truncate)
    return timed_answer(judged, answers.batch_response(judged))


def timed_answer(judged: Judged, answer: BaseModel) -> Response:
    """Write an answer as JSON, and say where its time went."""
    started = time.perf_counter()
    # pydantic writes it at once; handing FastAPI the record would have it checked and copied first
    document = answer.__pydantic_serializer__.to_json(answer)
    timing = server_timing(judged, time.perf_counter() - started)
    return Response(document, media_type="application/json", headers={"Server-Timing": timing})


def server_timing(found: Judged | TracedText, serialization: float) -> str:
    """Write the header that says where an answer's time went; `serialization` is in seconds."""
    stages = {"queue": found.waited, "inference": found.took, "serialization": serialization}
    return ", ".join(f"{stage};dur={seconds * 1e3:.3f}" for stage, seconds in stages.items())


@operations.get(
    "/livez", operation_id="livez", summary="Is the process alive?", responses=problem_answers("internal-error")
)
async def livez() -> Health:
    """Answer 200 as long as the process answers at all."""
    return Health(status="live")


@operations.get(
    "/readyz",
    operation_id="readyz",
    summary="Is the model ready?",
    responses=problem_answers("internal-error", "not-ready"),
)
async def readyz(model: Model) -> Health:
    """Answer 200 once the model is loaded and until the service closes, 503 otherwise."""
    if not model.ready:
        raise NotReadyError
    return Health(status="ready")


@operations.get(
    "/info",
    operation_id="info",
    summary="What is served?",
    responses=problem_answers("unknown-model", "invalid-request", "internal-error", "not-ready"),
)
async def info(model: Model, request: Request, asked: Annotated[OfModel, Query()]) -> Info:
    """Describe the model, where it comes from, what it scored, and what a request may hold."""
    served = model.find(asked.model)
    card = await request.app.state.cards.of(served)
    return answers.info(served, model.models, request.app.state.settings, card)


@operations.get(
    "/metrics",
    operation_id="metrics",
    summary="Figures for Prometheus",
    response_class=PlainTextResponse,
    responses=problem_answers("internal-error"),
)
async def metrics(model: Model, request: Request) -> Response:
    """Count requests, their stages and refusals, and say how the engine and the processes are doing."""
    figures: Metrics = request.app.state.metrics
    document, media_type = figures.exposition(model, request.headers.get("accept", ""))
    return Response(document, headers={"Content-Type": media_type})


@operations.get("/problems/{name}", include_in_schema=False)
async def problem(name: str, request: Request) -> ProblemKind:
    """Describe a kind of problem: each problem's `type` leads here."""
    if (kind := KINDS_BY_NAME.get(name)) is None:
        raise HTTPException(404)
    path = type_of(kind, root_path_of(request.scope))
    return ProblemKind(type=path, title=kind.title, status=kind.status, description=kind.description)
