"""The routes: what is asked, who answers it, and what it is called in the OpenAPI document."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.exceptions import HTTPException

from service.errors import MediaTypeError, NotReadyError
from service.inference import Inference
from service.problems import KINDS_BY_NAME, root_path_of, type_of
from service.schemas import (
    BatchRequest,
    BatchResponse,
    GatesRequest,
    GatesResponse,
    Health,
    Info,
    PredictRequest,
    PredictResponse,
    Problem,
    ProblemKind,
)


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document which problems a route answers with."""
    titles: Mapping[int, str] = {
        status: " / ".join(kind.title for kind in KINDS_BY_NAME.values() if kind.status == status)
        for status in statuses
    }
    return {status: {"model": Problem, "description": titles[status]} for status in statuses}


async def _inference(request: Request) -> Inference:
    inference: Inference = request.app.state.inference
    return inference


async def _json_only(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise MediaTypeError


Model = Annotated[Inference, Depends(_inference)]

sentiment = APIRouter(
    tags=["sentiment"], dependencies=[Depends(_json_only)], responses=_problems(400, 413, 415, 422, 500, 503)
)
operations = APIRouter(tags=["operations"], responses=_problems(500))


@sentiment.post("/predict", operation_id="predict", summary="Judge one text")
async def predict(asked: PredictRequest, model: Model) -> PredictResponse:
    """Say whether a text is negative or positive, and how probable that is."""
    return await model.predict(asked.text, truncate=asked.truncate)


@sentiment.post("/predict/batch", operation_id="predict_batch", summary="Judge many texts")
async def predict_batch(asked: BatchRequest, model: Model) -> BatchResponse:
    """Judge each text as `/predict` does, and answer in the order of the request."""
    return await model.predict_batch(asked.texts, truncate=asked.truncate)


@sentiment.post(
    "/gates", operation_id="gates", summary="Judge one text and show its memory", response_model=GatesResponse
)
async def gates(asked: GatesRequest, model: Model) -> Response:
    """Judge a text as `/predict` does, and show every step of the way: each gate and both memories of each layer."""
    return Response(await model.gates(asked.text, truncate=asked.truncate), media_type="application/json")


@operations.get("/livez", operation_id="livez", summary="Is the process alive?")
async def livez() -> Health:
    """Answer 200 as long as the process answers at all."""
    return Health(status="live")


@operations.get("/readyz", operation_id="readyz", summary="Is the model ready?", responses=_problems(503))
async def readyz(model: Model) -> Health:
    """Answer 200 once the model is loaded and until the service closes, 503 otherwise."""
    if not model.ready:
        raise NotReadyError
    return Health(status="ready")


@operations.get("/info", operation_id="info", summary="What is served?", responses=_problems(503))
async def info(model: Model) -> Info:
    """Describe the model, where it comes from, what it scored, and what a request may hold."""
    return model.info()


@operations.get("/problems/{name}", include_in_schema=False)
async def problem(name: str, request: Request) -> ProblemKind:
    """Describe a kind of problem: each problem's `type` leads here."""
    if (kind := KINDS_BY_NAME.get(name)) is None:
        raise HTTPException(404)
    path = type_of(kind, root_path_of(request.scope))
    return ProblemKind(type=path, title=kind.title, status=kind.status, description=kind.description)
